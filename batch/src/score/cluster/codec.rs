//! Orders in Ballista's messages: a table in what a job sends, a leaf in what the scheduler hands out.
//!
//! Everything else is Ballista's own codecs' to write and read.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use ballista_core::serde::{BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::file_format::FileFormatFactory;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};

use super::exec::PartExec;
use super::models::Models;
use super::order::Order;
use super::table::PartTable;

/// Tables of orders.
#[derive(Debug, Default)]
pub(super) struct LogicalCodec {
    others: BallistaLogicalExtensionCodec,
}

/// Leaves of orders; on an executor with its models.
#[derive(Debug, Default)]
pub(super) struct PhysicalCodec {
    others: BallistaPhysicalExtensionCodec,
    models: Option<Arc<Models>>,
}

impl PhysicalCodec {
    /// The codec of an executor.
    pub(super) fn with(models: Arc<Models>) -> Self {
        Self { models: Some(models), ..Self::default() }
    }
}

impl LogicalExtensionCodec for LogicalCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[LogicalPlan],
        context: &TaskContext,
    ) -> Result<Extension> {
        self.others.try_decode(bytes, inputs, context)
    }

    fn try_encode(&self, node: &Extension, bytes: &mut Vec<u8>) -> Result<()> {
        self.others.try_encode(node, bytes)
    }

    fn try_decode_table_provider(
        &self,
        bytes: &[u8],
        name: &TableReference,
        schema: SchemaRef,
        context: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        if !Order::begins(bytes) {
            return self.others.try_decode_table_provider(bytes, name, schema, context);
        }
        Ok(Arc::new(PartTable { order: Arc::new(decoded(bytes)?) }))
    }

    fn try_encode_table_provider(
        &self,
        name: &TableReference,
        table: Arc<dyn TableProvider>,
        bytes: &mut Vec<u8>,
    ) -> Result<()> {
        match table.downcast_ref::<PartTable>() {
            Some(part) => encode(&part.order, bytes),
            None => self.others.try_encode_table_provider(name, table, bytes),
        }
    }

    fn try_decode_file_format(
        &self,
        bytes: &[u8],
        context: &TaskContext,
    ) -> Result<Arc<dyn FileFormatFactory>> {
        self.others.try_decode_file_format(bytes, context)
    }

    fn try_encode_file_format(
        &self,
        bytes: &mut Vec<u8>,
        format: Arc<dyn FileFormatFactory>,
    ) -> Result<()> {
        self.others.try_encode_file_format(bytes, format)
    }
}

impl PhysicalExtensionCodec for PhysicalCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !Order::begins(bytes) {
            return self.others.try_decode(bytes, inputs, context, converter);
        }
        Ok(Arc::new(PartExec::new(Arc::new(decoded(bytes)?), self.models.clone())))
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        match node.downcast_ref::<PartExec>() {
            Some(part) => encode(&part.order, bytes),
            None => self.others.try_encode(node, bytes, converter),
        }
    }
}

fn encode(order: &Order, bytes: &mut Vec<u8>) -> Result<()> {
    bytes.extend(order.encode().map_err(DataFusionError::Plan)?);
    Ok(())
}

fn decoded(bytes: &[u8]) -> Result<Order> {
    Order::decode(bytes).map_err(DataFusionError::Plan)
}

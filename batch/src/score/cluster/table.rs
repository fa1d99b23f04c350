//! A part as a table: what a query of the cluster is over.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::not_impl_err;
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;

use super::exec::PartExec;
use super::order::Order;

/// See the module.
#[derive(Debug)]
pub(super) struct PartTable {
    pub(super) order: Arc<Order>,
}

#[async_trait]
impl TableProvider for PartTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.order.answer)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let part: Arc<dyn ExecutionPlan> = Arc::new(PartExec::new(Arc::clone(&self.order), None));
        match projection {
            Some(some) if !some.iter().copied().eq(0..self.order.answer.fields().len()) => {
                not_impl_err!("a part is asked for as a whole")
            }
            Some(_) | None => Ok(part),
        }
    }
}

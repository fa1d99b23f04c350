//! Row groups of a Parquet file as a table: the scan, and what it may leave unread, are DataFusion's.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::{FileRange, ListingTableUrl, PartitionedFile};
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use parquet::arrow::RowNumber;

use super::POSITION;
use crate::files::{url_of_file, url_of_store};

/// One part of a Parquet file.
#[derive(Debug)]
pub(super) struct ParquetPart {
    store: ObjectStoreUrl,
    file: PartitionedFile,
    schema: TableSchema,
}

/// The schema of the parts of a Parquet table: the files' columns, the folders', the row's number.
pub(super) fn schema(file: &SchemaRef, hive: &[Field]) -> TableSchema {
    let position = Field::new(POSITION, DataType::Int64, true).with_extension_type(RowNumber);
    TableSchema::builder(Arc::clone(file))
        .with_table_partition_cols(hive.iter().cloned().map(Arc::new).collect::<Vec<_>>())
        .with_virtual_columns(vec![Arc::new(position)])
        .build()
}

impl ParquetPart {
    /// The row groups that start within `range` of `path`, which is named from the root.
    pub(super) fn new(
        path: &Path,
        bytes: u64,
        range: &Range<u64>,
        hive: Vec<ScalarValue>,
        schema: TableSchema,
    ) -> Result<Self> {
        let url = ListingTableUrl::parse(url_of_file(path))?;
        let mut file = PartitionedFile::new("", bytes);
        file.object_meta.location = url.prefix().clone();
        file.partition_values = hive;
        file.range = Some(FileRange { start: range.start as i64, end: range.end as i64 });
        Ok(Self { store: url_of_store(path), file, schema })
    }
}

#[async_trait]
impl TableProvider for ParquetPart {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = session.table_options().parquet.clone();
        let source = ParquetSource::new(self.schema.clone()).with_table_parquet_options(options);
        let config = FileScanConfigBuilder::new(self.store.clone(), Arc::new(source))
            .with_file(self.file.clone())
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// The filter stays above; what the scan can use of it is pushed down when the plan is made.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

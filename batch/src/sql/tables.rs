//! A folder of the archive as a DataFusion table.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::prelude::SessionContext;

use super::{SqlTable, explain};
use crate::archive::{parse_partition, partition_files};
use crate::error::StoreError;
use crate::files::{Files, LocalFiles, url_of_folder};

/// Column that the folder names give; the row's own `partition` column holds the same number.
const PARTITION_COLUMN: &str = "source_partition";

/// Registers `table`; its columns are those of all its files, old and new, and of its schema.
pub(super) async fn register(context: &SessionContext, table: &SqlTable) -> Result<(), StoreError> {
    if !has_files(&table.folder)? {
        return register_empty(context, table);
    }
    let folder = std::path::absolute(&table.folder)
        .map_err(|error| StoreError::io("resolve", &table.folder, error))?;
    let url = ListingTableUrl::parse(url_of_folder(&folder)).map_err(explain)?;
    let options = ListingOptions::new(Arc::new(ParquetFormat::default()))
        .with_file_extension(".parquet")
        .with_table_partition_cols(vec![(PARTITION_COLUMN.into(), DataType::Int32)]);
    let found = options.infer_schema(&context.state(), &url).await.map_err(explain)?;
    let schema = with_new_columns(&found, table.schema.as_ref());
    let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
    let listing = Arc::new(ListingTable::try_new(config).map_err(explain)?);
    context.register_table(table.name.as_str(), listing).map_err(explain)?;
    Ok(())
}

fn register_empty(context: &SessionContext, table: &SqlTable) -> Result<(), StoreError> {
    let Some(schema) = &table.schema else {
        return Err(StoreError::Query(format!(
            "table `{}`: {} holds no files yet; `tidegate run` publishes the first one",
            table.name,
            table.folder.display()
        )));
    };
    let empty = Arc::new(EmptyTable::new(with_partition_column(schema)));
    context.register_table(table.name.as_str(), empty).map_err(explain)?;
    Ok(())
}

/// The files' columns and those that no file has yet, of a model that has not scored so far: nulls.
fn with_new_columns(found: &SchemaRef, now: Option<&SchemaRef>) -> SchemaRef {
    let mut fields: Vec<_> = found.fields().iter().cloned().collect();
    let new = now.iter().flat_map(|schema| schema.fields().iter());
    let new = new.filter(|field| found.field_with_name(field.name()).is_err());
    fields.extend(new.map(|field| Arc::new(Field::clone(field).with_nullable(true))));
    Arc::new(Schema::new(fields))
}

fn has_files(folder: &Path) -> Result<bool, StoreError> {
    let entries = match LocalFiles.list(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(StoreError::io("list", folder, error)),
    };
    for entry in entries.iter().filter(|entry| parse_partition(&entry.name).is_some()) {
        if !partition_files(&LocalFiles, &folder.join(&entry.name))?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn with_partition_column(schema: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(PARTITION_COLUMN, DataType::Int32, false)));
    Arc::new(Schema::new(fields))
}

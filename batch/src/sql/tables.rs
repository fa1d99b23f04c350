//! A folder of the archive or made from it, or rows at hand, as a DataFusion table.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::Result as QueryResult;
use datafusion::prelude::SessionContext;

use super::archived::Archived;
use super::{Rows, SqlTable, explain};
use crate::archive::{parse_partition, partition_files};
use crate::error::StoreError;
use crate::files::{self, url_of_folder};

/// Column that the folder names give; the row's own `partition` column holds the same number.
pub(super) const PARTITION_COLUMN: &str = "source_partition";

/// Folders in one another whose names are columns, at most.
const MAX_KEYS: usize = 8;

/// Registers `table`.
pub(super) async fn register(context: &SessionContext, table: &SqlTable) -> Result<(), StoreError> {
    let provider = provider(context, table).await?;
    context.register_table(table.name.as_str(), provider).map_err(explain)?;
    Ok(())
}

/// `table` as DataFusion reads it; its columns are those of all its files, old and new, and of its schema.
pub(super) async fn provider(
    context: &SessionContext,
    table: &SqlTable,
) -> Result<Arc<dyn TableProvider>, StoreError> {
    let name = table.name.as_str();
    match &table.rows {
        Rows::Here(rows) => {
            let rows = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]);
            Ok(Arc::new(rows.map_err(explain)?))
        }
        Rows::Folder { folder, schema } => of_folder(context, name, folder, schema.as_ref()).await,
        Rows::Archive { root, topic, schema } => {
            Ok(Arc::new(Archived::open(context, root, name, topic, schema).await?))
        }
    }
}

pub(super) async fn of_folder(
    context: &SessionContext,
    name: &str,
    folder: &Path,
    schema: Option<&SchemaRef>,
) -> Result<Arc<dyn TableProvider>, StoreError> {
    if !has_files(folder)? {
        return empty(name, folder, schema);
    }
    let folder =
        files::absolute(folder).map_err(|error| StoreError::io("resolve", folder, error))?;
    files::register(&context.runtime_env(), &folder)?;
    let url = ListingTableUrl::parse(url_of_folder(&folder)).map_err(explain)?;
    let options = options(keys(&folder)?);
    let found = options.infer_schema(&context.state(), &url).await.map_err(explain)?;
    listing(vec![url], options, with_new_columns(&found, schema)).map_err(explain)
}

/// How Parquet files are read whose folders' names give `keys`.
pub(super) fn options(keys: Vec<(String, DataType)>) -> ListingOptions {
    ListingOptions::new(Arc::new(ParquetFormat::default()))
        .with_file_extension(".parquet")
        .with_table_partition_cols(keys)
}

/// The table of what lies at `urls`; `schema` are the columns of the files.
pub(super) fn listing(
    urls: Vec<ListingTableUrl>,
    options: ListingOptions,
    schema: SchemaRef,
) -> QueryResult<Arc<dyn TableProvider>> {
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(options)
        .with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

fn empty(
    name: &str,
    folder: &Path,
    schema: Option<&SchemaRef>,
) -> Result<Arc<dyn TableProvider>, StoreError> {
    let Some(schema) = schema else {
        return Err(StoreError::Query(format!(
            "table `{name}`: {} holds no files yet; `tidegate run` publishes the first one",
            folder.display()
        )));
    };
    Ok(Arc::new(EmptyTable::new(with_partition_column(schema))))
}

/// Columns that the folders' names give, from the outside in: `source_partition` of what the archive
/// writes, `date` and others of what is made from it.
fn keys(folder: &Path) -> Result<Vec<(String, DataType)>, StoreError> {
    let (mut at, mut keys) = (folder.to_path_buf(), Vec::new());
    let files = files::of(folder)?;
    while keys.len() < MAX_KEYS {
        let entries = files.list(&at).map_err(|e| StoreError::io("list", &at, e))?;
        let names = entries.into_iter().map(|entry| entry.name);
        let Some(name) = names.filter(|name| key_of(name).is_some()).min() else { break };
        keys.extend(key_of(&name));
        at.push(name);
    }
    Ok(keys)
}

fn key_of(name: &str) -> Option<(String, DataType)> {
    let (key, value) = name.split_once('=').filter(|(key, _)| !key.is_empty())?;
    let kind = match key {
        PARTITION_COLUMN => DataType::Int32,
        _ if value.parse::<i64>().is_ok() => DataType::Int64,
        _ if is_date(value) => DataType::Date32,
        _ => DataType::Utf8,
    };
    Some((key.to_owned(), kind))
}

/// `2026-01-31`.
fn is_date(text: &str) -> bool {
    let digits = |range: std::ops::Range<usize>| {
        text.get(range).is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    text.len() == 10
        && digits(0..4)
        && digits(5..7)
        && digits(8..10)
        && text.as_bytes()[4] == b'-'
        && text.as_bytes()[7] == b'-'
}

/// The files' columns and those that no file has yet, of a model that has not scored so far: nulls.
pub(super) fn with_new_columns(found: &SchemaRef, now: Option<&SchemaRef>) -> SchemaRef {
    let mut fields: Vec<_> = found.fields().iter().cloned().collect();
    let new = now.iter().flat_map(|schema| schema.fields().iter());
    let new = new.filter(|field| found.field_with_name(field.name()).is_err());
    fields.extend(new.map(|field| Arc::new(Field::clone(field).with_nullable(true))));
    Arc::new(Schema::new(fields))
}

pub(super) fn has_files(folder: &Path) -> Result<bool, StoreError> {
    let files = files::of(folder)?;
    let entries = match files.list(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(StoreError::io("list", folder, error)),
    };
    for entry in entries {
        let below = folder.join(&entry.name);
        let found = match (parse_partition(&entry.name), key_of(&entry.name)) {
            (Some(_), _) => !partition_files(&*files, &below)?.is_empty(),
            (None, Some(_)) => has_files(&below)?,
            (None, None) => entry.name.ends_with(".parquet") && !entry.name.starts_with('.'),
        };
        if found {
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

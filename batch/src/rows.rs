//! Rows of tables that lie about as files: Parquet, CSV or JSON lines; a file, a folder or a pattern.
//!
//! One stream of batches in the order of the files' paths and of the rows in them, column by column
//! as asked and filtered by a SQL predicate. Refuses to guess: one input is of one format, and a value
//! that its column's type cannot hold is an error.

pub(crate) mod find;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{Column, TableReference};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use futures::StreamExt;
use tokio::runtime::Runtime;

use crate::error::StoreError;
use crate::files::{self, url_of_file};
use find::{FileKind, Found};

/// Rows of a text file that decide its columns' types where no contract does.
const INFER_ROWS: usize = 10_000;

/// What to read.
#[derive(Clone, Debug, Default)]
pub struct RowsConfig {
    /// Files, folders (read to the bottom, hidden names left out) and patterns with `*`, `?`, `[]`.
    pub inputs: Vec<PathBuf>,
    /// A SQL condition; rows for which it is not true are left out.
    pub predicate: Option<String>,
    /// Types that columns of text files have, by name; without one the first rows decide.
    pub declared: Vec<Field>,
}

/// An opened table: its columns are known, its rows are read as often as asked.
pub struct Rows {
    runtime: Runtime,
    frame: DataFrame,
    schema: SchemaRef,
    files: Vec<PathBuf>,
}

/// One pass over some columns.
pub struct Batches<'a> {
    runtime: &'a Runtime,
    stream: SendableRecordBatchStream,
}

impl Rows {
    /// Finds the files and their common columns. Blocks: call it off the async threads.
    pub fn open(config: &RowsConfig) -> Result<Self, StoreError> {
        let found = find::find(&config.inputs)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::Query(format!("cannot start a runtime: {error}")))?;
        let frame = runtime.block_on(open(&found, config))?;
        let schema = Arc::new(Schema::new(frame.schema().fields().clone()));
        Ok(Self { runtime, frame, schema, files: found.files })
    }

    /// Columns of all files together.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The files, in the order in which they are read.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// How many rows there are; reads text files once, Parquet only where a predicate must see values.
    pub fn count(&self) -> Result<u64, StoreError> {
        let counted = self.runtime.block_on(self.frame.clone().count()).map_err(|e| explain(&e))?;
        Ok(counted as u64)
    }

    /// Reads these columns from the first row to the last.
    pub fn read(&self, columns: &[&str]) -> Result<Batches<'_>, StoreError> {
        let columns: Vec<Expr> = columns
            .iter()
            .map(|name| Expr::Column(Column::new(None::<TableReference>, *name)))
            .collect();
        let frame = self.frame.clone().select(columns).map_err(|e| explain(&e))?;
        let stream = self.runtime.block_on(frame.execute_stream()).map_err(|e| explain(&e))?;
        Ok(Batches { runtime: &self.runtime, stream })
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.runtime.block_on(self.stream.next())?;
        Some(batch.map_err(|error| explain(&error)))
    }
}

async fn open(found: &Found, config: &RowsConfig) -> Result<DataFrame, StoreError> {
    // One partition: statistics of consecutive rows need the rows in their order.
    let mut session = SessionConfig::new().with_target_partitions(1);
    session.options_mut().execution.parquet.schema_force_view_types = false;
    session.options_mut().execution.parquet.pushdown_filters = true;
    let context = SessionContext::new_with_config(session);
    let urls = found
        .files
        .iter()
        .map(|file| {
            let absolute = files::absolute(file).map_err(|e| StoreError::io("resolve", file, e))?;
            files::register(&context.runtime_env(), file)?;
            ListingTableUrl::parse(url_of_file(&absolute)).map_err(|e| explain(&e))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let format: Arc<dyn FileFormat> = match found.kind {
        FileKind::Parquet => Arc::new(ParquetFormat::default().with_force_view_types(false)),
        FileKind::Csv => Arc::new(CsvFormat::default().with_schema_infer_max_rec(INFER_ROWS)),
        FileKind::JsonLines => {
            Arc::new(JsonFormat::default().with_schema_infer_max_rec(INFER_ROWS))
        }
    };
    let options = ListingOptions::new(format).with_file_extension("");
    let mut schemas = Vec::new();
    for (url, file) in urls.iter().zip(&found.files) {
        let schema = options.infer_schema(&context.state(), url).await.map_err(|error| {
            StoreError::Query(format!("{}: {}", file.display(), error.strip_backtrace()))
        })?;
        schemas.push(declare(&schema, found.kind, &config.declared));
    }
    let schema = Schema::try_merge(schemas).map_err(|error| {
        StoreError::Query(format!("the files do not have the same columns: {error}"))
    })?;
    let listing = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(options)
        .with_schema(Arc::new(schema));
    let table = Arc::new(ListingTable::try_new(listing).map_err(|e| explain(&e))?);
    let frame = context.read_table(table).map_err(|e| explain(&e))?;
    match &config.predicate {
        None => Ok(frame),
        Some(text) => {
            let condition = frame.parse_sql_expr(text).map_err(|error| condition(text, &error))?;
            frame.filter(condition).map_err(|error| self::condition(text, &error))
        }
    }
}

/// Text has no types of its own: what the caller knows about a column goes before what it looks like.
fn declare(schema: &Schema, kind: FileKind, declared: &[Field]) -> Schema {
    if kind == FileKind::Parquet {
        return schema.clone();
    }
    let fields = schema.fields().iter().map(|field| {
        let known = declared.iter().find(|known| known.name() == field.name());
        let data_type = known.map_or_else(|| field.data_type(), |known| known.data_type());
        Field::new(field.name(), data_type.clone(), true)
    });
    Schema::new(fields.collect::<Vec<_>>())
}

fn condition(text: &str, error: &DataFusionError) -> StoreError {
    let said = error.strip_backtrace();
    StoreError::Query(format!("the condition `{text}` is not one on these columns: {said}"))
}

fn explain(error: &DataFusionError) -> StoreError {
    StoreError::Query(error.strip_backtrace())
}

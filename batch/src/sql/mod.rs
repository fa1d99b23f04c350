//! Questions to the archive: DataFusion over the folders as they are.
//!
//! Reads only: DDL, DML, `COPY`, `SET` and files by path are refused. Memory has a limit; sorts
//! and joins past it spill to the temporary folder, anything else fails with a clear error.

mod print;
mod read;
mod tables;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::DFParser;

use crate::error::StoreError;
use print::Printer;

pub use read::read;

/// A folder to ask, under the name it has in SQL.
#[derive(Clone, Debug)]
pub struct SqlTable {
    /// Name in SQL.
    pub name: String,
    /// Folder of the table's topic (see [`topic_folder`](crate::topic_folder)).
    pub folder: PathBuf,
    /// Columns the table has while its folder is empty; without it an empty folder is an error.
    pub schema: Option<SchemaRef>,
}

/// How answers are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people; at most [`TABLE_ROWS`] rows.
    Table,
    /// RFC 4180 with a header; lists and structs as text.
    Csv,
    /// One object a line, nulls written.
    Json,
    /// A file of this name, which must be free; one statement only.
    Parquet(PathBuf),
}

/// Rows that [`Format::Table`] shows; it says so when there were more.
pub const TABLE_ROWS: usize = 1000;

/// Memory a query may take unless told otherwise.
pub const MEMORY_BYTES: usize = 1 << 30;

/// Runs the statements of `sql`, separated by semicolons, and writes the answers one after the
/// other to `out`; answers the rows given. Blocks: call it off the async threads.
pub fn query(
    tables: &[SqlTable],
    sql: &str,
    format: &Format,
    memory_bytes: usize,
    out: &mut dyn Write,
) -> Result<u64, StoreError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| StoreError::Query(format!("cannot start threads: {error}")))?;
    runtime.block_on(answer(tables, sql, format, memory_bytes, out))
}

async fn answer(
    tables: &[SqlTable],
    sql: &str,
    format: &Format,
    memory_bytes: usize,
    out: &mut dyn Write,
) -> Result<u64, StoreError> {
    let context = session(memory_bytes)?;
    for table in tables {
        tables::register(&context, table).await?;
    }
    let statements = DFParser::parse_sql(sql).map_err(explain)?;
    if statements.is_empty() {
        return Err(StoreError::Query("there is no statement in it".into()));
    }
    if matches!(format, Format::Parquet(_)) && statements.len() > 1 {
        let many =
            format!("{} statements, and a Parquet file takes the rows of one", statements.len());
        return Err(StoreError::Query(many));
    }
    let reading =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let mut rows = 0;
    for statement in statements {
        let plan = context.state().statement_to_plan(statement).await.map_err(explain)?;
        reading.verify_plan(&plan).map_err(|error| refused(&error))?;
        let frame = context.execute_logical_plan(plan).await.map_err(explain)?;
        let stream = frame.execute_stream().await.map_err(explain)?;
        rows += Printer::new(format, stream.schema(), out)?.print(stream).await?;
    }
    Ok(rows)
}

fn session(memory_bytes: usize) -> Result<SessionContext, StoreError> {
    let mut config = SessionConfig::new().with_information_schema(true);
    config.options_mut().execution.parquet.pruning = true;
    config.options_mut().execution.parquet.enable_page_index = true;
    let pool = Arc::new(FairSpillPool::new(memory_bytes));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().map_err(explain)?;
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

fn refused(error: &DataFusionError) -> StoreError {
    StoreError::Query(format!("only queries are answered here ({})", error.strip_backtrace()))
}

fn explain(error: DataFusionError) -> StoreError {
    StoreError::Query(error.strip_backtrace())
}

#[cfg(test)]
mod tests;

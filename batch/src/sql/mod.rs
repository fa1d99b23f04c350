//! Questions to the archive: DataFusion over the folders as they are.
//!
//! Reads only: DDL, DML, `COPY`, `SET` and files by path are refused. Memory and spilled files have limits;
//! sorts and joins past the first spill to the temporary folder, anything else fails with a clear error.

mod archived;
mod depth;
mod growth;
mod models;
mod output;
mod plain;
mod plan;
mod predict;
mod print;
mod read;
mod references;
pub mod serve;
mod session;
mod tables;
mod two_sample;

use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

pub use models::{FindModel, FoundModel};
pub use read::read;
pub use session::Session;
pub use two_sample::{Statistic, TwoSample};

use crate::error::StoreError;

/// A table under the name that it has in SQL.
#[derive(Clone, Debug)]
pub struct SqlTable {
    name: String,
    rows: Rows,
}

/// Where a table's rows are.
#[derive(Clone, Debug)]
enum Rows {
    Folder { folder: PathBuf, schema: Option<SchemaRef> },
    Archive { root: PathBuf, topic: String, schema: SchemaRef },
    Here(RecordBatch),
}

impl SqlTable {
    /// The folder of a table's topic (see [`topic_folder`](crate::topic_folder)); `schema` are the
    /// columns that it has while it is empty, without which an empty folder is an error.
    #[must_use]
    pub fn folder(name: &str, folder: PathBuf, schema: Option<SchemaRef>) -> Self {
        Self { name: name.into(), rows: Rows::Folder { folder, schema } }
    }

    /// A table of the archive below `root` by its own name, the compacted part of it
    /// ([`compact`](crate::compact)) and the rest; `schema` are the columns that it has while it is
    /// empty.
    #[must_use]
    pub fn archive(name: &str, root: PathBuf, topic: &str, schema: SchemaRef) -> Self {
        Self { name: name.into(), rows: Rows::Archive { root, topic: topic.into(), schema } }
    }

    /// Rows at hand.
    #[must_use]
    pub fn rows(name: &str, rows: RecordBatch) -> Self {
        Self { name: name.into(), rows: Rows::Here(rows) }
    }
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

/// What helps a query that met a limit of memory or of spilled files.
const MORE_MEMORY: &str = "ask for fewer rows or groups, or raise sql.memory_mib and sql.spill_mib";

/// Stack of the threads that plan and run queries: one that is as deep as `depth` allows takes more than the
/// usual two megabytes. Memory that is not touched is not taken.
pub const STACK_BYTES: usize = 256 << 20;

/// What a session knows.
pub struct SqlConfig {
    /// Tables under their names.
    pub tables: Vec<SqlTable>,
    /// Finds the models of `predict`; without it there is no such function.
    pub models: Option<FindModel>,
    /// Aggregates over reference and current values.
    pub statistics: Vec<TwoSample>,
    /// Memory that a query may take before it spills, or ends with an error.
    pub memory_bytes: usize,
    /// Temporary files of a query.
    pub spill_bytes: u64,
}

pub(crate) fn explain(error: DataFusionError) -> StoreError {
    StoreError::Query(error.strip_backtrace())
}

/// An error of a query that somebody asked: with what helps where a limit was met.
fn told(error: DataFusionError) -> StoreError {
    match error.find_root() {
        DataFusionError::SQL(parser, _) if **parser == ParserError::RecursionLimitExceeded => {
            StoreError::Query(depth::nested())
        }
        DataFusionError::ResourcesExhausted(_) => {
            StoreError::Query(format!("{}; {MORE_MEMORY}", error.strip_backtrace()))
        }
        _ => explain(error),
    }
}

#[cfg(test)]
mod tests;

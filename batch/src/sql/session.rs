//! A session of questions: tables and functions registered once, statements one after the other.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use tokio::runtime::Runtime;

use super::output::Output;
use super::plan::{Refused, plan};
use super::predict::Predict;
use super::print::Printer;
use super::{Format, STACK_BYTES, SqlConfig, depth, explain, tables, told};
use crate::error::StoreError;

/// See the module.
pub struct Session {
    runtime: Runtime,
    context: SessionContext,
}

impl Session {
    /// Registers tables and functions. Blocks: call it off the async threads.
    pub fn open(config: &SqlConfig) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|error| StoreError::Query(format!("cannot start threads: {error}")))?;
        let context = context(config.memory_bytes, Some(config.spill_bytes))?;
        for table in &config.tables {
            runtime.block_on(tables::register(&context, table))?;
        }
        if let Some(find) = &config.models {
            context.register_udf(ScalarUDF::from(Predict::new(Arc::clone(find))));
        }
        for statistic in &config.statistics {
            context.register_udaf(AggregateUDF::from(statistic.clone()));
        }
        Ok(Self { runtime, context })
    }

    /// Runs the statements of `sql`, separated by semicolons, and writes the answers one after the
    /// other to `out`; answers the rows given. Blocks: call it off the async threads, on a thread with
    /// [`STACK_BYTES`].
    pub fn query(
        &self,
        sql: &str,
        format: &Format,
        out: &mut dyn Write,
    ) -> Result<u64, StoreError> {
        depth::operators(sql, &GenericDialect {}).map_err(StoreError::Query)?;
        let statements = DFParser::parse_sql(sql).map_err(told)?;
        if statements.is_empty() {
            return Err(StoreError::Query("there is no statement in it".into()));
        }
        if matches!(format, Format::Parquet(_)) && statements.len() > 1 {
            let many = format!(
                "{} statements, and a Parquet file takes the rows of one: write a file for each",
                statements.len()
            );
            return Err(StoreError::Query(many));
        }
        let mut rows = 0;
        for statement in statements {
            rows += self.runtime.block_on(self.answer(statement, format, out))?;
        }
        Ok(rows)
    }

    /// [`query`](Self::query) into a new file, which is there when everything was answered, or not at all.
    pub fn query_into(&self, sql: &str, format: &Format, path: &Path) -> Result<u64, StoreError> {
        let mut out = Output::create(path)?;
        let rows = self.query(sql, format, &mut out)?;
        out.publish()?;
        Ok(rows)
    }

    async fn answer(
        &self,
        statement: Statement,
        format: &Format,
        out: &mut dyn Write,
    ) -> Result<u64, StoreError> {
        let plan = plan(&self.context, statement).await.map_err(Refused::told)?;
        let frame = self.context.execute_logical_plan(plan).await.map_err(told)?;
        let stream = frame.execute_stream().await.map_err(told)?;
        Printer::new(format, stream.schema(), out)?.print(stream).await
    }
}

/// What every session has.
pub(super) fn settings() -> SessionConfig {
    let mut config = SessionConfig::new().with_information_schema(true);
    config.options_mut().execution.parquet.pruning = true;
    config.options_mut().execution.parquet.enable_page_index = true;
    config
}

/// A context whose queries take so much memory before they spill, and so much of the temporary folder then,
/// DataFusion's own limit where none is given.
pub(super) fn context(
    memory_bytes: usize,
    spill_bytes: Option<u64>,
) -> Result<SessionContext, StoreError> {
    let pool = Arc::new(FairSpillPool::new(memory_bytes));
    let mut runtime = RuntimeEnvBuilder::new().with_memory_pool(pool);
    if let Some(bytes) = spill_bytes {
        runtime = runtime.with_max_temp_directory_size(bytes);
    }
    let runtime = runtime.build_arc().map_err(explain)?;
    Ok(SessionContext::new_with_config_rt(settings(), runtime))
}

//! One thread of a job: the plan of a part, run to its files.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::datatypes::{Field, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{Column, ScalarValue, TableReference};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, ScalarUDF, lit};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use futures::StreamExt;
use tokio::runtime::Runtime;

use super::columns::{Columns, Stamp};
use super::function::Score;
use super::output::{Counts, Folders, PartFiles};
use super::parts::{Part, Planned};
use super::scan::{self, ParquetPart};
use super::text::{self, Read, TextPart};
use super::{Model, ORIGINAL, POSITION, REFUSED, Step, hive};
use crate::error::StoreError;
use crate::files;
use crate::rows::find::FileKind;

/// Rows that go through a plan together: a few calls of the model, and small enough for the cache.
const BATCH_ROWS: usize = 4096;

/// What a thread has of its own.
pub(super) struct Worker<'a> {
    runtime: Runtime,
    session: SessionContext,
    model: &'a Arc<Model>,
    planned: &'a Planned,
    columns: &'a Columns,
    predicate: Option<&'a str>,
    function: Arc<ScalarUDF>,
    /// Arguments of the function.
    arguments: Vec<String>,
    schema: TableSchema,
    text: SchemaRef,
}

impl<'a> Worker<'a> {
    /// A thread of the job; what is wrong with the condition or the columns is said here.
    pub(super) fn new(
        model: &'a Arc<Model>,
        planned: &'a Planned,
        columns: &'a Columns,
        predicate: Option<&'a str>,
    ) -> Result<Self, StoreError> {
        let is_text = planned.kind != FileKind::Parquet;
        let schema = scan::schema(&planned.schema, &planned.hive);
        let text = text::schema(&planned.schema, &planned.hive);
        let all = if is_text { &text } else { schema.table_schema() };
        let known = arrow::datatypes::Schema::new(all.fields().clone());
        let first = planned.inputs.first().map(|input| input.path.display().to_string());
        let refused = |error: &dyn std::fmt::Display| {
            StoreError::Query(format!(
                "{} cannot be scored as events of contract {:?}: {error}",
                first.clone().unwrap_or_default(),
                model.contract.name()
            ))
        };
        let intake =
            schemas::Intake::new(&model.contract, &known).map_err(|error| refused(&error))?;
        let arguments: Vec<String> = intake.columns().map(str::to_owned).collect();
        let of = |name: &String| Field::clone(known.field_with_name(name).expect("found there"));
        let function = Score::new(model, arguments.iter().map(of).collect(), is_text)
            .map_err(|error| refused(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::Query(format!("cannot start a runtime: {error}")))?;
        let worker = Self {
            runtime,
            session: session(),
            model,
            planned,
            columns,
            predicate,
            function: Arc::new(ScalarUDF::from(function)),
            arguments,
            schema,
            text,
        };
        if let Some(part) = planned.parts.first() {
            worker.frame(part, &Arc::default())?;
        }
        Ok(worker)
    }

    /// Scores a part and publishes its files; `None` where `stop` said so meanwhile.
    pub(super) fn part(
        &self,
        place: usize,
        folders: &Folders,
        scored_at: i64,
        progress: &(dyn Fn(Step) + Sync),
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Counts>, StoreError> {
        let part = &self.planned.parts[place];
        let input = &self.planned.inputs[part.input];
        input.check()?;
        let read = Arc::new(Read::default());
        let mut told = 0;
        // Bytes stand for rows where a file does not say how many it has.
        let mut tell = |rows: u64, bytes: u64| {
            progress(Step { rows, bytes: bytes.saturating_sub(told) });
            told = told.max(bytes);
        };
        // A file that went away under the reader is told as such, not as what the reader made of it.
        let failed = |error: StoreError| input.check().err().unwrap_or(error);
        let stream = self
            .frame(part, &read)
            .and_then(|frame| self.runtime.block_on(frame.execute_stream()).map_err(explain));
        let mut stream = stream.map_err(failed)?;
        let mut files = PartFiles::create(self.columns, folders, place)?;
        let stamp = Stamp { file: input.path.display().to_string(), scored_at };
        while let Some(batch) = self.runtime.block_on(stream.next()) {
            if stop() {
                return Ok(None);
            }
            let batch = batch.map_err(|error| failed(named(&input.path, explain(error))))?;
            files.write(&batch, self.model, &stamp)?;
            tell(batch.num_rows() as u64, read.bytes.load(Ordering::Relaxed));
        }
        input.check()?;
        let rows = part.rows.unwrap_or_else(|| read.rows.load(Ordering::Relaxed));
        let written = files.written();
        if written > rows || (self.predicate.is_none() && written != rows) {
            return Err(StoreError::Query(format!(
                "{}: {written} rows came of a part that has {rows}: the file is damaged",
                input.path.display()
            )));
        }
        tell(rows - written, part.range.end - part.range.start);
        files.publish(rows).map(Some)
    }

    /// The plan of a part: the kept columns, the position, the original and the model's answer.
    fn frame(&self, part: &Part, read: &Arc<Read>) -> Result<DataFrame, StoreError> {
        let is_text = self.planned.kind != FileKind::Parquet;
        let mut frame = self.session.read_table(self.table(part, read)?).map_err(explain)?;
        if let Some(text) = self.predicate {
            let wrong = |error: DataFusionError| {
                // The scan has no name that its user gave it.
                let said = error.strip_backtrace();
                let said = said.replace("\"?table?\".", "").replace("?table?.", "");
                StoreError::Query(format!(
                    "the condition `{text}` is not one on these columns: {said}"
                ))
            };
            let mut condition = frame.parse_sql_expr(text).map_err(wrong)?;
            if is_text {
                // Of a row that could not be read nobody knows whether it was wanted.
                condition = condition.or(column(REFUSED).is_not_null());
            }
            frame = frame.filter(condition).map_err(wrong)?;
        }
        let mut chosen: Vec<Expr> = self.columns.read().map(column).collect();
        chosen.push(column(POSITION));
        let mut arguments: Vec<Expr> = self.arguments.iter().map(|name| column(name)).collect();
        if is_text {
            chosen.push(column(ORIGINAL));
            arguments.push(column(REFUSED));
        } else {
            chosen.push(lit(ScalarValue::Binary(None)).alias(ORIGINAL));
        }
        chosen.push(self.function.call(arguments).alias("__tidegate_scored"));
        frame.select(chosen).map_err(explain)
    }

    fn table(&self, part: &Part, read: &Arc<Read>) -> Result<Arc<dyn TableProvider>, StoreError> {
        let input = &self.planned.inputs[part.input];
        let hive = hive::values(&input.path, &self.planned.hive)?;
        if self.planned.kind == FileKind::Parquet {
            files::register(&self.session.runtime_env(), &input.path)?;
            let schema = self.schema.clone();
            let table = ParquetPart::new(&input.path, input.bytes, &part.range, hive, schema);
            return Ok(Arc::new(table.map_err(explain)?));
        }
        let names = self.planned.hive.iter().map(|key| key.name().clone());
        let stream = TextPart {
            path: input.path.clone(),
            kind: self.planned.kind,
            range: part.range.clone(),
            contract: self.model.contract.clone(),
            schema: Arc::clone(&self.text),
            hive: names.zip(hive).collect(),
            read: Arc::clone(read),
        };
        let table = StreamingTable::try_new(Arc::clone(&self.text), vec![Arc::new(stream)]);
        Ok(Arc::new(table.map_err(explain)?))
    }
}

fn session() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(1).with_batch_size(BATCH_ROWS);
    let parquet = &mut config.options_mut().execution.parquet;
    parquet.schema_force_view_types = false;
    parquet.pushdown_filters = true;
    SessionContext::new_with_config(config)
}

fn column(name: &str) -> Expr {
    Expr::Column(Column::new(None::<TableReference>, name))
}

fn explain(error: DataFusionError) -> StoreError {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<StoreError>() {
            Ok(own) => *own,
            Err(other) => StoreError::Query(other.to_string()),
        },
        other => StoreError::Query(other.strip_backtrace()),
    }
}

/// The reader's words with the file that they are about, unless they name it.
fn named(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Query(said) if !said.contains(&*path.to_string_lossy()) => {
            StoreError::Query(format!("{}: {said}", path.display()))
        }
        other => other,
    }
}

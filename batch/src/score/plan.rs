//! The plan of a part: scan, condition, the kept columns, the model. Whoever runs it, a thread of this
//! process or an executor of a cluster, makes it here.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{Column, ScalarValue, TableReference};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, ScalarUDF, lit};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};

use super::function::Score;
use super::parts::{Input, Shape};
use super::scan::{self, ParquetPart};
use super::text::{self, Read, TextPart};
use super::{Model, ORIGINAL, POSITION, REFUSED, hive};
use crate::error::StoreError;
use crate::files;
use crate::rows::find::FileKind;

/// Rows that go through a plan together: a few calls of the model, and small enough for the cache.
const BATCH_ROWS: usize = 4096;

/// What the plans of a job's parts have in common.
pub(super) struct Plan {
    session: SessionContext,
    model: Arc<Model>,
    shape: Shape,
    /// Columns of the input that the output keeps.
    kept: Vec<String>,
    predicate: Option<String>,
    function: Arc<ScalarUDF>,
    /// Arguments of the function.
    arguments: Vec<String>,
    schema: TableSchema,
    text: SchemaRef,
}

impl Plan {
    /// Plans for files of this shape, of which `first` is one; what of them does not go with the contract is
    /// said here.
    pub(super) fn new(
        model: &Arc<Model>,
        shape: &Shape,
        kept: Vec<String>,
        predicate: Option<&str>,
        first: Option<&Path>,
    ) -> Result<Self, StoreError> {
        let is_text = shape.kind != FileKind::Parquet;
        let schema = scan::schema(&shape.schema, &shape.hive);
        let text = text::schema(&shape.schema, &shape.hive);
        let all = if is_text { &text } else { schema.table_schema() };
        let known = Schema::new(all.fields().clone());
        let first = first.map(|path| path.display().to_string()).unwrap_or_default();
        let refused = |error: &dyn std::fmt::Display| {
            let contract = model.contract.name();
            StoreError::Query(format!(
                "{first} cannot be scored as events of contract {contract:?}: {error}"
            ))
        };
        let intake =
            schemas::Intake::new(&model.contract, &known).map_err(|error| refused(&error))?;
        let arguments: Vec<String> = intake.columns().map(str::to_owned).collect();
        let of = |name: &String| Field::clone(known.field_with_name(name).expect("found there"));
        let function = Score::new(model, arguments.iter().map(of).collect(), is_text)
            .map_err(|error| refused(&error))?;
        Ok(Self {
            session: session(),
            model: Arc::clone(model),
            shape: shape.clone(),
            kept,
            predicate: predicate.map(str::to_owned),
            function: Arc::new(ScalarUDF::from(function)),
            arguments,
            schema,
            text,
        })
    }

    /// The kept columns, the position, the original and the model's answer, of what starts in `range` of
    /// `input`; a condition that is none on these columns is said here. `read` counts what is read of text.
    pub(super) fn frame(
        &self,
        input: &Input,
        range: &Range<u64>,
        read: &Arc<Read>,
    ) -> Result<DataFrame, StoreError> {
        let is_text = self.shape.kind != FileKind::Parquet;
        let table = self.table(input, range, read)?;
        let mut frame = self.session.read_table(table).map_err(explain)?;
        if let Some(text) = &self.predicate {
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
        let mut chosen: Vec<Expr> = self.kept.iter().map(|name| column(name)).collect();
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

    /// Whether there is a condition.
    pub(super) fn leaves_out(&self) -> bool {
        self.predicate.is_some()
    }

    fn table(
        &self,
        input: &Input,
        range: &Range<u64>,
        read: &Arc<Read>,
    ) -> Result<Arc<dyn TableProvider>, StoreError> {
        let hive = hive::values(&input.path, &self.shape.hive)?;
        if self.shape.kind == FileKind::Parquet {
            files::register(&self.session.runtime_env(), &input.path)?;
            let schema = self.schema.clone();
            let table = ParquetPart::new(&input.path, input.bytes, range, hive, schema);
            return Ok(Arc::new(table.map_err(explain)?));
        }
        let names = self.shape.hive.iter().map(|key| key.name().clone());
        let stream = TextPart {
            path: input.path.clone(),
            kind: self.shape.kind,
            range: range.clone(),
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

/// An error of ours as it was, any other without its backtrace.
pub(super) fn explain(error: DataFusionError) -> StoreError {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<StoreError>() {
            Ok(own) => *own,
            Err(other) => StoreError::Query(other.to_string()),
        },
        other => StoreError::Query(other.strip_backtrace()),
    }
}

/// The reader's words with the file that they are about, unless they name it.
pub(super) fn named(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Query(said) if !said.contains(&*path.to_string_lossy()) => {
            StoreError::Query(format!("{}: {said}", path.display()))
        }
        other => other,
    }
}

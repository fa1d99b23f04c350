//! The model in a plan: a scalar function over the columns of a row, a batch at a time.
//!
//! It answers a struct: the outputs, and the stage and the reason where the row was refused. Planning
//! and pruning stay DataFusion's own, and whatever runs plans runs this.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use schemas::{Intake, IntakeErrors};

use super::model::Model;

/// Name of the struct's member with the stage that refused the row.
pub(super) const STAGE: &str = "stage";
/// Name of the struct's member with the reason.
pub(super) const REASON: &str = "reason";

/// A model over some columns.
pub(super) struct Score {
    model: Arc<Model>,
    intake: Intake,
    /// Columns as they are called with.
    schema: SchemaRef,
    /// The last argument says why a row was refused before.
    has_refused: bool,
    signature: Signature,
}

impl Score {
    /// `model` over `columns`; with `has_refused` a text column follows them.
    pub(super) fn new(
        model: &Arc<Model>,
        columns: Vec<Field>,
        has_refused: bool,
    ) -> Result<Self, IntakeErrors> {
        let schema = Arc::new(Schema::new(columns));
        let intake = Intake::new(&model.contract, &schema)?;
        let signature = Signature::variadic_any(Volatility::Stable);
        Ok(Self { model: Arc::clone(model), intake, schema, has_refused, signature })
    }

    fn members(&self) -> Fields {
        let outputs = self.model.outputs.fields().iter();
        let mut members: Vec<Field> =
            outputs.map(|output| Field::clone(output).with_nullable(true)).collect();
        members.extend([STAGE, REASON].map(|name| Field::new(name, DataType::Utf8, true)));
        members.into()
    }
}

impl ScalarUDFImpl for Score {
    fn name(&self) -> &str {
        "score"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(self.members()))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let mut columns: Vec<ArrayRef> =
            arguments.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<_>>()?;
        let refused = if self.has_refused { columns.pop() } else { None };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        let refused = refused.as_ref().map(|refused| refused.as_string::<i32>());
        let scored = self
            .model
            .score(&self.intake, &batch, refused)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        let mut members = scored.outputs;
        members.extend([Arc::new(scored.stage) as ArrayRef, Arc::new(scored.reason)]);
        let answer = StructArray::try_new_with_length(self.members(), members, None, rows)?;
        Ok(ColumnarValue::Array(Arc::new(answer)))
    }
}

impl fmt::Debug for Score {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "score({}@{})", self.model.name, self.model.version)
    }
}

// Two are one when they are of one model in memory: there is one job to a process.
impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.model, &other.model) && self.schema == other.schema
    }
}

impl Eq for Score {}

impl Hash for Score {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.model).cast::<Model>().hash(state);
    }
}

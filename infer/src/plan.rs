//! Where descriptor, contract and model meet: every disagreement found at once, and what remains is
//! a plan of which columns go where in which tensor.

mod against_graph;
mod inputs;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use schemas::Contract;

pub(crate) use against_graph::against_graph;

use crate::descriptor::{Descriptor, Literal, Output, Problem, UnknownCategory};
use crate::{ElementType, Problems};

/// How record batches of a contract become tensors, and tensors columns.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) inputs: Vec<InputPlan>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) schema: SchemaRef,
    /// Rows in every call, where the model takes a fixed batch.
    pub(crate) fixed_rows: Option<usize>,
    /// Most rows in a call.
    pub(crate) max_rows: usize,
    /// Whether a feature is sensitive, so that no value of a row may appear in a message.
    pub(crate) sensitive: bool,
}

/// One tensor.
#[derive(Clone, Debug)]
pub(crate) struct InputPlan {
    pub(crate) tensor: String,
    pub(crate) element: ElementType,
    /// Sizes behind the rows; `None` is worked out from the row's width.
    pub(crate) inner: Vec<Option<usize>>,
    /// Elements in a row; `None` where it is the length of the only feature, a list.
    pub(crate) width: Option<usize>,
    pub(crate) sources: Vec<Source>,
}

/// One feature in a tensor.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) feature: String,
    /// Type of its column.
    pub(crate) data_type: DataType,
    /// First element in the row.
    pub(crate) offset: usize,
    /// How it fills the row.
    pub(crate) shape: SourceShape,
    /// What a null becomes; `None` rejects the row.
    pub(crate) null: Option<Literal>,
    /// Whether a value may not fit in the tensor's type.
    pub(crate) checked: bool,
    /// Whether its values must not appear in messages.
    pub(crate) sensitive: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum SourceShape {
    /// One element.
    Scalar,
    /// The items of a list; `None` where any length will do.
    List(Option<usize>),
    /// The place of a text among the categories.
    Index(Categories),
    /// A one at the place of a text among the categories.
    OneHot(Categories),
}

/// Categories of a coded feature; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Categories {
    pub(crate) places: Arc<HashMap<String, usize>>,
    pub(crate) unknown: UnknownCategory,
}

impl Plan {
    /// The plan of `descriptor` for events of `contract`.
    pub(crate) fn new(descriptor: &Descriptor, contract: &Contract) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let inputs = inputs::plan(descriptor, contract, &mut problems);
        let mut fixed: Vec<i64> =
            descriptor.inputs.iter().filter_map(|input| input.shape.first().copied()).collect();
        fixed.dedup();
        if fixed.len() > 1 {
            let message =
                format!("rows are {fixed:?} in different inputs: one number of rows is accepted");
            problems.push(Problem::new("inputs.shape", message));
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let fixed_rows = fixed.first().and_then(|rows| usize::try_from(*rows).ok());
        Ok(Self {
            sensitive: inputs
                .iter()
                .flat_map(|input| &input.sources)
                .any(|source| source.sensitive),
            inputs,
            outputs: descriptor.outputs.clone(),
            schema: output_schema(descriptor),
            fixed_rows,
            max_rows: fixed_rows.unwrap_or(descriptor.max_batch_rows),
        })
    }
}

/// The columns a model answers with.
pub(crate) fn output_schema(descriptor: &Descriptor) -> SchemaRef {
    Arc::new(Schema::new(descriptor.outputs.iter().map(Output::arrow_field).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests;

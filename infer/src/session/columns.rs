//! Which columns of a record batch are whose: worked out once per schema, not per batch.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use schemas::PredictError;

use crate::plan::Plan;

/// Places of every input's columns in the schema seen last.
#[derive(Default)]
pub(super) struct Columns {
    schema: Option<SchemaRef>,
    places: Vec<Vec<usize>>,
}

/// The columns of one input, in the order of its features.
#[derive(Clone, Copy)]
pub(super) struct InputColumns<'a> {
    events: &'a RecordBatch,
    places: &'a [usize],
}

impl Columns {
    /// Finds the plan's features in `schema` by name.
    pub(super) fn resolve(&mut self, schema: &SchemaRef, plan: &Plan) -> Result<(), PredictError> {
        if self.schema.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, schema)) {
            return Ok(());
        }
        let mut places = Vec::with_capacity(plan.inputs.len());
        for input in &plan.inputs {
            let mut of_input = Vec::with_capacity(input.sources.len());
            for source in &input.sources {
                let (place, field) = schema.column_with_name(&source.feature).ok_or_else(|| {
                    PredictError::Model(format!("the events have no column {:?}", source.feature))
                })?;
                if !same(field.data_type(), &source.data_type) {
                    return Err(PredictError::Model(format!(
                        "column {:?} is {}, the contract says {}",
                        source.feature,
                        field.data_type(),
                        source.data_type
                    )));
                }
                of_input.push(place);
            }
            places.push(of_input);
        }
        (self.schema, self.places) = (Some(Arc::clone(schema)), places);
        Ok(())
    }

    /// The columns of input number `index`.
    pub(super) fn of<'a>(&'a self, events: &'a RecordBatch, index: usize) -> InputColumns<'a> {
        InputColumns { events, places: &self.places[index] }
    }
}

impl<'a> InputColumns<'a> {
    /// The column of feature number `index`.
    pub(super) fn get(self, index: usize) -> &'a ArrayRef {
        self.events.column(self.places[index])
    }
}

/// Equal but for what lists call their items and whether those may be null.
fn same(one: &DataType, other: &DataType) -> bool {
    match (one, other) {
        (DataType::List(one), DataType::List(other)) => one.data_type() == other.data_type(),
        (DataType::FixedSizeList(one, a), DataType::FixedSizeList(other, b)) => {
            a == b && one.data_type() == other.data_type()
        }
        _ => one == other,
    }
}

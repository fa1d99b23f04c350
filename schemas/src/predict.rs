//! The model call as the rest of the product sees it, and the isolation of poison rows.
//!
//! Stream, batch job and SQL all score through [`predict_isolating`]; none of them knows ONNX.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

/// A loaded model. The only public trait of the product: ONNX in production, a closure in tests.
pub trait Predictor: Send {
    /// Named outputs with their Arrow types, one row per input row.
    fn outputs(&self) -> SchemaRef;

    /// Scores all rows of `events` (columns as the contract names them), in order.
    fn predict(&mut self, events: &RecordBatch) -> Result<RecordBatch, PredictError>;
}

/// Why a model call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PredictError {
    /// Some row cannot be scored; its neighbours can.
    #[error("{0}")]
    Rows(String),
    /// No row can be scored now: the runtime or the machine failed.
    #[error("{0}")]
    Model(String),
}

/// Predictions of the rows that could be scored, and the others with their reasons.
#[derive(Debug)]
pub struct Predicted {
    /// Outputs of the rows that were scored, in order.
    pub outputs: RecordBatch,
    /// Rows of the input that were not, ascending, with reasons.
    pub poison: Vec<(usize, String)>,
}

/// Scores `events`; when the call fails because of its rows, halves the batch until the bad rows
/// stand alone (at most 2·bad·log2(rows) further calls).
pub fn predict_isolating(
    model: &mut dyn Predictor,
    events: &RecordBatch,
) -> Result<Predicted, PredictError> {
    let rows = events.num_rows();
    if rows == 0 {
        return Ok(Predicted { outputs: RecordBatch::new_empty(model.outputs()), poison: vec![] });
    }
    let (mut parts, mut poison) = (Vec::new(), Vec::new());
    isolate(model, events, 0, &mut parts, &mut poison)?;
    let outputs = match parts.len() {
        1 => parts.remove(0),
        _ => concat_batches(&model.outputs(), &parts)
            .map_err(|error| PredictError::Model(format!("joining predictions: {error}")))?,
    };
    assert_eq!(outputs.num_rows() + poison.len(), rows, "the model answers each row once");
    Ok(Predicted { outputs, poison })
}

fn isolate(
    model: &mut dyn Predictor,
    events: &RecordBatch,
    first_row: usize,
    parts: &mut Vec<RecordBatch>,
    poison: &mut Vec<(usize, String)>,
) -> Result<(), PredictError> {
    let rows = events.num_rows();
    match model.predict(events) {
        Ok(outputs) if outputs.num_rows() == rows => parts.push(outputs),
        Ok(outputs) => {
            return Err(PredictError::Model(format!(
                "the model answered {} rows for {rows}",
                outputs.num_rows()
            )));
        }
        Err(PredictError::Rows(reason)) if rows == 1 => poison.push((first_row, reason)),
        Err(PredictError::Rows(_)) => {
            let half = rows / 2;
            isolate(model, &events.slice(0, half), first_row, parts, poison)?;
            isolate(model, &events.slice(half, rows - half), first_row + half, parts, poison)?;
        }
        Err(error @ PredictError::Model(_)) => return Err(error),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use proptest::prelude::*;

    use super::*;

    /// Doubles its input and refuses negative rows.
    struct Doubler(SchemaRef);

    fn column(values: &[i64], name: &str) -> RecordBatch {
        let schema = Schema::new(vec![Field::new(name, DataType::Int64, false)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(values.to_vec()))])
            .unwrap()
    }

    impl Predictor for Doubler {
        fn outputs(&self) -> SchemaRef {
            self.0.clone()
        }

        fn predict(&mut self, events: &RecordBatch) -> Result<RecordBatch, PredictError> {
            let values = events.column(0).as_primitive::<Int64Type>();
            if values.values().iter().any(|value| *value < 0) {
                return Err(PredictError::Rows("negative".into()));
            }
            let doubled: Vec<i64> = values.values().iter().map(|value| value * 2).collect();
            Ok(column(&doubled, "y"))
        }
    }

    proptest! {
        #[test]
        fn bad_rows_stand_alone_and_neighbours_are_scored(values in proptest::collection::vec(-3i64..20, 0..60)) {
            let mut model = Doubler(column(&[], "y").schema());
            let predicted = predict_isolating(&mut model, &column(&values, "x")).unwrap();
            let good: Vec<i64> = values.iter().filter(|v| **v >= 0).map(|v| v * 2).collect();
            let bad: Vec<usize> = (0..values.len()).filter(|i| values[*i] < 0).collect();
            let outputs = predicted.outputs.column(0).as_primitive::<Int64Type>();
            prop_assert_eq!(outputs.len(), good.len());
            prop_assert_eq!(outputs.values().to_vec(), good);
            prop_assert_eq!(predicted.poison.iter().map(|(row, _)| *row).collect::<Vec<_>>(), bad);
        }
    }
}

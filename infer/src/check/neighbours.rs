//! Whether an answer depends on the other rows of its batch: scored alone, in sevens and all at
//! once, the rows must give the same answers. Dynamically quantised models do not.

use std::fmt;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use schemas::{Predictor, predict_isolating};
use serde::Serialize;

use super::compare::{Difference, compare};
use crate::ElementType;
use crate::descriptor::{Descriptor, OutputKind, Problem};

/// Rows that are compared; scoring them alone takes this many calls.
pub(super) const ROWS: usize = 210;

/// Fewest rows that say anything.
const FEWEST_ROWS: usize = 8;

/// Largest difference that rounding makes: kernels of other batch sizes add in another order.
const TOLERANCE: f64 = 1e-4;

/// The same in half precision.
const HALF_TOLERANCE: f64 = 1e-2;

/// Share of labels that may differ by rounding, at rows on the border.
const FLIP_RATE: f64 = 0.005;

/// How much answers depend on the batch.
#[derive(Clone, Debug, Serialize)]
pub struct NeighbourReport {
    /// Rows compared; 0 where the model refused the rows made up for it.
    pub rows: usize,
    /// Largest difference between a row alone, in sevens and among all.
    pub max_difference: f64,
    /// Share of labels that differ.
    pub flip_rate: f64,
    /// Whether that is more than rounding.
    pub dependent: bool,
}

pub(super) fn check(
    descriptor: &Descriptor,
    model: &mut dyn Predictor,
    events: &RecordBatch,
) -> Result<NeighbourReport, String> {
    let scored = predict_isolating(model, events).map_err(|error| error.to_string())?;
    let kept = without(events, &scored.poison)?;
    if kept.num_rows() < FEWEST_ROWS {
        return Ok(NeighbourReport {
            rows: 0,
            max_difference: 0.0,
            flip_rate: 0.0,
            dependent: false,
        });
    }
    let whole = model.predict(&kept).map_err(|error| error.to_string())?;
    let mut worst = Difference::default();
    let mut dependent = false;
    for size in [1, 7] {
        let parts = in_parts(model, &kept, size)?;
        for (output, (have, expected)) in
            descriptor.outputs.iter().zip(parts.columns().iter().zip(whole.columns()))
        {
            let found = compare(have, expected, output.kind == OutputKind::Label)?;
            let half = output.dtype == ElementType::Float16;
            let tolerance = if half { HALF_TOLERANCE } else { TOLERANCE };
            dependent |= found.error > tolerance;
            dependent |= found.flips as f64 > FLIP_RATE * kept.num_rows() as f64;
            worst = worst.or(found);
        }
    }
    let rows = kept.num_rows();
    let flip_rate = worst.flips as f64 / rows as f64;
    Ok(NeighbourReport { rows, max_difference: worst.error, flip_rate, dependent })
}

fn in_parts(
    model: &mut dyn Predictor,
    events: &RecordBatch,
    size: usize,
) -> Result<RecordBatch, String> {
    let starts = (0..events.num_rows()).step_by(size);
    let parts: Vec<RecordBatch> = starts
        .map(|start| model.predict(&events.slice(start, size.min(events.num_rows() - start))))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    concat_batches(&model.outputs(), &parts).map_err(|error| error.to_string())
}

fn without(events: &RecordBatch, poison: &[(usize, String)]) -> Result<RecordBatch, String> {
    if poison.is_empty() {
        return Ok(events.clone());
    }
    let good: arrow::array::BooleanArray = (0..events.num_rows())
        .map(|row| Some(!poison.iter().any(|(bad, _)| *bad == row)))
        .collect();
    arrow::compute::filter_record_batch(events, &good).map_err(|error| error.to_string())
}

impl NeighbourReport {
    pub(super) fn problem(&self, allowed: bool) -> Option<Problem> {
        (self.dependent && !allowed).then(|| {
            Problem::new(
                "neighbours",
                format!(
                    "answers depend on the other rows of the batch (difference {:e}, {} of the labels), as those of \
                     dynamically quantised models do: a record would be scored differently from run to run. Quantise \
                     statically, or set allow_batch_dependence = true",
                    self.max_difference, self.flip_rate
                ),
            )
        })
    }
}

impl fmt::Display for NeighbourReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows == 0 {
            return out.write_str(
                "not compared: the model refused the rows made up for it; add golden rows",
            );
        }
        let dependent =
            if self.dependent { "answers depend on the batch" } else { "answers stand alone" };
        write!(out, "{} rows: {dependent}, difference {:e}", self.rows, self.max_difference)
    }
}

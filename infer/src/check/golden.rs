//! Golden rows: inputs with the answers of the framework that trained the model.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{Field, Schema};
use schemas::{Contract, Predictor};
use serde::Serialize;

use super::compare::{Difference, compare};
use crate::descriptor::{Descriptor, GoldenRule, OutputKind, Problem};

/// Prefix of the columns that hold what an output should be.
pub const EXPECTED_PREFIX: &str = "expected_";

/// How golden rows came out.
#[derive(Clone, Debug, Serialize)]
pub struct GoldenReport {
    /// Rows compared.
    pub rows: usize,
    /// Outputs compared.
    pub outputs: Vec<String>,
    /// Largest error of a number: absolute below 1, relative above.
    pub max_error: f64,
    /// Share of rows whose label differs.
    pub flip_rate: f64,
}

/// The features among golden rows, as columns of the contract's types.
pub(super) fn features(
    descriptor: &Descriptor,
    contract: &Contract,
    golden: &RecordBatch,
) -> Result<RecordBatch, Vec<Problem>> {
    let mut names: Vec<&String> =
        descriptor.inputs.iter().flat_map(|input| &input.features).collect();
    names.sort();
    names.dedup();
    let (mut fields, mut columns, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        let Some(field) = contract.field(name) else { continue };
        let wanted = field.kind.data_type();
        let place = format!("golden {name:?}");
        match golden.column_by_name(name) {
            None => {
                problems.push(Problem::new(place, "is missing: golden rows hold every feature"))
            }
            Some(column) => match cast(column, &wanted) {
                Ok(made) if made.null_count() == column.null_count() => {
                    fields.push(Field::new(name, wanted, true));
                    columns.push(made);
                }
                Ok(_) => {
                    problems.push(Problem::new(place, format!("holds values that {wanted} cannot")))
                }
                Err(error) => problems.push(Problem::new(place, error.to_string())),
            },
        }
    }
    if problems.is_empty() {
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
            .map_err(|error| vec![Problem::new("golden", error.to_string())])
    } else {
        Err(problems)
    }
}

/// Scores the features and compares every output that has an expected column.
pub(super) fn check(
    descriptor: &Descriptor,
    model: &mut dyn Predictor,
    features: &RecordBatch,
    golden: &RecordBatch,
) -> Result<GoldenReport, Problem> {
    let problem = |message: String| Problem::new("golden", message);
    if golden.num_rows() == 0 {
        return Err(problem("there are no rows; remove the file or add some".into()));
    }
    let answers = model.predict(features).map_err(|error| problem(error.to_string()))?;
    let (mut worst, mut outputs) = (Difference::default(), Vec::new());
    for output in &descriptor.outputs {
        let name = format!("{EXPECTED_PREFIX}{}", output.name);
        let (Some(have), Some(expected)) =
            (answers.column_by_name(&output.name), golden.column_by_name(&name))
        else {
            continue;
        };
        let exact = output.kind == OutputKind::Label;
        let found = compare(have, expected, exact)
            .map_err(|message| problem(format!("output {:?}: {message}", output.name)))?;
        worst = worst.or(found);
        outputs.push(output.name.clone());
    }
    if outputs.is_empty() {
        let names: Vec<String> = descriptor
            .outputs
            .iter()
            .map(|output| format!("{EXPECTED_PREFIX}{}", output.name))
            .collect();
        return Err(problem(format!(
            "no column holds what is expected: at least one of {names:?} is"
        )));
    }
    let rows = golden.num_rows();
    Ok(GoldenReport {
        rows,
        outputs,
        max_error: worst.error,
        flip_rate: worst.flips as f64 / rows as f64,
    })
}

impl GoldenReport {
    pub(super) fn problems(&self, rule: GoldenRule) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.max_error > rule.tolerance {
            let message = format!(
                "largest error {:e}, golden.tolerance is {:e}",
                self.max_error, rule.tolerance
            );
            problems.push(Problem::new("golden", message));
        }
        if self.flip_rate > rule.flip_rate {
            let message = format!(
                "{} of the labels differ, golden.flip_rate is {}",
                self.flip_rate, rule.flip_rate
            );
            problems.push(Problem::new("golden", message));
        }
        problems
    }
}

impl fmt::Display for GoldenReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outputs = self.outputs.join(", ");
        let (rows, error, flips) = (self.rows, self.max_error, self.flip_rate);
        write!(
            out,
            "{rows} rows of {outputs}: largest error {error:e}, {flips} of the labels differ"
        )
    }
}

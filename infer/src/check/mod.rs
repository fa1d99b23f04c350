//! What `tidegate model check` proves before a model serves: package, contract and model fit, golden
//! rows come out as in training, and no answer depends on its neighbours in the batch.

mod compare;
mod golden;
mod neighbours;
mod report;
mod sample;

use arrow::array::RecordBatch;
use schemas::{Contract, PredictError, Predictor};

pub use golden::{EXPECTED_PREFIX, GoldenReport};
pub use neighbours::NeighbourReport;
pub use report::{CheckReport, ColumnReport, TensorReport};
pub use sample::sample;

use crate::descriptor::Problem;
use crate::plan::{Plan, against_graph};
use crate::{OnnxPredictor, Package, Problems, Runtime, SessionError};

impl Package {
    /// What is known without a contract and without running the model: for `model show`.
    #[must_use]
    pub fn describe(&self) -> CheckReport {
        let mut report = CheckReport::of(self);
        report.problems = against_graph(self.descriptor(), self.graph());
        report
    }

    /// Checks the package against `contract`, and against `golden` rows where there are any.
    ///
    /// Golden rows hold the features by their contract names and, for each output to compare, a
    /// column `expected_<output>` with what the framework that trained the model answered.
    #[must_use]
    pub fn check(
        &self,
        runtime: &Runtime,
        contract: &Contract,
        golden: Option<&RecordBatch>,
    ) -> CheckReport {
        let mut report = CheckReport { checked: true, ..CheckReport::of(self) };
        if let Err(Problems(problems)) = Plan::new(self.descriptor(), contract) {
            report.problems.extend(problems);
        }
        report.problems.extend(against_graph(self.descriptor(), self.graph()));
        if !report.problems.is_empty() {
            return report;
        }
        match OnnxPredictor::new(runtime, self, contract) {
            Ok(mut model) => self.check_answers(&mut model, contract, golden, &mut report),
            Err(SessionError::Unfit(Problems(problems))) => report.problems.extend(problems),
            Err(error @ SessionError::Refused(_)) => report.say("model.onnx", error.to_string()),
        }
        report
    }

    fn check_answers(
        &self,
        model: &mut OnnxPredictor,
        contract: &Contract,
        golden: Option<&RecordBatch>,
        report: &mut CheckReport,
    ) {
        let generated = sample(self, contract, neighbours::ROWS);
        let mut events = generated;
        if let Some(golden) = golden {
            match golden::features(self.descriptor(), contract, golden) {
                Ok(features) => {
                    match golden::check(self.descriptor(), model, &features, golden) {
                        Ok(found) => {
                            report.problems.extend(found.problems(self.descriptor().golden));
                            report.golden = Some(found);
                        }
                        Err(problem) => report.problems.push(problem),
                    }
                    events = features.slice(0, features.num_rows().min(neighbours::ROWS));
                }
                Err(problems) => report.problems.extend(problems),
            }
        }
        match neighbours::check(self.descriptor(), model, &events) {
            Ok(found) => {
                report.problems.extend(found.problem(self.descriptor().allow_batch_dependence));
                report.neighbours = Some(found);
            }
            Err(message) => report.say("neighbours", message),
        }
        if let Err(error) = model.warm_up(self, contract) {
            report.say("max_batch_rows", format!("a call with the most rows fails: {error}"));
        }
    }
}

impl OnnxPredictor {
    /// Runs the largest batch once, so that memory is there before the first event.
    ///
    /// Rows that the model refuses do not matter here: the values are made up.
    pub fn warm_up(&mut self, package: &Package, contract: &Contract) -> Result<(), PredictError> {
        match self.predict(&sample(package, contract, self.max_rows())) {
            Ok(_) | Err(PredictError::Rows(_)) => Ok(()),
            Err(error @ PredictError::Model(_)) => Err(error),
        }
    }
}

impl CheckReport {
    fn say(&mut self, place: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(place, message));
    }
}

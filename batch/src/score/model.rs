//! A model as a job and SQL use it: columns of any table in, its outputs or a reason per row out.
//!
//! The predictor is handed in; sessions are made when they are needed, one per thread at most, and
//! lent for one batch at a time.

use std::sync::{Condvar, Mutex};

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use schemas::{
    Contract, Intake, PredictError, Predictor, Stage, finite_or_null, predict_isolating,
};

/// Makes one more session of the model.
pub type MakePredictor = Box<dyn Fn() -> Result<Box<dyn Predictor>, String> + Send + Sync>;

/// A model, the contract of its events and as many sessions as there are threads.
pub struct Model {
    /// Name of the model.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the model file, in hex.
    pub sha256: String,
    /// SHA-256 of the whole package, descriptor and model, in hex: what a cluster must have, too.
    pub package: String,
    /// The events that it scores.
    pub contract: Contract,
    /// Columns that it answers with.
    pub outputs: SchemaRef,
    /// Sessions at work, at most.
    pub sessions: Sessions,
}

/// Sessions that are lent, made by need up to a limit.
pub struct Sessions {
    make: MakePredictor,
    most: usize,
    state: Mutex<Lent>,
    returned: Condvar,
}

#[derive(Default)]
struct Lent {
    idle: Vec<Box<dyn Predictor>>,
    made: usize,
}

/// One of them for a while, counted in `made`; none until it is made.
struct Loan<'a> {
    from: &'a Sessions,
    session: Option<Box<dyn Predictor>>,
}

/// What a batch became: a row each.
pub(crate) struct Scored {
    /// Null where the row was refused, and where the answer is not finite, as in the output topic.
    pub(crate) outputs: Vec<ArrayRef>,
    /// Stage that refused the row.
    pub(crate) stage: StringArray,
    /// Why.
    pub(crate) reason: StringArray,
}

impl Sessions {
    /// At most `most` sessions, each made by `make` when it is first needed.
    #[must_use]
    pub fn new(most: usize, make: MakePredictor) -> Self {
        Self { make, most: most.max(1), state: Mutex::default(), returned: Condvar::new() }
    }

    /// Calls `use_it` with a session that nobody else has.
    pub(crate) fn with<T>(
        &self,
        use_it: impl FnOnce(&mut dyn Predictor) -> Result<T, PredictError>,
    ) -> Result<T, PredictError> {
        let mut loan = self.lend();
        if loan.session.is_none() {
            loan.session = Some((self.make)().map_err(PredictError::Model)?);
        }
        use_it(&mut **loan.session.as_mut().expect("made above"))
    }

    /// An idle session, or the right to make one.
    fn lend(&self) -> Loan<'_> {
        let mut state = self.state.lock().expect("nobody panics with it");
        loop {
            if let Some(session) = state.idle.pop() {
                return Loan { from: self, session: Some(session) };
            }
            if state.made < self.most {
                state.made += 1;
                return Loan { from: self, session: None };
            }
            state = self.returned.wait(state).expect("nobody panics with it");
        }
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        // What a panic left behind is not lent again.
        let session = self.session.take().filter(|_| !std::thread::panicking());
        let mut state = self.from.state.lock().expect("nobody panics with it");
        match session {
            Some(session) => state.idle.push(session),
            // Whoever waits for this one makes, and fails with, their own.
            None => state.made -= 1,
        }
        drop(state);
        self.from.returned.notify_one();
    }
}

impl Model {
    /// Makes a session, unless there is one: what is wrong with the model is said before the first row.
    pub fn ready(&self) -> Result<(), PredictError> {
        self.sessions.with(|_| Ok(()))
    }

    /// Scores all rows; those with a reason in `refused` have been refused already.
    pub(crate) fn score(
        &self,
        intake: &Intake,
        rows: &RecordBatch,
        refused: Option<&StringArray>,
    ) -> Result<Scored, PredictError> {
        let taken = intake.take(rows);
        let poison = |(row, reason): (usize, String)| (taken.rows[row], Stage::Model, reason);
        let predicted = self.sessions.with(|session| predict_isolating(session, &taken.events))?;
        let mut bad: Vec<(u32, Stage, String)> = predicted.poison.into_iter().map(poison).collect();
        let scored = |row: &&u32| bad.binary_search_by_key(*row, |(bad, ..)| *bad).is_err();
        let scored: Vec<u32> = taken.rows.iter().filter(scored).copied().collect();
        bad.extend(taken.rejects.into_iter().map(|(row, why)| (row, Stage::Decode, why)));
        let outputs: Vec<ArrayRef> =
            predicted.outputs.columns().iter().map(finite_or_null).collect();
        let all = rows.num_rows();
        assert_eq!(scored.len() + bad.len(), all, "every row has one outcome");
        if bad.is_empty() && refused.is_none_or(|refused| refused.null_count() == all) {
            let none = new_null_array(&DataType::Utf8, all);
            let none: StringArray = none.to_data().into();
            return Ok(Scored { outputs, stage: none.clone(), reason: none });
        }
        Ok(spread(&outputs, &scored, bad, refused, all))
    }
}

/// Outputs and reasons at the rows that they are of.
fn spread(
    outputs: &[ArrayRef],
    scored: &[u32],
    bad: Vec<(u32, Stage, String)>,
    refused: Option<&StringArray>,
    all: usize,
) -> Scored {
    let (mut from, mut why) = (vec![None; all], vec![None; all]);
    (0u32..).zip(scored).for_each(|(output, row)| from[*row as usize] = Some(output));
    bad.into_iter().for_each(|(row, stage, reason)| why[row as usize] = Some((stage, reason)));
    for (row, reason) in refused.into_iter().flatten().enumerate() {
        // What the reader refused goes before what its nulls would be told.
        if let Some(reason) = reason {
            from[row] = None;
            why[row] = Some((Stage::Decode, reason.to_owned()));
        }
    }
    let from = UInt32Array::from(from);
    let column = |column: &ArrayRef| take(column, &from, None).expect("rows of the outputs");
    Scored {
        outputs: outputs.iter().map(column).collect(),
        stage: why.iter().map(|why| why.as_ref().map(|(stage, _)| stage.name())).collect(),
        reason: why.iter().map(|why| why.as_ref().map(|(_, reason)| reason.as_str())).collect(),
    }
}

//! A model ready to score: one ONNX Runtime session, its buffers, and the plan between columns and
//! tensors. Owned by one thread; nothing here is shared or waits.

mod columns;
mod feed;
mod read;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use ort::ep::CPU;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use schemas::{Contract, PredictError, Predictor};

use crate::plan::{Plan, against_graph};
use crate::{Package, Problems, Runtime};
use columns::Columns;
use feed::Feed;

/// A model of a package, scoring events of a contract.
pub struct OnnxPredictor {
    session: Session,
    options: RunOptions<HasSelectedOutputs>,
    plan: Plan,
    columns: Columns,
    feeds: Vec<Feed>,
}

/// Why a package cannot score events of a contract.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Descriptor, contract and model disagree.
    #[error("the model does not fit:\n{0}")]
    Unfit(#[source] Problems),
    /// ONNX Runtime does not take the model.
    #[error("ONNX Runtime refuses the model: {0}")]
    Refused(String),
}

impl OnnxPredictor {
    /// Loads the package's model for events of `contract`: one thread, no spinning.
    pub fn new(
        runtime: &Runtime,
        package: &Package,
        contract: &Contract,
    ) -> Result<Self, SessionError> {
        let plan = Plan::new(package.descriptor(), contract).map_err(SessionError::Unfit)?;
        let problems = against_graph(package.descriptor(), package.graph());
        if !problems.is_empty() {
            return Err(SessionError::Unfit(Problems(problems)));
        }
        let (session, options) = open(runtime, package.bytes(), &plan)
            .map_err(|error| SessionError::Refused(error.to_string()))?;
        let feeds = plan.inputs.iter().map(Feed::new).collect();
        Ok(Self { session, options, columns: Columns::default(), feeds, plan })
    }

    /// Most rows that reach the model in one call; larger batches are split.
    #[must_use]
    pub fn max_rows(&self) -> usize {
        self.plan.max_rows
    }

    /// One call of the model: `rows` of `events`, at most as many as it takes.
    fn call(
        &mut self,
        events: &RecordBatch,
        rows: Range<usize>,
    ) -> Result<Vec<ArrayRef>, PredictError> {
        let padded = self.plan.fixed_rows.unwrap_or(rows.len());
        for (index, feed) in self.feeds.iter_mut().enumerate() {
            feed.assemble(self.columns.of(events, index), rows.clone(), padded)?;
        }
        let mut inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> =
            Vec::with_capacity(self.feeds.len());
        for (index, feed) in self.feeds.iter().enumerate() {
            let value = feed.value(self.columns.of(events, index), rows.clone(), padded)?;
            inputs.push((Cow::Borrowed(feed.tensor()), value));
        }
        let answers = self
            .session
            .run_with_options(inputs, &self.options)
            .map_err(|error| failure(&error, self.plan.sensitive))?;
        let outputs = self.plan.outputs.iter();
        outputs
            .map(|output| {
                let value = answers.get(&output.tensor).ok_or_else(|| {
                    PredictError::Model(format!("the model answered no {:?}", output.tensor))
                })?;
                read::column(output, value, rows.len(), padded)
            })
            .collect()
    }

    /// The longest stretch of rows from `start` that one call takes.
    fn stretch(&self, events: &RecordBatch, start: usize) -> Range<usize> {
        let limit = events.num_rows().min(start + self.plan.max_rows);
        let feeds = self.feeds.iter().enumerate();
        let end = feeds.fold(limit, |end, (index, feed)| {
            feed.uniform(self.columns.of(events, index), start..end)
        });
        start..end
    }
}

impl Predictor for OnnxPredictor {
    fn outputs(&self) -> SchemaRef {
        Arc::clone(&self.plan.schema)
    }

    fn predict(&mut self, events: &RecordBatch) -> Result<RecordBatch, PredictError> {
        self.columns.resolve(&events.schema(), &self.plan)?;
        let mut parts = Vec::new();
        let mut start = 0;
        while start < events.num_rows() {
            let rows = self.stretch(events, start);
            start = rows.end;
            let columns = self.call(events, rows)?;
            let part = RecordBatch::try_new(self.outputs(), columns).map_err(|error| {
                PredictError::Model(format!("the model's answer is no table: {error}"))
            })?;
            parts.push(part);
        }
        match parts.len() {
            0 => Ok(RecordBatch::new_empty(self.outputs())),
            1 => Ok(parts.remove(0)),
            _ => concat_batches(&self.plan.schema, &parts)
                .map_err(|error| PredictError::Model(format!("joining answers: {error}"))),
        }
    }
}

fn open(
    runtime: &Runtime,
    model: &[u8],
    plan: &Plan,
) -> ort::Result<(Session, RunOptions<HasSelectedOutputs>)> {
    // The arena keeps what the largest batch needed; patterns per batch size would grow with the
    // number of distinct sizes, which a quiet stream has many of.
    let session = Session::builder(runtime.environment())?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_memory_pattern(false)?
        .with_execution_providers([CPU::default().with_arena_allocator(true).build()])?
        .commit_from_memory(model)?;
    let mut selected = OutputSelector::no_default();
    let mut seen = Vec::new();
    for output in &plan.outputs {
        if !seen.contains(&&output.tensor) {
            selected = selected.with(&output.tensor);
            seen.push(&output.tensor);
        }
    }
    Ok((session, RunOptions::new()?.with_outputs(selected)))
}

/// A failed call is the fault of some row unless memory ran out: the caller halves the batch.
fn failure(error: &ort::Error, sensitive: bool) -> PredictError {
    let message = error.message();
    if message.contains("bad_alloc") || message.contains("Failed to allocate") {
        return PredictError::Model(format!("ONNX Runtime is out of memory: {message}"));
    }
    if sensitive {
        // The runtime's message may quote a value of the row.
        return PredictError::Rows(format!("the model failed on the row ({:?})", error.code()));
    }
    PredictError::Rows(format!("the model failed on the row: {message}"))
}

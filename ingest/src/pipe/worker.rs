//! A worker thread: takes batches, calls the closure, fills the reserved place. Always.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use schemas::{MicroBatch, PredictError, Reject, ScoredBatch, Stage, failpoint};

use super::config::PipeConfig;
use super::shared::Shared;
use super::ticket::{Outcome, Work};
use super::watchdog::{Late, Watch};
use crate::events::{PipeEvents, WorkerFailed};

/// What is done with a micro-batch: decode, score, encode. Records it cannot handle are its rejects;
/// an error means that it could handle none of them.
pub type Worker = Box<dyn FnMut(MicroBatch) -> Result<ScoredBatch, PredictError> + Send>;

pub(super) fn run(
    worker: &mut Worker,
    config: &PipeConfig,
    to_do: &Receiver<Work>,
    shared: &Shared,
    watch: &Watch,
    events: &PipeEvents,
) {
    for Work { batch, alone, place } in to_do {
        if shared.has_failed() {
            // Nobody scores for a run that is over. The place is dropped, not filled: nothing is
            // known of these records.
            shared.batch_ends(Duration::ZERO);
            continue;
        }
        let begun = Instant::now();
        // The run cannot end without its workers, so one that hangs cannot be left behind.
        let guard = watch.enter(
            "a batch of a worker (lower batch.max_rows where the model is only slow)",
            config.batch_limit,
            Late::EndProcess,
        );
        let copy = alone.then(|| batch.clone());
        let rows = batch.len();
        // The closure's state after a panic is the closure's business: it is called again, and a
        // batch that fails three times is handled record by record.
        let scored = match catch_unwind(AssertUnwindSafe(|| worker(batch))) {
            Ok(Ok(scored)) if scored.source().len() == rows => Ok(scored),
            Ok(Ok(scored)) => Err(format!("{} records for {rows}", scored.source().len())),
            Ok(Err(error)) => Err(config.told(&error.to_string()).to_owned()),
            Err(panic) => Err(format!("panicked: {}", config.told(&text_of(panic.as_ref())))),
        };
        failpoint::pass("worker.scored");
        drop(guard);
        let outcome = match (scored, copy) {
            (Ok(scored), _) => Outcome::Scored(scored),
            (Err(reason), copy) => {
                WorkerFailed { reason: &reason, rows }.emit(events);
                match copy {
                    Some(batch) => Outcome::Scored(given_up(batch, &reason)),
                    None => Outcome::Failed(reason),
                }
            }
        };
        let took = begun.elapsed();
        events.scored(took);
        // The publisher may be gone; the run is ending then.
        let _ = place.send(outcome);
        shared.batch_ends(took);
    }
}

fn given_up(batch: MicroBatch, reason: &str) -> ScoredBatch {
    let reject = |row| Reject {
        row,
        stage: Stage::Model,
        reason: format!("handling it alone failed after failing twice: {reason}"),
    };
    let rejects = (0..batch.len() as u32).map(reject).collect();
    ScoredBatch::new(batch, Vec::new(), Vec::new(), rejects)
}

pub(super) fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".into())
}

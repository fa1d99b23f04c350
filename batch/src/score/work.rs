//! One thread of a job: the rows of a part, scored here or on a cluster, into the part's files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tokio::runtime::Runtime;

use super::cluster::{Answer, Next, Office};
use super::columns::{Columns, Stamp};
use super::folders::Folders;
use super::output::{Counts, PartFiles};
use super::parts::{Part, Planned};
use super::plan::{Plan, explain, named};
use super::text::Read;
use super::{Model, Step};
use crate::error::StoreError;

/// How often a part is asked of a cluster before its error ends the job: an executor that was lost costs
/// one, and so does the scheduler's restart.
const ATTEMPTS: u32 = 4;
/// Pause before a part is asked again; each further one is twice as long.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// `part`'s answer; what a cluster could not do is asked again.
pub(super) fn persistent<T>(
    place: usize,
    stop: impl Fn() -> bool,
    part: impl Fn() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut pause = AGAIN_AFTER;
    for attempt in 1..ATTEMPTS {
        match part() {
            Err(StoreError::Cluster { reason, .. }) if !stop() => {
                tracing::warn!(part = place, attempt, reason, "the cluster is asked again");
                std::thread::sleep(pause);
                pause *= 2;
            }
            ended => return ended,
        }
    }
    part()
}

/// Stops the other threads of a job when its own ends in any way but in order, a panic included: they would go
/// on for hours for nobody.
pub(super) struct Ending<'a> {
    failed: &'a AtomicBool,
    in_order: bool,
}

impl<'a> Ending<'a> {
    /// `failed` is what all threads look at.
    pub(super) fn of(failed: &'a AtomicBool) -> Self {
        Self { failed, in_order: false }
    }

    /// The others may go on.
    pub(super) fn in_order(mut self) {
        self.in_order = true;
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.in_order {
            self.failed.store(true, Ordering::Relaxed);
        }
    }
}

/// What a thread has of its own.
pub(super) struct Worker<'a> {
    source: Source<'a>,
    model: &'a Model,
    planned: &'a Planned,
    columns: &'a Columns,
}

/// Who scores.
enum Source<'a> {
    Here(Runtime, Box<Plan>),
    Cluster(&'a Office),
}

/// Rows of a part as they come, scored.
enum Rows<'a> {
    Here(&'a Runtime, SendableRecordBatchStream),
    Cluster(Box<Answer<'a>>),
}

impl<'a> Worker<'a> {
    /// A thread that scores by itself.
    pub(super) fn here(
        model: &'a Model,
        plan: Plan,
        planned: &'a Planned,
        columns: &'a Columns,
    ) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::Query(format!("cannot start a runtime: {error}")))?;
        Ok(Self { source: Source::Here(runtime, Box::new(plan)), model, planned, columns })
    }

    /// A thread that has its parts scored by a cluster.
    pub(super) fn cluster(
        model: &'a Model,
        office: &'a Office,
        planned: &'a Planned,
        columns: &'a Columns,
    ) -> Self {
        Self { source: Source::Cluster(office), model, planned, columns }
    }

    /// Scores a part and publishes its files; `None` where `stop` said so meanwhile.
    pub(super) fn part(
        &self,
        place: usize,
        folders: &Folders,
        scored_at: i64,
        progress: &(dyn Fn(Step) + Sync),
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Counts>, StoreError> {
        let part = &self.planned.parts[place];
        let input = &self.planned.inputs[part.input];
        input.check()?;
        let read = Arc::new(Read::default());
        let mut told = Step::default();
        // Bytes stand for rows where a file does not say how many it has.
        let mut tell = |rows: u64, bytes: u64| {
            progress(Step { rows: rows - told.rows, bytes: bytes.saturating_sub(told.bytes) });
            told = Step { rows, bytes: told.bytes.max(bytes) };
        };
        // A file that went away under the reader is told as such, not as what the reader made of it.
        let failed = |error: StoreError| input.check().err().unwrap_or(error);
        let mut rows = self.rows(part, &read).map_err(failed)?;
        let stamp = Stamp { file: input.path.display().to_string(), scored_at };
        let mut files = None;
        loop {
            let batch = match rows.next().map_err(|error| failed(named(&input.path, error)))? {
                Next::Batch(batch) => Some(batch),
                Next::Waiting => None,
                Next::End => break,
            };
            if stop() {
                return Ok(None);
            }
            let Some(batch) = batch else { continue };
            // Not before there is a row: whoever waits for a cluster holds no buffers.
            let files = match &mut files {
                Some(files) => files,
                none => none.insert(PartFiles::create(self.columns, folders, place)?),
            };
            files.write(&batch, self.model, &stamp)?;
            // What a cluster sends may have to be asked again, and is told when it is whole.
            if matches!(self.source, Source::Here(..)) {
                tell(files.written(), read.bytes.load(Ordering::Relaxed));
            }
        }
        input.check()?;
        let files = match files {
            Some(files) => files,
            None => PartFiles::create(self.columns, folders, place)?,
        };
        let all = part.rows.unwrap_or_else(|| read.rows.load(Ordering::Relaxed));
        let written = files.written();
        if written > all || (!self.leaves_out() && written != all) {
            return Err(StoreError::Query(format!(
                "{}: {written} rows came of a part that has {all}: the file is damaged",
                input.path.display()
            )));
        }
        tell(all, part.range.end - part.range.start);
        files.publish(all).map(Some)
    }

    fn leaves_out(&self) -> bool {
        match &self.source {
            Source::Here(_, plan) => plan.leaves_out(),
            Source::Cluster(office) => office.leaves_out(),
        }
    }

    fn rows(&self, part: &Part, read: &Arc<Read>) -> Result<Rows<'_>, StoreError> {
        let input = &self.planned.inputs[part.input];
        match &self.source {
            Source::Here(runtime, plan) => {
                let frame = plan.frame(input, &part.range, read)?;
                let stream = runtime.block_on(frame.execute_stream()).map_err(explain)?;
                Ok(Rows::Here(runtime, stream))
            }
            Source::Cluster(office) => {
                Ok(Rows::Cluster(Box::new(office.ask(input, &part.range, read)?)))
            }
        }
    }
}

impl Rows<'_> {
    fn next(&mut self) -> Result<Next, StoreError> {
        match self {
            Self::Here(runtime, stream) => {
                let batch: Option<RecordBatch> =
                    runtime.block_on(stream.next()).transpose().map_err(explain)?;
                Ok(batch.map_or(Next::End, Next::Batch))
            }
            Self::Cluster(answer) => answer.next(),
        }
    }
}

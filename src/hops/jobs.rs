//! Hop 4: jobs whose time has come, some at a time, each on a thread of its own.
//!
//! What is due is asked twice a second and decided by [`batch::jobs::due`]; a run is written down before
//! and after. Asked to stop, a run leaves what it has published and goes on at the next start.

use std::collections::BTreeMap;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use batch::jobs::{Due, Held, HoldError, Outcome, Run, State, Trigger};
use ingest::Stop;
use jiff::Timestamp;
use opentelemetry::metrics::{Counter, Gauge, Histogram};
use opentelemetry::{KeyValue, global};

use crate::config::{Job, resolved_jobs};
use crate::exit::{Exit, WithExit};
use crate::health::Health;
use crate::jobs::{Board, Maker, Watermark, problems, state, who};
use crate::pipeline::Pipeline;
use crate::supervise::{Trouble, keep_running};
use crate::telemetry::JOB_DURATION;

/// From one look at the clock to the next.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A run that is being made.
type Making<'scope> = ScopedJoinHandle<'scope, anyhow::Result<()>>;

/// Starts runs until `stop`.
pub(crate) fn jobs(pipeline: &Pipeline, health: &Health, stop: &Stop) -> anyhow::Result<()> {
    let part = health.part("jobs");
    let jobs = resolved_jobs(&pipeline.config);
    let found = problems(pipeline, &jobs);
    if !found.is_empty() {
        return Err(WithExit { message: found.join("; "), exit: Exit::Usage }.into());
    }
    let (state, who, events) = (state(&pipeline.config), who(&pipeline.config), Events::new());
    keep_running(&health.hop("jobs"), stop, || {
        let _held = hold(&state, &who)?;
        let maker = Maker { pipeline, state: &state, by: &who, shown: false };
        let hop = Hop { pipeline, jobs: &jobs, state: &state, who: &who, maker, events: &events };
        part.set(true);
        let ended = hop.run(stop);
        part.set(false);
        ended.map_err(Trouble::Again)
    })
}

/// The right to start runs; another process that has it is a person's to stop.
fn hold(state: &State, who: &str) -> Result<Held, Trouble> {
    state.hold(who).map_err(|error| match error {
        HoldError::Held { .. } => {
            let message = format!(
                "the jobs' state {error}: one process starts runs; stop that one, or give this one another \
                 scheduler.state, or leave its jobs out with --only"
            );
            Trouble::Final(WithExit { message, exit: Exit::Usage }.into())
        }
        HoldError::Store(error) => Trouble::Again(error.into()),
    })
}

struct Hop<'a> {
    pipeline: &'a Pipeline,
    jobs: &'a [Job],
    state: &'a State,
    who: &'a str,
    maker: Maker<'a>,
    events: &'a Events,
}

impl<'a> Hop<'a> {
    fn run(&self, stop: &Stop) -> anyhow::Result<()> {
        let mut board = Board::open(self.jobs, self.state, Timestamp::now())?;
        let mut watermark = Watermark::new();
        for job in self.jobs {
            self.events.known(job, board.runs(&job.spec.name)?.values());
        }
        std::thread::scope(|scope| {
            let mut making: BTreeMap<&str, Making<'_>> = BTreeMap::new();
            let ended = loop {
                if let Err(error) = reap(&mut making) {
                    break Err(error);
                }
                if let Err(error) = self.start(scope, stop, &mut board, &mut watermark, &mut making)
                {
                    break Err(error);
                }
                if stop.sleep(LOOK_EVERY) {
                    break Ok(());
                }
            };
            // Asked to stop, they end after the batch that they are at; after an error they are let be.
            let left = making.into_values().map(join).fold(Ok(()), anyhow::Result::and);
            ended.and(left)
        })
    }

    /// Starts what is due, the longest due first, as far as there is room.
    fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        stop: &'scope Stop,
        board: &mut Board<'_>,
        watermark: &mut Watermark,
        making: &mut BTreeMap<&'scope str, Making<'scope>>,
    ) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let waits = self.jobs.iter().any(|job| matches!(job.spec.trigger, Trigger::Watermark));
        let mark = if waits { watermark.at(&self.pipeline.config, now)? } else { None };
        let mut all: Vec<(&Job, Due)> = Vec::new();
        for job in self.jobs.iter().filter(|job| !making.contains_key(job.spec.name.as_str())) {
            all.extend(board.due(job, now, mark)?.map(|due| (job, due)));
        }
        all.sort_by_key(|(_, due)| due.moment.time);
        for (job, _) in all {
            if making.len() >= self.pipeline.config.scheduler.concurrent || stop.is_raised() {
                break;
            }
            // Somebody makes a run of it by hand: what is due waits for that.
            let held = match self.state.hold_job(&job.spec.name, self.who) {
                Ok(held) => held,
                Err(HoldError::Held { .. }) => continue,
                Err(HoldError::Store(error)) => return Err(error.into()),
            };
            // It may have been that very run.
            let Some(due) = board.due(job, now, mark)? else { continue };
            let thread = std::thread::Builder::new().name(format!("tg-job-{}", job.spec.name));
            let made = thread.spawn_scoped(scope, move || self.make(job, &due, held, stop))?;
            making.insert(&job.spec.name, made);
        }
        Ok(())
    }

    fn make(&self, job: &Job, due: &Due, held: Held, stop: &Stop) -> anyhow::Result<()> {
        let (name, scheduled) = (&job.spec.name, due.moment.time);
        tracing::info!(job = name, %scheduled, missed = due.missed, "a run begins");
        let run = self.maker.make(job, due, &|| stop.is_raised())?;
        drop(held);
        self.events.ended(job, &run);
        Ok(())
    }
}

/// Takes the runs that have ended off the list.
fn reap(making: &mut BTreeMap<&str, Making<'_>>) -> anyhow::Result<()> {
    let ended: Vec<&str> =
        making.iter().filter(|(_, made)| made.is_finished()).map(|(name, _)| *name).collect();
    ended.into_iter().filter_map(|name| making.remove(name)).try_for_each(join)
}

fn join(made: Making<'_>) -> anyhow::Result<()> {
    made.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the thread of a run panicked")))
}

/// Log and metrics of runs.
struct Events {
    runs: Counter<u64>,
    rows: Counter<u64>,
    duration: Histogram<f64>,
    failed: Gauge<u64>,
    last_success: Gauge<f64>,
}

impl Events {
    fn new() -> Self {
        let meter = global::meter("tidegate");
        Self {
            runs: meter
                .u64_counter("tidegate.job.runs")
                .with_description("Starts of runs that ended, by job and outcome")
                .build(),
            rows: meter
                .u64_counter("tidegate.job.rows")
                .with_description("Rows of runs that succeeded, by job and what became of them")
                .build(),
            duration: meter
                .f64_histogram(JOB_DURATION)
                .with_unit("s")
                .with_description("Time from a run's first start to its success, by job")
                .with_boundaries(vec![1.0, 10.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0])
                .build(),
            failed: meter
                .u64_gauge("tidegate.job.failed")
                .with_description("1 when the job's latest run failed and is not tried again")
                .build(),
            last_success: meter
                .f64_gauge("tidegate.job.last_success")
                .with_unit("s")
                .with_description("When a run of the job succeeded last, in seconds since 1970")
                .build(),
        }
    }

    /// What was so before this process.
    fn known<'r>(&self, job: &Job, runs: impl DoubleEndedIterator<Item = &'r Run> + Clone) {
        let of = [KeyValue::new("job", job.spec.name.clone())];
        let over = runs.clone().rev().find(|run| run.is_over());
        self.failed.record(u64::from(over.is_some_and(|run| run.outcome == Outcome::Failed)), &of);
        let success = runs.rev().find(|run| run.outcome == Outcome::Succeeded);
        if let Some(at) = success.and_then(|run| run.ended) {
            self.last_success.record(at.as_millisecond() as f64 / 1e3, &of);
        }
    }

    fn ended(&self, job: &Job, run: &Run) {
        let name = &job.spec.name;
        let of = KeyValue::new("job", name.clone());
        let with = |key: &'static str, value: &'static str| [of.clone(), KeyValue::new(key, value)];
        let (scheduled, error) = (run.scheduled, run.error.as_deref().unwrap_or_default());
        let outcome = match run.outcome {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed => "failed",
            Outcome::Interrupted | Outcome::Running => "interrupted",
        };
        self.runs.add(1, &with("outcome", outcome));
        if run.is_over() {
            let failed = u64::from(run.outcome == Outcome::Failed);
            self.failed.record(failed, std::slice::from_ref(&of));
        }
        match (&run.made, run.outcome) {
            (Some(made), Outcome::Succeeded) => {
                let ended = run.ended.unwrap_or(run.started);
                let seconds = ended.duration_since(run.started).as_secs_f64();
                self.rows.add(made.scored, &with("outcome", "scored"));
                self.rows.add(made.rejected, &with("outcome", "rejected"));
                self.duration.record(seconds, std::slice::from_ref(&of));
                let at = ended.as_millisecond() as f64 / 1e3;
                self.last_success.record(at, std::slice::from_ref(&of));
                let (rows, rejected, drift) = (made.rows, made.rejected, made.drift);
                tracing::info!(job = name, %scheduled, rows, rejected, drift, "a run succeeded");
            }
            (_, Outcome::Failed) => {
                let retry_at = run.retry_at.map(|at| at.to_string());
                tracing::error!(job = name, %scheduled, error, retry_at, "a run failed");
            }
            _ => tracing::info!(job = name, %scheduled, "a run was asked to end; it goes on later"),
        }
    }
}

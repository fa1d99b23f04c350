//! What is told of runs: one event, its log line and its metrics.

use batch::jobs::{Outcome, Run};
use opentelemetry::metrics::{Counter, Gauge, Histogram};
use opentelemetry::{KeyValue, global};

use crate::config::Job;
use crate::telemetry::JOB_DURATION;

/// Log and metrics of runs.
pub(crate) struct Events {
    runs: Counter<u64>,
    rows: Counter<u64>,
    duration: Histogram<f64>,
    failed: Gauge<u64>,
    last_success: Gauge<f64>,
    blocked: Gauge<u64>,
}

impl Events {
    pub(crate) fn new() -> Self {
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
            blocked: meter
                .u64_gauge("tidegate.job.blocked")
                .with_description(
                    "1 while the job waits for what fails: its state, the watermark or a new thread",
                )
                .build(),
        }
    }

    /// Says what was so before this process.
    pub(crate) fn known<'r>(
        &self,
        job: &Job,
        runs: impl DoubleEndedIterator<Item = &'r Run> + Clone,
    ) {
        let of = [KeyValue::new("job", job.spec.name.clone())];
        self.blocked.record(0, &of);
        let over = runs.clone().rev().find(|run| run.is_over());
        self.failed.record(u64::from(over.is_some_and(|run| run.outcome == Outcome::Failed)), &of);
        let success = runs.rev().find(|run| run.outcome == Outcome::Succeeded);
        if let Some(at) = success.and_then(|run| run.ended) {
            self.last_success.record(at.as_millisecond() as f64 / 1e3, &of);
        }
    }

    /// The job waits for what fails.
    pub(crate) fn blocked(&self, job: &str, error: &str) {
        self.blocked.record(1, &[KeyValue::new("job", job.to_owned())]);
        tracing::warn!(job, error, "a job cannot go on; it is tried again, and the others go on");
    }

    /// What it waited for is well again.
    pub(crate) fn goes_on(&self, job: &str) {
        self.blocked.record(0, &[KeyValue::new("job", job.to_owned())]);
        tracing::info!(job, "the job goes on");
    }

    /// A start of a run ended.
    pub(crate) fn ended(&self, job: &Job, run: &Run) {
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

//! Once a minute, what hop 3 sees by the clock on the wall: how old the newest data are, how the
//! hops of this process fare, and which job failed. What follows is [`monitor::service`]'s to say.

use std::time::{Duration, Instant};

use batch::jobs::{Ledger, Outcome};
use monitor::alerts::Alerts;
use monitor::evaluate::Watched;
use monitor::policy::Rule;
use monitor::service::{self, EVERY_MS, Newest, Pulses, Totals};
use monitor::window::PartitionTimes;
use prometheus::Registry;
use prometheus::proto::MetricFamily;

use super::SCORE;
use crate::config::resolved_jobs;
use crate::health::Health;
use crate::jobs;
use crate::pipeline::Pipeline;
use crate::telemetry::{sum, told};

/// See the module.
pub(super) struct Pulse<'a> {
    health: &'a Health,
    registry: &'a Registry,
    model: String,
    jobs: Vec<Ledger>,
    pulses: Pulses,
    taken: Option<Instant>,
}

impl<'a> Pulse<'a> {
    pub(super) fn new(pipeline: &Pipeline, health: &'a Health, registry: &'a Registry) -> Self {
        let model = pipeline.package.name().to_owned();
        let state = jobs::state(&pipeline.config);
        let ledgers = resolved_jobs(&pipeline.config).into_iter();
        let jobs = ledgers.map(|job| Ledger::of(&state, &job.spec.name)).collect();
        Self { health, registry, model, jobs, pulses: Pulses::default(), taken: None }
    }

    /// Takes the pulse when a minute has passed since the last; everything archived must be counted.
    pub(super) fn take(
        &mut self,
        watched: &[Watched],
        rules: &[Rule],
        alerts: &Alerts,
    ) -> anyhow::Result<()> {
        let now = Instant::now();
        let every = Duration::from_millis(EVERY_MS.unsigned_abs());
        if self.taken.is_some_and(|taken| now - taken < every) {
            return Ok(());
        }
        self.taken = Some(now);
        let families = self.registry.gather();
        let down = self.health.down(now);
        // A counter is not there before it counts: what the hop has not done yet is 0.
        let scores = down.iter().any(|(name, _)| *name == SCORE);
        let pulse = service::Pulse {
            now_ms: jiff::Timestamp::now().as_millisecond(),
            newest: newest(watched),
            totals: scores.then(|| totals(&families)),
            errors: ["tidegate_hop_restarts_total", "tidegate_worker_failures_total"]
                .map(|name| count(&families, name))
                .into_iter()
                .sum(),
            jobs: self.jobs.iter_mut().map(latest).collect(),
            firing: alerts.firing_rules(&self.model),
            down: down
                .into_iter()
                .map(|(name, down)| (name.to_owned(), down.as_secs_f64()))
                .collect(),
        };
        let judged = self.pulses.judge(pulse, &self.model, rules);
        alerts.judge(&judged, &[])?;
        Ok(())
    }
}

/// A job, and why its latest run that is over failed, if it did. Another process may make its runs; a
/// state that cannot be read is as bad, and must not keep drift from being watched.
fn latest(job: &mut Ledger) -> (String, Option<String>) {
    let error = match job.look() {
        Err(error) => Some(format!("{:#}", anyhow::Error::from(error))),
        Ok(runs) => {
            let over = runs.values().rev().find(|run| run.is_over());
            let failed = over.filter(|run| run.outcome == Outcome::Failed);
            failed.map(|run| format!("of {}: {}", run.date, run.error.as_deref().unwrap_or("")))
        }
    };
    (job.name().to_owned(), error)
}

fn newest(watched: &[Watched]) -> Newest {
    let Some(first) = watched.first() else { return Newest::default() };
    let partitions = PartitionTimes::of(first.counter.counted());
    let newest = |of: fn(&PartitionTimes) -> Option<i64>| {
        partitions.values().filter_map(of).max().map(|micros| micros.div_euclid(1_000))
    };
    Newest { event_ms: newest(|times| times.event), record_ms: newest(|times| times.record) }
}

fn totals(families: &[MetricFamily]) -> Totals {
    let (commits, latency_s) = told(families, "tidegate_latency_seconds").unwrap_or_default();
    Totals {
        commits,
        latency_s,
        read: count(families, "tidegate_records_in_total"),
        rejected: count(families, "tidegate_dead_letters_total"),
        committed: count(families, "tidegate_records_committed_total"),
        lag: count(families, "tidegate_lag_records"),
    }
}

fn count(families: &[MetricFamily], name: &str) -> u64 {
    sum(families, name).unwrap_or(0.0) as u64
}

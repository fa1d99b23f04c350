//! Once a minute, what hop 3 sees by the clock on the wall: how old the newest data are, how the
//! hops of this process fare, and which job failed. What follows is [`monitor::service`]'s to say.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use batch::jobs::{Ledger, Outcome, Reads, Run, Runs};
use ingest::Stop;
use jiff::{SignedDuration, Timestamp};
use monitor::alerts::{Alerts, AlertsError};
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

/// How long a run that failed for good is told although a later one succeeded: whoever is on call hears of the
/// hole, and one that nobody wants to fill is no alarm for ever.
const HOLE_TOLD: SignedDuration = SignedDuration::from_hours(24);

/// From one look at whether a pulse is due to the next.
const NAP: Duration = Duration::from_secs(1);

/// A round that is at it for longer is behind: what the one before it saw is no news of the stream any more.
const NEWS: Duration = Duration::from_secs(300);

/// What rounds have seen of the archive, for pulses, which do not wait for them.
#[derive(Default)]
pub(super) struct Seen(Mutex<Sight>);

#[derive(Clone, Copy, Default)]
struct Sight {
    newest: Option<Newest>,
    at_work_since: Option<Instant>,
}

impl Seen {
    /// A round begins, or what comes before the first one.
    pub(super) fn begin(&self, now: Instant) {
        self.lock().at_work_since = Some(now);
    }

    /// A round has ended; everything archived is counted.
    pub(super) fn end(&self, watched: &[Watched]) {
        let newest = Some(newest(watched));
        *self.lock() = Sight { newest, at_work_since: None };
    }

    /// No round is at work any more, and the last one may have failed: what was seen before it holds.
    pub(super) fn stop(&self) {
        self.lock().at_work_since = None;
    }

    /// Another process watches, and will see more.
    pub(super) fn forget(&self) {
        *self.lock() = Sight::default();
    }

    /// The newest data, where they are known at `now`.
    fn newest(&self, now: Instant) -> Option<Newest> {
        let Sight { newest, at_work_since } = *self.lock();
        let is_behind = at_work_since.is_some_and(|at| now.saturating_duration_since(at) >= NEWS);
        newest.filter(|_| !is_behind)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sight> {
        self.0.lock().expect("no panic holds this lock")
    }
}

/// See the module. Lives as long as the hop, through its restarts: rates are between two pulses.
pub(super) struct Pulse<'a> {
    health: &'a Health,
    registry: &'a Registry,
    model: String,
    jobs: Vec<(Ledger, Reads)>,
    pulses: Pulses,
    begun: Instant,
    taken: Option<Instant>,
}

impl<'a> Pulse<'a> {
    pub(super) fn new(pipeline: &Pipeline, health: &'a Health, registry: &'a Registry) -> Self {
        let model = pipeline.package.name().to_owned();
        let state = jobs::state(&pipeline.config);
        let ledgers = resolved_jobs(&pipeline.config).into_iter();
        let jobs =
            ledgers.map(|job| (Ledger::of(&state, &job.spec.name), job.spec.reads)).collect();
        let (pulses, begun) = (Pulses::default(), Instant::now());
        Self { health, registry, model, jobs, pulses, begun, taken: None }
    }

    /// Takes the pulse once a minute until `over`, whatever rounds do.
    pub(super) fn beat(
        &mut self,
        seen: &Seen,
        rules: &[Rule],
        alerts: &Alerts,
        over: &Stop,
    ) -> Result<(), AlertsError> {
        loop {
            // Before the nap: a life of the hop that fails at once has one look at least.
            self.take(seen, rules, alerts)?;
            if over.sleep(NAP) {
                return Ok(());
            }
        }
    }

    /// Takes the pulse when a minute has passed since the last. The first one waits as long for the first round.
    fn take(&mut self, seen: &Seen, rules: &[Rule], alerts: &Alerts) -> Result<(), AlertsError> {
        let now = Instant::now();
        let newest = seen.newest(now);
        let every = Duration::from_millis(EVERY_MS.unsigned_abs());
        let waited = now - self.taken.unwrap_or(self.begun);
        if waited < every && (self.taken.is_some() || newest.is_none()) {
            return Ok(());
        }
        self.taken = Some(now);
        let families = self.registry.gather();
        let down = self.health.down(now);
        // A counter is not there before it counts: what the hop has not done yet is 0.
        let scores = down.iter().any(|(name, _)| *name == SCORE);
        let clock = Timestamp::now();
        let pulse = service::Pulse {
            now_ms: clock.as_millisecond(),
            // What is not known is not judged.
            newest: newest.unwrap_or_default(),
            totals: scores.then(|| totals(&families)),
            errors: ["tidegate_hop_restarts_total", "tidegate_worker_failures_total"]
                .map(|name| count(&families, name))
                .into_iter()
                .sum(),
            jobs: self.jobs.iter_mut().map(|(job, reads)| told_of(job, *reads, clock)).collect(),
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

/// A job, and why a run of it failed that is to be told, if one did. Another process may make its runs; a
/// state that cannot be read is as bad, and must not keep drift from being watched.
fn told_of(job: &mut Ledger, reads: Reads, now: Timestamp) -> (String, Option<String>) {
    let error = match job.look() {
        Err(error) => Some(format!("{:#}", anyhow::Error::from(error))),
        Ok(runs) => {
            let failed = failed(runs, reads, now);
            failed.map(|run| format!("of {}: {}", run.date, run.error.as_deref().unwrap_or("")))
        }
    };
    (job.name().to_owned(), error)
}

/// The latest run that is over, where it failed; else the latest hole: what a run of the schedule failed to make,
/// and no other run makes.
fn failed(runs: &Runs, reads: Reads, now: Timestamp) -> Option<&Run> {
    let made_since = |failed: &Run| {
        let mut since = runs.range(failed.scheduled..).map(|(_, run)| run);
        since.any(|run| run.outcome == Outcome::Succeeded && run.date == failed.date)
    };
    let made = |run: &Run| match reads {
        Reads::Same => true,
        Reads::PerDay => made_since(run),
        Reads::PerRun => false,
    };
    let fresh = |run: &Run| run.ended.is_some_and(|at| now.duration_since(at) < HOLE_TOLD);
    // Who asked for a run by hand has seen what became of it.
    let hole = |run: &Run| !run.by_hand && fresh(run) && !made(run);
    let over = runs.values().rev().filter(|run| run.is_over()).enumerate();
    let mut failed = over.filter(|(_, run)| run.outcome == Outcome::Failed);
    failed.find(|(place, run)| *place == 0 || hole(run)).map(|(_, run)| run)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_seen_holds_through_failures_and_not_while_a_round_is_behind() {
        let (seen, start) = (Seen::default(), Instant::now());
        let is_known = |after: Duration| seen.newest(start + after).is_some();
        seen.begin(start);
        assert!(!is_known(Duration::ZERO), "nothing is counted yet");
        seen.end(&[]);
        assert!(is_known(2 * NEWS));
        seen.begin(start);
        assert!(is_known(NEWS / 2), "a round like any other");
        assert!(!is_known(NEWS), "a back-fill");
        seen.stop();
        assert!(is_known(2 * NEWS), "the archive cannot be read");
        seen.forget();
        assert!(!is_known(Duration::ZERO), "another process watched");
    }

    /// A run that was to start then, how it ended, and when.
    type Ended = (&'static str, &'static str, &'static str);

    fn run((scheduled, outcome, ended): Ended) -> Run {
        let run = json!({
            "job": "j", "scheduled": scheduled, "date": &scheduled[..10], "started": scheduled,
            "ended": ended, "outcome": outcome, "starts": 1, "failures": 0, "interruptions": 0,
            "missed": 0, "output": "", "by": "",
        });
        serde_json::from_value(run).expect("a run")
    }

    fn found(reads: Reads, of: &[Run]) -> Option<String> {
        let runs: Runs = of.iter().map(|run| (run.scheduled, run.clone())).collect();
        let now = "2026-01-08T12:00:00Z".parse().expect("a time");
        failed(&runs, reads, now).map(|run| run.scheduled.to_string())
    }

    #[test]
    fn a_failure_is_told_while_it_is_the_latest_and_a_hole_for_a_day() {
        let lately = ("2026-01-06T02:00:00Z", "failed", "2026-01-08T01:00:00Z");
        let before = ("2026-01-06T02:00:00Z", "failed", "2026-01-06T02:10:00Z");
        let same_day = ("2026-01-06T08:00:00Z", "succeeded", "2026-01-08T02:00:00Z");
        let next_day = ("2026-01-07T02:00:00Z", "succeeded", "2026-01-08T02:00:00Z");
        for (reads, runs, told) in [
            (Reads::Same, vec![before], true),
            (Reads::PerDay, vec![before], true),
            (Reads::Same, vec![lately, next_day], false),
            (Reads::PerDay, vec![lately, next_day], true),
            (Reads::PerRun, vec![lately, next_day], true),
            (Reads::PerDay, vec![before, next_day], false),
            (Reads::PerDay, vec![lately, same_day, next_day], false),
            (Reads::PerRun, vec![lately, same_day, next_day], true),
        ] {
            let expected = told.then_some(lately.0);
            let runs: Vec<Run> = runs.into_iter().map(run).collect();
            assert_eq!(found(reads, &runs).as_deref(), expected, "{reads:?} {runs:?}");
        }
        let by_hand = Run { by_hand: true, ..run(lately) };
        assert_eq!(found(Reads::PerDay, &[by_hand, run(next_day)]), None);
        let tried_again = Run { retry_at: Some(Timestamp::MAX), ..run(lately) };
        assert_eq!(found(Reads::PerDay, &[tried_again, run(next_day)]), None);
    }
}

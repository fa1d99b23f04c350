//! What this process knows of its own hops: which parts are up, records, rates, lag.
//!
//! Read from the registry behind `/metrics`: there is one place where a hop says what it does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::Registry;
use prometheus::proto::MetricFamily;
use serde_json::{Value, json};

use crate::health::Health;
use crate::telemetry::sum;

/// Stretch that a rate is over, at least, as soon as there is as much.
const OVER: Duration = Duration::from_secs(60);
/// Between two samples that are kept.
const EVERY: Duration = Duration::from_secs(5);

/// Totals with a rate: name in the answer, and the counter's, without its ending.
const TOTALS: [(&str, &str); 6] = [
    ("records read", "tidegate_records_in"),
    ("results", "tidegate_results"),
    ("dead letters", "tidegate_dead_letters"),
    ("records committed", "tidegate_records_committed"),
    ("records archived", "tidegate_archived"),
    ("alert messages tried", "tidegate_alert_delivery_attempts"),
];

/// Values of now, summed over their labels.
const GAUGES: [(&str, &str); 7] = [
    ("input records not yet read", "tidegate_lag_records"),
    ("records not yet read by the archive", "tidegate_archive_lag_records"),
    ("rows in files not yet published", "tidegate_archive_unpublished_rows"),
    ("batches waiting for a worker", "tidegate_queued_to_score"),
    ("tickets waiting for the publisher", "tidegate_queued_to_publish"),
    ("alert messages waiting", "tidegate_alert_outbox"),
    ("rows in no window, by their time", "tidegate_monitor_rows_outside"),
];

type Totals = [Option<f64>; TOTALS.len()];

/// See the module.
pub(super) struct Process {
    health: Arc<Health>,
    registry: Registry,
    samples: Mutex<VecDeque<(Instant, Totals)>>,
}

impl Process {
    pub(super) fn new(health: Arc<Health>, registry: Registry, now: Instant) -> Self {
        let start = (now, totals(&registry.gather()));
        Self { health, registry, samples: Mutex::new(VecDeque::from([start])) }
    }

    /// What is known at `now`; `clock` is the same instant for rates.
    pub(super) fn answer(&self, now: jiff::Timestamp, clock: Instant) -> Value {
        let families = self.registry.gather();
        let totals = totals(&families);
        let (since, before) = self.sampled(clock, totals);
        let seconds = clock.saturating_duration_since(since).as_secs_f64();
        let rates: Vec<Value> = TOTALS
            .iter()
            .zip(totals.iter().zip(before))
            .filter_map(|((name, _), (total, before))| {
                let total = (*total)?;
                let grown = (total - before.unwrap_or(0.0)).max(0.0);
                let rate = (seconds >= 1.0).then(|| grown / seconds);
                Some(json!({ "name": name, "total": total, "per_second": rate }))
            })
            .collect();
        let gauges: Vec<Value> = GAUGES
            .iter()
            .filter_map(|(name, metric)| {
                Some(json!({ "name": name, "value": sum(&families, metric)? }))
            })
            .collect();
        let parts = self.health.parts();
        let parts: Vec<Value> =
            parts.iter().map(|(name, up)| json!({ "name": name, "up": up })).collect();
        json!({
            "now": now.to_string(),
            "parts": parts,
            "rates": rates,
            "rates_over_seconds": seconds,
            "gauges": gauges,
        })
    }

    /// The totals that a rate is held against, and when they were; these are remembered.
    fn sampled(&self, now: Instant, totals: Totals) -> (Instant, Totals) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let old = |(at, _): &(Instant, Totals)| now.saturating_duration_since(*at) >= OVER;
        while samples.get(1).is_some_and(old) {
            samples.pop_front();
        }
        let due = samples.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= EVERY);
        let first = samples.front().copied().unwrap_or((now, totals));
        if due {
            samples.push_back((now, totals));
        }
        first
    }
}

fn totals(families: &[MetricFamily]) -> Totals {
    TOTALS.map(|(_, metric)| sum(families, &format!("{metric}_total")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_over_about_a_minute() {
        let registry = Registry::new();
        let read = prometheus::IntCounter::new("tidegate_records_in_total", "read").unwrap();
        registry.register(Box::new(read.clone())).unwrap();
        let start = Instant::now();
        let process = Process::new(Arc::default(), registry, start);
        let rate_after = |records: u64, seconds: u64| {
            read.inc_by(records);
            let now = start + Duration::from_secs(seconds);
            process.answer(jiff::Timestamp::UNIX_EPOCH, now)["rates"][0]["per_second"].clone()
        };
        for (records, at, expected) in [
            (0, 0, Value::Null),
            (100, 10, 10.0.into()),
            (0, 40, 2.5.into()),
            (0, 60, (100.0 / 60.0).into()),
            (600, 120, 10.0.into()),
        ] {
            assert_eq!(rate_after(records, at), expected, "{records} until {at} s");
        }
    }
}

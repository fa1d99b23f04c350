//! What the pipe says about itself: OpenTelemetry instruments, and notable events that are one
//! struct each with both their log line and their metric.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};
use schemas::Stage;

use crate::pipe::HopError;

/// Instruments of one pipeline, and the few numbers that readiness and summaries ask for.
#[derive(Debug)]
pub struct PipeEvents {
    pipeline: [KeyValue; 1],
    records_in: Counter<u64>,
    bytes_in: Counter<u64>,
    records_out: Counter<u64>,
    bytes_held: Counter<u64>,
    dead_letters: Counter<u64>,
    committed: Counter<u64>,
    commits: Counter<u64>,
    aborts: Counter<u64>,
    rewinds: Counter<u64>,
    rebalances: Counter<u64>,
    hop_ends: Counter<u64>,
    worker_failures: Counter<u64>,
    batch_rows: Histogram<u64>,
    score_seconds: Histogram<f64>,
    flush_seconds: Histogram<f64>,
    commit_seconds: Histogram<f64>,
    latency_seconds: Histogram<f64>,
    transaction_records: Histogram<u64>,
    queued_to_publish: Gauge<u64>,
    queued_to_score: Gauge<u64>,
    lag_records: Gauge<u64>,
    assigned_partitions: Gauge<u64>,
    withheld_partitions: Gauge<u64>,
    assigned_now: AtomicUsize,
    committed_now: AtomicU64,
    /// Partitions whose lag was told: a gauge keeps its last value for ever.
    lagging: Mutex<BTreeSet<i32>>,
}

impl PipeEvents {
    /// Instruments of `meter`, all labelled with the pipeline's name.
    #[must_use]
    pub fn new(meter: &Meter, pipeline: &str) -> Self {
        let counter = |name: &'static str, unit: &'static str, what: &'static str| {
            meter.u64_counter(name).with_unit(unit).with_description(what).build()
        };
        let seconds = |name: &'static str, what: &'static str| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_description(what)
                .with_boundaries(SECONDS.to_vec())
                .build()
        };
        let rows = |name: &'static str, what: &'static str| {
            meter
                .u64_histogram(name)
                .with_description(what)
                .with_boundaries((0..=17).map(|power| f64::from(1u32 << power)).collect())
                .build()
        };
        let gauge = |name: &'static str, what: &'static str| {
            meter.u64_gauge(name).with_description(what).build()
        };
        Self {
            pipeline: [KeyValue::new("pipeline", pipeline.to_owned())],
            records_in: counter(
                "tidegate_records_in",
                "{record}",
                "Records read from the input topic",
            ),
            bytes_in: counter(
                "tidegate_bytes_in",
                "By",
                "Bytes of records read from the input topic",
            ),
            records_out: counter(
                "tidegate_results",
                "{record}",
                "Results enqueued for the output topic",
            ),
            bytes_held: counter(
                "tidegate_batch_bytes",
                "By",
                "Bytes of scored batches: sources and results",
            ),
            dead_letters: counter(
                "tidegate_dead_letters",
                "{record}",
                "Records given up, by stage",
            ),
            committed: counter(
                "tidegate_records_committed",
                "{record}",
                "Input records whose outcome is committed",
            ),
            commits: counter("tidegate_commits", "{commit}", "Transactions committed"),
            aborts: counter("tidegate_aborts", "{abort}", "Transactions aborted and read again"),
            rewinds: counter(
                "tidegate_rewinds",
                "{rewind}",
                "Seeks back to the last committed position",
            ),
            rebalances: counter("tidegate_rebalances", "{change}", "Changes of the assignment"),
            hop_ends: counter(
                "tidegate_hop_failures",
                "{failure}",
                "Ends of hop 1 by an error, by kind",
            ),
            worker_failures: counter(
                "tidegate_worker_failures",
                "{failure}",
                "Batches of which a worker could handle no record",
            ),
            batch_rows: rows("tidegate_batch_rows", "Rows of a micro-batch"),
            score_seconds: seconds("tidegate_score_seconds", "A worker's time for a micro-batch"),
            flush_seconds: seconds(
                "tidegate_flush_seconds",
                "Waiting for acknowledgements in a commit",
            ),
            commit_seconds: seconds(
                "tidegate_commit_seconds",
                "A whole commit, from offsets to end",
            ),
            latency_seconds: seconds(
                "tidegate_latency_seconds",
                "From the timestamp of a commit's oldest record to its commit",
            ),
            transaction_records: rows(
                "tidegate_transaction_records",
                "Input records of a transaction",
            ),
            queued_to_publish: gauge(
                "tidegate_queued_to_publish",
                "Tickets waiting for the publisher",
            ),
            queued_to_score: gauge("tidegate_queued_to_score", "Batches waiting for a worker"),
            lag_records: gauge("tidegate_lag_records", "Records not yet read, by partition"),
            assigned_partitions: gauge(
                "tidegate_assigned_partitions",
                "Partitions this process owns",
            ),
            withheld_partitions: gauge(
                "tidegate_withheld_partitions",
                "Partitions that stand still: a transaction of the group ends neither way",
            ),
            assigned_now: AtomicUsize::new(0),
            committed_now: AtomicU64::new(0),
            lagging: Mutex::default(),
        }
    }

    /// Partitions owned now; readiness asks for at least one.
    #[must_use]
    pub fn assignment_size(&self) -> usize {
        self.assigned_now.load(Ordering::Relaxed)
    }

    /// Input records whose outcome was committed since the process started.
    #[must_use]
    pub fn committed_records(&self) -> u64 {
        self.committed_now.load(Ordering::Relaxed)
    }

    pub(crate) fn read(&self, rows: usize, bytes: usize) {
        self.records_in.add(rows as u64, &self.pipeline);
        self.bytes_in.add(bytes as u64, &self.pipeline);
        self.batch_rows.record(rows as u64, &self.pipeline);
    }

    pub(crate) fn scored(&self, took: Duration) {
        self.score_seconds.record(took.as_secs_f64(), &self.pipeline);
    }

    pub(crate) fn placed(&self, results: usize, bytes: usize) {
        self.records_out.add(results as u64, &self.pipeline);
        self.bytes_held.add(bytes as u64, &self.pipeline);
    }

    pub(crate) fn dead_letter(&self, stage: Stage) {
        self.dead_letters.add(1, &self.with("stage", stage.name()));
    }

    pub(crate) fn acknowledged(&self, records: usize) {
        self.committed_now.fetch_add(records as u64, Ordering::Relaxed);
        self.committed.add(records as u64, &self.pipeline);
    }

    /// A commit whose oldest record has this timestamp, if it has one.
    pub(crate) fn latency(&self, oldest_ms: Option<i64>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if let Some(oldest) = oldest_ms {
            // A producer's clock may be ahead of ours.
            let age_ms = (now.as_millis() as i64 - oldest).max(0);
            self.latency_seconds.record(age_ms as f64 / 1e3, &self.pipeline);
        }
    }

    pub(crate) fn queued(&self, to_publish: usize, to_score: usize) {
        self.queued_to_publish.record(to_publish as u64, &self.pipeline);
        self.queued_to_score.record(to_score as u64, &self.pipeline);
    }

    pub(crate) fn lag(&self, partition: i32, records: u64) {
        let labels = [self.pipeline[0].clone(), KeyValue::new("partition", i64::from(partition))];
        self.lag_records.record(records, &labels);
        self.lagging().insert(partition);
    }

    /// These partitions are not ours to lag behind in any more.
    pub(crate) fn released(&self, partitions: &[i32]) {
        for partition in partitions {
            if self.lagging().contains(partition) {
                self.lag(*partition, 0);
                self.lagging().remove(partition);
            }
        }
    }

    /// Nothing is owned, lags or is withheld: whatever the next run finds, it tells anew.
    pub(crate) fn run_ended(&self) {
        self.assigned(0);
        let lagging: Vec<i32> = self.lagging().iter().copied().collect();
        self.released(&lagging);
        self.withheld_partitions.record(0, &self.pipeline);
    }

    fn lagging(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.lagging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn assigned(&self, partitions: usize) {
        self.assigned_now.store(partitions, Ordering::Relaxed);
        self.assigned_partitions.record(partitions as u64, &self.pipeline);
    }

    fn with(&self, key: &'static str, value: &'static str) -> [KeyValue; 2] {
        [self.pipeline[0].clone(), KeyValue::new(key, value)]
    }
}

/// Bounds of the duration histograms: a commit takes about 10 ms.
const SECONDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// A transaction was committed.
pub(crate) struct Committed {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) open: Duration,
    pub(crate) flush: Duration,
    pub(crate) commit: Duration,
    pub(crate) whole: Duration,
    pub(crate) oldest_ms: Option<i64>,
}

impl Committed {
    pub(crate) fn emit(&self, events: &PipeEvents) {
        events.acknowledged(self.records);
        events.latency(self.oldest_ms);
        events.commits.add(1, &events.pipeline);
        events.flush_seconds.record(self.flush.as_secs_f64(), &events.pipeline);
        events.commit_seconds.record(self.whole.as_secs_f64(), &events.pipeline);
        events.transaction_records.record(self.records as u64, &events.pipeline);
        let Self { records, bytes, open, flush, commit, whole, oldest_ms: _ } = self;
        tracing::trace!(records, bytes, ?open, ?flush, ?commit, ?whole, "committed");
    }
}

/// A transaction was aborted; its records are read again.
pub(crate) struct Aborted<'e> {
    pub(crate) reason: &'e str,
    pub(crate) records: usize,
}

impl Aborted<'_> {
    pub(crate) fn emit(&self, events: &PipeEvents) {
        events.aborts.add(1, &events.pipeline);
        tracing::info!(
            reason = self.reason,
            records = self.records,
            "transaction aborted: reading again"
        );
    }
}

/// The source went back to what was committed.
pub(crate) struct Rewound {
    pub(crate) partitions: usize,
}

impl Rewound {
    pub(crate) fn emit(&self, events: &PipeEvents) {
        events.rewinds.add(1, &events.pipeline);
        tracing::debug!(partitions = self.partitions, "rewound");
    }
}

/// The assignment changed.
pub(crate) struct Rebalanced<'e> {
    pub(crate) what: &'static str,
    pub(crate) partitions: &'e [i32],
    pub(crate) owned: usize,
}

impl Rebalanced<'_> {
    pub(crate) fn emit(&self, events: &PipeEvents) {
        events.assigned(self.owned);
        events.rebalances.add(1, &events.with("change", self.what));
        let Self { what, partitions, owned } = self;
        tracing::info!(?partitions, owned, "partitions {what}");
    }
}

/// Committed offsets do not come, longer than any transaction of ours may stay open.
pub(crate) struct OffsetsWithheld<'e> {
    /// Empty: they came after all.
    pub(crate) partitions: &'e [i32],
    pub(crate) waited: Duration,
}

impl OffsetsWithheld<'_> {
    pub(crate) fn emit(&self, events: &PipeEvents) {
        let Self { partitions, waited } = self;
        events.withheld_partitions.record(partitions.len() as u64, &events.pipeline);
        if !partitions.is_empty() {
            tracing::error!(
                ?partitions,
                waited_s = waited.as_secs(),
                "the broker withholds the group's offsets: a transaction was neither committed nor \
                 aborted. Find it with `kafka-transactions.sh find-hanging` and end it with \
                 `kafka-transactions.sh abort`, on the output topic and on __consumer_offsets; then \
                 reading goes on, and nothing is lost or doubled"
            );
        }
    }
}

/// Partitions of a group's topic that no member owns, twice in a row.
pub(crate) struct NotOwned<'e> {
    pub(crate) group: &'e str,
    pub(crate) partitions: &'e BTreeSet<i32>,
}

impl NotOwned<'_> {
    pub(crate) fn emit(&self, asked: &Counter<u64>) {
        let Self { group, partitions } = self;
        asked.add(1, &[KeyValue::new("group", (*group).to_owned())]);
        tracing::warn!(
            group,
            ?partitions,
            "no member owns these partitions: asking for a rebalance"
        );
    }
}

/// A worker could handle none of a batch's records.
pub(crate) struct WorkerFailed<'e> {
    pub(crate) reason: &'e str,
    pub(crate) rows: usize,
}

impl WorkerFailed<'_> {
    pub(crate) fn emit(&self, events: &PipeEvents) {
        events.worker_failures.add(1, &events.pipeline);
        tracing::error!(reason = self.reason, rows = self.rows, "a worker failed");
    }
}

/// The hop ended by an error.
pub(crate) struct HopEnded<'e> {
    pub(crate) error: &'e HopError,
}

impl HopEnded<'_> {
    pub(crate) fn emit(&self, events: &PipeEvents) {
        let kind = match self.error {
            HopError::Config(_) => "config",
            HopError::Replaced(_) => "replaced",
            HopError::Retry(_) => "retry",
        };
        events.hop_ends.add(1, &events.with("kind", kind));
        tracing::warn!(kind, error = %self.error, "hop 1 ended");
    }
}

//! What hop 1 is told: topics, guarantee, bounds. And the memory that follows from it.

use std::sync::Arc;
use std::time::Duration;

use schemas::Originals;

use super::consumer::fetched_bytes;
use crate::connection::Connection;
use crate::properties::{Problem, Timeouts, check_properties};

/// Everything the pipe needs to know; plain data, checked by [`PipeConfig::check`].
#[derive(Clone, Debug)]
pub struct PipeConfig {
    /// Pipeline name: first half of the transactional id `<pipeline>-<instance>`.
    pub pipeline: String,
    /// Where and as whom.
    pub connection: Connection,
    /// Consumer group; all processes of a pipeline share it.
    pub group: String,
    /// Topic that is read.
    pub input: String,
    /// Topic of the results.
    pub output: String,
    /// Topic of what could not be scored.
    pub dead_letters: String,
    /// The guarantee.
    pub delivery: Delivery,
    /// When a micro-batch is cut.
    pub cutting: Cutting,
    /// When a transaction is committed.
    pub commit: Commit,
    /// Where the group begins at its very first start.
    pub start: Start,
    /// Whether it may begin there although the topics it writes to hold records already. Otherwise a
    /// group whose offsets were forgotten would score everything again, or skip what it missed.
    pub begin_anew: bool,
    /// Time-outs.
    pub timeouts: Timeouts,
    /// Which partition a result goes to.
    pub partitioner: Partitioner,
    /// Whether results carry the source's headers.
    pub carry_headers: bool,
    /// Whether results carry the source's timestamp instead of now. Retention then counts from the
    /// event: it may delete results before they were archived.
    pub carry_timestamp: bool,
    /// What dead letters carry of the original.
    pub originals: Originals,
    /// Whether a worker's words on why it failed go nowhere: they may quote a sensitive field.
    pub withhold_reasons: bool,
    /// Further headers of every dead letter: the model's name and version.
    pub dead_letter_headers: Vec<(String, String)>,
    /// Micro-batches between reading and producing: bounds memory and the work lost by a rewind.
    pub batches_in_flight: usize,
    /// librdkafka's buffer of fetched records, in KiB.
    pub fetch_kib: usize,
    /// librdkafka's queue of records to send, in KiB (payloads are ours; this bounds the backlog).
    pub produce_kib: usize,
    /// Longest that a worker may take for one batch: past it the worker hangs, and so would the hop.
    pub batch_limit: Duration,
    /// Called when a C call or a worker does not return; must end the process.
    pub on_stuck: StuckHook,
}

/// The delivery guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Kafka transactions: results, dead letters and offsets become visible together.
    ExactlyOnce,
    /// Idempotent producer, offsets committed after acknowledgement: lower latency, duplicates
    /// after a crash.
    AtLeastOnce,
}

/// When a micro-batch is cut: at the first of these, or at once when the source is drained and a
/// worker is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutting {
    /// Rows of a batch, at most 2^24.
    pub max_rows: usize,
    /// Bytes of a batch: keys, values and headers. One record may pass it.
    pub max_bytes: usize,
    /// How long the first record of a batch waits for others although a worker is free: an answer to a
    /// fetch comes partition by partition, and a batch of each would cost a call of the model and a
    /// request to Kafka.
    pub gather: Duration,
    /// Age of a batch's first record.
    pub max_delay: Duration,
}

/// When a transaction is committed: at the first of these, or when the source is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Longest time between commits while records come.
    pub interval: Duration,
    /// Shortest time between commits of a source that is drained again and again, and the longest that one
    /// waits for what could go along.
    pub quiet: Duration,
    /// Bytes (sources and results) in one transaction.
    pub max_bytes: usize,
}

/// Where a group begins that never committed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record that is still there.
    Earliest,
    /// With records that arrive from now on.
    Latest,
}

/// Which partition of the output topic a result goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitioner {
    /// Java's default: murmur2 of the key, in turns without one.
    Murmur2Random,
    /// The partition number of the source; the output topic needs at least as many.
    Same,
}

/// Called with the name of a call that did not return within its limit.
#[derive(Clone)]
pub struct StuckHook(pub Arc<dyn Fn(&'static str) + Send + Sync>);

impl std::fmt::Debug for StuckHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StuckHook")
    }
}

impl Default for Cutting {
    fn default() -> Self {
        Self {
            max_rows: 1024,
            max_bytes: 1 << 20,
            gather: Duration::from_micros(500),
            max_delay: Duration::from_millis(10),
        }
    }
}

impl Default for Commit {
    fn default() -> Self {
        // Above 100 ms a commit's ~10 ms no longer show; 32 MiB keep a backlog's flush short.
        Self {
            interval: Duration::from_millis(100),
            quiet: Duration::from_millis(20),
            max_bytes: 32 << 20,
        }
    }
}

impl PipeConfig {
    /// A configuration with the defaults of the product.
    #[must_use]
    pub fn new(
        pipeline: &str,
        connection: Connection,
        input: &str,
        output: &str,
        dead_letters: &str,
    ) -> Self {
        Self {
            pipeline: pipeline.into(),
            connection,
            group: pipeline.into(),
            input: input.into(),
            output: output.into(),
            dead_letters: dead_letters.into(),
            delivery: Delivery::ExactlyOnce,
            cutting: Cutting::default(),
            commit: Commit::default(),
            start: Start::Earliest,
            begin_anew: false,
            timeouts: Timeouts::default(),
            partitioner: Partitioner::Murmur2Random,
            carry_headers: false,
            carry_timestamp: false,
            originals: Originals::Keep,
            withhold_reasons: false,
            dead_letter_headers: Vec::new(),
            batches_in_flight: 16,
            fetch_kib: 16 << 10,
            produce_kib: 64 << 10,
            batch_limit: Duration::from_secs(600),
            on_stuck: StuckHook(Arc::new(|call| {
                tracing::error!(call, "a call does not return; aborting");
                std::process::abort();
            })),
        }
    }

    /// Whether results are handed over one by one (`rd_kafka_produceva`): the batch call takes neither
    /// headers nor timestamps.
    #[must_use]
    pub fn one_by_one(&self) -> bool {
        self.carry_headers || self.carry_timestamp
    }

    /// Everything that is wrong with it, at once.
    #[must_use]
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = check_properties(&self.connection.properties);
        problems.extend(self.timeouts.check());
        let mut limit = |key: &str, value: usize, low: usize, high: usize| {
            if !(low..=high).contains(&value) {
                problems.push(Problem {
                    key: key.into(),
                    value: value.to_string(),
                    problem: "out of range".into(),
                    fix: format!("{low} to {high} are accepted"),
                });
            }
        };
        limit("cutting.max_rows", self.cutting.max_rows, 1, 1 << 24);
        limit("cutting.max_bytes", self.cutting.max_bytes, 1, 1 << 30);
        limit("commit.max_bytes", self.commit.max_bytes, 1, 1 << 32);
        limit("batches_in_flight", self.batches_in_flight, 2, 4096);
        limit("fetch_kib", self.fetch_kib, 1, 2_097_151);
        limit("produce_kib", self.produce_kib, 1, 2_147_483_647);
        let millis = |time: Duration| usize::try_from(time.as_millis()).unwrap_or(usize::MAX);
        let most_ms = millis(self.timeouts.transaction) / 2;
        limit("commit.interval", millis(self.commit.interval), 1, most_ms);
        limit("commit.quiet", millis(self.commit.quiet), 0, most_ms);
        limit("cutting.gather", millis(self.cutting.gather), 0, DELAY_MAX_MS);
        limit("cutting.max_delay", millis(self.cutting.max_delay), 0, DELAY_MAX_MS);
        for (key, topic) in [("output", &self.output), ("dead_letters", &self.dead_letters)] {
            if *topic == self.input {
                problems.push(Problem {
                    key: key.into(),
                    value: topic.clone(),
                    problem: "is the input topic: results would be scored again".into(),
                    fix: "name another topic".into(),
                });
            }
        }
        problems
    }

    /// The most memory the hop holds for records, in bytes, whatever the lag.
    ///
    /// librdkafka's fetch buffer, one more fetch that may be under way for it, the batches in
    /// flight (source and result; a result is taken to be at most twice its source), one
    /// transaction's worth (its sources and results), and librdkafka's own queue entries.
    #[must_use]
    pub fn memory_bound_bytes(&self) -> u64 {
        let fetched = fetched_bytes(self.fetch_kib);
        let batch = (self.cutting.max_bytes * 3) as u64;
        // One read may bring a fetch buffer's worth of cut batches into hand.
        let in_flight =
            batch * (self.batches_in_flight as u64 + 2) + (self.fetch_kib as u64) * 1024;
        let transaction = self.commit.max_bytes as u64 + batch;
        fetched + in_flight + transaction + (self.produce_kib as u64) * 1024 + SEND_BYTES
    }

    /// How long the consumer's calls may take that wait for its offset commits. Those of a transaction have
    /// limits of their own; others are sent again until their coordinator is back, and a broker may be down
    /// for minutes.
    pub(super) fn commit_patience(&self) -> Duration {
        match self.delivery {
            Delivery::ExactlyOnce => self.timeouts.session * 2,
            Delivery::AtLeastOnce => self.timeouts.session * 2 + OUTAGE,
        }
    }

    /// What logs and dead letters may say of a worker's failure.
    pub(super) fn told<'r>(&self, reason: &'r str) -> &'r str {
        if self.withhold_reasons { WITHHELD } else { reason }
    }

    pub(super) fn transactional_id(&self) -> String {
        format!("{}-{}", self.pipeline, self.connection.instance)
    }
}

/// Longest that a record waits for others, in milliseconds.
const DELAY_MAX_MS: usize = 10_000;

/// An outage of a coordinator that is sat out.
const OUTAGE: Duration = Duration::from_secs(600);

/// In place of a worker's words.
const WITHHELD: &str = "its words are withheld, since the contract has sensitive fields";

/// Compressed requests on their way: five per partition leader, one batch each.
const SEND_BYTES: u64 = 5 << 20;

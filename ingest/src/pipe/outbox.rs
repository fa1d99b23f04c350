//! Turns a scored batch into records on their way: results in one call, dead letters one by one.
//!
//! Sizes are tested here, before the producer: what a topic would refuse becomes a dead letter.

use std::ffi::CString;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer;
use schemas::{Originals, ScoredBatch, Stage};

use super::config::{Delivery, Partitioner, PipeConfig};
use super::dead_letter::{self, record_bytes};
use super::shared::{Failure, Shared};
use crate::client::topic_name;
use crate::events::PipeEvents;
use crate::raw::{self, Headers, NotTaken, Opaque, Reports, Sender, Single, Value};

/// Largest records the two topics take, in bytes; none may be larger than the producer's queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) result_bytes: usize,
    pub(super) dead_letter_bytes: usize,
    /// Partitions of the output topic.
    pub(super) result_partitions: usize,
}

/// The producer with the batches it sends from.
pub(super) struct Outbox<'a> {
    pub(super) sender: Sender,
    config: &'a PipeConfig,
    limits: Limits,
    shared: &'a Shared,
    events: &'a PipeEvents,
}

const RESULTS: usize = 0;
const DEAD_LETTERS: usize = 1;
/// The partitioner chooses.
const ANY: i32 = -1;
/// One wait for outstanding records.
pub(super) const FLUSH_STEP: Duration = Duration::from_millis(5);

/// First pause before a refused request is tried again; it doubles up to a second.
const RETRY_MS: &str = "4";
/// Records of one request, librdkafka's default (`batch.num.messages`).
const BATCH_RECORDS: usize = 10_000;

/// What becomes of a batch's records, as indexes.
#[derive(Default)]
struct Plan {
    /// Results (indexes) for the batch call.
    together: Vec<u32>,
    /// Results that failed before: each gets a request of its own.
    alone: Vec<u32>,
    /// Rows for the dead letters.
    dead: Vec<Dead>,
}

/// A row for the dead letters.
struct Dead {
    row: u32,
    stage: Stage,
    reason: String,
    originals: Originals,
}

impl<'a> Outbox<'a> {
    pub(super) fn new(
        config: &'a PipeConfig,
        limits: Limits,
        shared: &'a Shared,
        events: &'a PipeEvents,
    ) -> Result<Self, Failure> {
        let producer = producer_config(config, limits)
            .create_with_context(Reports::default())
            .map_err(|error| Failure::Config(format!("the producer cannot be made: {error}")))?;
        let name = |topic: &str| topic_name(topic).map_err(Failure::Config);
        let topics: [CString; 2] = [name(&config.output)?, name(&config.dead_letters)?];
        Ok(Self { sender: Sender::new(producer, &topics), config, limits, shared, events })
    }

    /// Enqueues everything of a batch. Returns the bytes it keeps in memory.
    pub(super) fn place(&mut self, scored: ScoredBatch) -> Result<usize, Failure> {
        let (bytes, value_bytes) = (scored.bytes(), scored.values().len());
        let number = self.sender.hold(scored);
        let plan = self.plan(number);
        let only_results = plan.dead.is_empty();
        let results = plan.together.len() + plan.alone.len();
        self.act(number, plan)?;
        self.events.placed(results, bytes);
        let kept = if only_results { self.sender.forget_originals(number) } else { bytes };
        match self.config.delivery {
            Delivery::ExactlyOnce => self.pace(results, value_bytes)?,
            // Nobody waits for a request to fill: the next batch need not wait behind this one's.
            Delivery::AtLeastOnce => self.sender.end_turns(),
        }
        Ok(kept)
    }

    fn plan(&self, number: u64) -> Plan {
        let batch = self.sender.batch(number).expect("it was just held");
        let source = batch.source();
        let mut plan =
            Plan { together: Vec::with_capacity(batch.results().len()), ..Plan::default() };
        let memory = self.shared.memory();
        let suspected = !memory.is_clean();
        // Of a dead letter that failed too, only where the original lies is left.
        let dead = |row: u32, stage, reason, sent| {
            let record = source.records()[row as usize];
            let hopeless = suspected && memory.is_hopeless(record.partition, record.offset, sent);
            let originals =
                if hopeless { Originals::CoordinatesOnly } else { self.config.originals };
            Dead { row, stage, reason, originals }
        };
        for (index, result) in batch.results().iter().enumerate() {
            let record = source.records()[result.row as usize];
            let key = source.key(result.row as usize);
            let carried = match self.config.carry_headers {
                true => dead_letter::carried_bytes(source, result.row),
                false => 0,
            };
            let bytes = record_bytes(key, result.value.len as usize, &[]) + carried;
            let given_up =
                suspected.then(|| memory.given_up(record.partition, record.offset)).flatten();
            if bytes > self.limits.result_bytes {
                let reason = format!(
                    "the result takes {bytes} bytes, topic {:?} takes {} (its max.message.bytes, or \
                     memory.produce_kib)",
                    self.config.output, self.limits.result_bytes
                );
                plan.dead.push(dead(result.row, Stage::Produce, reason, false));
            } else if let Some(reason) = given_up {
                let reason = format!("failed three times: {reason}");
                plan.dead.push(dead(result.row, Stage::Produce, reason, true));
            } else if suspected && memory.is_alone(record.partition, record.offset) {
                plan.alone.push(index as u32);
            } else {
                plan.together.push(index as u32);
            }
        }
        for reject in batch.rejects() {
            plan.dead.push(dead(reject.row, reject.stage, reject.reason.clone(), false));
        }
        plan.dead.iter().for_each(|dead| self.events.dead_letter(dead.stage));
        plan
    }

    fn act(&mut self, number: u64, plan: Plan) -> Result<(), Failure> {
        if self.config.one_by_one() {
            for index in &plan.together {
                self.produce_carrying(number, *index)?;
            }
        } else if !plan.together.is_empty() {
            let keep_partition = self.config.partitioner == Partitioner::Same;
            let limit = self.config.timeouts.call;
            let taken =
                self.sender.produce_results(RESULTS, number, &plan.together, keep_partition, limit);
            taken.map_err(|failed| self.not_taken(&[failed]))?;
        }
        for index in &plan.alone {
            self.settle(self.config.timeouts.call)?;
            self.produce_carrying(number, *index)?;
            self.settle(self.config.timeouts.call)?;
        }
        for dead in &plan.dead {
            self.produce_dead_letter(number, dead)?;
        }
        Ok(())
    }

    fn produce_carrying(&mut self, number: u64, index: u32) -> Result<(), Failure> {
        let batch = self.sender.batch(number).expect("it is held while it is placed");
        let result = batch.results()[index as usize];
        let record = batch.source().records()[result.row as usize];
        let headers = match self.config.carry_headers {
            true => Headers::of(batch.source().headers(result.row as usize)),
            false => Headers::none(),
        };
        let single = Single {
            topic: RESULTS,
            partition: match self.config.partitioner {
                Partitioner::Murmur2Random => ANY,
                Partitioner::Same => record.partition,
            },
            row: result.row,
            value: Value::Result(result.value),
            timestamp_ms: if self.config.carry_timestamp { record.timestamp_ms.max(0) } else { 0 },
            headers,
            with_key: true,
        };
        let taken = self.sender.produce_single(number, single, self.config.timeouts.call);
        taken.map_err(|failed| self.not_taken(&[failed]))
    }

    fn produce_dead_letter(&mut self, number: u64, dead: &Dead) -> Result<(), Failure> {
        let batch = self.sender.batch(number).expect("it is held while it is placed");
        let Dead { row, stage, originals, .. } = *dead;
        let (extra, limit) = (&self.config.dead_letter_headers, self.limits.dead_letter_bytes);
        let letter =
            dead_letter::write(batch.source(), row, stage, &dead.reason, originals, extra, limit);
        let single = Single {
            topic: DEAD_LETTERS,
            partition: ANY,
            row,
            value: letter.value,
            timestamp_ms: 0,
            headers: Headers::of(
                letter.headers.iter().map(|(name, value)| (&name[..], value.as_deref())),
            ),
            with_key: letter.with_key,
        };
        let taken = self.sender.produce_single(number, single, self.config.timeouts.call);
        taken.map_err(|failed| self.not_taken(&[failed]))
    }

    /// Waits until librdkafka holds no more than one batch under way and half a batch waiting per
    /// partition. Beyond that its thread would only spin: an idempotent partition has one request
    /// under way at a time, and expired records behind it are looked at without a pause. More than a
    /// batch per partition in all means that some partition has a full one, so nothing waits for linger.
    fn pace(&mut self, results: usize, value_bytes: usize) -> Result<(), Failure> {
        // Without keys, so rather too small: the window is rather too large.
        let record_bytes = (value_bytes / results.max(1)).max(1);
        let per_batch = (raw::REQUEST_BYTES / record_bytes).clamp(1, BATCH_RECORDS);
        let window = self.limits.result_partitions.max(1) * per_batch * 3 / 2 + results;
        let begun = Instant::now();
        while self.sender.producer().in_flight_count() as usize > window {
            if begun.elapsed() > self.config.timeouts.call {
                let limit = self.config.timeouts.call;
                return Err(Failure::Retry(format!(
                    "records were not acknowledged within {limit:?}"
                )));
            }
            // Not the producer's own wait: below a millisecond it spins.
            std::thread::sleep(Duration::from_millis(1));
            self.serve()?;
        }
        Ok(())
    }

    /// Waits until nothing is outstanding, serving reports; `limit` passed or a failed report is a failure.
    pub(super) fn settle(&mut self, limit: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + limit;
        loop {
            self.serve()?;
            if raw::flush_step(self.sender.producer(), FLUSH_STEP) {
                return self.serve();
            }
            if Instant::now() >= deadline {
                return Err(Failure::Retry(format!(
                    "records were not acknowledged within {limit:?}"
                )));
            }
        }
    }

    /// Serves reports without waiting; a failed one is a failure.
    pub(super) fn serve(&mut self) -> Result<(), Failure> {
        let failed = self.sender.serve();
        if failed.is_empty() { Ok(()) } else { Err(self.not_taken(&failed)) }
    }

    /// Notes the records that are to blame themselves and says what the hop should do.
    fn not_taken(&self, failed: &[NotTaken]) -> Failure {
        let mut memory = self.shared.memory();
        for NotTaken { code, opaque: Opaque { number, row } } in failed {
            let Some(batch) = self.sender.batch(*number).filter(|_| blames_the_record(*code))
            else {
                continue;
            };
            let record = batch.source().records()[*row as usize];
            memory.note(record.partition, record.offset..record.offset + 1, &code.to_string());
        }
        let code = failed[0].code;
        let text = format!("{} records were not delivered, the first: {code}", failed.len());
        match code {
            RDKafkaErrorCode::Fenced | RDKafkaErrorCode::Fatal => Failure::Fenced(text),
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed => Failure::Config(text),
            _ => Failure::Retry(text),
        }
    }
}

/// Whether a delivery failed because of what is in the record (or in its request).
fn blames_the_record(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidTimestamp
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::BadMessage
    )
}

fn producer_config(config: &PipeConfig, limits: Limits) -> ClientConfig {
    let mut client = config.connection.producer();
    let millis = |duration: Duration| duration.as_millis().to_string();
    // One batch may not pass the smaller topic's limit; a single record may reach the larger one's.
    let smaller = limits.result_bytes.min(limits.dead_letter_bytes);
    let larger = limits.result_bytes.max(limits.dead_letter_bytes);
    client
        .set("acks", "all")
        .set("batch.size", smaller.clamp(1, raw::REQUEST_BYTES).to_string())
        .set("message.max.bytes", (larger + 1024).clamp(1000, 1_000_000_000).to_string())
        .set("queue.buffering.max.kbytes", config.produce_kib.to_string())
        .set("message.timeout.ms", millis(config.timeouts.transaction));
    if !config.connection.properties.contains_key("linger.ms") {
        client.set(
            "linger.ms",
            match config.delivery {
                // The commit's flush sends what waits; until then only full batches go.
                Delivery::ExactlyOnce => millis(config.commit.interval),
                Delivery::AtLeastOnce => "1".into(),
            },
        );
    }
    if !config.connection.properties.contains_key("retry.backoff.ms") {
        // A transaction that begins while the markers of the last one are being written is refused
        // and tried again: after 100 ms by default, which is a whole commit interval.
        client.set("retry.backoff.ms", RETRY_MS);
    }
    match config.delivery {
        Delivery::ExactlyOnce => client
            .set("transactional.id", config.transactional_id())
            .set("transaction.timeout.ms", millis(config.timeouts.transaction))
            // Successes are implied by the commit; only failures are worth an event each.
            .set("delivery.report.only.error", "true"),
        Delivery::AtLeastOnce => client.set("delivery.report.only.error", "false"),
    };
    client
}

//! Hop 2's source: membership in a group decides which partitions, the caller where they begin.
//!
//! Nothing is ever committed to the group. Every record read is handed over before the position
//! behind it is reported, so a position reported is a position whose records the sink has.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::{MicroBatch, failpoint};

use crate::client::topic_name;
use crate::connection::Connection;
use crate::pipe::{
    Closing, Fetching, Guard, HopError, Late, Rebalance, RebalanceContext, StuckHook, UNRESOLVED,
    Watch, fenced, fetched_bytes, join, refused,
};
use crate::properties::Timeouts;
use crate::raw::{Entry, ForwardQueue, Wake, cached_high_watermark};
use crate::stop::Stop;

/// What to read and as whom.
#[derive(Clone, Debug)]
pub struct ReaderConfig {
    /// Where and as whom.
    pub connection: Connection,
    /// Group for the assignment only.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// Rows of one batch, at most.
    pub max_rows: usize,
    /// librdkafka's buffer of fetched records, in KiB.
    pub fetch_kib: usize,
    /// How often the sink hears the time, positions without rows, and the lag.
    pub tick: Duration,
    /// Time-outs; the transactional ones are not used.
    pub timeouts: Timeouts,
    /// Called when a C call does not return; must end the process.
    pub on_stuck: StuckHook,
}

impl ReaderConfig {
    /// A configuration with the defaults of the product.
    #[must_use]
    pub fn new(connection: Connection, group: &str, topic: &str) -> Self {
        Self {
            connection,
            group: group.into(),
            topic: topic.into(),
            max_rows: 8192,
            fetch_kib: 16 << 10,
            tick: Duration::from_millis(200),
            // A slow store may hold the sink for a while.
            timeouts: Timeouts { poll_interval: Duration::from_secs(60), ..Timeouts::default() },
            on_stuck: StuckHook(Arc::new(|call| {
                tracing::error!(call, "a client call does not return; aborting");
                std::process::abort();
            })),
        }
    }

    /// The most memory the reader holds for records, in bytes: the fetch buffer, a fetch beyond it,
    /// and one batch.
    #[must_use]
    pub fn memory_bound_bytes(&self) -> u64 {
        fetched_bytes(self.fetch_kib) + (self.fetch_kib as u64) * 1024
    }
}

/// Records librdkafka tries to have at hand; the buffer's bound is the fetch buffer's.
const FETCH_RECORDS: usize = 20_000;
/// Longest sleep while nothing arrives.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// What the sink hears, in order.
#[derive(Debug)]
pub enum ReadEvent {
    /// Partitions came; their positions were asked for just before.
    Assigned(Vec<i32>),
    /// Records, in the order of each partition.
    Batch(MicroBatch),
    /// Everything before `position` was handed over; the last of it were aborted or control records.
    Position {
        /// Partition.
        partition: i32,
        /// First position not covered.
        position: i64,
    },
    /// Partitions go, after this event was handled.
    Revoked(Vec<i32>),
    /// Time has passed: how far each partition is.
    Tick(Vec<Progress>),
}

/// How far a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Partition.
    pub partition: i32,
    /// First position not handed over; `None` before the first.
    pub read: Option<i64>,
    /// End of the log as the last fetch said, what is in open transactions included; `None` before the first.
    pub end: Option<i64>,
}

/// Reads until `stop` or an error. `positions` says where an assigned partition begins (`None`: at
/// the oldest record); an error of it or of the sink ends the reading with that error.
///
/// Blocks; both closures are called on this thread only.
pub fn read(
    config: &ReaderConfig,
    positions: impl FnMut(i32) -> Result<Option<i64>, HopError>,
    sink: impl FnMut(ReadEvent) -> Result<(), HopError>,
    stop: &Stop,
) -> Result<(), HopError> {
    let name = topic_name(&config.topic).map_err(HopError::Config)?;
    let wake = Wake::new().map_err(|error| HopError::Retry(format!("eventfd: {error}")))?;
    let hook = config.on_stuck.clone();
    let (watch, _watching) = Watch::start(move |call, _| hook.0(call));
    let fetching = Fetching { topic: &config.topic, records: FETCH_RECORDS, kib: config.fetch_kib };
    let consumer = join(&config.connection, &config.group, &config.timeouts, &fetching)?;
    let closing = Closing(&consumer);
    let ended = {
        let queue = ForwardQueue::new(&consumer, &wake);
        let partitions = BTreeMap::new();
        let topic = Arc::from(config.topic.as_str());
        let mut reader = Reader {
            config,
            name,
            topic,
            consumer: &consumer,
            queue,
            partitions,
            usual: (0, 0),
            positions,
            sink,
            watch: &watch,
        };
        reader.run(stop, &wake)
    };
    let limit = config.timeouts.session * 2 + UNRESOLVED;
    let _guard = watch.enter("close of the reader", limit, Late::EndProcess);
    drop(closing);
    drop(consumer);
    ended
}

/// A call of the consumer's that has no limit of its own.
fn watched<'w>(watch: &'w Watch, call: &'static str, config: &ReaderConfig) -> Guard<'w> {
    watch.enter(call, config.timeouts.session * 2, Late::EndProcess)
}

struct Reader<'a, 'c, P, S> {
    config: &'a ReaderConfig,
    name: CString,
    topic: Arc<str>,
    consumer: &'c BaseConsumer<RebalanceContext>,
    queue: ForwardQueue<'c, RebalanceContext>,
    /// Partition → position handed over; `None` before the first.
    partitions: BTreeMap<i32, Option<i64>>,
    /// Rows and bytes of the last batch: the next one will be about as large.
    usual: (usize, usize),
    positions: P,
    sink: S,
    watch: &'a Watch,
}

impl<P, S> Reader<'_, '_, P, S>
where
    P: FnMut(i32) -> Result<Option<i64>, HopError>,
    S: FnMut(ReadEvent) -> Result<(), HopError>,
{
    fn run(&mut self, stop: &Stop, wake: &Wake) -> Result<(), HopError> {
        let mut ticked = Instant::now();
        while !stop.is_raised() {
            self.serve_events()?;
            let read = self.read()?;
            if ticked.elapsed() >= self.config.tick {
                ticked = Instant::now();
                self.report_positions()?;
                let progress = self.progress();
                (self.sink)(ReadEvent::Tick(progress))?;
            }
            if read == 0 {
                wake.wait(SLEEP_MAX.min(self.config.tick));
            }
        }
        // Everything read was handed over, so positions are what they seem.
        self.report_positions()
    }

    fn serve_events(&mut self) -> Result<(), HopError> {
        loop {
            let polled = self.consumer.poll(Duration::ZERO);
            let change = self.consumer.context().next();
            match polled {
                Some(Ok(_)) => {
                    return Err(HopError::Retry(
                        "a partition was read before it was forwarded".into(),
                    ));
                }
                Some(Err(error)) => self.on_error(&error)?,
                None if change.is_none() && !self.queue.has_events() => return Ok(()),
                None => {}
            }
            match change {
                None => {}
                Some((Rebalance::Assign(numbers), _)) => self.assign(numbers)?,
                Some((Rebalance::Revoke(numbers), list)) => {
                    self.partitions.retain(|number, _| !numbers.contains(number));
                    let handled = (self.sink)(ReadEvent::Revoked(numbers));
                    let guard = watched(self.watch, "release of partitions", self.config);
                    failpoint::pass("reader.handed_over");
                    // Also when the run fails: an unanswered revoke would keep it from closing.
                    let released = self.consumer.incremental_unassign(&list);
                    drop(guard);
                    handled?;
                    released.map_err(|error| {
                        HopError::Retry(format!("releasing partitions: {error}"))
                    })?;
                }
            }
        }
    }

    fn on_error(&self, error: &KafkaError) -> Result<(), HopError> {
        let ReaderConfig { topic, group, .. } = self.config;
        match error {
            KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId) => {
                Err(fenced(group, &self.config.connection.instance))
            }
            KafkaError::MessageConsumptionFatal(code) => {
                Err(HopError::Retry(format!("reading {topic:?} as group {group:?}: {code}")))
            }
            KafkaError::MessageConsumption(RDKafkaErrorCode::PollExceeded) => {
                let limit_ms = self.config.timeouts.poll_interval.as_millis() as u64;
                tracing::warn!(
                    topic,
                    limit_ms,
                    "away for longer than the group waits: partitions go to others"
                );
                Ok(())
            }
            error => {
                refused(error, topic, group)?;
                tracing::debug!(%error, "reader");
                Ok(())
            }
        }
    }

    fn assign(&mut self, numbers: Vec<i32>) -> Result<(), HopError> {
        let mut list = TopicPartitionList::new();
        for number in &numbers {
            let at = (self.positions)(*number)?.map_or(Offset::Beginning, Offset::Offset);
            self.queue.forward(&self.name, *number);
            list.add_partition_offset(&self.config.topic, *number, at)
                .map_err(|error| HopError::Retry(format!("partition {number}: {error}")))?;
        }
        let guard = watched(self.watch, "taking of partitions", self.config);
        self.consumer
            .incremental_assign(&list)
            .map_err(|error| HopError::Retry(format!("taking partitions {numbers:?}: {error}")))?;
        drop(guard);
        self.partitions.extend(numbers.iter().map(|number| (*number, None)));
        (self.sink)(ReadEvent::Assigned(numbers))
    }

    fn read(&mut self) -> Result<usize, HopError> {
        let (rows, bytes) = self.usual;
        let room = |usual: usize| usual + usual / 8;
        let mut batch = MicroBatch::with_capacity(Arc::clone(&self.topic), room(rows), room(bytes));
        let (partitions, config) = (&self.partitions, self.config);
        let read = self.queue.read(config.max_rows, |entry| match entry {
            Entry::Record(record) => {
                let (partition, offset) = (record.partition(), record.offset());
                if !partitions.contains_key(&partition) {
                    return Err(HopError::Retry(format!("partition {partition} is not assigned to us")));
                }
                batch
                    .push(partition, offset, record.timestamp_ms(), record.key(), record.value())
                    .map_err(|overlap| HopError::Retry(overlap.to_string()))?;
                record.headers(|name, value| batch.push_header(name, value));
                Ok(())
            }
            Entry::Error { partition, offset, code: RDKafkaErrorCode::AutoOffsetReset, text } => {
                Err(HopError::Config(format!(
                    "{}/{partition}: position {offset} is not in the log any more: retention has removed records \
                     that were not read, or the topic was made anew ({text}); start again to hear what can be done",
                    config.topic
                )))
            }
            Entry::Error { partition, offset, code, text } => {
                Err(HopError::Retry(format!("{}/{partition} at {offset}: {code} {text}", config.topic)))
            }
        })?;
        self.usual = (batch.len(), batch.bytes());
        if !batch.is_empty() {
            for (partition, extent) in batch.offsets().iter() {
                self.partitions.insert(partition, Some(extent.end));
            }
            (self.sink)(ReadEvent::Batch(batch))?;
        }
        Ok(read)
    }

    /// Positions that moved without rows. librdkafka's position covers whole batch reads, and each
    /// of those was handed over before.
    fn report_positions(&mut self) -> Result<(), HopError> {
        let Ok(list) = self.consumer.position() else { return Ok(()) };
        for each in list.elements_for_topic(&self.config.topic) {
            let (partition, Offset::Offset(position)) = (each.partition(), each.offset()) else {
                continue;
            };
            match self.partitions.get_mut(&partition) {
                Some(known) if known.is_none_or(|known| known < position) => {
                    *known = Some(position);
                    (self.sink)(ReadEvent::Position { partition, position })?;
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    fn progress(&self) -> Vec<Progress> {
        let progress = |(&partition, &read): (&i32, &Option<i64>)| {
            let end = cached_high_watermark(self.consumer, &self.name, partition);
            Progress { partition, read, end }
        };
        self.partitions.iter().map(progress).collect()
    }
}

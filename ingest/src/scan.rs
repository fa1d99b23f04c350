//! Reads a whole topic, from the oldest record to an end that is fixed when the scan begins,
//! without a group. Several partitions interleave; each keeps its order.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::MicroBatch;

use crate::admin::{AdminError, PartitionInfo, topic_info};
use crate::client::{Quiet, topic_name};
use crate::connection::{Connection, Kind};
use crate::raw::{Entry, ForwardQueue, Wake};
use crate::stop::Stop;

/// What to read and how.
#[derive(Clone, Debug)]
pub struct ScanConfig {
    /// Where.
    pub connection: Connection,
    /// Topic.
    pub topic: String,
    /// Whether records of open and aborted transactions are left out.
    pub read_committed: bool,
    /// Partition → first position to read, where not the oldest.
    pub from: BTreeMap<i32, i64>,
    /// Rows of one callback, at most.
    pub max_rows: usize,
    /// Longest time without any progress before the scan fails.
    pub patience: Duration,
    /// Whether to go on past the ends, until stopped.
    pub follow: bool,
}

impl ScanConfig {
    /// Everything committed in `topic`, in batches of 8192 rows.
    #[must_use]
    pub fn new(connection: Connection, topic: &str) -> Self {
        Self {
            connection,
            topic: topic.into(),
            read_committed: true,
            from: BTreeMap::new(),
            max_rows: 8192,
            patience: Duration::from_secs(30),
            follow: false,
        }
    }
}

/// Why a scan ended early.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The topic cannot be described.
    #[error(transparent)]
    Topic(#[from] AdminError),
    /// Reading failed.
    #[error("reading {topic:?}: {reason}")]
    Read {
        /// The topic.
        topic: String,
        /// What the client said.
        reason: String,
    },
    /// The callback gave up.
    #[error(transparent)]
    Sink(Box<dyn std::error::Error + Send + Sync>),
    /// Asked to stop.
    #[error("stopped before the end")]
    Stopped,
}

/// Reads every record up to the ends seen at the beginning (with `follow` until `stop`); returns
/// what was there at the beginning per partition.
///
/// With `read_committed` the end is the last stable offset: an open transaction is not waited for.
pub fn scan(
    config: &ScanConfig,
    stop: &Stop,
    mut sink: impl FnMut(MicroBatch) -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
) -> Result<Vec<PartitionInfo>, ScanError> {
    let failed = |reason: String| ScanError::Read { topic: config.topic.clone(), reason };
    let info = topic_info(&config.connection, &config.topic, config.patience)?;
    let wake = Wake::new().map_err(|error| failed(format!("eventfd: {error}")))?;
    let consumer: BaseConsumer<Quiet> = config
        .connection
        .client(Kind::Consumer)
        // The batch queue needs the consumer's group machinery; nothing is ever joined or committed.
        .set("group.id", format!("tidegate-scan-{}", config.connection.instance))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set(
            "isolation.level",
            if config.read_committed { "read_committed" } else { "read_uncommitted" },
        )
        .set("queued.min.messages", "50000")
        .set("queued.max.messages.kbytes", "32768")
        .set("fetch.queue.backoff.ms", "2")
        .set("fetch.wait.max.ms", "20")
        .create_with_context(Quiet)
        .map_err(|error| failed(error.to_string()))?;
    let name = topic_name(&config.topic).map_err(failed)?;
    let queue = ForwardQueue::new(&consumer, &wake);
    let mut scan =
        Scan::begin(config, &info.partitions, &consumer, queue, &name).map_err(failed)?;
    let mut progress = Instant::now();
    while !scan.is_done() {
        if stop.is_raised() {
            return if config.follow { Ok(info.partitions) } else { Err(ScanError::Stopped) };
        }
        match scan.read().map_err(failed)? {
            Read::Nothing if !config.follow && progress.elapsed() > config.patience => {
                let left = scan.open.keys().collect::<Vec<_>>();
                return Err(failed(format!(
                    "no progress for {:?}; partitions {left:?} are not at their end",
                    config.patience
                )));
            }
            Read::Nothing => {
                // Only events: errors of the connection are logged, librdkafka goes on trying.
                let _ = consumer.poll(Duration::ZERO);
                wake.wait(Duration::from_millis(50));
            }
            Read::Progress(batch) => {
                progress = Instant::now();
                if !batch.is_empty() {
                    sink(batch).map_err(ScanError::Sink)?;
                }
            }
        }
    }
    Ok(info.partitions)
}

struct Scan<'c, 'n> {
    queue: ForwardQueue<'c, Quiet>,
    consumer: &'c BaseConsumer<Quiet>,
    topic: &'n str,
    shared_name: Arc<str>,
    max_rows: usize,
    /// Partitions not at their end yet → that end.
    open: BTreeMap<i32, i64>,
}

enum Read {
    Nothing,
    Progress(MicroBatch),
}

impl<'c, 'n> Scan<'c, 'n> {
    fn begin(
        config: &'n ScanConfig,
        partitions: &[PartitionInfo],
        consumer: &'c BaseConsumer<Quiet>,
        queue: ForwardQueue<'c, Quiet>,
        name: &CString,
    ) -> Result<Self, String> {
        let (mut list, mut open) = (TopicPartitionList::new(), BTreeMap::new());
        for each in partitions {
            let from =
                config.from.get(&each.partition).map_or(each.low, |from| (*from).max(each.low));
            // A log that is followed has no end.
            let end = if config.follow { i64::MAX } else { each.high };
            if from < end {
                queue.forward(name, each.partition);
                list.add_partition_offset(&config.topic, each.partition, Offset::Offset(from))
                    .map_err(|error| error.to_string())?;
                open.insert(each.partition, end);
            }
        }
        consumer.assign(&list).map_err(|error| error.to_string())?;
        // Assigning undoes forwarding where a partition was known before: do it again.
        open.keys().for_each(|partition| queue.forward(name, *partition));
        let shared_name = Arc::from(config.topic.as_str());
        Ok(Self {
            queue,
            consumer,
            topic: &config.topic,
            shared_name,
            max_rows: config.max_rows,
            open,
        })
    }

    fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    fn read(&mut self) -> Result<Read, String> {
        let mut batch = MicroBatch::with_capacity(self.shared_name.clone(), self.max_rows, 0);
        let mut ended = Vec::new();
        let open = &self.open;
        let read = self.queue.read(self.max_rows, |entry| match entry {
            Entry::Record(record) => {
                let (partition, offset) = (record.partition(), record.offset());
                let Some(end) = open.get(&partition) else { return Ok(()) };
                if offset + 1 >= *end {
                    ended.push(partition);
                }
                if offset >= *end {
                    return Ok(());
                }
                batch
                    .push(partition, offset, record.timestamp_ms(), record.key(), record.value())
                    .map_err(|overlap| overlap.to_string())?;
                record.headers(|name, value| batch.push_header(name, value));
                Ok(())
            }
            Entry::Error { partition, code: RDKafkaErrorCode::PartitionEOF, .. } => {
                if open.get(&partition).is_some_and(|end| *end < i64::MAX) {
                    ended.push(partition);
                }
                Ok(())
            }
            Entry::Error { partition, offset, code, text } => {
                Err(format!("partition {partition} at {offset}: {code} {text}"))
            }
        })?;
        for partition in ended {
            if self.open.remove(&partition).is_some() {
                let mut list = TopicPartitionList::new();
                list.add_partition(self.topic, partition);
                // Only to spare the broker; a failure costs nothing.
                let _ = self.consumer.pause(&list);
            }
        }
        Ok(if read == 0 { Read::Nothing } else { Read::Progress(batch) })
    }
}

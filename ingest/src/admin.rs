//! Topics as the broker describes them, and creating them.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::client::{Quiet, topic_name};
use crate::connection::{Connection, Kind};
use crate::raw;

/// What is known of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Kafka's cluster id.
    pub cluster_id: String,
    /// Topic name.
    pub topic: String,
    /// Kafka's topic id, base64; empty where the broker knows none (the mock broker).
    pub topic_id: String,
    /// Partitions, ascending.
    pub partitions: Vec<PartitionInfo>,
    /// Largest record batch it takes, in bytes (`max.message.bytes`).
    pub max_message_bytes: usize,
    /// Age at which records may be deleted, ms; `None` is for ever or unknown (`retention.ms`).
    pub retention_ms: Option<i64>,
    /// `delete`, `compact` or both (`cleanup.policy`); empty where unknown.
    pub cleanup_policy: String,
}

/// The log of one partition: `low..high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Partition number.
    pub partition: i32,
    /// First position that is still there.
    pub low: i64,
    /// End of the log.
    pub high: i64,
}

/// What may have changed in a topic since it was described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicNow {
    /// Kafka's cluster id.
    pub cluster_id: String,
    /// Kafka's topic id; see [`TopicInfo::topic_id`].
    pub topic_id: String,
    /// Ends of the logs that were asked for, of as many partitions as answered in time.
    pub ends: BTreeMap<i32, i64>,
}

/// Why a topic could not be described or created.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The brokers did not answer; they may later.
    #[error("no answer from the brokers {0}")]
    Unreachable(String),
    /// There is no such topic.
    #[error("topic {0:?} does not exist: create it")]
    NoTopic(String),
    /// The brokers answered no.
    #[error("{0}")]
    Refused(String),
}

impl TopicInfo {
    /// Says why nothing of ours may be written to a compacted topic: it refuses records without a key,
    /// and of those with one it keeps the newest only.
    pub fn refuse_compaction(&self) -> Result<(), String> {
        let policy = &self.cleanup_policy;
        if !policy.split(',').any(|each| each.trim() == "compact") {
            return Ok(());
        }
        Err(format!(
            "topic {:?} has cleanup.policy = {policy:?}: it refuses records without a key and keeps one of \
             each key; set cleanup.policy=delete, or name another topic",
            self.topic
        ))
    }
}

impl AdminError {
    /// Says which brokers did not answer.
    fn naming(self, connection: &Connection) -> Self {
        match self {
            Self::Unreachable(reason) => {
                Self::Unreachable(format!("{}: {reason}", connection.brokers))
            }
            error => error,
        }
    }
}

/// A topic to create. Replication −1 and no settings take the broker's defaults.
#[derive(Clone, Debug)]
pub struct CreateTopic {
    /// Topic name.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Replicas of each; −1 is the broker's default.
    pub replication: i32,
    /// Topic settings (`retention.ms`, `max.message.bytes`, …).
    pub settings: Vec<(String, String)>,
}

/// Broker's default of `max.message.bytes`: assumed where it does not say (the mock broker).
const MAX_MESSAGE_BYTES_DEFAULT: usize = 1_048_588;

/// How librdkafka's mock broker begins its cluster id; it never answers what is asked of topics
/// beyond their partitions.
const MOCK_CLUSTER: &str = "mockCluster";

/// Describes `topic`; each question to the brokers waits at most `limit`.
pub fn topic_info(
    connection: &Connection,
    topic: &str,
    limit: Duration,
) -> Result<TopicInfo, AdminError> {
    describe(connection, topic, limit).map_err(|error| error.naming(connection))
}

fn describe(
    connection: &Connection,
    topic: &str,
    limit: Duration,
) -> Result<TopicInfo, AdminError> {
    let name = topic_name(topic).map_err(AdminError::Refused)?;
    let admin = admin(connection)?;
    let client = admin.inner();
    let metadata =
        client.fetch_metadata(Some(topic), limit).map_err(|error| unreachable(&error))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.ok_or_else(|| AdminError::NoTopic(topic.into()))?;
    if let Some(error) = found.error() {
        return Err(match RDKafkaErrorCode::from(error) {
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                AdminError::NoTopic(topic.into())
            }
            RDKafkaErrorCode::LeaderNotAvailable => {
                AdminError::Unreachable(format!("{topic:?} has no leader yet"))
            }
            code => AdminError::Refused(format!("topic {topic:?}: {code}")),
        });
    }
    let mut partitions = Vec::new();
    for partition in found.partitions() {
        let (low, high) = watermarks(client, topic, partition.id(), limit)?;
        partitions.push(PartitionInfo { partition: partition.id(), low, high });
    }
    partitions.sort_by_key(|each| each.partition);
    let cluster_id = cluster_id(client, limit)?;
    let mock = is_mock_id(&cluster_id);
    let settings = if mock { Vec::new() } else { settings(&admin, topic, limit) };
    let topic_id = if mock { String::new() } else { topic_id(client, &name, limit)? };
    let setting = |name: &str| {
        settings.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    };
    Ok(TopicInfo {
        cluster_id,
        topic: topic.into(),
        topic_id,
        partitions,
        max_message_bytes: setting("max.message.bytes")
            .and_then(|value| value.parse().ok())
            .unwrap_or(MAX_MESSAGE_BYTES_DEFAULT),
        retention_ms: setting("retention.ms")
            .and_then(|value| value.parse().ok())
            .filter(|ms| *ms >= 0),
        cleanup_policy: setting("cleanup.policy").unwrap_or_default().into(),
    })
}

/// Asks which topic `topic` is by now, and where the logs of `partitions` end: those that do not answer by
/// `within` from now are left out.
pub fn topic_now(
    connection: &Connection,
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
    within: Duration,
) -> Result<TopicNow, AdminError> {
    now(connection, topic, partitions, within).map_err(|error| error.naming(connection))
}

fn now(
    connection: &Connection,
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
    within: Duration,
) -> Result<TopicNow, AdminError> {
    let until = Instant::now() + within;
    let left = || until.saturating_duration_since(Instant::now());
    let name = topic_name(topic).map_err(AdminError::Refused)?;
    let admin = admin(connection)?;
    let client = admin.inner();
    let cluster_id = cluster_id(client, left())?;
    let mock = is_mock_id(&cluster_id);
    let topic_id = if mock { String::new() } else { topic_id(client, &name, left())? };
    let mut ends = BTreeMap::new();
    for partition in partitions {
        // One that does not answer leaves time for others.
        let limit = left().min(within / 3);
        if limit.is_zero() {
            break;
        }
        let answer = watermarks(client, topic, partition, limit);
        ends.extend(answer.map(|(_, high)| (partition, high)));
    }
    Ok(TopicNow { cluster_id, topic_id, ends })
}

fn cluster_id(client: &Client<Quiet>, limit: Duration) -> Result<String, AdminError> {
    let id = client.fetch_cluster_id(limit);
    id.ok_or_else(|| AdminError::Unreachable("the cluster id is not known".into()))
}

/// Without it a topic that was made anew would pass for the one before.
fn topic_id(
    client: &Client<Quiet>,
    topic: &CString,
    limit: Duration,
) -> Result<String, AdminError> {
    raw::describe_topic_id(client, topic, limit)
        .map_err(|reason| AdminError::Unreachable(format!("the id of topic {topic:?}: {reason}")))
}

/// Creates a topic; one that exists already is refused.
pub fn create_topic(
    connection: &Connection,
    topic: &CreateTopic,
    limit: Duration,
) -> Result<(), AdminError> {
    let admin = admin(connection)?;
    let mut new =
        NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(topic.replication));
    for (name, value) in &topic.settings {
        new = new.set(name, value);
    }
    let created = block_on(admin.create_topics([&new], &options(limit)))
        .map_err(|error| unreachable(&error))?;
    for result in created {
        result.map_err(|(name, code)| {
            AdminError::Refused(format!("topic {name:?} was not created: {code}"))
        })?;
    }
    // The answer comes before every broker knows it.
    let until = Instant::now() + limit;
    while Instant::now() < until {
        match topic_info(connection, &topic.name, limit) {
            Ok(_) => return Ok(()),
            Err(AdminError::Refused(reason)) => return Err(AdminError::Refused(reason)),
            Err(AdminError::NoTopic(_) | AdminError::Unreachable(_)) => {
                thread::sleep(Duration::from_millis(50))
            }
        }
    }
    Err(AdminError::Unreachable(format!(
        "topic {:?} was created and is not known everywhere yet",
        topic.name
    )))
}

/// Offsets that `group` has committed, by partition; partitions without one are left out.
pub fn committed(
    connection: &Connection,
    group: &str,
    topic: &str,
    partitions: &[i32],
    limit: Duration,
) -> Result<BTreeMap<i32, i64>, AdminError> {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let consumer: BaseConsumer<Quiet> = connection
        .client(Kind::Consumer)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        // Read uncommitted: an offset inside an open transaction would be waited for.
        .set("isolation.level", "read_uncommitted")
        .create_with_context(Quiet)
        .map_err(|error| AdminError::Refused(format!("the consumer cannot be made: {error}")))?;
    let mut asked = TopicPartitionList::new();
    for partition in partitions {
        asked.add_partition(topic, *partition);
    }
    let known = consumer.committed_offsets(asked, limit).map_err(|error| unreachable(&error))?;
    let elements = known.elements();
    let found = elements.iter().filter_map(|each| match each.offset() {
        Offset::Offset(at) => Some((each.partition(), at)),
        _ => None,
    });
    Ok(found.collect())
}

/// Whether librdkafka's mock broker is at the other end; `None` when nobody answers.
pub(crate) fn is_mock(client: &Client<Quiet>, limit: Duration) -> Option<bool> {
    client.fetch_cluster_id(limit).map(|id| is_mock_id(&id))
}

fn is_mock_id(cluster_id: &str) -> bool {
    cluster_id.starts_with(MOCK_CLUSTER)
}

/// A client that asks and administers.
pub(crate) fn admin(connection: &Connection) -> Result<AdminClient<Quiet>, AdminError> {
    use rdkafka::config::FromClientConfigAndContext;
    AdminClient::from_config_and_context(&connection.client(Kind::Admin), Quiet)
        .map_err(|error| AdminError::Refused(format!("the client cannot be made: {error}")))
}

fn options(limit: Duration) -> AdminOptions {
    AdminOptions::new().request_timeout(Some(limit)).operation_timeout(Some(limit))
}

fn unreachable(error: &KafkaError) -> AdminError {
    AdminError::Unreachable(error.to_string())
}

/// The partition's log; a leader election is waited out.
fn watermarks(
    client: &Client<Quiet>,
    topic: &str,
    partition: i32,
    limit: Duration,
) -> Result<(i64, i64), AdminError> {
    let until = Instant::now() + limit;
    loop {
        match client.fetch_watermarks(topic, partition, limit) {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() >= until => {
                return Err(AdminError::Unreachable(format!(
                    "{topic:?} partition {partition}: {error}"
                )));
            }
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// The topic's settings; empty where the broker does not tell (rights, the mock broker).
fn settings(admin: &AdminClient<Quiet>, topic: &str, limit: Duration) -> Vec<(String, String)> {
    let asked = [ResourceSpecifier::Topic(topic)];
    let described = block_on(admin.describe_configs(asked.iter(), &options(limit)));
    let resource = described.ok().and_then(|all| all.into_iter().next()).and_then(Result::ok);
    let entries = resource.map(|resource| resource.entries).unwrap_or_default();
    entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect()
}

/// Waits on this thread: admin calls are rare and the client has its own thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

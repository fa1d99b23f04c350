//! A consumer that is a named member of a group: who it is there, and how much it may buffer.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::hop::HopError;
use super::rebalance::RebalanceContext;
use crate::connection::{Connection, Kind};
use crate::properties::Timeouts;

/// What a member reads, and how far ahead.
pub(crate) struct Fetching<'a> {
    /// Topic.
    pub(crate) topic: &'a str,
    /// Records librdkafka tries to have at hand.
    pub(crate) records: usize,
    /// Its buffer's bound, KiB.
    pub(crate) kib: usize,
}

/// What one fetch response may bring beyond the buffer's bound.
pub(crate) const FETCH_BYTES: u64 = 8 << 20;

/// A consumer that has asked to join the group under its instance's name.
pub(crate) fn join(
    connection: &Connection,
    group: &str,
    timeouts: &Timeouts,
    fetching: &Fetching<'_>,
) -> Result<BaseConsumer<RebalanceContext>, HopError> {
    let mut client = member(connection, group, timeouts.session);
    let millis = |duration: Duration| duration.as_millis().to_string();
    client
        .set("group.instance.id", &connection.instance)
        .set("heartbeat.interval.ms", millis(timeouts.heartbeat))
        .set("max.poll.interval.ms", millis(timeouts.poll_interval))
        .set("queued.min.messages", fetching.records.to_string())
        .set("queued.max.messages.kbytes", fetching.kib.to_string())
        // After a full queue librdkafka waits this long before it fetches again: 1 s stalls otherwise.
        .set("fetch.queue.backoff.ms", "2")
        .set("fetch.max.bytes", FETCH_BYTES.to_string());
    let ours_unless_set = [
        ("fetch.wait.max.ms", "100"),
        ("fetch.error.backoff.ms", "100"),
        // A partition added to the topic is read from within a minute.
        ("topic.metadata.refresh.interval.ms", "60000"),
    ];
    for (name, value) in ours_unless_set {
        if !connection.properties.contains_key(name) {
            client.set(name, value);
        }
    }
    subscribed(&client, fetching.topic)
}

/// What all members of our groups agree on.
pub(crate) fn member(connection: &Connection, group: &str, session: Duration) -> ClientConfig {
    let mut client = connection.client(Kind::Consumer);
    client
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", session.as_millis().to_string());
    client
}

/// Makes the consumer and lets it join.
pub(crate) fn subscribed(
    client: &ClientConfig,
    topic: &str,
) -> Result<BaseConsumer<RebalanceContext>, HopError> {
    let consumer: BaseConsumer<RebalanceContext> = client
        .create_with_context(RebalanceContext::default())
        .map_err(|error| HopError::Config(format!("the consumer cannot be made: {error}")))?;
    consumer
        .subscribe(&[topic])
        .map_err(|error| HopError::Retry(format!("subscribing to {topic:?}: {error}")))?;
    Ok(consumer)
}

//! The consumer's configuration: who it is in the group, and how much it may buffer.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::config::{FETCH_BYTES, PipeConfig};
use super::hop::HopError;
use super::rebalance::RebalanceContext;
use crate::connection::Kind;

/// A consumer that has asked to join the group.
pub(super) fn join(config: &PipeConfig) -> Result<BaseConsumer<RebalanceContext>, HopError> {
    let millis = |duration: Duration| duration.as_millis().to_string();
    let mut client = config.connection.client(Kind::Consumer);
    client
        .set("group.id", &config.group)
        .set("group.instance.id", &config.connection.instance)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", millis(config.timeouts.session))
        .set("heartbeat.interval.ms", millis(config.timeouts.heartbeat))
        .set("max.poll.interval.ms", millis(config.timeouts.poll_interval))
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", config.fetch_kib.to_string())
        // After a full queue librdkafka waits this long before it fetches again: 1 s stalls otherwise.
        .set("fetch.queue.backoff.ms", "2")
        .set("fetch.max.bytes", FETCH_BYTES.to_string());
    let ours_unless_set = [
        ("fetch.wait.max.ms", "100"),
        ("fetch.error.backoff.ms", "100"),
        // A partition added to the input is read from within a minute.
        ("topic.metadata.refresh.interval.ms", "60000"),
    ];
    for (name, value) in ours_unless_set {
        if !config.connection.properties.contains_key(name) {
            client.set(name, value);
        }
    }
    let consumer: BaseConsumer<RebalanceContext> = client
        .create_with_context(RebalanceContext::default())
        .map_err(|error| HopError::Config(format!("the consumer cannot be made: {error}")))?;
    consumer
        .subscribe(&[&config.input])
        .map_err(|error| HopError::Retry(format!("subscribing to {:?}: {error}", config.input)))?;
    Ok(consumer)
}

//! A consumer that is a named member of a group: who it is there, and how much it may buffer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::hop::HopError;
use super::rebalance::RebalanceContext;
use crate::client::since_cut_off;
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

/// What one answer of a broker may bring, as it comes over the wire: an eighth of the buffer, from
/// 1 MiB (librdkafka's least for the default `message.max.bytes`) to 8 MiB.
///
/// It is the answer at hand that a consumer's memory peaks at: unpacked it is several times as
/// large, and librdkafka keeps 430 bytes beside each record.
fn answer_bytes(kib: usize) -> u64 {
    ((kib as u64) << 7).clamp(1 << 20, 8 << 20)
}

/// The most memory of a consumer in bytes: twice its buffer (what is handed over waits to be copied),
/// and an answer that is being unpacked, with librdkafka's entries sixteen times as large.
pub(crate) fn fetched_bytes(kib: usize) -> u64 {
    2 * ((kib as u64) << 10) + 16 * answer_bytes(kib)
}

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
        .set("fetch.max.bytes", answer_bytes(fetching.kib).to_string())
        // Of one partition, so that an answer is not that of the first ones alone.
        .set("fetch.message.max.bytes", (answer_bytes(fetching.kib) / 8).to_string());
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

/// Refusals that no patience helps against; librdkafka goes on asking.
pub(crate) fn refused(error: &KafkaError, topic: &str, group: &str) -> Result<(), HopError> {
    let KafkaError::MessageConsumption(code) = error else { return Ok(()) };
    let fix = match code {
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed => {
            "grant the access"
        }
        RDKafkaErrorCode::InvalidSessionTimeout => {
            "set kafka.session_timeout_ms between the brokers' group.min.session.timeout.ms and \
             group.max.session.timeout.ms"
        }
        RDKafkaErrorCode::InconsistentGroupProtocol => {
            "other programs are in this group, with another way to share partitions: end them, or name \
             another pipeline"
        }
        RDKafkaErrorCode::InvalidGroupId => "name another pipeline",
        RDKafkaErrorCode::GroupMaxSizeReached => "raise the brokers' group.max.size, or run fewer",
        _ => return Ok(()),
    };
    let text = format!("reading {topic:?} as group {group:?}: {code}: {fix}");
    Err(match code {
        // One of them may leave.
        RDKafkaErrorCode::GroupMaxSizeReached => HopError::Retry(text),
        _ => HopError::Config(text),
    })
}

/// What closing may take beside its calls: it joins librdkafka's threads, and one may be asking for a broker's
/// name where nobody answers (by the resolver's defaults two times 5 s of each of three servers).
pub(crate) const UNRESOLVED: Duration = Duration::from_secs(30);

/// What it means that the group knows another member of this name.
///
/// A broker that dies between the two steps of a join has forgotten the member id that it gave out in the
/// first: back again, it takes the member that has it for a twin of the one before. So soon after an outage
/// the member joins anew, once; if there is a twin, that one is replaced.
pub(crate) fn fenced(group: &str, instance: &str) -> HopError {
    let mut joined_anew = JOINED_ANEW_AT.lock().unwrap_or_else(PoisonError::into_inner);
    let before = joined_anew.get(group).is_some_and(|at| at.elapsed() < ONCE_IN);
    if before || since_cut_off().is_none_or(|since| since >= FORGETFUL) {
        return HopError::Replaced(instance.to_owned());
    }
    joined_anew.insert(group.to_owned(), Instant::now());
    HopError::Retry(format!(
        "the group knows another member named {instance:?}, most likely because the broker was away while \
         this one joined: joining anew"
    ))
}

/// When this process's member of a group last joined anew because it was fenced.
static JOINED_ANEW_AT: Mutex<BTreeMap<String, Instant>> = Mutex::new(BTreeMap::new());

/// How long after a word of an outage a broker may take a member for its own twin. librdkafka says the same of a
/// broker every 30 s at most; then the broker loads its groups, and the members find it again.
const FORGETFUL: Duration = Duration::from_secs(75);
/// A member that is fenced twice in this time has a twin, also while brokers come and go.
const ONCE_IN: Duration = Duration::from_secs(180);

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::log_error;

    #[test]
    fn a_member_that_is_fenced_after_an_outage_joins_anew_once() {
        let lost = KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure);
        log_error(&lost, "a broker went away");
        assert!(matches!(fenced("one", "a"), HopError::Retry(_)));
        assert!(matches!(fenced("other", "a"), HopError::Retry(_)));
        assert!(matches!(fenced("one", "a"), HopError::Replaced(_)));
    }
}

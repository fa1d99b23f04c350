//! Where a group begins: written down before anybody joins it.
//!
//! At the group's very first start the position of every partition is committed while the group is
//! still empty (the broker refuses such a commit once it has members). From then on a partition
//! without a committed offset can only be one that was added later: it starts at 0.

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::config::{PipeConfig, Start};
use super::hop::{HopError, Topics};
use crate::admin::TopicInfo;
use crate::client::Quiet;
use crate::connection::Kind;

/// Commits the starting positions if the group never committed anything.
///
/// A group without any whose results are there has lost them: the broker forgets the offsets of a group
/// that was away for `offsets.retention.minutes`. Where it had been is then for a person to say.
pub(super) fn ensure_positions(config: &PipeConfig, topics: &Topics) -> Result<(), HopError> {
    let input = &topics.input;
    let retry =
        |what: &str, error| HopError::Retry(format!("{what} of group {:?}: {error}", config.group));
    // Read uncommitted: an offset inside a predecessor's open transaction would be waited for.
    let consumer: BaseConsumer<Quiet> = config
        .connection
        .client(Kind::Consumer)
        .set("group.id", &config.group)
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_uncommitted")
        .create_with_context(Quiet)
        .map_err(|error| HopError::Config(format!("the consumer cannot be made: {error}")))?;
    for _ in 0..ATTEMPTS {
        let known = consumer
            .committed_offsets(all(config, input, |_| Offset::Invalid), config.timeouts.call)
            .map_err(|error| retry("committed offsets", error))?;
        if known.elements().iter().any(|each| matches!(each.offset(), Offset::Offset(_))) {
            return Ok(());
        }
        if let Some(written) = topics.written.as_deref().filter(|_| !config.begin_anew) {
            return Err(forgotten(config, written));
        }
        let first = all(config, input, |partition| match config.start {
            Start::Earliest => Offset::Offset(partition.low),
            Start::Latest => Offset::Offset(partition.high),
        });
        match consumer.commit(&first, CommitMode::Sync) {
            Ok(()) => {
                tracing::info!(
                    group = config.group,
                    start = ?config.start,
                    partitions = input.partitions.len(),
                    "first start of this group: positions written"
                );
                return Ok(());
            }
            // Somebody joined in between, so somebody wrote the positions: look again.
            Err(error) if is_taken(error.rdkafka_error_code()) => {}
            Err(error) => return Err(retry("first positions", error)),
        }
    }
    Err(HopError::Retry(format!(
        "group {:?} has members and no committed offsets: a consumer that is not tidegate may use it",
        config.group
    )))
}

fn forgotten(config: &PipeConfig, written: &str) -> HopError {
    let begin = match config.start {
        Start::Earliest => "the oldest record, so that what was scored is scored again",
        Start::Latest => "the newest record, so that what came meanwhile is not scored",
    };
    HopError::Config(format!(
        "group {:?} has no committed offsets, and topic {written:?} holds records: if this pipeline wrote \
         them, the broker has forgotten its offsets (offsets.retention.minutes) or somebody deleted them. \
         Set them with kafka-consumer-groups.sh --reset-offsets; or, if this pipeline is new and the topic \
         is another's too, start it once with --set input.begin_anew=true: it begins with {begin}",
        config.group
    ))
}

const ATTEMPTS: u32 = 5;
/// Each attempt asks once and commits once.
pub(super) const CALLS_MAX: u32 = ATTEMPTS * 2;

fn is_taken(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(
        code,
        Some(
            RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress
        )
    )
}

fn all(
    config: &PipeConfig,
    input: &TopicInfo,
    at: impl Fn(&crate::admin::PartitionInfo) -> Offset,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in &input.partitions {
        list.add_partition_offset(&config.input, partition.partition, at(partition))
            .expect("watermarks are valid offsets");
    }
    list
}

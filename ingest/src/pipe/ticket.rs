//! What travels between the pipe's threads: work, tickets in source order, and in-band flushes.

use crossbeam_channel::{Receiver, Sender};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::{MicroBatch, Offsets, ScoredBatch};

/// What a worker is given: a batch and the place it must fill, always.
pub(super) struct Work {
    pub(super) batch: MicroBatch,
    /// A record that failed before stands alone: if it fails again it becomes a dead letter.
    pub(super) alone: bool,
    pub(super) place: Sender<Outcome>,
}

/// What a worker made of a batch.
pub(super) enum Outcome {
    Scored(ScoredBatch),
    /// The worker failed or panicked.
    Failed(String),
}

/// A reserved place in the publisher's order.
pub(super) struct Ticket {
    /// Assignment epoch the records were read in.
    pub(super) epoch: u64,
    pub(super) offsets: Offsets,
    pub(super) place: Receiver<Outcome>,
}

/// What the publisher reads, in source order.
pub(super) enum Item {
    Ticket(Ticket),
    /// Commit what came before. The answer, where one is wanted, says how it went.
    Flush(Option<Sender<Flushed>>),
}

/// How a flush went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Everything before it is committed.
    Committed,
    /// It was aborted: the partitions that are kept must be rewound.
    Aborted,
}

/// The list that Kafka commits: the first position not covered, per partition.
pub(super) fn committed_list(topic: &str, ends: &Offsets) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, extent) in ends.iter() {
        list.add_partition_offset(topic, partition, Offset::Offset(extent.end))
            .expect("a position read from Kafka is a valid offset");
    }
    list
}

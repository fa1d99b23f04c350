//! The consumer's context: rebalances are only noted here and handled by the consumer thread
//! between polls, where it has everything in hand.
//!
//! While closing they are answered at once, with nothing: a hop that is torn down never waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use crate::client::{log_error, log_line};

/// A change of the assignment that has to be answered.
#[derive(Clone, Debug)]
pub(crate) enum Rebalance {
    /// Partitions come (maybe none: the generation moved).
    Assign(Vec<i32>),
    /// Partitions go.
    Revoke(Vec<i32>),
}

/// Notes rebalances for the thread that polls.
#[derive(Default)]
pub(crate) struct RebalanceContext {
    pending: Mutex<VecDeque<(Rebalance, TopicPartitionList)>>,
    closing: AtomicBool,
    answered_closing: AtomicBool,
}

impl RebalanceContext {
    /// The oldest change not yet answered.
    pub(crate) fn next(&self) -> Option<(Rebalance, TopicPartitionList)> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Answers the oldest change with nothing; false when there is none.
    pub(crate) fn decline_next(&self, consumer: &BaseConsumer<Self>) -> bool {
        let Some((change, partitions)) = self.next() else { return false };
        decline(consumer, &change, &partitions);
        true
    }

    /// From now on every change is answered at once; what is pending is answered here.
    pub(crate) fn close(&self, consumer: &BaseConsumer<Self>) {
        self.closing.store(true, Ordering::SeqCst);
        while self.decline_next(consumer) {}
    }
}

/// Closes the context when it is dropped, by a panic too: dropping a consumer whose revoke nobody
/// answers never ends.
pub(crate) struct Closing<'c>(pub(crate) &'c BaseConsumer<RebalanceContext>);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.context().close(self.0);
    }
}

fn decline(
    consumer: &BaseConsumer<RebalanceContext>,
    change: &Rebalance,
    partitions: &TopicPartitionList,
) {
    let answered = match change {
        Rebalance::Assign(_) => consumer.incremental_assign(&TopicPartitionList::new()),
        Rebalance::Revoke(_) => consumer.incremental_unassign(partitions),
    };
    if let Err(error) = answered {
        tracing::debug!(%error, "a rebalance while closing");
    }
}

impl ClientContext for RebalanceContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for RebalanceContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let numbers = partitions.elements().iter().map(|each| each.partition()).collect();
        let change = match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign(numbers),
            _ => Rebalance::Revoke(numbers),
        };
        if self.closing.load(Ordering::SeqCst) {
            // While it terminates, librdkafka takes the first answer, whatever it is, as "release
            // everything" and ends its group machinery: an answer to a second event, queued
            // before, is then dropped there and its caller waits for ever.
            if !self.answered_closing.swap(true, Ordering::SeqCst) {
                decline(consumer, &change, partitions);
            }
        } else {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.push_back((change, partitions.clone()));
        }
    }
}

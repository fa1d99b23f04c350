//! The consumer thread's side of a rebalance: forward, position, assign; flush, release; seek.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::{Offsets, failpoint};

use super::config::Delivery;
use super::hop::HopError;
use super::placing::Withheld;
use super::rebalance::Rebalance;
use super::shared::Shared;
use super::source::{Reading, evicted};
use super::ticket::committed_list;
use super::watchdog::Late;
use crate::events::{Rebalanced, Rewound};
use crate::raw::{GroupMetadata, cached_high_watermark};

/// A seek asks no broker; past this librdkafka's thread is stuck.
const SEEK_WAIT: Duration = Duration::from_secs(5);

/// What the source knows of its partitions without asking anybody.
#[derive(Default)]
pub(super) struct Assignment {
    /// Partition → first position not yet dispatched; `None` before the first record.
    partitions: BTreeMap<i32, Option<i64>>,
    /// The partition of the last record: runs are long, so most records need no look-up.
    last: Option<i32>,
    /// At least once: what the coordinator was asked to commit, and when last.
    handed_in: Offsets,
    acknowledged_at: Option<Instant>,
    pub(super) withheld: Withheld,
}

impl Assignment {
    /// Notes a record that was read; false when its partition is not ours.
    pub(super) fn sees(&mut self, partition: i32, offset: i64, shared: &Shared) -> bool {
        if self.last == Some(partition) {
            return true;
        }
        match self.partitions.get_mut(&partition) {
            None => return false,
            Some(at @ None) => {
                *at = Some(offset);
                self.withheld.remove(partition);
                shared.cell().ledger.read(partition, offset);
            }
            Some(Some(_)) => {}
        }
        self.last = Some(partition);
        true
    }

    /// Notes what goes to the workers; what was dispatched before may not go again.
    pub(super) fn dispatched(&mut self, topic: &str, offsets: &Offsets) -> Result<(), HopError> {
        for (partition, extent) in offsets.iter() {
            let Some(at) = self.partitions.get_mut(&partition) else {
                return Err(HopError::Retry(format!(
                    "records of {topic}/{partition} were about to be scored, which is not ours"
                )));
            };
            if let Some(have) = at.filter(|have| extent.start < *have) {
                return Err(HopError::Retry(format!(
                    "{topic}/{partition}: a record at {} was read again behind {have}: starting anew \
                     from what is committed",
                    extent.start
                )));
            }
            *at = Some(extent.end);
        }
        Ok(())
    }

    fn forget(&mut self, partition: i32) {
        self.partitions.remove(&partition);
        self.handed_in.remove(partition);
        self.withheld.remove(partition);
    }
}

impl Reading<'_, '_> {
    pub(super) fn rebalance(
        &mut self,
        change: Rebalance,
        partitions: &TopicPartitionList,
    ) -> Result<(), HopError> {
        let lost = self.consumer.assignment_lost();
        // The generation has moved already: what is under way can commit only with the new one.
        let renewed = if lost { Ok(()) } else { self.refresh_metadata() };
        match change {
            Rebalance::Assign(numbers) => self.assign(&numbers).and(renewed),
            Rebalance::Revoke(numbers) => {
                let flushed = match lost {
                    true => Err(self.lost(&numbers)),
                    false => renewed.and_then(|()| self.hand_over(&numbers)),
                };
                {
                    let mut cell = self.source.shared.cell();
                    cell.ledger.revoke(numbers.iter().copied());
                    numbers.iter().for_each(|number| _ = cell.acknowledged.remove(*number));
                }
                numbers.iter().for_each(|number| self.assignment.forget(*number));
                self.assignment.last = None;
                failpoint::pass("pipe.handed_over");
                // Also when the run fails: an unanswered revoke would keep the consumer from closing.
                let released = self.consumer.incremental_unassign(partitions);
                self.report_assignment("revoked", &numbers);
                self.source.events.released(&numbers);
                flushed?;
                released.map_err(|error| HopError::Retry(format!("releasing partitions: {error}")))
            }
        }
    }

    fn assign(&mut self, numbers: &[i32]) -> Result<(), HopError> {
        let list = self.positions(numbers)?;
        // Empty ones too: they carry the new generation.
        self.consumer
            .incremental_assign(&list)
            .map_err(|error| HopError::Retry(format!("taking partitions {numbers:?}: {error}")))?;
        let metadata = GroupMetadata::capture(self.consumer);
        let generation = metadata.as_ref().map(|metadata| metadata.generation());
        {
            let mut cell = self.source.shared.cell();
            if !cell.renew(metadata) {
                return Err(evicted());
            }
            numbers.iter().for_each(|number| cell.ledger.assign(*number));
        }
        self.assignment.partitions.extend(numbers.iter().map(|number| (*number, None)));
        self.assignment.last = None;
        tracing::debug!(?generation, "assigned");
        self.report_assignment("assigned", numbers);
        Ok(())
    }

    fn positions(&mut self, numbers: &[i32]) -> Result<TopicPartitionList, HopError> {
        let topic = &self.source.config.input;
        let mut list = TopicPartitionList::new();
        if numbers.is_empty() {
            return Ok(list);
        }
        numbers.iter().for_each(|number| self.queue.forward(&self.topic, *number));
        // Past the bound librdkafka is left to find out: `Invalid` means the committed offset.
        let known = self.committed(numbers);
        for number in numbers {
            let at = match known.get(number) {
                Some(at) => Offset::Offset(*at),
                None => {
                    self.assignment.withheld.insert(*number, Instant::now());
                    Offset::Invalid
                }
            };
            list.add_partition_offset(topic, *number, at)
                .map_err(|error| HopError::Retry(format!("partition {number}: {error}")))?;
        }
        Ok(list)
    }

    fn lost(&mut self, numbers: &[i32]) -> HopError {
        // Never flush: somebody else may own them. The run ends; its transaction is aborted by
        // the next `init_transactions`.
        self.source.shared.cell().metadata = None;
        self.forget_hand();
        HopError::Retry(format!(
            "partitions {numbers:?} were lost to the group: this member was away too long"
        ))
    }

    fn hand_over(&mut self, numbers: &[i32]) -> Result<(), HopError> {
        if numbers.is_empty() {
            return Ok(());
        }
        self.commit_all(self.source.config.timeouts.revoke)
    }

    /// What an error in a record's place means; the rest of its batch was dropped, so the run ends.
    pub(super) fn entry_error(
        &self,
        partition: i32,
        offset: i64,
        code: RDKafkaErrorCode,
        text: &str,
    ) -> HopError {
        let topic = &self.source.config.input;
        match code {
            RDKafkaErrorCode::AutoOffsetReset if offset < 0 => HopError::Config(format!(
                "the log of {topic}/{partition} was cut back behind what group {:?} has scored of it: an \
                 unclean leader election lost records, or the topic was made anew ({text}). What is written \
                 there now may have the offsets of records that were scored. Reset the group's offsets of \
                 this partition to where it should go on",
                self.source.config.group
            )),
            RDKafkaErrorCode::AutoOffsetReset => HopError::Config(format!(
                "{topic}/{partition}: position {offset} is not in the log any more: retention has removed \
                 records that were never scored, or the topic was made anew ({text}). Reset the offsets of \
                 group {:?} to accept the gap",
                self.source.config.group
            )),
            RDKafkaErrorCode::UnknownPartition => HopError::Retry(format!(
                "a record of {topic}/{partition} at {offset} arrived, which is not assigned to us"
            )),
            code => HopError::Retry(format!("{topic}/{partition} at {offset}: {code} {text}")),
        }
    }

    pub(super) fn seek(&mut self, seeks: &[(i32, i64)]) -> Result<(), HopError> {
        let topic = &self.source.config.input;
        for (partition, at) in seeks {
            self.consumer.seek(topic, *partition, Offset::Offset(*at), SEEK_WAIT).map_err(
                |error| HopError::Retry(format!("seeking {topic}/{partition} to {at}: {error}")),
            )?;
            if let Some(position) = self.assignment.partitions.get_mut(partition) {
                *position = Some(*at);
            }
        }
        Rewound { partitions: seeks.len() }.emit(self.source.events);
        Ok(())
    }

    fn report_assignment(&self, what: &'static str, numbers: &[i32]) {
        let owned = self.assignment.partitions.len();
        Rebalanced { what, partitions: numbers, owned }.emit(self.source.events);
    }

    pub(super) fn report_lag(&self) {
        for (partition, at) in &self.assignment.partitions {
            let end = cached_high_watermark(self.consumer, &self.topic, *partition);
            if let (Some(at), Some(end)) = (at, end) {
                self.source.events.lag(*partition, (end - at).max(0).unsigned_abs());
            }
        }
    }

    /// At least once: hands acknowledged offsets to the coordinator, now and then, without waiting.
    pub(super) fn commit_acknowledged(&mut self, now: Instant) -> Result<(), HopError> {
        if self.source.config.delivery == Delivery::ExactlyOnce {
            return Ok(());
        }
        let interval = self.source.config.commit.interval;
        if self.assignment.acknowledged_at.is_some_and(|at| now.duration_since(at) < interval) {
            return Ok(());
        }
        self.assignment.acknowledged_at = Some(now);
        self.commit_offsets(CommitMode::Async)
    }

    /// At least once: the same, waiting for the answer. Exactly once has committed already.
    pub(super) fn commit_before_leaving(&mut self) -> Result<(), HopError> {
        match self.source.config.delivery {
            Delivery::ExactlyOnce => Ok(()),
            Delivery::AtLeastOnce => self.commit_offsets(CommitMode::Sync),
        }
    }

    fn commit_offsets(&mut self, mode: CommitMode) -> Result<(), HopError> {
        let acknowledged = self.source.shared.cell().acknowledged.clone();
        // One that is not waited for may fail unseen: the last one has everything again.
        let due = match mode {
            CommitMode::Sync => !acknowledged.is_empty(),
            CommitMode::Async => acknowledged != self.assignment.handed_in,
        };
        if !due {
            return Ok(());
        }
        let limit = self.source.config.commit_patience();
        let _guard = self.source.watch.enter("offset commit", limit, Late::EndProcess);
        let list = committed_list(&self.source.config.input, &acknowledged);
        self.assignment.handed_in = acknowledged;
        if let Err(error) = self.consumer.commit(&list, mode) {
            // Harmless for this guarantee: they are read again.
            tracing::warn!(%error, "offsets were not committed");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dispatched_is_not_dispatched_again() {
        let mut assignment = Assignment::default();
        assignment.partitions.insert(3, None);
        let mut batch = Offsets::new();
        batch.append(3, 5..9).unwrap();
        assignment.dispatched("in", &batch).unwrap();
        assert!(matches!(assignment.dispatched("in", &batch), Err(HopError::Retry(_))));
    }
}

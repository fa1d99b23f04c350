//! Partitions whose committed offset does not come with their assignment: asked for again, and placed.
//!
//! librdkafka asks, too, but gives up without a word where the coordinator moves meanwhile, and forgets what it
//! was to read where another rebalance comes between.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::hop::HopError;
use super::source::{Reading, Source};
use super::watchdog::Late;
use crate::events::OffsetsWithheld;

/// How long an assignment waits for the committed offsets: a predecessor's open transaction holds
/// the answer back, and librdkafka can go on asking by itself.
const COMMITTED_WAIT: Duration = Duration::from_millis(400);
/// How often committed offsets that do not come are asked for again; it takes up to [`COMMITTED_WAIT`] of this
/// thread's time.
const WITHHELD_ASK: Duration = Duration::from_secs(5);
/// What a coordinator may take beyond a transaction's time-out: it looks every 10 s.
const COORDINATOR_SLACK: Duration = Duration::from_secs(15);

/// How long a turn asks for one partition after the other, between two polls.
const TURN: Duration = Duration::from_secs(1);

/// Partitions whose committed offset did not come within its bound; until their first record.
#[derive(Default)]
pub(super) struct Withheld {
    since: BTreeMap<i32, Instant>,
    /// When all of them that were to be asked for last were.
    asked_at: Option<Instant>,
    asked_last: Option<i32>,
}

impl Withheld {
    pub(super) fn insert(&mut self, partition: i32, since: Instant) {
        self.since.insert(partition, since);
    }

    pub(super) fn remove(&mut self, partition: i32) {
        self.since.remove(&partition);
    }

    fn oldest(&self) -> Option<Instant> {
        self.since.values().min().copied()
    }

    fn is_due(&self, now: Instant) -> bool {
        let since = self.asked_at.or_else(|| self.oldest());
        since.is_none_or(|since| now.duration_since(since) >= WITHHELD_ASK)
    }

    /// The one after that which was asked for last first.
    fn in_turn(&self) -> Vec<i32> {
        let mut partitions: Vec<i32> = self.since.keys().copied().collect();
        let next = partitions.partition_point(|partition| Some(*partition) <= self.asked_last);
        partitions.rotate_left(next);
        partitions
    }
}

impl Reading<'_, '_> {
    /// Where those partitions go on that the coordinator answers for, in time.
    pub(super) fn committed(&self, partitions: &[i32]) -> BTreeMap<i32, i64> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.source.config.input, *partition);
        }
        let known = self.consumer.committed_offsets(list, COMMITTED_WAIT);
        let known = known.map(|known| {
            let answered = known.elements().into_iter().filter(|each| each.error().is_ok());
            let at = |offset| match offset {
                Offset::Offset(at) => at,
                // The others' positions were written at the first start: this one was added later.
                _ => 0,
            };
            answered.map(|each| (each.partition(), at(each.offset()))).collect()
        });
        known.unwrap_or_default()
    }

    /// Places withheld partitions until one's committed offset does not come; nothing was read of them yet.
    /// False when there was no time for all.
    ///
    /// Each is asked for alone: librdkafka answers for several when nothing holds back any of them.
    fn place_where_committed(&mut self) -> Result<bool, HopError> {
        let begun = Instant::now();
        for partition in self.assignment.withheld.in_turn() {
            if begun.elapsed() >= TURN {
                return Ok(false);
            }
            let known = self.committed(&[partition]).remove(&partition);
            self.assignment.withheld.asked_last = Some(partition);
            // Placing would be taken for the answer to a rebalance, if one came meanwhile.
            let (false, Some(at)) = (self.queue.has_events(), known) else { break };
            self.place_at(partition, at)?;
            self.assignment.withheld.remove(partition);
        }
        Ok(true)
    }

    /// A partition that stopped is not restarted by a seek: release, take, forward.
    fn place_at(&mut self, partition: i32, at: i64) -> Result<(), HopError> {
        let Source { config, watch, .. } = self.source;
        let _guard =
            watch.enter("placing of a partition", config.timeouts.session * 2, Late::EndProcess);
        let topic = &config.input;
        let failed =
            |error| HopError::Retry(format!("placing {topic}/{partition} at {at}: {error}"));
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(at)).map_err(failed)?;
        self.consumer.incremental_unassign(&list).map_err(failed)?;
        self.consumer.incremental_assign(&list).map_err(failed)?;
        // Last: where librdkafka had begun to fetch, it stops that, and the forwarding with it, some time
        // before it takes the partition again.
        self.queue.forward(&self.topic, partition);
        Ok(())
    }

    /// Places partitions whose committed offset comes late. Says so when it never does: a transaction of
    /// this group ends neither way, and only whoever runs the broker can help.
    pub(super) fn look_for_withheld(&mut self, now: Instant) -> Result<(), HopError> {
        if self.assignment.withheld.since.is_empty() {
            if self.assignment.withheld.asked_at.take().is_some() {
                OffsetsWithheld { partitions: &[], waited: Duration::ZERO }
                    .emit(self.source.events);
            }
            return Ok(());
        }
        if !self.assignment.withheld.is_due(now) {
            return Ok(());
        }
        if self.place_where_committed()? {
            self.assignment.withheld.asked_at = Some(now);
        }
        let withheld = &self.assignment.withheld;
        let bound = self.source.config.timeouts.transaction + COORDINATOR_SLACK;
        let waited = withheld.oldest().map_or(Duration::ZERO, |since| now.duration_since(since));
        if waited >= bound {
            let partitions: Vec<i32> = withheld.since.keys().copied().collect();
            OffsetsWithheld { partitions: &partitions, waited }.emit(self.source.events);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn withheld_partitions_are_asked_for_in_turn() {
        let since = [1, 4, 6].map(|partition| (partition, Instant::now())).into();
        let mut withheld = Withheld { since, ..Withheld::default() };
        for (last, turn) in [(None, [1, 4, 6]), (Some(1), [4, 6, 1]), (Some(5), [6, 1, 4])] {
            withheld.asked_last = last;
            assert_eq!(withheld.in_turn(), turn);
        }
        withheld.asked_last = Some(6);
        assert_eq!(withheld.in_turn(), [1, 4, 6]);
    }
}

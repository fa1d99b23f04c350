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
    ///
    /// Each is asked for alone: librdkafka answers for several when nothing holds back any of them.
    fn place_where_committed(&mut self) -> Result<(), HopError> {
        for partition in self.assignment.withheld_in_turn() {
            let known = self.committed(&[partition]).remove(&partition);
            self.assignment.asked_last = Some(partition);
            // Placing would be taken for the answer to a rebalance, if one came meanwhile.
            let (false, Some(at)) = (self.queue.has_events(), known) else { break };
            self.place_at(partition, at)?;
            self.assignment.withheld.remove(&partition);
        }
        Ok(())
    }

    /// A partition that stopped is not restarted by a seek: release, forward, take.
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
        self.queue.forward(&self.topic, partition);
        self.consumer.incremental_assign(&list).map_err(failed)
    }

    /// Places partitions whose committed offset comes late. Says so when it never does: a transaction of
    /// this group ends neither way, and only whoever runs the broker can help.
    pub(super) fn look_for_withheld(&mut self, now: Instant) -> Result<(), HopError> {
        if self.assignment.withheld.is_empty() {
            if self.assignment.withheld_asked_at.take().is_some() {
                OffsetsWithheld { partitions: &[], waited: Duration::ZERO }
                    .emit(self.source.events);
            }
            return Ok(());
        }
        let asked_at = self.assignment.withheld_asked_at;
        let since = asked_at.or_else(|| self.assignment.withheld.values().min().copied());
        if since.is_some_and(|since| now.duration_since(since) < WITHHELD_ASK) {
            return Ok(());
        }
        self.assignment.withheld_asked_at = Some(now);
        self.place_where_committed()?;
        let bound = self.source.config.timeouts.transaction + COORDINATOR_SLACK;
        let since = self.assignment.withheld.values().min().copied();
        let waited = since.map_or(Duration::ZERO, |since| now.duration_since(since));
        if waited >= bound {
            let partitions: Vec<i32> = self.assignment.withheld.keys().copied().collect();
            OffsetsWithheld { partitions: &partitions, waited }.emit(self.source.events);
        }
        Ok(())
    }
}

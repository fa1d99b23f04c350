//! Up to when event time is complete, as far as anybody can know.

use std::collections::{BTreeMap, BTreeSet};

use crate::count::{Counted, MICROS};

/// Newest times of one partition, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartitionTimes {
    /// Newest event time that is believed.
    pub event: Option<i64>,
    /// Newest time of a record in Kafka.
    pub record: Option<i64>,
}

impl PartitionTimes {
    /// The newest times of each partition.
    pub fn of<'a>(counted: impl Iterator<Item = &'a Counted>) -> BTreeMap<i32, Self> {
        let mut partitions: BTreeMap<i32, Self> = BTreeMap::new();
        for Counted { footer, .. } in counted {
            let times = partitions.entry(footer.source.partition).or_default();
            times.event = times.event.max(footer.newest_event_us);
            times.record = times.record.max(footer.newest_record_us);
        }
        partitions
    }
}

/// Partitions with records that are not archived yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lagging {
    /// These; none where nobody knows.
    These(BTreeSet<i32>),
    /// Any may have: it is not known yet which.
    All,
}

impl Default for Lagging {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Lagging {
    fn has(&self, partition: i32) -> bool {
        match self {
            Self::These(these) => these.contains(&partition),
            Self::All => true,
        }
    }
}

/// The smallest over active partitions of the newest event time, less the lateness allowed.
///
/// A partition is idle when its newest record is older than `idle_seconds` at `now`, unless it is
/// `lagging`: then records wait that nobody has seen. When all are idle nothing more is expected
/// from any, and the newest of all counts. `None` before the first event.
pub fn watermark(
    partitions: &BTreeMap<i32, PartitionTimes>,
    lagging: &Lagging,
    now: i64,
    idle_seconds: u32,
    lateness_seconds: u32,
) -> Option<i64> {
    let active_since = now.saturating_sub(i64::from(idle_seconds) * MICROS);
    let is_active = |number: &i32, times: &PartitionTimes| {
        lagging.has(*number) || times.record.is_some_and(|record| record >= active_since)
    };
    let active = partitions.iter().filter(|(number, times)| is_active(number, times));
    // A lagging partition of which nothing is known yet holds everything back.
    if active.clone().any(|(_, times)| times.event.is_none())
        || matches!(lagging, Lagging::These(these) if these.iter().any(|it| !partitions.contains_key(it)))
    {
        return None;
    }
    let slowest = active.filter_map(|(_, times)| times.event).min();
    let newest = partitions.values().filter_map(|times| times.event).max();
    Some(slowest.or(newest)?.saturating_sub(i64::from(lateness_seconds) * MICROS))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = MICROS;

    fn at(event: i64, record: i64) -> PartitionTimes {
        PartitionTimes { event: Some(event * S), record: Some(record * S) }
    }

    #[test]
    fn the_slowest_active_partition_decides() {
        let of = |partitions: &[(i32, PartitionTimes)], lagging: &Lagging, now: i64| {
            let partitions = partitions.iter().copied().collect();
            watermark(&partitions, lagging, now * S, 60, 10).map(|mark| mark / S)
        };
        let nothing = PartitionTimes::default();
        for (partitions, lagging, now, expected) in [
            (vec![(0, at(100, 100)), (1, at(90, 100))], vec![], 110, Some(80)),
            // Partition 1 went silent.
            (vec![(0, at(300, 300)), (1, at(90, 100))], vec![], 310, Some(290)),
            // It is not silent, it lags.
            (vec![(0, at(300, 300)), (1, at(90, 100))], vec![1], 310, Some(80)),
            // An old archive: nothing more comes.
            (vec![(0, at(300, 300)), (1, at(90, 100))], vec![], 9999, Some(290)),
            (vec![(0, at(300, 300)), (1, nothing)], vec![], 310, Some(290)),
            (vec![(0, at(300, 300))], vec![2], 310, None),
            (vec![(0, nothing)], vec![], 310, None),
            (vec![], vec![], 310, None),
        ] {
            let lagging = Lagging::These(lagging.into_iter().collect());
            assert_eq!(of(&partitions, &lagging, now), expected, "{partitions:?} {lagging:?}");
        }
        // Nobody knows yet whether it is silent.
        assert_eq!(of(&[(0, at(300, 300)), (1, at(90, 100))], &Lagging::All, 9999), Some(80));
    }
}

//! Offsets algebra: which positions of which partitions have been covered.
//!
//! Half-open ranges everywhere; `end` is what Kafka commits. It refuses overlap: a position that
//! is covered twice is a bug of the caller, never something to merge silently.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Half-open extents of one topic, at most one per partition.
///
/// Appending accepts a touching extent and one behind a gap (aborted records and control records
/// leave gaps in the log) and rejects overlap or a step back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offsets(BTreeMap<i32, Extent>);

/// `start..end` of one partition, in Kafka offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// First position covered.
    pub start: i64,
    /// First position not covered: the value Kafka commits.
    pub end: i64,
}

/// An extent that would cover a position twice.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "partition {partition}: positions {}..{} overlap what is covered up to {covered_end}",
    extent.start,
    extent.end
)]
pub struct Overlap {
    /// The partition in question.
    pub partition: i32,
    /// What was to be added.
    pub extent: Extent,
    /// The end of what is covered already.
    pub covered_end: i64,
}

impl Offsets {
    /// No positions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Covers one more record: the position `offset` of `partition`.
    pub fn push(&mut self, partition: i32, offset: i64) -> Result<(), Overlap> {
        self.append(partition, offset..offset + 1)
    }

    /// Covers `range` of `partition`, which must lie at or behind the covered end.
    pub fn append(&mut self, partition: i32, range: Range<i64>) -> Result<(), Overlap> {
        let extent = Extent { start: range.start, end: range.end };
        assert!(
            extent.start <= extent.end,
            "extent {}..{} runs backwards",
            extent.start,
            extent.end
        );
        match self.0.get_mut(&partition) {
            Some(have) if extent.start < have.end => {
                Err(Overlap { partition, extent, covered_end: have.end })
            }
            Some(have) => {
                have.end = extent.end;
                Ok(())
            }
            None => {
                self.0.insert(partition, extent);
                Ok(())
            }
        }
    }

    /// Appends every extent of `later`; on overlap nothing is changed.
    pub fn extend(&mut self, later: &Self) -> Result<(), Overlap> {
        for (&partition, &extent) in &later.0 {
            if let Some(have) = self.0.get(&partition)
                && extent.start < have.end
            {
                return Err(Overlap { partition, extent, covered_end: have.end });
            }
        }
        for (&partition, extent) in &later.0 {
            self.append(partition, extent.start..extent.end)?;
        }
        Ok(())
    }

    /// The extent of one partition.
    #[must_use]
    pub fn get(&self, partition: i32) -> Option<Extent> {
        self.0.get(&partition).copied()
    }

    /// Forgets a partition and returns what was covered of it.
    pub fn remove(&mut self, partition: i32) -> Option<Extent> {
        self.0.remove(&partition)
    }

    /// Partitions in ascending order with their extents.
    pub fn iter(&self) -> impl Iterator<Item = (i32, Extent)> + '_ {
        self.0.iter().map(|(&partition, &extent)| (partition, extent))
    }

    /// Whether no position is covered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_gap_and_a_touch_are_accepted_and_overlap_is_not() {
        let mut offsets = Offsets::new();
        offsets.append(0, 5..8).unwrap();
        offsets.append(0, 8..9).unwrap();
        offsets.append(0, 12..13).unwrap();
        assert_eq!(offsets.get(0), Some(Extent { start: 5, end: 13 }));
        let refused = offsets.append(0, 12..20).unwrap_err();
        assert_eq!(refused.covered_end, 13);
        assert_eq!(offsets.get(0), Some(Extent { start: 5, end: 13 }));
    }

    #[test]
    fn extend_changes_nothing_when_one_partition_overlaps() {
        let mut offsets = Offsets::new();
        offsets.append(0, 0..4).unwrap();
        offsets.append(1, 0..4).unwrap();
        let mut later = Offsets::new();
        later.append(0, 4..6).unwrap();
        later.append(1, 3..6).unwrap();
        let before = offsets.clone();
        assert!(offsets.extend(&later).is_err());
        assert_eq!(offsets, before);
    }

    proptest! {
        #[test]
        fn ascending_pushes_cover_first_to_last(gaps in proptest::collection::vec(0i64..5, 1..50)) {
            let mut offsets = Offsets::new();
            let mut at = 0;
            let mut first = None;
            for gap in gaps {
                at += gap;
                first.get_or_insert(at);
                offsets.push(3, at).unwrap();
                prop_assert!(offsets.push(3, at).is_err());
                at += 1;
            }
            prop_assert_eq!(offsets.get(3), Some(Extent { start: first.unwrap(), end: at }));
        }
    }
}

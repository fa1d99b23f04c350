//! Who owns what, in which epoch, and where to go back to: pure bookkeeping of the source.
//!
//! It refuses nothing and asks nobody: a rewind goes to the last end that *we* committed, or to the
//! first record read since assignment, so that no broker has to be asked.

use std::collections::BTreeMap;

use schemas::Offsets;

/// Assignment epoch and positions of the partitions owned now.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    epoch: u64,
    partitions: BTreeMap<i32, Option<i64>>,
}

impl Ledger {
    /// Current epoch; tickets of an older one are dead.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn owns(&self, partition: i32) -> bool {
        self.partitions.contains_key(&partition)
    }

    pub(super) fn owns_none(&self) -> bool {
        self.partitions.is_empty()
    }

    /// A partition was assigned: nothing of it was read yet.
    pub(super) fn assign(&mut self, partition: i32) {
        self.partitions.insert(partition, None);
    }

    /// Partitions were taken: a new epoch begins, unless there were none.
    pub(super) fn revoke(&mut self, partitions: impl IntoIterator<Item = i32>) {
        let mut partitions = partitions.into_iter().peekable();
        if partitions.peek().is_none() {
            return;
        }
        self.epoch += 1;
        for partition in partitions {
            self.partitions.remove(&partition);
        }
    }

    /// A record was read; only the first since assignment matters.
    pub(super) fn read(&mut self, partition: i32, offset: i64) {
        if let Some(at @ None) = self.partitions.get_mut(&partition) {
            *at = Some(offset);
        }
    }

    /// `ends` were committed in `epoch`; nothing is noted for another epoch or partitions not owned.
    ///
    /// # Panics
    /// When a position was committed before, or lies before the first record read.
    pub(super) fn committed(&mut self, epoch: u64, ends: &Offsets) {
        if epoch != self.epoch {
            return;
        }
        for (partition, extent) in ends.iter() {
            if let Some(at) = self.partitions.get_mut(&partition) {
                assert!(
                    at.is_none_or(|at| extent.start >= at),
                    "partition {partition}: {}..{} was committed behind {at:?}",
                    extent.start,
                    extent.end
                );
                *at = Some(extent.end);
            }
        }
    }

    /// What was read and not committed is to be read again: begins a new epoch and says where to
    /// seek. Partitions of which nothing was read stay where they are.
    pub(super) fn rewind(&mut self) -> Vec<(i32, i64)> {
        self.epoch += 1;
        self.partitions.iter().filter_map(|(partition, at)| at.map(|at| (*partition, at))).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(partition: i32, end: i64) -> Offsets {
        let mut offsets = Offsets::new();
        offsets.append(partition, end - 1..end).unwrap();
        offsets
    }

    #[test]
    fn a_rewind_goes_to_the_committed_end_else_to_the_first_read() {
        let mut ledger = Ledger::default();
        (0..3).for_each(|partition| ledger.assign(partition));
        ledger.read(0, 40);
        ledger.read(0, 41);
        ledger.read(1, 7);
        ledger.committed(0, &ends(1, 9));
        assert_eq!(ledger.rewind(), vec![(0, 40), (1, 9)]);
        assert_eq!(ledger.epoch(), 1);
    }

    #[test]
    fn a_commit_of_a_dead_epoch_moves_nothing() {
        let mut ledger = Ledger::default();
        ledger.assign(0);
        ledger.read(0, 5);
        ledger.revoke([9]);
        ledger.committed(0, &ends(0, 8));
        assert_eq!(ledger.rewind(), vec![(0, 5)]);
    }

    #[test]
    #[should_panic(expected = "was committed behind")]
    fn a_position_is_not_committed_twice() {
        let mut ledger = Ledger::default();
        ledger.assign(0);
        ledger.read(0, 5);
        ledger.committed(0, &ends(0, 8));
        ledger.committed(0, &ends(0, 8));
    }

    #[test]
    fn an_empty_revoke_leaves_the_epoch() {
        let mut ledger = Ledger::default();
        ledger.revoke([]);
        assert_eq!(ledger.epoch(), 0);
    }

    #[test]
    fn a_partition_that_comes_back_starts_afresh() {
        let mut ledger = Ledger::default();
        ledger.assign(0);
        ledger.read(0, 5);
        ledger.committed(0, &ends(0, 8));
        ledger.revoke([0]);
        assert!(!ledger.owns(0));
        ledger.assign(0);
        assert_eq!(ledger.rewind(), vec![]);
    }

    /// One step of a source's life with a single partition, for the property below.
    #[derive(Clone, Debug)]
    enum Step {
        Read(i64),
        Commit,
        Abort,
    }

    proptest! {
        /// Whatever is read, committed and aborted in whatever order: what a log of committed
        /// records holds in the end is a prefix of the source without hole or repetition.
        #[test]
        fn commits_are_a_contiguous_prefix(steps in proptest::collection::vec(
            prop_oneof![(1i64..5).prop_map(Step::Read), Just(Step::Commit), Just(Step::Abort)], 0..60
        )) {
            let mut ledger = Ledger::default();
            ledger.assign(0);
            let (mut position, mut open, mut log) = (100i64, Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Read(n) => for _ in 0..n {
                        ledger.read(0, position);
                        open.push(position);
                        position += 1;
                    },
                    Step::Commit => if let Some(last) = open.last() {
                        ledger.committed(ledger.epoch(), &ends(0, last + 1));
                        log.append(&mut open);
                    },
                    Step::Abort => {
                        open.clear();
                        if let Some((_, at)) = ledger.rewind().first() { position = *at }
                    }
                }
            }
            prop_assert_eq!(&log, &(100..100 + log.len() as i64).collect::<Vec<_>>());
        }
    }
}

//! What the threads of one run share: the metadata cell, the ledger, and why it all ends.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemas::{Offsets, ScoredBatch};

use super::ledger::Ledger;
use super::memory::Memory;
use super::ticket::{Outcome, Ticket};
use crate::raw::{GroupMetadata, Wake};

/// Why the publisher or a worker ended the run.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The producer was fenced: a twin, or merely a transaction that timed out.
    Fenced(String),
    /// Run again.
    Retry(String),
    /// Running again would fail the same way.
    Config(String),
}

/// State of one run. Locks are held for a few instructions, never across a call into librdkafka.
pub(super) struct Shared {
    cell: Mutex<Cell>,
    memory: Mutex<Memory>,
    failure: Mutex<Option<Failure>>,
    failed: AtomicBool,
    /// Batches handed to workers and not finished.
    unfinished: AtomicUsize,
    workers: usize,
    /// What a batch takes a worker, in microseconds: the slowest of late; 0 before the first.
    batch_us: AtomicU64,
    /// The publisher commits, and places nothing meanwhile.
    committing: AtomicBool,
    wake: Wake,
}

/// Written by the consumer thread (metadata, ownership) and by the publisher (what it committed).
#[derive(Default)]
pub(super) struct Cell {
    pub(super) ledger: Ledger,
    pub(super) metadata: Option<Arc<GroupMetadata>>,
    /// The membership with which the partitions owned now were taken.
    taken_by: Option<Arc<GroupMetadata>>,
    /// The publisher aborted: the consumer thread must rewind.
    pub(super) rewind: bool,
    /// At least once: acknowledged, of the partitions owned now.
    pub(super) acknowledged: Offsets,
}

impl Cell {
    /// Notes the membership as it is now, `None` while there is none. False when partitions are owned that
    /// were taken with another one: in between they were nobody's or somebody else's, and nothing of theirs
    /// may be committed.
    #[must_use]
    pub(super) fn renew(&mut self, now: Option<Arc<GroupMetadata>>) -> bool {
        if self.ledger.owns_none() {
            self.taken_by.clone_from(&now);
        }
        let same = match (&self.taken_by, &now) {
            (Some(then), Some(now)) => then.is_same_member(now),
            (None, Some(_)) => false,
            (_, None) => true,
        };
        self.metadata = now.filter(|_| same);
        same
    }
}

impl Shared {
    pub(super) fn new(wake: Wake, memory: Memory, workers: usize) -> Self {
        Self {
            cell: Mutex::default(),
            memory: Mutex::new(memory),
            failure: Mutex::default(),
            failed: AtomicBool::new(false),
            unfinished: AtomicUsize::new(0),
            workers,
            batch_us: AtomicU64::new(0),
            committing: AtomicBool::new(false),
            wake,
        }
    }

    pub(super) fn cell(&self) -> MutexGuard<'_, Cell> {
        self.cell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run is over: what it learned goes back to the caller.
    pub(super) fn take_memory(&self) -> Memory {
        std::mem::take(&mut *self.memory())
    }

    pub(super) fn wake(&self) -> &Wake {
        &self.wake
    }

    /// What a worker made of a ticket's batch, where it did: the records whose offsets the ticket has.
    pub(super) fn scored(&self, ticket: &Ticket, outcome: Outcome) -> Result<ScoredBatch, Failure> {
        match outcome {
            Outcome::Scored(scored) if *scored.source().offsets() == ticket.offsets => Ok(scored),
            Outcome::Scored(_) => {
                Err(Failure::Retry("a worker answered with other records than it was given".into()))
            }
            Outcome::Failed(reason) => {
                let mut memory = self.memory();
                for (partition, extent) in ticket.offsets.iter() {
                    memory.note(partition, extent.start..extent.end, &reason);
                }
                Err(Failure::Retry(format!("a worker failed: {reason}")))
            }
        }
    }

    /// Ends the run; the first reason counts.
    pub(super) fn fail(&self, failure: Failure) {
        let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(failure);
        drop(first);
        self.failed.store(true, Ordering::SeqCst);
        self.wake.raise();
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn batch_begins(&self) {
        self.unfinished.fetch_add(1, Ordering::SeqCst);
    }

    /// A worker is done with a batch that took so long; a source that waits for a free worker is woken.
    pub(super) fn batch_ends(&self, took: Duration) {
        let before = self.batch_us.load(Ordering::Relaxed);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        // Two workers may overwrite each other's: the next batch tells again.
        self.batch_us.store(took_us.max(before - before / 8), Ordering::Relaxed);
        if self.unfinished.fetch_sub(1, Ordering::SeqCst) >= self.workers {
            self.wake.raise();
        }
    }

    pub(super) fn commit_begins(&self) {
        self.committing.store(true, Ordering::SeqCst);
    }

    /// A source that held back what could not have been placed is woken.
    pub(super) fn commit_ends(&self) {
        self.committing.store(false, Ordering::SeqCst);
        self.wake.raise();
    }

    pub(super) fn is_committing(&self) -> bool {
        self.committing.load(Ordering::SeqCst)
    }

    /// Whether one more batch is scored within `budget`, as far as can be told; a free worker always
    /// gets one.
    pub(super) fn has_time(&self, budget: Duration) -> bool {
        let each = Duration::from_micros(self.batch_us.load(Ordering::Relaxed));
        let unfinished = self.unfinished.load(Ordering::SeqCst);
        if each.is_zero() {
            return unfinished < self.workers * 2;
        }
        let rounds = u32::try_from(unfinished / self.workers + 1).unwrap_or(u32::MAX);
        unfinished < self.workers || each.saturating_mul(rounds) <= budget
    }

    pub(super) fn worker_is_free(&self) -> bool {
        self.unfinished.load(Ordering::SeqCst) < self.workers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_taken_with_one_membership_are_not_committed_with_another() {
        let (first, moved) = (GroupMetadata::of(3, c"a"), GroupMetadata::of(4, c"a"));
        let other = GroupMetadata::of(6, c"b");
        let mut cell = Cell::default();
        assert!(cell.renew(Some(first)));
        cell.ledger.assign(0);
        // Between two generations there is none for a while.
        assert!(cell.renew(None) && cell.metadata.is_none());
        assert!(cell.renew(Some(moved)));
        assert_eq!(cell.metadata.as_ref().map(|metadata| metadata.generation()), Some(4));
        assert!(cell.renew(None));
        assert!(!cell.renew(Some(other.clone())) && cell.metadata.is_none());
        // Without partitions nothing is at stake.
        cell.ledger.revoke([0]);
        assert!(cell.renew(Some(other)) && cell.metadata.is_some());
        // Taken while there was none: whose they were then is not known.
        let mut cell = Cell::default();
        assert!(cell.renew(None));
        cell.ledger.assign(0);
        assert!(!cell.renew(Some(GroupMetadata::of(1, c"a"))));
    }

    #[test]
    fn slow_batches_are_bounded_by_their_time_and_fast_ones_are_not() {
        let budget = Duration::from_secs(1);
        // (what a batch took, batches handed out, whether one more is)
        for (took_ms, unfinished, more) in [
            (None, 3, true),
            (None, 4, false),
            (Some(1), 100, true),
            (Some(400), 3, true),
            (Some(400), 4, false),
            (Some(2000), 1, true),
            (Some(2000), 2, false),
        ] {
            let wake = Wake::new().expect("an eventfd");
            let shared = Shared::new(wake, Memory::new(), 2);
            if let Some(ms) = took_ms {
                shared.batch_begins();
                shared.batch_ends(Duration::from_millis(ms));
            }
            (0..unfinished).for_each(|_| shared.batch_begins());
            assert_eq!(shared.has_time(budget), more, "{took_ms:?} {unfinished}");
        }
    }
}

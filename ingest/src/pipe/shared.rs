//! What the threads of one run share: the metadata cell, the ledger, and why it all ends.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemas::Offsets;

use super::ledger::Ledger;
use super::memory::Memory;
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
    wake: Wake,
}

/// Written by the consumer thread (metadata, ownership) and by the publisher (what it committed).
#[derive(Default)]
pub(super) struct Cell {
    pub(super) ledger: Ledger,
    pub(super) metadata: Option<Arc<GroupMetadata>>,
    /// The publisher aborted: the consumer thread must rewind.
    pub(super) rewind: bool,
    /// At least once: acknowledged and not yet handed to the group coordinator.
    pub(super) acknowledged: Offsets,
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

    /// A worker is done with a batch; a source that waits for a free worker is woken.
    pub(super) fn batch_ends(&self) {
        if self.unfinished.fetch_sub(1, Ordering::SeqCst) >= self.workers {
            self.wake.raise();
        }
    }

    pub(super) fn worker_is_free(&self) -> bool {
        self.unfinished.load(Ordering::SeqCst) < self.workers
    }
}

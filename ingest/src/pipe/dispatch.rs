//! From the batch in hand to the stages behind: tickets in source order, flushes in band.

use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use super::cut;
use super::hop::HopError;
use super::source::{FULL_WAIT, Reading, SLEEP_MAX};
use super::ticket::{Flushed, Item, Ticket, Work};

/// Part of a revoke's bound that batches with the workers may take: what is in hand and cut by then
/// comes on top, and the commit.
const IN_FLIGHT_SHARE: u32 = 3;

impl Reading<'_, '_> {
    /// Hands cut batches on while there is room behind; the order of tickets is the source's.
    ///
    /// Room is counted in time too: a revoke must see all of it scored within its bound. A flush
    /// that is due goes first, or a backlog would take every place that becomes free.
    pub(super) fn dispatch_ready(&mut self) -> Result<(), HopError> {
        let budget = self.source.config.timeouts.revoke / IN_FLIGHT_SHARE;
        while !self.ready.is_empty() && self.source.shared.has_time(budget) {
            self.flush_if_due(Instant::now());
            if self.items.is_full() || self.work.is_full() {
                break;
            }
            let Some((batch, alone)) = self.ready.pop_front() else { break };
            self.assignment.dispatched(&self.source.config.input, batch.offsets())?;
            self.source.events.read(batch.len(), batch.bytes());
            let (place, filled) = bounded(1);
            let epoch = self.source.shared.cell().ledger.epoch();
            let ticket = Ticket { epoch, offsets: batch.offsets().clone(), place: filled };
            self.source.shared.batch_begins();
            // Both have room and this thread is the only sender. A closed channel means that the
            // run is ending, which the next turn sees.
            let _ = self.items.send(Item::Ticket(ticket));
            let _ = self.work.send(Work { batch, alone, place });
            self.unflushed = true;
        }
        Ok(())
    }

    pub(super) fn flush_if_due(&mut self, now: Instant) {
        if !self.unflushed || self.items.is_full() {
            return;
        }
        let commit = &self.source.config.commit;
        let age = now.duration_since(self.flushed_at);
        let idle = self.drained && self.hand.is_empty() && self.ready.is_empty();
        if age >= commit.interval || (idle && age >= commit.quiet) {
            let _ = self.items.send(Item::Flush(None));
            self.unflushed = false;
            self.flushed_at = now;
        }
    }

    pub(super) fn patience(&self, now: Instant) -> Duration {
        let sleep = cut::patience(&self.source.config.cutting, self.in_hand(), now, SLEEP_MAX);
        if !self.unflushed {
            return sleep;
        }
        let quiet =
            (self.flushed_at + self.source.config.commit.quiet).saturating_duration_since(now);
        sleep.min(quiet.max(Duration::from_millis(1)))
    }

    /// Everything read so far through all stages, within `bound`; `Err` when it took longer.
    fn flush_in_band(&mut self, bound: Duration) -> Result<Flushed, HopError> {
        let deadline = Instant::now() + bound;
        self.cut();
        let late =
            || HopError::Retry(format!("what was read could not be committed within {bound:?}"));
        loop {
            self.dispatch_ready()?;
            if self.ready.is_empty() && !self.items.is_full() {
                break;
            }
            if Instant::now() >= deadline || self.source.shared.has_failed() {
                return Err(late());
            }
            self.source.shared.wake().wait(FULL_WAIT);
        }
        let (answer, flushed) = bounded(1);
        let _ = self.items.send(Item::Flush(Some(answer)));
        self.unflushed = false;
        self.flushed_at = Instant::now();
        match flushed.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(flushed) => Ok(flushed),
            // Past the bound, or the publisher is gone: the outcome is unknown.
            Err(_) => Err(late()),
        }
    }

    /// Everything read so far is committed within `bound`, before partitions are given up.
    pub(super) fn commit_all(&mut self, bound: Duration) -> Result<(), HopError> {
        match self.flush_in_band(bound)? {
            Flushed::Committed => self.commit_before_leaving(),
            // The next owner reads it again; what is kept is rewound in the next turn.
            Flushed::Aborted => Ok(()),
        }
    }
}

//! The publisher without transactions: what was acknowledged in one piece may be committed.
//!
//! Reports count down each batch; the offsets of a batch are released only when it and every
//! batch before it are acknowledged, so commits cover a contiguous prefix.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use schemas::{ScoredBatch, failpoint};

use super::config::PipeConfig;
use super::outbox::{Limits, Outbox};
use super::shared::{Failure, Shared};
use super::ticket::{Flushed, Item, Ticket};
use super::watchdog::{Late, Watch};
use crate::events::PipeEvents;

/// How long the publisher waits for an item before it serves reports.
const IDLE: Duration = Duration::from_millis(5);

struct Publisher<'a> {
    config: &'a PipeConfig,
    shared: &'a Shared,
    outbox: Outbox<'a>,
    events: &'a PipeEvents,
    held_bytes: usize,
}

pub(super) fn publish(
    config: &PipeConfig,
    limits: Limits,
    items: &Receiver<Item>,
    shared: &Shared,
    watch: &Watch,
    events: &PipeEvents,
) -> Result<(), Failure> {
    let outbox = Outbox::new(config, limits, shared, events)?;
    let mut publisher = Publisher { config, shared, outbox, events, held_bytes: 0 };
    loop {
        match items.recv_timeout(IDLE) {
            Ok(Item::Ticket(ticket)) => publisher.ticket(ticket)?,
            Ok(Item::Flush(answer)) => {
                // Without one who waits for it, a flush is nothing here: acknowledgements flow.
                if let Some(answer) = answer {
                    publisher.outbox.settle(config.timeouts.call)?;
                    publisher.release();
                    let _ = answer.send(Flushed::Committed);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        publisher.outbox.serve()?;
        publisher.release();
        if shared.has_failed() {
            break;
        }
    }
    let _guard = watch.enter("drop of the producer", config.timeouts.call, Late::LeaveBehind);
    drop(publisher);
    Ok(())
}

impl Publisher<'_> {
    fn ticket(&mut self, ticket: Ticket) -> Result<(), Failure> {
        let outcome =
            ticket.place.recv().map_err(|_| Failure::Retry("a worker thread ended".into()))?;
        let scored = self.shared.scored(&ticket, outcome)?;
        self.held_bytes += self.outbox.place(scored)?;
        let begun = Instant::now();
        while self.held_bytes >= self.config.commit.max_bytes {
            self.outbox.serve()?;
            self.release();
            if begun.elapsed() > self.config.timeouts.transaction {
                return Err(Failure::Retry("records are not acknowledged".into()));
            }
            if self.held_bytes >= self.config.commit.max_bytes {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }

    /// Hands acknowledged batches' offsets on and frees their memory.
    fn release(&mut self) {
        let mut freed: Option<Vec<ScoredBatch>> = None;
        while let Some(batch) = self.outbox.sender.release_first() {
            self.held_bytes = self.held_bytes.saturating_sub(batch.bytes());
            freed.get_or_insert_default().push(batch);
        }
        let Some(freed) = freed else { return };
        failpoint::pass("pipe.acknowledged");
        let mut cell = self.shared.cell();
        for batch in &freed {
            for (partition, extent) in batch.source().offsets().iter() {
                if !cell.ledger.owns(partition) {
                    continue;
                }
                // A partition that came back is read again from its committed offset.
                if cell.acknowledged.get(partition).is_some_and(|have| have.end > extent.start) {
                    cell.acknowledged.remove(partition);
                }
                cell.acknowledged
                    .append(partition, extent.start..extent.end)
                    .expect("an overlap was removed above");
            }
        }
        drop(cell);
        let mut memory = self.shared.memory();
        for batch in &freed {
            self.events.acknowledged(batch.source().len());
            self.events.latency(batch.source().oldest_ms());
            memory.committed(batch.source().offsets());
        }
    }
}

//! The publisher with transactions: begin → records → offsets → flush → commit.
//!
//! Offsets go before the flush, so that both overlap. What can be aborted is aborted and read
//! again; whatever leaves the outcome unknown ends the run, and the next one's
//! `init_transactions` and committed offsets say what landed.
//!
//! The source asks for a commit whenever it is drained. What came while the last commit was under way
//! goes into one transaction, however often it was asked for: a broker that takes longer than the
//! source's pace has larger transactions before it, and no queue of small ones.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer;
use schemas::{Offsets, failpoint};

use super::config::PipeConfig;
use super::outbox::{Limits, Outbox};
use super::settling::Settling;
use super::shared::{Failure, Shared};
use super::ticket::{Flushed, Item, Outcome, Ticket, committed_list};
use super::watchdog::{Late, Watch};
use crate::events::{Aborted, Committed, PipeEvents};
use crate::raw::{self, Call};

/// How long the publisher waits for an item before it serves reports.
const IDLE: Duration = Duration::from_millis(50);
/// A call that has a limit of its own and is late by this much does not return any more.
const GRACE: Duration = Duration::from_secs(2);

/// Records that take no time of their own to send.
const SMALL: usize = 512;

struct Publisher<'a> {
    config: &'a PipeConfig,
    shared: &'a Shared,
    watch: &'a Watch,
    events: &'a PipeEvents,
    outbox: Outbox<'a>,
    open: Option<Transaction>,
    /// Tickets of this epoch and before are discarded; `None` before the first abort.
    dead: Option<u64>,
    settling: Settling,
    /// Since when the source waits for a commit.
    asked: Option<Instant>,
}

/// What the open transaction holds.
struct Transaction {
    epoch: u64,
    ends: Offsets,
    bytes: usize,
    records: usize,
    oldest_ms: Option<i64>,
    since: Instant,
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
    let mut publisher = Publisher {
        config,
        shared,
        watch,
        events,
        outbox,
        open: None,
        dead: None,
        settling: Settling::default(),
        asked: None,
    };
    publisher.init()?;
    loop {
        match items.recv_timeout(publisher.time_left().min(IDLE)) {
            Ok(Item::Ticket(ticket)) => publisher.ticket(ticket)?,
            Ok(Item::Flush(Some(answer))) => {
                let flushed = publisher.flush()?;
                let _ = answer.send(flushed);
            }
            Ok(Item::Flush(None)) => {
                publisher.asked.get_or_insert_with(Instant::now);
            }
            Err(RecvTimeoutError::Timeout) => {
                publisher.outbox.serve()?;
                publisher.commit_if_due()?;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
        publisher.commit_if_asked(items.is_empty())?;
        if shared.has_failed() {
            break;
        }
    }
    // The source flushed before it let go: what is still open belongs to a run that failed.
    let _guard = watch.enter("drop of the producer", config.timeouts.call, Late::LeaveBehind);
    drop(publisher);
    Ok(())
}

impl Publisher<'_> {
    fn call(&self) -> Duration {
        self.config.timeouts.call
    }

    fn init(&self) -> Result<(), Failure> {
        let limit = self.call() * 2;
        let _guard = self.watch.enter("init_transactions", limit + GRACE, Late::LeaveBehind);
        self.outbox.sender.producer().init_transactions(limit).map_err(|error| {
            match error.rdkafka_error_code() {
                Some(
                    RDKafkaErrorCode::TransactionalIdAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed
                    | RDKafkaErrorCode::InvalidTransactionTimeout,
                ) => Failure::Config(format!("init_transactions: {error}")),
                _ => Failure::Retry(format!("init_transactions: {error}")),
            }
        })
    }

    /// How long the open transaction may still wait; without end when none is open.
    fn time_left(&self) -> Duration {
        let Some(open) = &self.open else { return Duration::MAX };
        let commit = &self.config.commit;
        let due = open.since + commit.interval;
        let due = self.asked.map_or(due, |asked| due.min(asked + commit.quiet));
        due.saturating_duration_since(Instant::now())
    }

    /// The publisher's own clock: flushes travel behind the tickets, and slow batches hold them up.
    /// It is looked at between tickets only, so that what is committed are whole ones.
    fn commit_if_due(&mut self) -> Result<(), Failure> {
        if self.time_left().is_zero() { self.commit() } else { Ok(()) }
    }

    /// Once nothing waits any more that could go along, or where that does not end.
    fn commit_if_asked(&mut self, nothing_waits: bool) -> Result<(), Failure> {
        let quiet = self.config.commit.quiet;
        match self.asked {
            Some(asked) if nothing_waits || asked.elapsed() >= quiet => self.commit(),
            _ => Ok(()),
        }
    }

    /// What a worker made of the ticket's batch. What was placed before is committed meanwhile.
    fn outcome(&mut self, ticket: &Ticket) -> Result<Outcome, Failure> {
        loop {
            match ticket.place.recv_timeout(self.time_left().min(IDLE)) {
                Ok(outcome) => return Ok(outcome),
                Err(RecvTimeoutError::Timeout) => {
                    self.outbox.serve()?;
                    self.commit_if_due()?;
                }
                // The place is filled unless its worker is gone, or the run is over.
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::Retry("a worker thread ended".into()));
                }
            }
        }
    }

    fn is_dead(&self, ticket: &Ticket) -> bool {
        self.dead.is_some_and(|dead| ticket.epoch <= dead)
    }

    fn ticket(&mut self, ticket: Ticket) -> Result<(), Failure> {
        let outcome = self.outcome(&ticket)?;
        if self.is_dead(&ticket) {
            return Ok(());
        }
        let scored = self.shared.scored(&ticket, outcome)?;
        // A revoke flushes before it begins a new epoch, so a transaction never spans two.
        if self.open.as_ref().is_some_and(|open| open.epoch != ticket.epoch) {
            self.commit()?;
            // That commit may have been aborted, and everything read up to now with it.
            if self.is_dead(&ticket) {
                return Ok(());
            }
        }
        if self.open.is_none() {
            self.begin(ticket.epoch)?;
        }
        let (records, oldest_ms) = (scored.source().len(), scored.source().oldest_ms());
        let bytes = self.outbox.place(scored)?;
        failpoint::pass("pipe.placed");
        let open = self.open.as_mut().expect("begun above");
        open.records += records;
        open.oldest_ms = open.oldest_ms.into_iter().chain(oldest_ms).min();
        open.bytes += bytes;
        open.ends.extend(&ticket.offsets).map_err(|overlap| Failure::Retry(overlap.to_string()))?;
        if open.bytes >= self.config.commit.max_bytes {
            self.commit()
        } else {
            self.outbox.serve()?;
            self.commit_if_due()
        }
    }

    fn begin(&mut self, epoch: u64) -> Result<(), Failure> {
        std::thread::sleep(self.settling.wait(Instant::now()));
        // So that small transactions do not all go to one partition.
        self.outbox.sender.end_turns();
        self.outbox.sender.producer().begin_transaction().map_err(|error| {
            let text = format!("begin_transaction: {error}");
            match error.rdkafka_error_code() {
                Some(code) if is_fencing(code) => Failure::Fenced(text),
                _ => Failure::Retry(text),
            }
        })?;
        failpoint::pass("pipe.begun");
        let (ends, since) = (Offsets::new(), Instant::now());
        let open = Transaction { epoch, ends, bytes: 0, records: 0, oldest_ms: None, since };
        self.open = Some(open);
        Ok(())
    }

    fn flush(&mut self) -> Result<Flushed, Failure> {
        self.commit()?;
        // What was aborted and not yet rewound is still to be read again.
        let rewinding = self.shared.cell().rewind;
        Ok(if rewinding { Flushed::Aborted } else { Flushed::Committed })
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.asked = None;
        let Some(open) = self.open.take() else { return Ok(()) };
        self.shared.commit_begins();
        let done = self.commit_of(open);
        self.shared.commit_ends();
        done
    }

    fn commit_of(&mut self, open: Transaction) -> Result<(), Failure> {
        let begun = Instant::now();
        let metadata = {
            let cell = self.shared.cell();
            let is_ours = cell.ledger.epoch() == open.epoch
                && open.ends.iter().all(|(partition, _)| cell.ledger.owns(partition));
            cell.metadata.clone().filter(|_| is_ours)
        };
        let Some(metadata) = metadata else {
            return self.abort(&open, "no membership in the group for this epoch");
        };
        let guard =
            self.watch.enter("send_offsets_to_transaction", self.call() + GRACE, Late::LeaveBehind);
        failpoint::pass("pipe.before_offsets");
        let sent = raw::send_offsets(
            self.outbox.sender.producer(),
            &committed_list(&self.config.input, &open.ends),
            &metadata,
            self.call(),
        );
        drop(guard);
        self.is_wanted()?;
        if let Err(call) = sent {
            return self.failed(&open, "send_offsets_to_transaction", &call);
        }
        failpoint::pass("pipe.offsets_sent");
        let flushing = Instant::now();
        self.outbox.settle(self.call())?;
        self.is_wanted()?;
        failpoint::pass("pipe.before_commit");
        let committing = Instant::now();
        let guard = self.watch.enter("commit_transaction", self.call() + GRACE, Late::LeaveBehind);
        let done = raw::commit(self.outbox.sender.producer(), self.call());
        drop(guard);
        if let Err(call) = done {
            return self.failed(&open, "commit_transaction", &call);
        }
        failpoint::pass("pipe.committed");
        self.shared.cell().ledger.committed(open.epoch, &open.ends);
        self.shared.memory().committed(&open.ends);
        self.release();
        let Transaction { records, bytes, oldest_ms, since, .. } = open;
        let small = records <= SMALL;
        self.settling.committed(Instant::now(), small, begun - since, committing - begun);
        let (flush, commit) = (committing - flushing, committing.elapsed());
        let committed = Committed {
            records,
            bytes,
            open: since.elapsed(),
            flush,
            commit,
            whole: begun.elapsed(),
            oldest_ms,
        };
        committed.emit(self.events);
        Ok(())
    }

    /// A call may come back after the run gave it up: then nothing may be committed.
    fn is_wanted(&self) -> Result<(), Failure> {
        match self.shared.has_failed() {
            true => Err(Failure::Retry("the run ended during the commit".into())),
            false => Ok(()),
        }
    }

    /// Frees what was sent; leftovers of librdkafka's own queue (log lines) are served first.
    ///
    /// What failed is of a transaction whose outcome is known: a purged record is reported late.
    fn release(&mut self) {
        for _ in 0..100 {
            if self.outbox.sender.release_all() {
                return;
            }
            self.outbox.sender.serve();
        }
        // Kept until the next commit: memory, not correctness.
    }

    fn failed(&mut self, open: &Transaction, call: &str, error: &Call) -> Result<(), Failure> {
        let text = format!("{call}: {} ({})", error.text(), error.code());
        match error {
            Call::Abort { .. } => self.abort(open, &text),
            Call::Fatal { code, .. } if is_fencing(*code) => Err(Failure::Fenced(text)),
            // The outcome is unknown: only a new producer and the committed offsets tell.
            Call::Fatal { .. } | Call::Retriable { .. } | Call::Other { .. } => {
                Err(Failure::Retry(text))
            }
        }
    }

    fn abort(&mut self, open: &Transaction, why: &str) -> Result<(), Failure> {
        Aborted { reason: why, records: open.records }.emit(self.events);
        let deadline = Instant::now() + self.call() * 2;
        let _guard =
            self.watch.enter("abort_transaction", self.call() * 2 + GRACE, Late::LeaveBehind);
        raw::purge_queue(self.outbox.sender.producer());
        // Failed reports of purged records are expected here. librdkafka waits for reports to be
        // served while it aborts: short first, so that this thread can serve them.
        let mut slice = Duration::from_millis(20);
        loop {
            self.outbox.sender.serve();
            match raw::abort(self.outbox.sender.producer(), slice) {
                Ok(()) => break,
                Err(Call::Retriable { .. }) if Instant::now() < deadline => {
                    slice = Duration::from_millis(200);
                }
                Err(call) if is_fencing(call.code()) => {
                    return Err(Failure::Fenced(format!("abort_transaction: {}", call.text())));
                }
                Err(call) => {
                    return Err(Failure::Retry(format!("abort_transaction: {}", call.text())));
                }
            }
        }
        self.outbox.sender.serve();
        self.release();
        let mut cell = self.shared.cell();
        // Everything read up to now is to be read again, whatever epoch it carries.
        self.dead = Some(cell.ledger.epoch());
        cell.rewind = true;
        drop(cell);
        self.shared.wake().raise();
        Ok(())
    }
}

fn is_fencing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch
            | RDKafkaErrorCode::Fatal
    )
}

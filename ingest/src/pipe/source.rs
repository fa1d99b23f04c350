//! The consumer's thread: reads in batches, cuts, reserves tickets in source order, answers
//! rebalances, rewinds. Nothing here blocks for long: what does not fit is kept in hand.

use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use schemas::MicroBatch;

use super::assignment::Assignment;
use super::config::{FETCH_BYTES, PipeConfig};
use super::cut::{self, InHand};
use super::hop::HopError;
use super::rebalance::RebalanceContext;
use super::shared::{Failure, Shared};
use super::start;
use super::ticket::{Flushed, Item, Ticket, Work};
use super::watchdog::Watch;
use crate::admin::TopicInfo;
use crate::client::topic_name;
use crate::connection::Kind;
use crate::events::PipeEvents;
use crate::raw::{Entry, ForwardQueue, GroupMetadata};
use crate::stop::Stop;

/// Longest sleep while nothing happens; stop and rebalances are seen within it.
const SLEEP_MAX: Duration = Duration::from_millis(50);
/// Sleep while the stages behind are full.
const FULL_WAIT: Duration = Duration::from_millis(2);
/// How often the membership is looked at between rebalances: the generation may have moved.
const CAPTURE_EVERY: Duration = Duration::from_millis(10);
/// How often lag is reported.
const LAG_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Source<'a> {
    pub(super) config: &'a PipeConfig,
    pub(super) input: &'a TopicInfo,
    pub(super) shared: &'a Shared,
    pub(super) events: &'a PipeEvents,
    pub(super) watch: &'a Watch,
}

/// Reads until stop or failure; then ends the stages behind, in this order: channels, publisher
/// (`join_publisher`), our queue, the consumer.
pub(super) fn run(
    source: &Source<'_>,
    work: Sender<Work>,
    items: Sender<Item>,
    stop: &Stop,
    join_publisher: impl FnOnce(),
) -> Result<(), HopError> {
    let config = source.config;
    let prepared = start::ensure_positions(config, source.input).and_then(|()| join(config));
    let consumer = match prepared {
        Ok(consumer) => consumer,
        Err(error) => {
            drop((work, items));
            join_publisher();
            return Err(error);
        }
    };
    let topic = topic_name(&config.input).map_err(HopError::Config)?;
    let ended = {
        let queue = ForwardQueue::new(&consumer, source.shared.wake());
        let mut reading = Reading::new(source, &consumer, queue, topic, work, items);
        let ended = reading.run(stop).or_else(|error| reading.what_failed(error));
        drop(reading);
        join_publisher();
        ended
    };
    let _guard = source.watch.enter("close of the consumer", config.timeouts.session * 2);
    consumer.context().close(&consumer);
    drop(consumer);
    // A publisher that failed while the source was draining.
    match (ended, source.shared.failure()) {
        (Ok(()), Some(Failure::Config(text))) => Err(HopError::Config(text)),
        (Ok(()), Some(Failure::Fenced(text) | Failure::Retry(text))) => Err(HopError::Retry(text)),
        (ended, _) => ended,
    }
}

fn join(config: &PipeConfig) -> Result<BaseConsumer<RebalanceContext>, HopError> {
    let millis = |duration: Duration| duration.as_millis().to_string();
    let mut client = config.connection.client(Kind::Consumer);
    client
        .set("group.id", &config.group)
        .set("group.instance.id", &config.connection.instance)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", millis(config.timeouts.session))
        .set("heartbeat.interval.ms", millis(config.timeouts.heartbeat))
        .set("max.poll.interval.ms", millis(config.timeouts.poll_interval))
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", config.fetch_kib.to_string())
        // After a full queue librdkafka waits this long before it fetches again: 1 s stalls otherwise.
        .set("fetch.queue.backoff.ms", "2")
        .set("fetch.max.bytes", FETCH_BYTES.to_string());
    let ours_unless_set = [
        ("fetch.wait.max.ms", "100"),
        ("fetch.error.backoff.ms", "100"),
        // A partition added to the input is read from within a minute.
        ("topic.metadata.refresh.interval.ms", "60000"),
    ];
    for (name, value) in ours_unless_set {
        if !config.connection.properties.contains_key(name) {
            client.set(name, value);
        }
    }
    let consumer: BaseConsumer<RebalanceContext> = client
        .create_with_context(RebalanceContext::default())
        .map_err(|error| HopError::Config(format!("the consumer cannot be made: {error}")))?;
    consumer
        .subscribe(&[&config.input])
        .map_err(|error| HopError::Retry(format!("subscribing to {:?}: {error}", config.input)))?;
    Ok(consumer)
}

/// The state of one run of the source.
pub(super) struct Reading<'a, 'c> {
    pub(super) source: &'a Source<'a>,
    pub(super) consumer: &'c BaseConsumer<RebalanceContext>,
    pub(super) queue: ForwardQueue<'c, RebalanceContext>,
    pub(super) topic: CString,
    pub(super) assignment: Assignment,
    name: Arc<str>,
    work: Sender<Work>,
    items: Sender<Item>,
    hand: MicroBatch,
    /// When the first record in hand was read.
    since: Instant,
    /// Cut and not yet dispatched, each with whether it stands alone.
    ready: VecDeque<(MicroBatch, bool)>,
    /// Mean size of a record in the last read, bytes.
    record_bytes: usize,
    drained: bool,
    unflushed: bool,
    flushed_at: Instant,
    captured_at: Instant,
    lag_at: Instant,
}

impl<'a, 'c> Reading<'a, 'c> {
    fn new(
        source: &'a Source<'a>,
        consumer: &'c BaseConsumer<RebalanceContext>,
        queue: ForwardQueue<'c, RebalanceContext>,
        topic: CString,
        work: Sender<Work>,
        items: Sender<Item>,
    ) -> Self {
        let (now, name) = (Instant::now(), Arc::<str>::from(source.config.input.as_str()));
        let mut reading = Self {
            source,
            consumer,
            queue,
            topic,
            assignment: Assignment::default(),
            hand: MicroBatch::with_capacity(name.clone(), 0, 0),
            name,
            work,
            items,
            since: now,
            ready: VecDeque::new(),
            record_bytes: 1024,
            drained: true,
            unflushed: false,
            flushed_at: now,
            captured_at: now,
            lag_at: now,
        };
        reading.hand = reading.empty_hand();
        reading
    }

    fn run(&mut self, stop: &Stop) -> Result<(), HopError> {
        loop {
            if self.source.shared.has_failed() {
                return Err(HopError::Retry("the publisher failed".into()));
            }
            self.serve_events()?;
            self.rewind_if_asked()?;
            if stop.is_raised() {
                return self.drain();
            }
            let now = Instant::now();
            self.housekeeping(now)?;
            self.dispatch_ready();
            let mut read = 0;
            if self.ready.is_empty() {
                read = self.read()?;
                self.cut_if_due(Instant::now());
                self.dispatch_ready();
            }
            self.flush_if_due(Instant::now());
            if !self.ready.is_empty() {
                self.source.shared.wake().wait(FULL_WAIT);
            } else if read == 0 {
                self.source.shared.wake().wait(self.patience(Instant::now()));
            }
        }
    }

    /// Serves the consumer's events: rebalances and errors. No record may come this way.
    pub(super) fn serve_events(&mut self) -> Result<(), HopError> {
        loop {
            let polled = self.consumer.poll(Duration::ZERO);
            let change = self.consumer.context().next();
            match polled {
                Some(Ok(message)) => {
                    use rdkafka::Message;
                    return Err(HopError::Retry(format!(
                        "partition {} was read before it was forwarded",
                        message.partition()
                    )));
                }
                Some(Err(error)) => self.on_error(&error)?,
                None if change.is_none() && !self.queue.has_events() => return Ok(()),
                None => {}
            }
            if let Some((change, partitions)) = change {
                self.rebalance(change, &partitions)?;
            }
        }
    }

    fn on_error(&self, error: &KafkaError) -> Result<(), HopError> {
        match error {
            KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId) => {
                Err(HopError::Replaced(self.source.config.connection.instance.clone()))
            }
            KafkaError::MessageConsumptionFatal(code) => {
                Err(HopError::Retry(format!("the consumer failed for good: {code}")))
            }
            KafkaError::MessageConsumption(
                code @ (RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::SaslAuthenticationFailed),
            ) => Err(HopError::Config(format!(
                "reading {:?} as group {:?}: {code}: grant the access",
                self.source.config.input, self.source.config.group
            ))),
            // Brokers down, a rejoin, a poll interval passed: librdkafka goes on by itself, and
            // what it means for the assignment comes as a rebalance.
            error => {
                tracing::debug!(%error, "consumer");
                Ok(())
            }
        }
    }

    fn rewind_if_asked(&mut self) -> Result<(), HopError> {
        let seeks = {
            let mut cell = self.source.shared.cell();
            if !std::mem::take(&mut cell.rewind) {
                return Ok(());
            }
            cell.ledger.rewind()
        };
        self.forget_hand();
        self.seek(&seeks)
    }

    fn housekeeping(&mut self, now: Instant) -> Result<(), HopError> {
        if now.duration_since(self.captured_at) >= CAPTURE_EVERY {
            self.captured_at = now;
            self.refresh_metadata();
            self.commit_acknowledged(now)?;
        }
        if now.duration_since(self.lag_at) >= LAG_EVERY {
            self.lag_at = now;
            self.report_lag();
            self.source.events.queued(self.items.len(), self.work.len());
        }
        Ok(())
    }

    /// Looks at the membership again; a member that was evicted stays without.
    pub(super) fn refresh_metadata(&self) {
        let now = GroupMetadata::capture(self.consumer);
        let mut cell = self.source.shared.cell();
        if cell.metadata.is_some() {
            cell.metadata = now;
        }
    }

    fn in_hand(&self) -> InHand {
        InHand { rows: self.hand.len(), bytes: self.hand.bytes(), since: self.since }
    }

    fn read(&mut self) -> Result<usize, HopError> {
        let cutting = self.source.config.cutting;
        let limit = cut::room(&cutting, self.in_hand(), self.record_bytes);
        let suspected = !self.source.shared.memory().is_clean();
        let before = self.hand.bytes();
        // Moved out, so that the callback may use the rest of `self`.
        let (mut queue_error, mut resets) = (None, Vec::new());
        let (hand, assignment, ready) = (&mut self.hand, &mut self.assignment, &mut self.ready);
        let (shared, name, since) = (self.source.shared, &self.name, &mut self.since);
        let read = self.queue.read(limit, |entry| {
            let record = match entry {
                Entry::Record(record) => record,
                // Its neighbours in this read are good: it is dealt with after them.
                Entry::Error { partition, offset, code: RDKafkaErrorCode::AutoOffsetReset, .. } if offset < 0 => {
                    resets.push(partition);
                    return Ok(());
                }
                Entry::Error { partition, offset, code, text } => {
                    queue_error = Some((partition, offset, code, text));
                    return Err(());
                }
            };
            let (partition, offset) = (record.partition(), record.offset());
            if !assignment.sees(partition, offset, shared) {
                queue_error = Some((partition, offset, RDKafkaErrorCode::UnknownPartition, String::new()));
                return Err(());
            }
            let alone = suspected && shared.memory().is_alone(partition, offset);
            if (alone || cut::is_full(&cutting, InHand { rows: hand.len(), bytes: hand.bytes(), since: *since }))
                && !hand.is_empty()
            {
                let next = MicroBatch::with_capacity(name.clone(), cutting.max_rows, 0);
                ready.push_back((std::mem::replace(hand, next), false));
            }
            if hand.is_empty() {
                *since = Instant::now();
            }
            let pushed =
                hand.push(partition, offset, record.timestamp_ms(), record.key(), record.value());
            if let Err(overlap) = pushed {
                queue_error = Some((partition, offset, RDKafkaErrorCode::Inconsistent, overlap.to_string()));
                return Err(());
            }
            record.headers(|name, value| hand.push_header(name, value));
            if alone {
                let next = MicroBatch::with_capacity(name.clone(), cutting.max_rows, 0);
                ready.push_back((std::mem::replace(hand, next), true));
            }
            Ok(())
        });
        let Ok(read) = read else {
            let (partition, offset, code, text) = queue_error.expect("the callback noted its error");
            return Err(self.entry_error(partition, offset, code, &text));
        };
        for partition in resets {
            // The committed offset was asked for past our bound, and there is none: added later.
            self.place_at(partition, 0)?;
        }
        self.drained = read < limit;
        if read > 0 && self.hand.bytes() > before {
            self.record_bytes = (self.hand.bytes() - before).div_ceil(read);
        }
        Ok(read)
    }

    fn empty_hand(&self) -> MicroBatch {
        let cutting = &self.source.config.cutting;
        let bytes = cutting.max_bytes.min(cutting.max_rows.saturating_mul(self.record_bytes));
        MicroBatch::with_capacity(self.name.clone(), cutting.max_rows, bytes)
    }

    fn cut_if_due(&mut self, now: Instant) {
        let free = self.source.shared.worker_is_free() && self.items.len() < self.items.capacity().unwrap_or(1) / 2;
        if cut::is_due(&self.source.config.cutting, self.in_hand(), now, self.drained, free) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if !self.hand.is_empty() {
            let next = self.empty_hand();
            self.ready.push_back((std::mem::replace(&mut self.hand, next), false));
        }
    }

    pub(super) fn forget_hand(&mut self) {
        self.ready.clear();
        self.hand = self.empty_hand();
    }

    /// Hands cut batches on while there is room behind; the order of tickets is the source's.
    fn dispatch_ready(&mut self) {
        while !self.ready.is_empty() && !self.items.is_full() && !self.work.is_full() {
            let Some((batch, alone)) = self.ready.pop_front() else { return };
            self.assignment.dispatched(batch.offsets());
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
    }

    fn flush_if_due(&mut self, now: Instant) {
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

    fn patience(&self, now: Instant) -> Duration {
        let sleep = cut::patience(&self.source.config.cutting, self.in_hand(), now, SLEEP_MAX);
        if !self.unflushed {
            return sleep.min(CAPTURE_EVERY.max(sleep));
        }
        let quiet = (self.flushed_at + self.source.config.commit.quiet).saturating_duration_since(now);
        sleep.min(quiet.max(Duration::from_millis(1)))
    }

    /// Everything read so far through all stages, within `bound`; `Err` when it took longer.
    pub(super) fn flush_in_band(&mut self, bound: Duration) -> Result<Flushed, HopError> {
        let deadline = Instant::now() + bound;
        self.cut();
        let late = || HopError::Retry(format!("what was read could not be committed within {bound:?}"));
        loop {
            self.dispatch_ready();
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

    fn drain(&mut self) -> Result<(), HopError> {
        match self.flush_in_band(self.source.config.timeouts.call * 2)? {
            Flushed::Committed => self.commit_before_leaving(),
            // What was aborted is read again by whoever is next.
            Flushed::Aborted => Ok(()),
        }
    }

    /// Why the run really failed: a fenced producer alone does not prove a twin.
    fn what_failed(&mut self, seen: HopError) -> Result<(), HopError> {
        if matches!(seen, HopError::Replaced(_) | HopError::Config(_)) {
            return Err(seen);
        }
        Err(match self.source.shared.failure() {
            None => seen,
            Some(Failure::Config(text)) => HopError::Config(text),
            Some(Failure::Retry(text)) => HopError::Retry(text),
            Some(Failure::Fenced(text)) => {
                let until = Instant::now() + self.source.config.timeouts.heartbeat * 3;
                while Instant::now() < until {
                    match self.consumer.poll(Duration::from_millis(20)) {
                        Some(Err(error)) => {
                            if let Err(replaced @ HopError::Replaced(_)) = self.on_error(&error) {
                                return Err(replaced);
                            }
                        }
                        Some(Ok(_)) | None => {}
                    }
                }
                HopError::Retry(text)
            }
        })
    }
}

//! The consumer's thread: its loop, its events, and how it ends. Reading is in `intake`, handing on
//! in `dispatch`, rebalances in `assignment`. Nothing blocks for long: what does not fit is kept in hand.

use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use schemas::{MicroBatch, failpoint};

use super::assignment::Assignment;
use super::config::PipeConfig;
use super::consumer::{Fetching, UNRESOLVED, fenced, join, refused};
use super::hop::{HopError, Topics};
use super::rebalance::{Closing, RebalanceContext};
use super::shared::{Failure, Shared};
use super::start;
use super::ticket::{Item, Work};
use super::watchdog::{Late, Watch};
use crate::client::topic_name;
use crate::events::PipeEvents;
use crate::raw::{ForwardQueue, GroupMetadata};
use crate::stop::Stop;

/// Longest sleep while nothing happens; stop and rebalances are seen within it.
pub(super) const SLEEP_MAX: Duration = Duration::from_millis(50);
/// Sleep while the stages behind are full.
pub(super) const FULL_WAIT: Duration = Duration::from_millis(2);
/// How often the membership is looked at between rebalances: the generation may have moved.
pub(super) const CAPTURE_EVERY: Duration = Duration::from_millis(10);
/// Records librdkafka tries to have at hand; its buffer's bound in bytes comes first.
const FETCH_RECORDS: usize = 20_000;
/// What the watch calls a turn of this thread's loop, up to where it reads.
const TURN: &str = "a turn of the consumer";
/// How often lag is reported.
const LAG_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Source<'a> {
    pub(super) config: &'a PipeConfig,
    pub(super) topics: &'a Topics,
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
    let ensured = {
        let limit = config.timeouts.call * start::CALLS_MAX;
        let _guard = source.watch.enter("first positions of the group", limit, Late::EndProcess);
        start::ensure_positions(config, source.topics)
    };
    let prepared = ensured.and_then(|()| {
        let topic = topic_name(&config.input).map_err(HopError::Config)?;
        let fetching =
            Fetching { topic: &config.input, records: FETCH_RECORDS, kib: config.fetch_kib };
        Ok((topic, join(&config.connection, &config.group, &config.timeouts, &fetching)?))
    });
    let (topic, consumer) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            drop((work, items));
            join_publisher();
            return Err(error);
        }
    };
    let closing = Closing(&consumer);
    let ended = {
        let queue = ForwardQueue::new(&consumer, source.shared.wake());
        let mut reading = Reading::new(source, &consumer, queue, topic, work, items);
        let ended = reading.run(stop).or_else(|error| reading.what_failed(error));
        drop(reading);
        join_publisher();
        ended
    };
    let limit = config.commit_patience() + UNRESOLVED;
    let _guard = source.watch.enter("close of the consumer", limit, Late::EndProcess);
    failpoint::pass("pipe.closing");
    drop(closing);
    drop(consumer);
    // A publisher that failed while the source was draining.
    match (ended, source.shared.failure()) {
        (Ok(()), Some(Failure::Config(text))) => Err(HopError::Config(text)),
        (Ok(()), Some(Failure::Fenced(text) | Failure::Retry(text))) => Err(HopError::Retry(text)),
        (ended, _) => ended,
    }
}

/// librdkafka says nothing of it when a member is removed while it joins, and leaves it its partitions.
pub(super) fn evicted() -> HopError {
    HopError::Retry(
        "this member was evicted from the group while it joined, and others may have scored what it had \
         left: starting anew from what is committed"
            .into(),
    )
}

/// The state of one run of the source.
pub(super) struct Reading<'a, 'c> {
    pub(super) source: &'a Source<'a>,
    pub(super) consumer: &'c BaseConsumer<RebalanceContext>,
    pub(super) queue: ForwardQueue<'c, RebalanceContext>,
    pub(super) topic: CString,
    pub(super) assignment: Assignment,
    pub(super) name: Arc<str>,
    pub(super) work: Sender<Work>,
    pub(super) items: Sender<Item>,
    pub(super) hand: MicroBatch,
    /// When the first record in hand was read.
    pub(super) since: Instant,
    /// Cut and not yet dispatched, each with whether it stands alone.
    pub(super) ready: VecDeque<(MicroBatch, bool)>,
    /// Mean size of a record in the last read, bytes.
    pub(super) record_bytes: usize,
    pub(super) drained: bool,
    pub(super) unflushed: bool,
    pub(super) flushed_at: Instant,
    pub(super) captured_at: Instant,
    pub(super) lag_at: Instant,
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
        let Source { config, shared, watch, .. } = self.source;
        let turn = config.timeouts.poll_interval + config.commit_patience();
        loop {
            if shared.has_failed() {
                return Err(HopError::Retry("the publisher failed".into()));
            }
            // What is asked of librdkafka's own thread has no limit of its own.
            let guard = watch.enter(TURN, turn, Late::EndProcess);
            self.serve_events()?;
            self.rewind_if_asked()?;
            self.housekeeping(Instant::now())?;
            drop(guard);
            if stop.is_raised() {
                return self.commit_all(config.timeouts.call * 2);
            }
            self.dispatch_ready()?;
            let (mut read, mut gathers) = (0, None);
            if self.ready.is_empty() {
                read = self.read()?;
                gathers = self.cut_if_due(Instant::now());
                self.dispatch_ready()?;
            }
            self.flush_if_due(Instant::now());
            if !self.ready.is_empty() {
                shared.wake().wait(FULL_WAIT);
            } else if let Some(left) = gathers {
                // Not by the flag: each partition of an answer raises it.
                std::thread::sleep(left);
            } else if read == 0 {
                shared.wake().wait(self.patience(Instant::now()));
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
                let PipeConfig { group, connection, .. } = self.source.config;
                Err(fenced(group, &connection.instance))
            }
            KafkaError::MessageConsumptionFatal(code) => {
                Err(HopError::Retry(format!("the consumer failed for good: {code}")))
            }
            // Brokers down, a rejoin, a poll interval passed: librdkafka goes on by itself, and
            // what it means for the assignment comes as a rebalance.
            error => {
                let PipeConfig { input, group, .. } = self.source.config;
                refused(error, input, group)?;
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
            self.refresh_metadata()?;
            self.commit_acknowledged(now)?;
        }
        if now.duration_since(self.lag_at) >= LAG_EVERY {
            self.lag_at = now;
            self.report_lag();
            self.look_for_withheld(now)?;
            self.source.events.queued(self.items.len(), self.work.len());
        }
        Ok(())
    }

    /// Looks at the membership again; a member without one stays without until the next assignment.
    pub(super) fn refresh_metadata(&self) -> Result<(), HopError> {
        let now = GroupMetadata::capture(self.consumer);
        let mut cell = self.source.shared.cell();
        if cell.metadata.is_none() || cell.renew(now) { Ok(()) } else { Err(evicted()) }
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
                    if let Some(Err(error)) = self.consumer.poll(Duration::from_millis(20))
                        && let Err(replaced @ HopError::Replaced(_)) = self.on_error(&error)
                    {
                        return Err(replaced);
                    }
                }
                HopError::Retry(text)
            }
        })
    }
}

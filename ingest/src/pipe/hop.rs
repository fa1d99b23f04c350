//! One run of the hop: set-up, threads, and the single way down.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};

use super::config::{Delivery, PipeConfig};
use super::memory::Memory;
use super::outbox::Limits;
use super::shared::{Failure, Shared};
use super::source::Source;
use super::ticket::Item;
use super::watchdog::{Late, Watch};
use super::worker::{self, Worker, text_of};
use super::{at_least_once, exactly_once, source};
use crate::admin::{self, TopicInfo};
use crate::events::{HopEnded, PipeEvents};
use crate::raw::Wake;
use crate::stop::Stop;

/// Why a run of the hop ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum HopError {
    /// Somebody has to change something; running again would fail the same way.
    #[error("{0}")]
    Config(String),
    /// Another process with the same instance name has taken our place: end this one.
    #[error(
        "another process runs as instance {0:?}: this one ends; give each process its own `instance`"
    )]
    Replaced(String),
    /// Run again after a pause; nothing is lost.
    #[error("{0}")]
    Retry(String),
}

/// Runs hop 1 until `stop` is raised and what was read is committed, or until something fails.
///
/// Blocks; the calling thread becomes the consumer's. Call it again after [`HopError::Retry`], with
/// the same `memory`: it holds what failed before, so that a bad record ends in the dead letters.
///
/// # Panics
/// When `workers` is empty.
pub fn run(
    config: &PipeConfig,
    workers: &mut [Worker],
    stop: &Stop,
    events: &Arc<PipeEvents>,
    memory: &mut Memory,
) -> Result<(), HopError> {
    assert!(!workers.is_empty(), "a pipe needs a worker");
    let problems = config.check();
    if !problems.is_empty() {
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        return Err(HopError::Config(all.join("\n")));
    }
    let ended = set_up_and_run(config, workers, stop, events, memory);
    events.run_ended();
    if let Err(error) = &ended {
        HopEnded { error }.emit(events);
    }
    ended
}

fn set_up_and_run(
    config: &PipeConfig,
    workers: &mut [Worker],
    stop: &Stop,
    events: &Arc<PipeEvents>,
    memory: &mut Memory,
) -> Result<(), HopError> {
    let topics = describe_topics(config, memory.has_run)?;
    let wake = Wake::new().map_err(|error| HopError::Retry(format!("eventfd: {error}")))?;
    let shared = Arc::new(Shared::new(wake, std::mem::take(memory), workers.len()));
    let (watch, _watching) = {
        let (shared, hook) = (shared.clone(), config.on_stuck.clone());
        Watch::start(move |call, late| match late {
            Late::LeaveBehind => shared.fail(Failure::Retry(format!("{call} does not return"))),
            Late::EndProcess => hook.0(call),
        })
    };
    let (work, to_do) = bounded(config.batches_in_flight);
    let (items, to_publish) = bounded(config.batches_in_flight);
    let ended = thread::scope(|scope| {
        for (index, worker) in workers.iter_mut().enumerate() {
            let (to_do, shared, watch) = (to_do.clone(), &shared, &watch);
            let run = move || worker::run(worker, config, &to_do, shared, watch, events);
            spawn(scope, format!("worker-{index}"), run)?;
        }
        drop(to_do);
        let publisher =
            start_publisher(config, topics.limits, to_publish, &shared, &watch, events)?;
        let source = Source { config, topics: &topics, shared: &shared, events, watch: &watch };
        source::run(&source, work, items, stop, || {
            join_or_leave(publisher, config, &shared, &watch)
        })
    });
    *memory = shared.take_memory();
    memory.has_run = true;
    ended
}

/// The publisher's thread owns all it needs: if a C call keeps it, it is left behind.
fn start_publisher(
    config: &PipeConfig,
    limits: Limits,
    items: Receiver<Item>,
    shared: &Arc<Shared>,
    watch: &Watch,
    events: &Arc<PipeEvents>,
) -> Result<JoinHandle<()>, HopError> {
    let (config, shared, watch, events) =
        (config.clone(), shared.clone(), watch.clone(), events.clone());
    let run = move || {
        let publish = match config.delivery {
            Delivery::ExactlyOnce => exactly_once::publish,
            Delivery::AtLeastOnce => at_least_once::publish,
        };
        let published = catch_unwind(AssertUnwindSafe(|| {
            publish(&config, limits, &items, &shared, &watch, &events)
        }));
        let ended = published.unwrap_or_else(|panic| {
            let text = text_of(panic.as_ref());
            Err(Failure::Retry(format!("the publisher panicked: {}", config.told(&text))))
        });
        // The source sees the failure first and the closed channel afterwards.
        if let Err(failure) = ended {
            shared.fail(failure);
        }
        drop(items);
    };
    thread::Builder::new()
        .name("tg-publisher".into())
        .spawn(run)
        .map_err(|error| HopError::Retry(format!("the publisher's thread: {error}")))
}

/// Publishers left behind in one process before it has to end: each keeps its transaction's memory.
const LEFT_BEHIND_MAX: u32 = 8;

fn join_or_leave(publisher: JoinHandle<()>, config: &PipeConfig, shared: &Shared, watch: &Watch) {
    let deadline = Instant::now() + config.timeouts.call * 4;
    while !publisher.is_finished() {
        if watch.has_late() || Instant::now() > deadline {
            // It can do no harm: it looks for the failure before each further step, and what
            // librdkafka still sends on its behalf is fenced by the next `init_transactions`.
            shared.fail(Failure::Retry("the publisher was left behind in a client call".into()));
            let mut memory = shared.memory();
            memory.left_behind += 1;
            tracing::error!(
                left_behind = memory.left_behind,
                "a client call does not return: starting again without it"
            );
            if memory.left_behind > LEFT_BEHIND_MAX {
                config.on_stuck.0("the publisher, again and again");
            }
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
    publisher.join().expect("its panics are caught");
}

fn spawn<'scope, 'env>(
    scope: &'scope thread::Scope<'scope, 'env>,
    name: String,
    run: impl FnOnce() + Send + 'scope,
) -> Result<thread::ScopedJoinHandle<'scope, ()>, HopError> {
    thread::Builder::new()
        .name(format!("tg-{name}"))
        .spawn_scoped(scope, run)
        .map_err(|error| HopError::Retry(format!("a thread for {name} cannot be started: {error}")))
}

/// The topics as they were when the run began.
pub(super) struct Topics {
    pub(super) input: TopicInfo,
    limits: Limits,
    /// One of the other two topics that something was written to, if there is one.
    pub(super) written: Option<String>,
}

fn describe_topics(config: &PipeConfig, has_run: bool) -> Result<Topics, HopError> {
    let ask = |topic: &str| {
        admin::topic_info(&config.connection, topic, config.timeouts.call).map_err(|error| {
            match error {
                // It was there before: a broker that has just started may not know its topics yet.
                admin::AdminError::NoTopic(_) if has_run => HopError::Retry(error.to_string()),
                admin::AdminError::NoTopic(_) | admin::AdminError::Refused(_) => {
                    HopError::Config(error.to_string())
                }
                admin::AdminError::Unreachable(_) => HopError::Retry(error.to_string()),
            }
        })
    };
    let (input, output, dead) =
        (ask(&config.input)?, ask(&config.output)?, ask(&config.dead_letters)?);
    let fewer = output.partitions.len() < input.partitions.len();
    if config.partitioner == super::Partitioner::Same && fewer {
        return Err(HopError::Config(format!(
            "partitioner = \"same\" needs as many partitions in {:?} ({}) as in {:?} ({}): add partitions",
            config.output,
            output.partitions.len(),
            config.input,
            input.partitions.len()
        )));
    }
    for topic in [&output, &dead] {
        topic.refuse_compaction().map_err(HopError::Config)?;
    }
    let queue_bytes = config.produce_kib.saturating_mul(1 << 10);
    let limits = Limits {
        result_bytes: output.max_message_bytes.min(queue_bytes),
        dead_letter_bytes: dead.max_message_bytes.min(queue_bytes),
        result_partitions: output.partitions.len(),
    };
    let has_records = |topic: &TopicInfo| topic.partitions.iter().any(|each| each.high > 0);
    let written = [output, dead].into_iter().find(has_records).map(|topic| topic.topic);
    Ok(Topics { input, limits, written })
}

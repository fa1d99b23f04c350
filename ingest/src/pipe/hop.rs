//! One run of the hop: set-up, threads, and the single way down.

use std::sync::Arc;
use std::thread;

use crossbeam_channel::bounded;

use super::config::{Delivery, PipeConfig};
use super::memory::Memory;
use super::outbox::Limits;
use super::shared::{Failure, Shared};
use super::source::Source;
use super::watchdog::Watch;
use super::worker::{self, Worker};
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
    events.assigned(0);
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
    let topics = describe_topics(config)?;
    let wake = Wake::new().map_err(|error| HopError::Retry(format!("eventfd: {error}")))?;
    let shared = Shared::new(wake, std::mem::take(memory), workers.len());
    let (work, to_do) = bounded(config.batches_in_flight);
    let (items, to_publish) = bounded(config.batches_in_flight);
    let ended = thread::scope(|scope| {
        let watch = Watch::start(scope, config.on_stuck.clone());
        for (index, worker) in workers.iter_mut().enumerate() {
            let (to_do, shared) = (to_do.clone(), &shared);
            let run = move || worker::run(worker, &to_do, shared, events);
            spawn(scope, format!("worker-{index}"), run)?;
        }
        drop(to_do);
        let publisher = {
            let (shared, watch, limits) = (&shared, watch.clone(), topics.limits);
            let run = move || {
                let ended = match config.delivery {
                    Delivery::ExactlyOnce => {
                        exactly_once::publish(config, limits, &to_publish, shared, &watch, events)
                    }
                    Delivery::AtLeastOnce => {
                        at_least_once::publish(config, limits, &to_publish, shared, &watch, events)
                    }
                };
                // The source sees the failure first and the closed channel afterwards.
                if let Err(failure) = ended {
                    shared.fail(failure);
                }
            };
            spawn(scope, "publisher".into(), run)?
        };
        let source =
            Source { config, input: &topics.input, shared: &shared, events, watch: &watch };
        source::run(&source, work, items, stop, || {
            let _guard = watch.enter("join of the publisher", config.timeouts.call * 4);
            if publisher.join().is_err() {
                shared.fail(Failure::Retry("the publisher panicked".into()));
            }
        })
    });
    *memory = shared.into_memory();
    ended
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

struct Topics {
    input: TopicInfo,
    limits: Limits,
}

fn describe_topics(config: &PipeConfig) -> Result<Topics, HopError> {
    let ask = |topic: &str| {
        admin::topic_info(&config.connection, topic, config.timeouts.call).map_err(|error| {
            match error {
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
    let limits = Limits {
        result_bytes: output.max_message_bytes,
        dead_letter_bytes: dead.max_message_bytes,
        result_partitions: output.partitions.len(),
    };
    Ok(Topics { input, limits })
}

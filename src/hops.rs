//! The hops of a pipeline, each supervised: hop 1 scores here, hop 2 archives in [`mod@archive`], hop 3
//! watches in [`mod@watch`], and [`mod@jobs`] scores files on a schedule.

mod archive;
mod facts;
mod findings;
mod jobs;
mod late;
mod pulse;
mod stretch;
mod together;
mod topic;
mod waiting;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ingest::{AdminError, CreateTopic, Group, HopError, Memory, PipeEvents, Stop};

use crate::cli::Hop;
use crate::exit::{self, Exit, WithExit};
use crate::health::{Health, Part};
use crate::pipeline::{ASK, Pipeline, score_group};
use crate::supervise::{Trouble, keep_running};

pub(crate) use archive::{ArchiveOf, archive, reader_config};
pub(crate) use jobs::jobs;
pub(crate) use topic::identity;
pub(crate) use waiting::Waiting;
pub(crate) use watch::watch;

/// How often readiness follows the assignment.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Hop 1's name.
const SCORE: &str = "score";

/// Runs hop 1 until `stop`; its model sessions are made once and live through restarts.
pub(crate) fn score(
    pipeline: &Pipeline,
    events: &Arc<PipeEvents>,
    health: &Health,
    stop: &Stop,
    started: Instant,
) -> anyhow::Result<()> {
    let hop = health.hop(SCORE);
    let (model, assignment) = (health.part("model"), health.part("input assignment"));
    let mut workers = pipeline.workers()?;
    model.set(true);
    let config = pipeline.pipe();
    let (mut memory, mut has_run) = (Memory::new(), false);
    tracing::info!(
        startup_ms = started.elapsed().as_millis() as u64,
        model = pipeline.package.name(),
        version = pipeline.package.version(),
        workers = workers.len(),
        "model is warm; subscribing to {}",
        config.input
    );
    let run = || {
        create_topics(pipeline, has_run)?;
        has_run = true;
        ingest::pipe::run(&config, &mut workers, stop, events, &mut memory).map_err(hop_trouble)
    };
    follow(&assignment, || events.assignment_size() > 0, || keep_running(&hop, stop, run))
}

/// The groups that these hops join.
pub(crate) fn groups(pipeline: &Pipeline, runs: impl Fn(Hop) -> bool) -> Vec<Group> {
    let mut groups = Vec::new();
    if runs(Hop::Score) {
        let topic = pipeline.config.input.topic.clone();
        groups.push(Group { name: score_group(&pipeline.config), topic });
    }
    if runs(Hop::Archive) {
        let archived = ArchiveOf::of(pipeline).into_iter().map(|of| reader_config(pipeline, of));
        groups.extend(archived.map(|of| Group { name: of.group, topic: of.topic }));
    }
    groups
}

/// Sees to it that each partition of these groups is read by somebody.
pub(crate) fn look_after(pipeline: &Pipeline, groups: &[Group], stop: &Stop) -> anyhow::Result<()> {
    let (connection, meter) = (pipeline.connection(), opentelemetry::global::meter("tidegate"));
    let session = pipeline.timeouts().session;
    let hook = crate::pipeline::exit_when_stuck();
    ingest::members::look_after(&connection, groups, session, &meter, &hook, stop)?;
    Ok(())
}

struct RaiseOnDrop<'a>(&'a Stop);

impl Drop for RaiseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.raise();
    }
}

/// Sets `part` by `is_up` while `run` runs.
fn follow<T>(part: &Part, is_up: impl Fn() -> bool + Sync, run: impl FnOnce() -> T) -> T {
    let over = Stop::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.sleep(LOOK_EVERY) {
                part.set(is_up());
            }
        });
        // Also after a panic: the scope would wait for the other thread for ever.
        let _over = RaiseOnDrop(&over);
        run()
    })
}

/// Whether a hop's error is worth another start, and the exit code if it is not.
fn hop_trouble(error: HopError) -> Trouble {
    let exit = match &error {
        HopError::Retry(_) => return Trouble::Again(error.into()),
        HopError::Config(_) => Exit::Usage,
        HopError::Replaced(_) => Exit::Replaced,
    };
    Trouble::Final(WithExit { message: error.to_string(), exit }.into())
}

/// Creates missing output topics where the configuration says so.
fn create_topics(pipeline: &Pipeline, has_run: bool) -> Result<(), Trouble> {
    let config = &pipeline.config;
    if !config.output.create_topics {
        return Ok(());
    }
    let connection = pipeline.connection();
    let admin_trouble = |error| admin_trouble(error, has_run);
    let input = ingest::topic_info(&connection, &config.input.topic, ASK).map_err(admin_trouble)?;
    for topic in [&config.output.topic, &config.dead_letters.topic] {
        match ingest::topic_info(&connection, topic, ASK) {
            Ok(_) => {}
            Err(AdminError::NoTopic(_)) => {
                let new = CreateTopic {
                    name: topic.clone(),
                    partitions: input.partitions.len() as i32,
                    replication: -1,
                    settings: vec![],
                };
                if let Err(error) = ingest::create_topic(&connection, &new, ASK) {
                    // A replica of ours may have been faster; the next look tells.
                    tracing::warn!(%error, topic, "topic was not created");
                }
            }
            Err(error) => return Err(admin_trouble(error)),
        }
    }
    Ok(())
}

/// A topic that was there before is waited for: a broker that has just started may not know it yet.
fn admin_trouble(error: AdminError, has_run: bool) -> Trouble {
    match error {
        AdminError::Unreachable(_) => Trouble::Again(error.into()),
        AdminError::NoTopic(_) if has_run => Trouble::Again(error.into()),
        AdminError::NoTopic(_) | AdminError::Refused(_) => {
            Trouble::Final(exit::usage(error.to_string()))
        }
    }
}

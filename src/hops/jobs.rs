//! Hop 4: jobs whose time has come, some at a time, each on a thread of its own.
//!
//! What is due is decided by [`batch::jobs::due`], as soon as a minute begins or a run ends, and now and then
//! for what other processes did; a run is written down before and after. Asked to stop, a run leaves what it has published and goes on at the next start.

use std::collections::BTreeMap;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use batch::jobs::{Due, Held, HoldError, State, Trigger};
use ingest::Stop;
use jiff::Timestamp;

use super::Waiting;
use crate::config::{Job, resolved_jobs};
use crate::exit;
use crate::health::Health;
use crate::jobs::{Board, Events, Maker, Watermark, problems, state, who};
use crate::pipeline::{Pipeline, RESULTS};
use crate::supervise::{Trouble, keep_running};

/// From one look at the clock to the next.
const NAP: Duration = Duration::from_millis(250);
/// How long another process may hold the state before it is asked for again.
const STANDBY: Duration = Duration::from_secs(10);
/// From one look at what is due to the next, when nothing calls for it before.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A run that is being made.
type Making<'scope> = ScopedJoinHandle<'scope, anyhow::Result<()>>;
/// When a job was started last: one with many runs behind it takes turns with the others.
type Turns<'scope> = BTreeMap<&'scope str, Instant>;

/// Starts runs until `stop`.
pub(crate) fn jobs(pipeline: &Pipeline, health: &Health, stop: &Stop) -> anyhow::Result<()> {
    let part = health.part("jobs");
    let jobs = resolved_jobs(&pipeline.config);
    let found = problems(pipeline, &jobs);
    if !found.is_empty() {
        return Err(exit::usage(found.join("; ")));
    }
    let (state, who, events) = (state(&pipeline.config), who(&pipeline.config), Events::new());
    let mut said = false;
    keep_running(&health.hop("jobs"), stop, || {
        // Standing by is what it is to do, too: whoever waits for this process must not wait for the other.
        part.set(true);
        let Some(_held) = hold(&state, &who, stop, &mut said)? else { return Ok(()) };
        let maker = Maker { pipeline, state: &state, by: &who, by_hand: false, anew: false };
        let hop = Hop {
            pipeline,
            jobs: &jobs,
            state: &state,
            who: &who,
            maker,
            events: &events,
            waiting: &health.waiting,
        };
        let ended = hop.run(stop);
        part.set(false);
        ended.map_err(Trouble::Again)
    })
}

/// The right to start runs, as soon as no other process has it; `None` when asked to stop before.
fn hold(state: &State, who: &str, stop: &Stop, said: &mut bool) -> Result<Option<Held>, Trouble> {
    loop {
        match state.hold(who) {
            Ok(held) => {
                if std::mem::take(said) {
                    tracing::info!("taking over: the jobs' state is free");
                }
                return Ok(Some(held));
            }
            Err(held @ HoldError::Held { .. }) => {
                if !std::mem::replace(said, true) {
                    tracing::info!(reason = %held, "standing by: another process starts runs");
                }
            }
            Err(HoldError::Store(error)) => return Err(Trouble::Again(error.into())),
        }
        if stop.sleep(STANDBY) {
            return Ok(None);
        }
    }
}

struct Hop<'a> {
    pipeline: &'a Pipeline,
    jobs: &'a [Job],
    state: &'a State,
    who: &'a str,
    maker: Maker<'a>,
    events: &'a Events,
    /// What hop 2 of this process has still to read or to publish: a day is not complete before.
    waiting: &'a Waiting,
}

impl<'a> Hop<'a> {
    fn run(&self, stop: &Stop) -> anyhow::Result<()> {
        let mut board = Board::open(self.jobs, self.state, Timestamp::now())?;
        let mut watermark = Watermark::new();
        for job in self.jobs {
            self.events.known(job, board.runs(&job.spec.name)?.values());
        }
        std::thread::scope(|scope| {
            let mut making: BTreeMap<&str, Making<'_>> = BTreeMap::new();
            let mut turns = Turns::new();
            let mut looked: Option<(Instant, i64)> = None;
            let ended = loop {
                let minute = Timestamp::now().as_second().div_euclid(60);
                let idle =
                    |(at, before): (Instant, i64)| before == minute && at.elapsed() < LOOK_EVERY;
                let one = match reap(&mut making) {
                    Ok(false) if looked.is_some_and(idle) => Ok(()),
                    Ok(_) => {
                        looked = Some((Instant::now(), minute));
                        self.start(scope, stop, &mut board, &mut watermark, &mut making, &mut turns)
                    }
                    Err(error) => Err(error),
                };
                if one.is_err() || stop.sleep(NAP) {
                    break one;
                }
            };
            // Asked to stop, they end after the batch that they are at; after an error they are let be.
            let left = making.into_values().map(join).fold(Ok(()), anyhow::Result::and);
            ended.and(left)
        })
    }

    /// Starts what is due as far as there is room: whose last start is longest ago, then what is due longest.
    fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        stop: &'scope Stop,
        board: &mut Board<'_>,
        watermark: &mut Watermark,
        making: &mut BTreeMap<&'scope str, Making<'scope>>,
        turns: &mut Turns<'scope>,
    ) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let waits = self.jobs.iter().any(|job| matches!(job.spec.trigger, Trigger::Watermark));
        let mark = match waits {
            true => watermark.at(&self.pipeline.config, &self.waiting.of(RESULTS), now)?,
            false => None,
        };
        let mut all: Vec<(&Job, Due)> = Vec::new();
        for job in self.jobs.iter().filter(|job| !making.contains_key(job.spec.name.as_str())) {
            all.extend(board.due(job, now, mark)?.map(|due| (job, due)));
        }
        all.sort_by_key(|(job, due)| (turns.get(job.spec.name.as_str()).copied(), due.moment.time));
        for (job, _) in all {
            if making.len() >= self.pipeline.config.scheduler.concurrent || stop.is_raised() {
                break;
            }
            // Somebody makes a run of it by hand: what is due waits for that.
            let held = match self.state.hold_job(&job.spec.name, self.who) {
                Ok(held) => held,
                Err(HoldError::Held { .. }) => continue,
                Err(HoldError::Store(error)) => return Err(error.into()),
            };
            // It may have been that very run.
            let Some(due) = board.due(job, now, mark)? else { continue };
            let thread = std::thread::Builder::new().name(format!("tg-job-{}", job.spec.name));
            let made = thread.spawn_scoped(scope, move || self.make(job, &due, held, stop))?;
            making.insert(&job.spec.name, made);
            turns.insert(&job.spec.name, Instant::now());
        }
        Ok(())
    }

    fn make(&self, job: &Job, due: &Due, held: Held, stop: &Stop) -> anyhow::Result<()> {
        let (name, scheduled) = (&job.spec.name, due.moment.time);
        tracing::info!(job = name, %scheduled, missed = due.missed, "a run begins");
        let run = self.maker.make(job, due, &|| stop.is_raised())?;
        drop(held);
        self.events.ended(job, &run);
        Ok(())
    }
}

/// Takes the runs that have ended off the list; answers whether there were any.
fn reap(making: &mut BTreeMap<&str, Making<'_>>) -> anyhow::Result<bool> {
    let ended: Vec<&str> =
        making.iter().filter(|(_, made)| made.is_finished()).map(|(name, _)| *name).collect();
    let some = !ended.is_empty();
    ended.into_iter().filter_map(|name| making.remove(name)).try_for_each(join)?;
    Ok(some)
}

fn join(made: Making<'_>) -> anyhow::Result<()> {
    made.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the thread of a run panicked")))
}

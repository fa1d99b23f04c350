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
use crate::health::{Health, Part};
use crate::jobs::{
    Blocked, Board, Events, Maker, Mark, Step, Watermark, look_at_archive, problems, state, who,
};
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
        hop.run(&part, stop);
        part.set(false);
        Ok(())
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

/// What is known from one look to the next.
struct Known<'a> {
    board: Board<'a>,
    watermark: Watermark,
    blocked: Blocked,
}

impl<'a> Hop<'a> {
    /// Until `stop`; `part` is up unless all jobs are held up.
    fn run(&self, part: &Part, stop: &Stop) {
        let mut known = Known {
            board: Board::of(self.jobs, self.state),
            watermark: Watermark::new(look_at_archive(&self.pipeline.config)),
            blocked: Blocked::default(),
        };
        for job in self.jobs {
            match known.board.runs(&job.spec.name) {
                Ok(runs) => self.events.known(job, runs.values()),
                Err(error) => self.block(&mut known.blocked, &job.spec.name, Step::Look, &error),
            }
        }
        std::thread::scope(|scope| {
            let mut making: BTreeMap<&str, Making<'_>> = BTreeMap::new();
            let mut turns = Turns::new();
            let mut looked: Option<(Instant, i64)> = None;
            loop {
                let minute = Timestamp::now().as_second().div_euclid(60);
                let long_ago =
                    |(at, before): (Instant, i64)| before != minute || at.elapsed() >= LOOK_EVERY;
                let ended = self.reap(&mut making, &mut known.blocked);
                let heard = known.watermark.hear();
                if ended || heard || looked.is_none_or(long_ago) {
                    looked = Some((Instant::now(), minute));
                    self.start(scope, stop, &mut known, &mut making, &mut turns);
                    part.set(known.blocked.count() < self.jobs.len());
                }
                if stop.sleep(NAP) {
                    break;
                }
            }
            // Asked to stop, they end after the batch that they are at.
            for (name, made) in making {
                self.end(name, made, &mut known.blocked);
            }
        });
    }

    /// Starts what is due as far as there is room: whose last start is longest ago, then what is due longest.
    fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        stop: &'scope Stop,
        known: &mut Known<'_>,
        making: &mut BTreeMap<&'scope str, Making<'scope>>,
        turns: &mut Turns<'scope>,
    ) {
        let (now, at) = (Timestamp::now(), Instant::now());
        let mut free: Vec<&'scope Job> = self.jobs.iter().collect();
        free.retain(|job| {
            let name = job.spec.name.as_str();
            !making.contains_key(name) && !known.blocked.waits(name, at)
        });
        // One that is held up wants to know, too: it is tried again with what was seen last.
        let is_wanted = self.jobs.iter().any(|job| {
            let name = job.spec.name.as_str();
            matches!(job.spec.trigger, Trigger::Watermark) && !making.contains_key(name)
        });
        let mark = match is_wanted {
            true => known.watermark.at(self.waiting.of(RESULTS), now, at),
            false => Ok(None),
        };
        let mut all: Vec<(&'scope Job, Due)> = Vec::new();
        for job in free {
            all.extend(self.look(known, job, now, &mark).map(|due| (job, due)));
        }
        all.sort_by_key(|(job, due)| (turns.get(job.spec.name.as_str()).copied(), due.moment.time));
        for (job, _) in all {
            if making.len() >= self.pipeline.config.scheduler.concurrent || stop.is_raised() {
                break;
            }
            let name = job.spec.name.as_str();
            let begun = mark_for(job, &mark)
                .and_then(|mark| self.begin(scope, stop, &mut known.board, job, now, mark));
            match begun {
                Ok(Some(made)) => {
                    self.well(&mut known.blocked, name, Step::Start);
                    making.insert(name, made);
                    turns.insert(name, Instant::now());
                }
                Ok(None) => {}
                Err(error) => self.block(&mut known.blocked, name, Step::Start, &error),
            }
        }
    }

    /// What is due of `job`; nothing where that cannot be told.
    fn look(&self, known: &mut Known<'_>, job: &Job, now: Timestamp, mark: &Mark) -> Option<Due> {
        let name = job.spec.name.as_str();
        match mark_for(job, mark).and_then(|mark| known.board.due(job, now, mark)) {
            Ok(due) => {
                // Where nothing is due, no run waits to be written down either.
                let step = if due.is_some() { Step::Look } else { Step::Run };
                if self.well(&mut known.blocked, name, step)
                    && let Ok(runs) = known.board.runs(name)
                {
                    self.events.known(job, runs.values());
                }
                due
            }
            Err(error) => {
                self.block(&mut known.blocked, name, Step::Look, &error);
                None
            }
        }
    }

    /// Starts what is due of `job`, unless somebody makes a run of it by hand: what is due waits for that.
    fn begin<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        stop: &'scope Stop,
        board: &mut Board<'_>,
        job: &'scope Job,
        now: Timestamp,
        mark: Option<Timestamp>,
    ) -> anyhow::Result<Option<Making<'scope>>> {
        let held = match self.state.hold_job(&job.spec.name, self.who) {
            Ok(held) => held,
            Err(HoldError::Held { .. }) => return Ok(None),
            Err(HoldError::Store(error)) => return Err(error.into()),
        };
        // It may have been that very run.
        let Some(due) = board.due(job, now, mark)? else { return Ok(None) };
        let thread = std::thread::Builder::new().name(format!("tg-job-{}", job.spec.name));
        let made = thread.spawn_scoped(scope, move || self.make(job, &due, held, stop))?;
        Ok(Some(made))
    }

    /// Takes the runs that have ended off the list; answers whether there were any.
    fn reap(&self, making: &mut BTreeMap<&str, Making<'_>>, blocked: &mut Blocked) -> bool {
        let ended: Vec<&str> =
            making.iter().filter(|(_, made)| made.is_finished()).map(|(name, _)| *name).collect();
        let some = !ended.is_empty();
        for name in ended {
            if let Some(made) = making.remove(name) {
                self.end(name, made, blocked);
            }
        }
        some
    }

    fn end(&self, name: &str, made: Making<'_>, blocked: &mut Blocked) {
        match join(made) {
            Ok(()) => {
                self.well(blocked, name, Step::Run);
            }
            Err(error) => self.block(blocked, name, Step::Run, &error),
        }
    }

    /// An error of one job: it waits, and that is said once.
    fn block(&self, blocked: &mut Blocked, job: &str, step: Step, error: &anyhow::Error) {
        let error = format!("{error:#}");
        if blocked.note(job, step, &error, Instant::now()) {
            self.events.blocked(job, &error);
        }
    }

    /// A job came past a step; answers whether that ended what held it up.
    fn well(&self, blocked: &mut Blocked, job: &str, step: Step) -> bool {
        let over = blocked.past(job, step);
        if over {
            self.events.goes_on(job);
        }
        over
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

/// The watermark, for the jobs that wait for it; to the others it is nothing, and so is why it is not known.
fn mark_for(job: &Job, mark: &Mark) -> Mark {
    match (&job.spec.trigger, mark) {
        (Trigger::Watermark, Ok(mark)) => Ok(*mark),
        (Trigger::Watermark, Err(error)) => {
            Err(anyhow::anyhow!("up to when the archive is complete is not known: {error:#}"))
        }
        (Trigger::Cron(_) | Trigger::After(_), _) => Ok(None),
    }
}

fn join(made: Making<'_>) -> anyhow::Result<()> {
    made.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the thread of a run panicked")))
}

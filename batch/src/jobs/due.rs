//! Whether a run of a job is due. Pure: a job, its runs, and what is known of the world.
//!
//! What was begun is ended first, then what failed is tried again, then a new run begins. Of runs whose time
//! passed with nobody there each is made, the oldest first, where each reads something of its own; of those that
//! read the same, the newest stands for them. What is passed over is counted with the run after it.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::state::KEPT_RUNS;
use super::template::day_start;
use super::{Calendar, Moment, Outcome, Run, Runs};

/// Most runs whose time has passed that are made one after the other: three months of days, four days of
/// hours. A job that was away for longer would keep the others waiting with what hardly anybody still wants.
pub const MOST_CAUGHT_UP: usize = 100;
/// Most runs that are counted as passed over: each costs a look at a day of the calendar.
const MOST_COUNTED: usize = 1_000;

/// What starts a job.
#[derive(Clone, Debug)]
pub enum Trigger {
    /// The clock on the wall.
    Cron(Calendar),
    /// The success of a run of this job; the runs are about the same days.
    After(String),
    /// The end of a day in event time: no event of it is expected any more.
    Watermark,
}

/// A job, as far as its schedule goes.
#[derive(Clone, Debug)]
pub struct JobSpec {
    /// Unique.
    pub name: String,
    /// What starts it.
    pub trigger: Trigger,
    /// Where its days begin and end.
    pub zone: TimeZone,
    /// Which of its runs read the same, so that one stands for the others.
    pub reads: Reads,
    /// Failures after which a run is tried again.
    pub retries: u32,
    /// The wait after the first of them.
    pub retry_after: SignedDuration,
}

/// What the runs of a job read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// All the same.
    Same,
    /// Those of a day the same.
    PerDay,
    /// Each something of its own.
    PerRun,
}

/// What is known beside the job's own runs.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// The time.
    pub now: Timestamp,
    /// Since when the job is looked after with this schedule.
    pub since: Timestamp,
    /// Up to when the archive's event time is complete.
    pub watermark: Option<Timestamp>,
    /// Runs of the job that this one comes after.
    pub before: Option<&'a Runs>,
}

/// A run that is to be made now.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// What it is for.
    pub moment: Moment,
    /// Runs before it that are passed over; at most 1000 are counted.
    pub missed: u32,
    /// Those among them that no run stands for: they are too far behind.
    pub lost: u32,
}

/// The run of `job` that is due, if any. Nobody must be making one.
#[must_use]
pub fn due(job: &JobSpec, runs: &Runs, world: World<'_>) -> Option<Due> {
    let is_due = |run: &&Run| match run.outcome {
        Outcome::Running | Outcome::Interrupted => true,
        Outcome::Failed => run.retry_at.is_some_and(|at| at <= world.now),
        Outcome::Succeeded => false,
    };
    if let Some(run) = runs.values().find(is_due) {
        let moment = Moment { time: run.scheduled, date: run.date, zone: job.zone.clone() };
        return Some(Due { moment, missed: run.missed, lost: 0 });
    }
    new(job, runs, world)
}

/// The run whose time came last, made or not.
#[must_use]
pub fn latest(job: &JobSpec, world: World<'_>) -> Option<Moment> {
    match &job.trigger {
        Trigger::Cron(calendar) => Some(moment(calendar, calendar.latest(world.now)?)),
        Trigger::After(_) => {
            let runs = world.before?.values();
            let run = runs.rev().find(|run| run.outcome == Outcome::Succeeded)?;
            Some(Moment { time: run.scheduled, date: run.date, zone: job.zone.clone() })
        }
        Trigger::Watermark => {
            let today = job.zone.to_datetime(world.watermark?).date();
            complete_day(job, today.yesterday().ok()?)
        }
    }
}

/// A run that was not begun yet.
fn new(job: &JobSpec, runs: &Runs, world: World<'_>) -> Option<Due> {
    let come = come(job, runs, world);
    let made = |at: usize| runs.contains_key(&come[at].time);
    let mut wanted = wanted(job.reads, &come);
    if matches!(job.trigger, Trigger::After(_)) {
        // What the job before made good later may be older than many that this one has made.
        wanted.retain(|at| !made(*at));
    }
    let too_many = wanted.len().saturating_sub(MOST_CAUGHT_UP);
    let newest = wanted.split_off(too_many);
    let at = newest.into_iter().find(|at| !made(*at))?;
    let moment = come[at].clone();
    // Those before the schedule's last run were counted with it.
    let counted = last(runs.range(..moment.time)).map(|run| run.scheduled);
    let passed_over =
        |at: &usize| !made(*at) && counted.is_none_or(|counted| come[*at].time > counted);
    let missed = (0..at).filter(passed_over).count() as u32;
    let lost = wanted.into_iter().filter(passed_over).count() as u32;
    Some(Due { moment, missed, lost })
}

/// Places of those runs that no later one stands for.
fn wanted(reads: Reads, come: &[Moment]) -> Vec<usize> {
    let stands_alone = |at: &usize| match (reads, come.get(at + 1)) {
        (Reads::PerRun, _) | (_, None) => true,
        (Reads::PerDay, Some(next)) => next.date != come[*at].date,
        (Reads::Same, Some(_)) => false,
    };
    (0..come.len()).filter(stands_alone).collect()
}

/// The runs whose time has come since the schedule's last one, in order. What people made by hand says
/// nothing about how far the schedule is, nor does what is ahead: a clock may have been.
fn come(job: &JobSpec, runs: &Runs, world: World<'_>) -> Vec<Moment> {
    let last = |upto: Timestamp| last(runs.range(..=upto)).map(|run| run.scheduled);
    match &job.trigger {
        Trigger::Cron(calendar) => {
            let from = last(world.now).map_or(world.since, |at| at.max(world.since));
            let times = calendar.between(from, world.now, MOST_COUNTED);
            times.into_iter().map(|time| moment(calendar, time)).collect()
        }
        Trigger::After(_) => after(job, runs, world),
        Trigger::Watermark => {
            let Some(newest) = latest(job, world) else { return Vec::new() };
            // A job that is new begins with the newest day.
            let Some(last) = last(newest.time) else { return vec![newest] };
            let days = newest.date.series(jiff::Span::new().days(-1)).take(MOST_COUNTED);
            let moments = days.map_while(|date| complete_day(job, date));
            let mut days: Vec<Moment> = moments.take_while(|day| day.time > last).collect();
            days.reverse();
            days
        }
    }
}

/// What succeeded since this job is looked after, and the newest of all: the job before may have gone back
/// to an older day, so that its order says nothing about what is left. Of what is older than a full history that
/// cannot be told: it was made and made room, or never will be.
fn after(job: &JobSpec, runs: &Runs, world: World<'_>) -> Vec<Moment> {
    let (Some(before), Some(newest)) = (world.before, latest(job, world)) else {
        return Vec::new();
    };
    let succeeded = before.values().filter(|run| run.outcome == Outcome::Succeeded);
    let since = |run: &&Run| run.ended.unwrap_or(run.started) > world.since;
    let moment = |run: &Run| Moment { time: run.scheduled, date: run.date, ..newest.clone() };
    // The oldest that is over makes room next. What a person made may be of any time.
    let oldest = runs.values().find(|run| run.is_over() && !run.by_hand);
    let oldest = oldest.filter(|_| runs.len() >= KEPT_RUNS).map(|run| run.scheduled);
    let told = |run: &&Run| oldest.is_none_or(|oldest| run.scheduled >= oldest);
    let succeeded = succeeded.filter(told);
    succeeded.filter(|run| since(run) || run.scheduled == newest.time).map(moment).collect()
}

/// The last run of these that the schedule began.
fn last<'a>(
    mut runs: impl DoubleEndedIterator<Item = (&'a Timestamp, &'a Run)>,
) -> Option<&'a Run> {
    runs.rfind(|(_, run)| !run.by_hand).map(|(_, run)| run)
}

/// The run about a day that is complete at its end.
fn complete_day(job: &JobSpec, date: Date) -> Option<Moment> {
    let time = day_start(date.tomorrow().ok()?, &job.zone).ok()?;
    Some(Moment { time, date, zone: job.zone.clone() })
}

fn moment(calendar: &Calendar, time: Timestamp) -> Moment {
    let date = calendar.zone.to_datetime(time).date();
    Moment { time, date, zone: calendar.zone.clone() }
}

/// When the next run by the clock comes; `None` where something else starts the job.
#[must_use]
pub fn next(job: &JobSpec, now: Timestamp) -> Option<Timestamp> {
    match &job.trigger {
        Trigger::Cron(calendar) => calendar.next(now),
        Trigger::After(_) | Trigger::Watermark => None,
    }
}

/// The run about a day. `root` is what starts the chain that the job is in.
///
/// # Errors
/// When the job runs several times on that day: the times.
pub fn of_date(root: &JobSpec, date: Date) -> Result<Option<Moment>, Vec<Timestamp>> {
    match &root.trigger {
        Trigger::Cron(calendar) => match calendar.on(date)[..] {
            // It does not run on that day: whoever asks for it anyway gets it as of midnight.
            [] => Ok(day_start(date, &root.zone).ok().map(|time| Moment {
                time,
                date,
                zone: root.zone.clone(),
            })),
            [time] => Ok(Some(Moment { time, date, zone: root.zone.clone() })),
            ref times => Err(times.to_vec()),
        },
        Trigger::After(_) | Trigger::Watermark => Ok(complete_day(root, date)),
    }
}

/// The run that was to start at `time`; `None` when the clock starts the job at other times.
#[must_use]
pub fn of_time(root: &JobSpec, time: Timestamp) -> Option<Moment> {
    match &root.trigger {
        Trigger::Cron(calendar) => {
            (calendar.latest(time) == Some(time)).then(|| moment(calendar, time))
        }
        Trigger::After(_) | Trigger::Watermark => None,
    }
}

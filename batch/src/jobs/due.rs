//! Whether a run of a job is due. Pure: a job, its runs, and what is known of the world.
//!
//! What was begun is ended first, then what failed is tried again, then a new run begins. Of the runs whose
//! time passed with nobody there only the latest is made: for a table it has what the others would have, and
//! the others can be made by hand.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::template::day_start;
use super::{Calendar, Moment, Outcome, Run};

/// Most missed runs that are counted: each costs a look at some days of the calendar.
const MOST_MISSED: u32 = 100;

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
    /// Failures after which a run is tried again.
    pub retries: u32,
    /// The wait after the first of them.
    pub retry_after: SignedDuration,
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
    /// The [`latest_success`] of the job that this one comes after.
    pub before: Option<&'a Run>,
}

/// A run that is to be made now.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// What it is for.
    pub moment: Moment,
    /// Runs before it that are passed over.
    pub missed: u32,
}

/// The run of `job` that is due, if any. Nobody must be making one.
#[must_use]
pub fn due(job: &JobSpec, runs: &BTreeMap<Timestamp, Run>, world: World<'_>) -> Option<Due> {
    let is_due = |run: &&Run| match run.outcome {
        Outcome::Running | Outcome::Interrupted => true,
        Outcome::Failed => run.retry_at.is_some_and(|at| at <= world.now),
        Outcome::Succeeded => false,
    };
    if let Some(run) = runs.values().find(is_due) {
        let moment = Moment { time: run.scheduled, date: run.date, zone: job.zone.clone() };
        return Some(Due { moment, missed: run.missed });
    }
    let new = match &job.trigger {
        Trigger::Cron(calendar) => by_clock(calendar, runs, world),
        Trigger::After(_) => after(job, world),
        Trigger::Watermark => by_watermark(job, world),
    };
    new.filter(|due| !runs.contains_key(&due.moment.time))
}

fn by_clock(calendar: &Calendar, runs: &BTreeMap<Timestamp, Run>, world: World<'_>) -> Option<Due> {
    let time = calendar.latest(world.now).filter(|time| *time > world.since)?;
    if runs.contains_key(&time) {
        return None;
    }
    let before = runs.range(..time).next_back().map_or(world.since, |(at, _)| *at);
    let missed = calendar.count_between(before.max(world.since), time, MOST_MISSED);
    Some(Due { moment: moment(calendar, time), missed })
}

fn after(job: &JobSpec, world: World<'_>) -> Option<Due> {
    let before = world.before?;
    let moment = Moment { time: before.scheduled, date: before.date, zone: job.zone.clone() };
    Some(Due { moment, missed: 0 })
}

/// The latest run that succeeded.
#[must_use]
pub fn latest_success(runs: &BTreeMap<Timestamp, Run>) -> Option<&Run> {
    runs.values().rev().find(|run| run.outcome == Outcome::Succeeded)
}

fn by_watermark(job: &JobSpec, world: World<'_>) -> Option<Due> {
    let today = job.zone.to_datetime(world.watermark?).date();
    let moment = complete_day(job, today.yesterday().ok()?)?;
    Some(Due { moment, missed: 0 })
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

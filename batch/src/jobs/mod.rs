//! Jobs on a schedule: when a run is due, what it is for, and what is written down of it.
//!
//! [`due`] is a pure function of a job, its runs so far and the time. [`State`] is a folder: a run is one
//! file, replaced whole, so that nothing is lost by kill -9 and several processes can look and write.
//! Nothing here scores or waits; the root does.

mod calendar;
mod cron;
mod due;
mod run;
mod state;
mod template;
#[cfg(test)]
mod tests;

pub use calendar::Calendar;
pub use cron::{Cron, CronError};
pub use due::{
    Due, JobSpec, MOST_CAUGHT_UP, Reads, Trigger, World, due, latest, next, of_date, of_time,
};
pub use run::{MAX_INTERRUPTIONS, Made, Outcome, Run};
pub use state::{Held, HoldError, Ledger, Runs, State, publish_folder};
pub use template::{Moment, Template, TemplateError};

//! When an alarm begins and ends: a pure function of the judged windows, one after the other.
//!
//! No I/O, no randomness, no clock: the only time is the end of the windows handed in, so the same
//! windows give the same episodes and the same ids, on any machine and after any loss of state.
//! Refuses to send anything: what it returns are [`Transition`]s, which the caller stores together
//! with their deliveries.
//!
//! A [`Finding`] is one number about one [`Subject`] (a column of a model under a [`Rule`]). It
//! *breaches* when effect and significance agree. `breaches` of the last `windows` make the subject
//! fire; `clear_windows` windows in a row below the lower `resolve` threshold end it; what lies
//! between the thresholds changes nothing. All firing subjects of one [`Group`] (a model and a
//! [`Class`]) are one [`Episode`]: on-call gets one page for a model whose twenty columns moved,
//! and one resolve when the last is back.

mod book;
mod budget;
mod course;
mod episode;
mod memory;
mod rule;
mod subject;
#[cfg(test)]
mod tests;

pub(crate) use book::Changes;
pub use book::{Book, CourseRow, FORGET_AFTER_MS, Transition};
pub use budget::{Budget, WEEK_MS};
pub use course::{Course, Phase};
pub use episode::{Concern, Episode, LastEpisode, MAX_CONCERNS};
pub use rule::{
    Class, Direction, MAX_WINDOWS, Measure, Reference, Rule, RuleProblem, Severity, matches_any,
};
pub(crate) use rule::{NAME_FORM, is_name};
pub(crate) use subject::hash;

pub use subject::{
    Finding, Group, JudgedWindow, MAX_NAME_BYTES, MAX_REASON_BYTES, Subject, Time, clean,
};

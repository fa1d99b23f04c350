//! One run of a job as it is written down, and how it goes from one state to the next.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::JobSpec;

/// A run that was cut off so often is given up: it may be what ends the process.
pub const MAX_INTERRUPTIONS: u32 = 100;
/// Longest wait before a failed run is tried again.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(6);
/// Longest error that is kept, in characters.
const MAX_ERROR_CHARS: usize = 2_000;

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was started; unless somebody holds the job, it was cut off.
    Running,
    /// It was asked to end, and goes on later.
    Interrupted,
    /// All rows are scored or rejected.
    Succeeded,
    /// It failed; `retry_at` says whether it is tried again.
    Failed,
}

/// What a run made of its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Rows read.
    pub rows: u64,
    /// Rows with predictions.
    pub scored: u64,
    /// Rows with a reason instead.
    pub rejected: u64,
    /// Whether its input has drifted, where that was asked.
    pub drift: Option<bool>,
}

/// A run, as its file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Whose run.
    pub job: String,
    /// When it was to start; no other run of the job has this instant.
    pub scheduled: Timestamp,
    /// The day that it is about.
    pub date: Date,
    /// Where it is.
    pub outcome: Outcome,
    /// When it was started first.
    pub started: Timestamp,
    /// When it ended last.
    pub ended: Option<Timestamp>,
    /// Times that it was started.
    pub starts: u32,
    /// Starts that failed.
    pub failures: u32,
    /// Starts that were cut off, by a stop or with their process.
    pub interruptions: u32,
    /// Runs before it that were passed over: their time went by with nobody there, or far behind.
    pub missed: u32,
    /// Whether a person asked for it first, not the schedule.
    #[serde(default)]
    pub by_hand: bool,
    /// When a failed run is tried again; not, when absent.
    pub retry_at: Option<Timestamp>,
    /// What became of the rows, of a run that succeeded.
    pub made: Option<Made>,
    /// Why the last start failed.
    pub error: Option<String>,
    /// Folder of the output.
    pub output: String,
    /// Who made it.
    pub by: String,
}

impl Run {
    /// Whether it is over, one way or the other.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self.outcome {
            Outcome::Succeeded => true,
            Outcome::Failed => self.retry_at.is_none(),
            Outcome::Running | Outcome::Interrupted => false,
        }
    }

    /// It is started again by `by`: a start that neither ended nor failed was cut off. Answers whether
    /// it is to be made; one that was cut off too often is over instead.
    pub fn begin(&mut self, by: &str, now: Timestamp) -> bool {
        if self.outcome == Outcome::Running {
            self.interruptions += 1;
        }
        if self.interruptions > MAX_INTERRUPTIONS && !self.is_over() {
            let error = format!(
                "it was cut off {} times: look whether it ends the process (memory?), and start it with \
                 `tidegate jobs run`",
                self.interruptions
            );
            (self.outcome, self.retry_at) = (Outcome::Failed, None);
            (self.ended, self.error) = (Some(now), Some(error));
            return false;
        }
        (self.outcome, self.by) = (Outcome::Running, by.to_owned());
        (self.retry_at, self.ended) = (None, None);
        self.starts += 1;
        true
    }

    /// It made its output.
    pub fn succeed(&mut self, made: Made, now: Timestamp) {
        self.outcome = Outcome::Succeeded;
        (self.made, self.ended, self.error) = (Some(made), Some(now), None);
    }

    /// It was asked to end before it was done.
    pub fn interrupt(&mut self, now: Timestamp) {
        self.outcome = Outcome::Interrupted;
        (self.ended, self.interruptions) = (Some(now), self.interruptions + 1);
    }

    /// It failed, and is tried again as often as the job says; each wait is twice the one before.
    pub fn fail(&mut self, error: &str, job: &JobSpec, now: Timestamp) {
        self.outcome = Outcome::Failed;
        self.failures += 1;
        let doublings = self.failures.saturating_sub(1).min(30);
        let wait = job.retry_after.saturating_mul(1 << doublings).min(LONGEST_WAIT);
        let again = (self.failures <= job.retries).then(|| now.saturating_add(wait));
        self.retry_at = again.and_then(Result::ok);
        self.ended = Some(now);
        let line = error.chars().map(|c| if c.is_control() { ' ' } else { c });
        self.error = Some(line.take(MAX_ERROR_CHARS).collect());
    }
}

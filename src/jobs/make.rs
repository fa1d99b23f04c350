//! One run of a job, written down when it begins and when it ends.
//!
//! It writes into a hidden folder beside the output, which gets its name when the run has succeeded: a
//! reader sees a whole output or none. An object store cannot rename: there the output grows in its
//! place, and is whole when it has a `_SUCCESS`. A run that was cut off goes on with what is there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use batch::jobs::{Due, MOST_CAUGHT_UP, Made, Moment, Outcome, Run, State, publish_folder};
use batch::location;
use batch::score::{self, Found, ScoreConfig};
use jiff::Timestamp;
use schemas::failpoint;

use super::scoring::{Asked, Drift, Scored, Scoring};
use crate::config::Job;
use crate::panics::WITHHELD;
use crate::pipeline::Pipeline;

/// What makes runs.
pub(crate) struct Maker<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) state: &'a State,
    /// Who makes them.
    pub(crate) by: &'a str,
    /// Whether a person asked for them, and sees their progress.
    pub(crate) by_hand: bool,
    /// Whether what was begun is thrown away instead of gone on with.
    pub(crate) anew: bool,
}

impl Maker<'_> {
    /// Makes a run, whatever comes of it; the job must be held. An error is one of the state alone.
    pub(crate) fn make(
        &self,
        job: &Job,
        due: &Due,
        asked_to_end: &(dyn Fn() -> bool + Sync),
    ) -> anyhow::Result<Run> {
        let now = Timestamp::now();
        let known = self.state.runs(&job.spec.name)?.remove(&due.moment.time);
        let mut run = known.unwrap_or_else(|| self.new_run(job, due, now));
        let begun = run.begin(self.by, now);
        self.state.write(&run)?;
        if !begun {
            return Ok(run);
        }
        failpoint::pass("jobs.begun");
        let withheld = self.pipeline.contract.has_sensitive();
        let make = || self.output(job, &due.moment, &mut run.output, asked_to_end);
        let made = caught(make, withheld);
        failpoint::pass("jobs.made");
        let now = Timestamp::now();
        match made {
            Ok(Some(scored)) => {
                let counts = scored.after.counts;
                let (rows, scored_rows, rejected) = (counts.rows, counts.scored, counts.rejected);
                let made = Made { rows, scored: scored_rows, rejected, drift: scored.drift };
                run.succeed(made, now);
            }
            Ok(None) => run.interrupt(now),
            Err(error) => run.fail(&format!("{error:#}"), &job.spec, now),
        }
        self.state.write(&run)?;
        failpoint::pass("jobs.ended");
        Ok(run)
    }

    /// Scores into the folder in which the output grows, and publishes it; `None` when asked to end before that.
    fn output(
        &self,
        job: &Job,
        moment: &Moment,
        said: &mut String,
        asked_to_end: &(dyn Fn() -> bool + Sync),
    ) -> anyhow::Result<Option<Scored>> {
        let output = PathBuf::from(job.output.render(moment)?);
        *said = output.display().to_string();
        failpoint::pass("jobs.output");
        // An empty folder holds no output yet.
        if output.exists() && std::fs::remove_dir(&output).is_err() {
            // Published already, and cut off before that was written down: there is nothing left to do,
            // unless it is another job's, which is refused.
            return self.open(job, moment, &output)?.run(asked_to_end);
        }
        let growing = growing(&output)?;
        let begun = match score::found(&growing)? {
            Found::Nothing => false,
            Found::Begun => true,
            // Renaming it is left.
            Found::Whole => growing != output,
        };
        if self.anew && begun {
            score::clear(&growing).with_context(|| format!("removing {}", growing.display()))?;
        }
        // The input that a run began with is its input: half of another is not put beside half of this, and
        // what came since is not its own.
        let scoring = self.open(job, moment, &growing);
        let scoring = if begun && !self.anew {
            scoring.with_context(|| {
                let (name, date) = (&job.spec.name, moment.date);
                format!(
                    "what was begun cannot be gone on with; `tidegate jobs run {name} --date {date} --anew` \
                     starts over"
                )
            })?
        } else {
            scoring?
        };
        let Some(scored) = scoring.run(asked_to_end)? else { return Ok(None) };
        failpoint::pass("jobs.before_publish");
        if growing != output {
            publish_folder(&growing, &output)?;
        }
        Ok(Some(scored))
    }

    fn open(&self, job: &Job, moment: &Moment, output: &Path) -> anyhow::Result<Scoring> {
        let config = &self.pipeline.config;
        let inputs = job.inputs.iter().map(|input| Ok(PathBuf::from(input.render(moment)?)));
        let predicate = job.predicate.as_ref().map(|text| text.render(moment)).transpose()?;
        let asked = Asked {
            files: ScoreConfig {
                inputs: inputs.collect::<anyhow::Result<_>>()?,
                output: output.to_path_buf(),
                predicate,
                columns: job.columns.clone(),
                coordinates: job.coordinates,
                salt: config.contract.hash_salt.expose().as_bytes().to_vec(),
            },
            model: job.model.clone(),
            threads: job.threads,
            cluster: None,
            drift: job.drift.then(|| Drift { reference: job.reference.clone() }),
            shown: self.by_hand,
        };
        Scoring::open(config, &self.pipeline.contract, asked)
    }

    fn new_run(&self, job: &Job, due: &Due, now: Timestamp) -> Run {
        let (name, lost) = (&job.spec.name, due.lost);
        if lost > 0 {
            let hint = format!(
                "the newest {MOST_CAUGHT_UP} whose time has passed are made; `tidegate jobs run {name} --date DAY` \
                 makes another"
            );
            tracing::warn!(job = name, before = %due.moment.time, lost, hint, "runs were passed over");
        }
        Run {
            job: name.clone(),
            scheduled: due.moment.time,
            date: due.moment.date,
            // Until it is begun.
            outcome: Outcome::Interrupted,
            started: now,
            ended: None,
            starts: 0,
            failures: 0,
            interruptions: 0,
            missed: due.missed,
            by_hand: self.by_hand,
            retry_at: None,
            made: None,
            error: None,
            output: String::new(),
            by: String::new(),
        }
    }
}

/// What `work` makes; a panic is a failure like another, of this run alone. Its words may be values.
fn caught<T>(work: impl FnOnce() -> anyhow::Result<T>, withheld: bool) -> anyhow::Result<T> {
    // What it left half done is what a process that was killed leaves.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let text = match text {
            Some(_) if withheld => WITHHELD,
            Some(text) => text,
            None => "it says nothing",
        };
        Err(anyhow::anyhow!("the run panicked, which is a bug: {text}"))
    })
}

/// The folder in which an output grows: beside it, and passed over by readers; in an object store its own.
fn growing(output: &Path) -> anyhow::Result<PathBuf> {
    if location::is_object(output) {
        return Ok(output.to_path_buf());
    }
    let name = output.file_name().context("the output has no name")?.to_string_lossy();
    Ok(output.with_file_name(format!(".{name}.unfinished")))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Work = fn() -> anyhow::Result<()>;

    #[test]
    fn a_panic_is_a_failure_with_its_words() {
        let said = |work: Work, withheld| format!("{:#}", caught(work, withheld).unwrap_err());
        assert_eq!(caught(|| Ok(7), false).unwrap(), 7);
        assert_eq!(said(|| anyhow::bail!("no input"), true), "no input");
        let panics: [Work; 2] =
            [|| panic!("row 7"), || std::panic::panic_any(String::from("row 7"))];
        for work in panics {
            assert!(said(work, false).ends_with("row 7"), "{}", said(work, false));
            assert!(said(work, true).contains("withheld"), "{}", said(work, true));
        }
        assert!(said(|| std::panic::panic_any(7), false).contains("panicked"));
    }
}

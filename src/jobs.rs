//! Jobs: files scored at once ([`scoring`]), and one run of a scheduled job from its begin to what is
//! written down of it ([`make`]). When a run is due is [`batch::jobs`]' to say.

mod blocked;
mod events;
mod make;
mod scoring;
mod watermark;

use std::collections::BTreeMap;

use batch::jobs::{Due, Ledger, Runs, State, Trigger, World, due};
use jiff::Timestamp;

use crate::config::{Config, Job};
use crate::exit;
use crate::models;
use crate::pipeline::Pipeline;

pub(crate) use blocked::{Blocked, Step};
pub(crate) use events::Events;
pub(crate) use make::Maker;
pub(crate) use scoring::{Asked, Drift, Scored, Scoring};
pub(crate) use watermark::{Mark, Watermark, look_at_archive};

/// The state of the jobs of `config`.
pub(crate) fn state(config: &Config) -> State {
    State::at(&config.scheduler.state)
}

/// Who this process is, for whoever finds a job in its hands.
pub(crate) fn who(config: &Config) -> String {
    let host = crate::config::host().unwrap_or_default();
    format!("{} (host {host}, process {})", config.instance(), std::process::id())
}

/// What contract and packages say against the jobs.
pub(crate) fn problems(pipeline: &Pipeline, jobs: &[Job]) -> Vec<String> {
    let mut found = Vec::new();
    for job in jobs {
        let mut say = |message: String| found.push(format!("job {}: {message}", job.spec.name));
        match models::package(&pipeline.config, job.model.as_deref()) {
            Ok(package) => {
                if job.drift
                    && job.reference.is_none()
                    && crate::monitoring::reference_of(&pipeline.config, &package).is_none()
                {
                    say(scoring::no_reference(&package));
                }
            }
            Err(error) => say(format!("{error:#}")),
        }
        if matches!(job.spec.trigger, Trigger::Watermark)
            && pipeline.contract.event_time().is_none()
        {
            say("watermark = true needs a field with the role \"event_time\" in the contract"
                .into());
        }
    }
    found
}

/// The jobs with their runs, as far as deciding goes. An error is of the job that was asked for alone.
pub(crate) struct Board<'a> {
    state: &'a State,
    ledgers: BTreeMap<&'a str, Ledger>,
    /// Of those that were looked at.
    since: BTreeMap<String, Timestamp>,
}

impl<'a> Board<'a> {
    /// The jobs; nothing is read yet.
    pub(crate) fn of(jobs: &'a [Job], state: &'a State) -> Self {
        let names = jobs.iter().map(|job| job.spec.name.as_str());
        let ledgers = names.map(|name| (name, Ledger::of(state, name))).collect();
        Self { state, ledgers, since: BTreeMap::new() }
    }

    /// The run of `job` that is due at `now`; from the first look on it is looked after.
    pub(crate) fn due(
        &mut self,
        job: &Job,
        now: Timestamp,
        watermark: Option<Timestamp>,
    ) -> anyhow::Result<Option<Due>> {
        let name = job.spec.name.as_str();
        let since = self.since(job, now)?;
        self.runs(name)?;
        let before = match &job.spec.trigger {
            Trigger::After(first) => {
                self.runs(first)?;
                self.ledgers.get(first.as_str()).map(Ledger::runs)
            }
            Trigger::Cron(_) | Trigger::Watermark => None,
        };
        let world = World { now, since, watermark, before };
        Ok(self.ledgers.get(name).and_then(|own| due(&job.spec, own.runs(), world)))
    }

    fn since(&mut self, job: &Job, now: Timestamp) -> anyhow::Result<Timestamp> {
        let name = &job.spec.name;
        if let Some(since) = self.since.get(name) {
            return Ok(*since);
        }
        let since = self.state.since(name, &job.schedule, now)?;
        self.since.insert(name.clone(), since);
        Ok(since)
    }

    /// The runs of a job; none of one that is not known.
    pub(crate) fn runs(&mut self, job: &str) -> anyhow::Result<&Runs> {
        static NONE: Runs = Runs::new();
        match self.ledgers.get_mut(job) {
            Some(ledger) => Ok(ledger.look()?),
            None => Ok(&NONE),
        }
    }
}

/// The job called `name`.
pub(crate) fn named<'a>(jobs: &'a [Job], name: &str) -> anyhow::Result<&'a Job> {
    jobs.iter().find(|job| job.spec.name == name).ok_or_else(|| {
        let known: Vec<&str> = jobs.iter().map(|job| job.spec.name.as_str()).collect();
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        let message =
            format!("{name:?} is no job of the configuration that is enabled; there are: {known}");
        exit::usage(message)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{load, resolved_jobs};

    #[test]
    fn a_damaged_state_is_an_error_of_its_job_and_of_what_comes_after_that() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let text = "[input]\ntopic = 'a'\n[output]\ntopic = 'b'\n[dead_letters]\ntopic = 'c'\n\
                    [model]\nname = 'm'\nversion = '1'\n\
                    [[jobs]]\nname = 'one'\ncron = '@daily'\ninput = 'in'\noutput = 'one/{date}'\n\
                    [[jobs]]\nname = 'behind'\nafter = 'one'\ninput = 'in'\noutput = 'behind/{date}'\n\
                    [[jobs]]\nname = 'other'\ncron = '@daily'\ninput = 'in'\noutput = 'other/{date}'\n";
        fs::write(path("tidegate.toml"), text).expect("it is writable");
        let config = load(Some(&path("tidegate.toml")), std::iter::empty(), &[]).expect("valid");
        let (jobs, state) = (resolved_jobs(&config), State::at(&path("state")));
        let at = |text: &str| -> Timestamp { text.parse().expect("a time") };
        let check = |board: &mut Board<'_>, now: &str, expected: [Result<Option<&str>, ()>; 3]| {
            for (job, expected) in jobs.iter().zip(expected) {
                let found = board.due(job, at(now), None);
                let found = found.map(|due| due.map(|due| due.moment.time)).map_err(|_| ());
                let expected = expected.map(|due| due.map(at));
                assert_eq!(found, expected, "{} at {now}", job.spec.name);
            }
        };
        let (run, midnight) =
            (path("state/one/runs/2026-01-01T00-00-00Z.json"), "2026-01-06T00:00:00Z");
        fs::create_dir_all(path("state/one/runs")).expect("it is writable");
        fs::write(&run, "{").expect("it is writable");
        let mut board = Board::of(&jobs, &state);
        check(&mut board, "2026-01-05T12:00:00Z", [Err(()), Err(()), Ok(None)]);
        check(&mut board, midnight, [Err(()), Err(()), Ok(Some(midnight))]);
        // Moved away, it holds up nobody, and the job was looked after all the time.
        fs::remove_file(&run).expect("it is there");
        check(&mut board, midnight, [Ok(Some(midnight)), Ok(None), Ok(Some(midnight))]);
        fs::write(path("state/other/schedule.json"), "{").expect("it is writable");
        let mut board = Board::of(&jobs, &state);
        check(&mut board, midnight, [Ok(Some(midnight)), Ok(None), Err(())]);
    }
}

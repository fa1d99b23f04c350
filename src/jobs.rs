//! Jobs: files scored at once ([`scoring`]), and one run of a scheduled job from its begin to what is
//! written down of it ([`make`]). When a run is due is [`batch::jobs`]' to say.

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

pub(crate) use events::Events;
pub(crate) use make::Maker;
pub(crate) use scoring::{Asked, Drift, Scored, Scoring};
pub(crate) use watermark::Watermark;

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

/// The jobs with their runs, as far as deciding goes.
pub(crate) struct Board<'a> {
    ledgers: BTreeMap<&'a str, Ledger>,
    since: BTreeMap<&'a str, Timestamp>,
}

impl<'a> Board<'a> {
    /// The jobs, looked after from `now` on where they are new.
    pub(crate) fn open(jobs: &'a [Job], state: &State, now: Timestamp) -> anyhow::Result<Self> {
        let (mut ledgers, mut since) = (BTreeMap::new(), BTreeMap::new());
        for job in jobs {
            let name = job.spec.name.as_str();
            ledgers.insert(name, Ledger::of(state, name));
            since.insert(name, state.since(name, &job.schedule, now)?);
        }
        Ok(Self { ledgers, since })
    }

    /// The run of `job` that is due at `now`.
    pub(crate) fn due(
        &mut self,
        job: &Job,
        now: Timestamp,
        watermark: Option<Timestamp>,
    ) -> anyhow::Result<Option<Due>> {
        let name = job.spec.name.as_str();
        self.runs(name)?;
        let before = match &job.spec.trigger {
            Trigger::After(first) => {
                self.runs(first)?;
                self.ledgers.get(first.as_str()).map(Ledger::runs)
            }
            Trigger::Cron(_) | Trigger::Watermark => None,
        };
        let since = self.since.get(name).copied().unwrap_or(now);
        let world = World { now, since, watermark, before };
        Ok(self.ledgers.get(name).and_then(|own| due(&job.spec, own.runs(), world)))
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

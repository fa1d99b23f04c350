//! `tidegate jobs`: what is scheduled, what was made, and a run by hand.

use std::io::Write as _;

use batch::jobs::{Due, HoldError, Moment, Outcome, Run, Trigger, World, next, of_date, of_time};
use jiff::Timestamp;
use monitor::report::Table;
use monitor::window::Lagging;
use serde::Serialize;

use crate::cli::{JobsCommand, JobsHistoryArgs, JobsListArgs, JobsRunArgs};
use crate::config::{Config, Job, resolved_jobs};
use crate::exit::{self, Exit, WithExit};
use crate::jobs::{Maker, look_at_archive, named, state, who};
use crate::pipeline::Pipeline;

pub(crate) fn run(command: &JobsCommand) -> anyhow::Result<Exit> {
    match command {
        JobsCommand::List(args) => list(args),
        JobsCommand::Run(args) => make(args),
        JobsCommand::History(args) => history(args),
    }
}

/// A job, as `list` says it.
#[derive(Serialize)]
struct Listed {
    name: String,
    schedule: String,
    /// `running`, `waiting` for its time, or `retrying`.
    state: &'static str,
    /// When it starts next, where the clock or a retry says it.
    next: Option<Timestamp>,
    last: Option<Run>,
}

fn list(args: &JobsListArgs) -> anyhow::Result<Exit> {
    let config = super::resolve(&args.config)?;
    let (jobs, state, now) = (resolved_jobs(&config), state(&config), Timestamp::now());
    let mut listed = Vec::new();
    for job in &jobs {
        let name = &job.spec.name;
        let runs = state.runs(name)?;
        let retry = runs.values().filter_map(|run| run.retry_at).min();
        let says = if state.is_held(name) {
            "running"
        } else if retry.is_some() || runs.values().any(|run| !run.is_over()) {
            "retrying"
        } else {
            "waiting"
        };
        listed.push(Listed {
            name: name.clone(),
            schedule: job.schedule.clone(),
            state: says,
            next: [retry, next(&job.spec, now)].into_iter().flatten().min(),
            last: runs.into_values().next_back(),
        });
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&listed)?)?;
        return Ok(Exit::Fine);
    }
    if listed.is_empty() {
        writeln!(out, "the configuration has no [[jobs]]")?;
        return Ok(Exit::Fine);
    }
    let mut table = Table::new(&["<job", "<starts", "<state", "<next", "<last", "<outcome"]);
    for of in listed {
        let next = of.next.map_or_else(String::new, |at| at.to_string());
        let last = of.last.as_ref().map_or_else(String::new, |run| run.scheduled.to_string());
        let outcome = of.last.as_ref().map_or_else(String::new, said);
        table.row([of.name, of.schedule, of.state.to_owned(), next, last, outcome]);
    }
    write!(out, "{table}")?;
    Ok(Exit::Fine)
}

fn history(args: &JobsHistoryArgs) -> anyhow::Result<Exit> {
    let config = super::resolve(&args.config)?;
    let (jobs, state) = (resolved_jobs(&config), state(&config));
    let jobs: Vec<&Job> = match &args.name {
        Some(name) => vec![named(&jobs, name)?],
        None => jobs.iter().collect(),
    };
    let mut runs: Vec<Run> = Vec::new();
    for job in jobs {
        runs.extend(state.runs(&job.spec.name)?.into_values());
    }
    runs.sort_by(|a, b| b.scheduled.cmp(&a.scheduled).then(a.job.cmp(&b.job)));
    runs.truncate(args.limit);
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&runs)?)?;
        return Ok(Exit::Fine);
    }
    if runs.is_empty() {
        writeln!(out, "no run was made yet")?;
        return Ok(Exit::Fine);
    }
    let mut table = Table::new(&[
        "<job",
        "<scheduled",
        "<day",
        "<started",
        "<ended",
        "starts",
        "missed",
        "<outcome",
    ]);
    for run in &runs {
        table.row([
            run.job.clone(),
            run.scheduled.to_string(),
            run.date.to_string(),
            second(run.started),
            run.ended.map_or_else(String::new, second),
            run.starts.to_string(),
            run.missed.to_string(),
            said(run),
        ]);
    }
    write!(out, "{table}")?;
    Ok(Exit::Fine)
}

/// An instant to the second.
fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn said(run: &Run) -> String {
    match (run.outcome, &run.made) {
        (Outcome::Running, _) => "running, or cut off".to_owned(),
        (Outcome::Interrupted, _) => "was asked to end; it goes on later".to_owned(),
        (Outcome::Succeeded, Some(made)) => {
            let drift = if made.drift == Some(true) { "; the input has drifted" } else { "" };
            format!(
                "{} of {} rows scored, {} rejected{drift}",
                made.scored, made.rows, made.rejected
            )
        }
        (Outcome::Succeeded, None) => "succeeded".to_owned(),
        (Outcome::Failed, _) => {
            let again =
                run.retry_at.map_or_else(String::new, |at| format!(" (again at {})", second(at)));
            format!("failed{again}: {}", run.error.as_deref().unwrap_or_default())
        }
    }
}

fn make(args: &JobsRunArgs) -> anyhow::Result<Exit> {
    let config = super::resolve(&args.config)?;
    let jobs = resolved_jobs(&config);
    let job = named(&jobs, &args.name)?;
    let pipeline = Pipeline::open(config.clone())?;
    let (state, who) = (state(&config), who(&config));
    let moment = match (args.date, args.time) {
        (None, None) => latest(&config, &jobs, job)?,
        _ => asked(args, named(&jobs, &job.root)?)?,
    };
    let held = state.hold_job(&job.spec.name, &who).map_err(|error| match error {
        HoldError::Held { .. } => {
            let message = format!("a run of {} is being made: {error}; wait for it", job.spec.name);
            anyhow::Error::from(WithExit { message, exit: Exit::Failed })
        }
        HoldError::Store(error) => error.into(),
    })?;
    let known = state.runs(&job.spec.name)?.remove(&moment.time);
    let run = match known {
        Some(run) if run.outcome == Outcome::Succeeded && made_is_there(&run) => run,
        _ => {
            let maker = Maker {
                pipeline: &pipeline,
                state: &state,
                by: &who,
                by_hand: true,
                anew: args.anew,
            };
            maker.make(job, &Due { moment, missed: 0, lost: 0 }, &|| false)?
        }
    };
    drop(held);
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&run)?)?;
    } else {
        writeln!(out, "{} of {} for {}: {}", run.job, run.scheduled, run.date, said(&run))?;
        writeln!(out, "{}", run.output)?;
    }
    Ok(if run.outcome == Outcome::Succeeded { Exit::Fine } else { Exit::Failed })
}

/// Whether a run's output was not taken away.
fn made_is_there(run: &Run) -> bool {
    let manifest = std::path::Path::new(&run.output).join("manifest.json");
    // Where that cannot be told, it is made anew, which finds out.
    batch::source::exists(&manifest).unwrap_or(false)
}

fn asked(args: &JobsRunArgs, root: &Job) -> anyhow::Result<Moment> {
    if let Some(time) = args.time {
        let none = || {
            let (name, schedule) = (&root.spec.name, &root.schedule);
            exit::usage(format!(
                "--time {time}: {name} does not start then ({schedule}); name a --date"
            ))
        };
        return of_time(&root.spec, time).ok_or_else(none);
    }
    let date = args.date.expect("one of both was said");
    let found = of_date(&root.spec, date).map_err(|times| {
        let times: Vec<String> = times.iter().map(Timestamp::to_string).collect();
        exit::usage(format!(
            "--date {date} has several runs; name one with --time: {}",
            times.join(", ")
        ))
    })?;
    found.ok_or_else(|| exit::usage(format!("--date {date} is at the end of the calendar")))
}

/// The run whose time was last.
fn latest(config: &Config, jobs: &[Job], job: &Job) -> anyhow::Result<Moment> {
    let now = Timestamp::now();
    let before = match &job.spec.trigger {
        Trigger::After(first) => Some(state(config).runs(&named(jobs, first)?.spec.name)?),
        Trigger::Cron(_) | Trigger::Watermark => None,
    };
    let watermark = match &job.spec.trigger {
        Trigger::Watermark => look_at_archive(config)(&Lagging::default(), now)?,
        Trigger::Cron(_) | Trigger::After(_) => None,
    };
    let world = World { now, since: now, watermark, before: before.as_ref() };
    batch::jobs::latest(&job.spec, world).ok_or_else(|| {
        let (name, schedule) = (&job.spec.name, &job.schedule);
        let message = format!("no run of {name} has come yet ({schedule}): name one with --date");
        exit::usage(message)
    })
}

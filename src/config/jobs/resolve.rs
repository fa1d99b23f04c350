//! From jobs as written to jobs that can run, or to everything that is wrong with them.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use batch::jobs::{Calendar, Cron, JobSpec, Reads, Template, Trigger};
use batch::location;
use jiff::SignedDuration;
use jiff::tz::TimeZone;

use super::{Job, JobEntry};
use crate::config::{Config, Include, Problem};

/// A bound on what one process looks after; a job is some files and a lock.
const MAX_JOBS: usize = 100;
/// A job's name is a folder and a label of metrics.
const MAX_NAME: usize = 64;

/// The jobs of a checked configuration, in its order.
pub(crate) fn resolved(config: &Config) -> Vec<Job> {
    let jobs = Jobs::of(config);
    let each = config.jobs.iter().filter(|entry| entry.is_on());
    each.filter_map(|entry| jobs.job(entry, &mut |_, _| {})).collect()
}

/// Everything that is wrong with the jobs.
pub(in crate::config) fn check(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut say = |key: String, value: String, message: String| {
        found.push(Problem { key, value, message });
    };
    if !(1..=64).contains(&config.scheduler.concurrent) {
        let value = config.scheduler.concurrent.to_string();
        say("scheduler.concurrent".into(), value, "must be 1 to 64".into());
    }
    if config.scheduler.state.as_os_str().is_empty() {
        say("scheduler.state".into(), String::new(), "is empty: name a folder".into());
    }
    if config.jobs.len() > MAX_JOBS {
        let message = format!("must be at most {MAX_JOBS}: several processes may share them");
        say("jobs".into(), config.jobs.len().to_string(), message);
    }
    let jobs = Jobs::of(config);
    for (index, entry) in config.jobs.iter().enumerate() {
        let name = &entry.name;
        let path = if name.is_empty() { format!("jobs[{index}]") } else { format!("jobs.{name}") };
        jobs.job(entry, &mut |key, message| {
            say(format!("{path}.{key}"), String::new(), message);
        });
    }
    found
}

/// All entries: jobs name each other.
struct Jobs<'a> {
    by_name: BTreeMap<&'a str, &'a JobEntry>,
    all: &'a [JobEntry],
}

type Say<'a> = &'a mut dyn FnMut(&'static str, String);

impl<'a> Jobs<'a> {
    fn of(config: &'a Config) -> Self {
        let named = config.jobs.iter().map(|entry| (entry.name.as_str(), entry));
        Self { by_name: named.collect(), all: &config.jobs }
    }

    /// The job that is meant; `None` when `say` was told why not.
    fn job(&self, entry: &JobEntry, say: Say<'_>) -> Option<Job> {
        let mut wrong = false;
        let mut say = |key, message| {
            wrong = true;
            say(key, message);
        };
        name(entry, &mut say);
        let root = self.root(entry, &mut say);
        let zone = zone(root, entry, &mut say);
        let trigger = trigger(entry, &zone, &mut say);
        let inputs = inputs(entry, &mut say);
        let output = self.output(entry, root, &mut say);
        let predicate = entry.predicate.as_ref().map(|text| template("where", text, &mut say));
        numbers(entry, &mut say);
        if wrong {
            return None;
        }
        // An output tells runs apart in any case: what one reads says whether another stands for it.
        let reads = reads(inputs.iter().chain(predicate.iter().flatten()));
        Some(Job {
            spec: JobSpec {
                name: entry.name.clone(),
                trigger: trigger?,
                zone: zone?,
                reads,
                retries: entry.retries.unwrap_or(3),
                retry_after: SignedDuration::from_secs(entry.retry_seconds.unwrap_or(60).into()),
            },
            schedule: schedule(entry),
            root: root?.name.clone(),
            inputs,
            output: output?,
            predicate: predicate.flatten(),
            model: entry.model.clone(),
            columns: entry.columns.clone(),
            coordinates: entry.include.contains(&Include::Source),
            threads: entry.threads.unwrap_or(1),
            drift: entry.drift,
            reference: entry.reference.clone(),
        })
    }

    /// What starts the chain of jobs that `entry` is in.
    fn root<'b>(&'b self, entry: &'b JobEntry, say: Say<'_>) -> Option<&'b JobEntry> {
        let mut at = entry;
        // A chain is no longer than there are jobs, unless it is a ring.
        for _ in 0..=self.all.len() {
            let Some(after) = &at.after else { return Some(at) };
            match self.by_name.get(after.as_str()) {
                Some(next) if next.is_on() => at = next,
                Some(_) => {
                    say(
                        "after",
                        format!("{after:?} is not enabled, so nothing ever comes after it"),
                    );
                    return None;
                }
                None => {
                    let known: Vec<&str> = self.by_name.keys().copied().collect();
                    say("after", format!("{after:?} is no job; there are {}", known.join(", ")));
                    return None;
                }
            }
        }
        say("after", "is a ring: each of these jobs waits for another; start one by cron".into());
        None
    }

    fn output(&self, entry: &JobEntry, root: Option<&JobEntry>, say: Say<'_>) -> Option<Template> {
        if entry.output.is_empty() {
            say("output", "is missing: name a folder with {date} in it".into());
            return None;
        }
        folders("output", &entry.output, say);
        if let Err(why) = location::check(Path::new(&entry.output)) {
            say("output", why);
        }
        let same = |other: &&JobEntry| other.name != entry.name && other.output == entry.output;
        if let Some(other) = self.all.iter().find(same) {
            say("output", format!("is the output of {:?}, too: name another folder", other.name));
        }
        let output = template("output", &entry.output, say)?;
        if Path::new(&entry.output).file_name().is_none() {
            say("output", "does not end in the name of a folder".into());
        }
        let cron = root.and_then(|root| Cron::parse(root.cron.as_deref()?).ok());
        let several = cron.is_some_and(|cron| cron.times_a_day() > 1);
        if several && !output.tells_runs() {
            let message = "must contain {time}: several runs a day would write to one folder";
            say("output", message.into());
        } else if !output.tells_days() && !output.tells_runs() {
            let message = "must contain {date} or {time}: each run writes a folder of its own";
            say("output", message.into());
        }
        Some(output)
    }
}

fn name(entry: &JobEntry, say: Say<'_>) {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    let name = &entry.name;
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !starts || name.len() > MAX_NAME || !name.chars().all(fine) {
        let message = format!(
            "must be 1 to {MAX_NAME} of a-z, 0-9, - and _, beginning with a letter or digit: it names a \
             folder and a metric's label"
        );
        say("name", message);
    }
}

/// The zone of the clock that starts the chain.
fn zone(root: Option<&JobEntry>, entry: &JobEntry, say: Say<'_>) -> Option<TimeZone> {
    if entry.after.is_some() && entry.time_zone.is_some() {
        say("time_zone", "is that of the job that this one comes after: leave it out".into());
    }
    let named = root?.time_zone.as_deref().unwrap_or("UTC");
    let found = TimeZone::get(named).ok();
    if found.is_none() && entry.after.is_none() {
        let message =
            format!("{named:?} is no IANA time zone (Europe/Berlin, America/New_York, UTC)");
        say("time_zone", message);
    }
    found
}

fn trigger(entry: &JobEntry, zone: &Option<TimeZone>, say: Say<'_>) -> Option<Trigger> {
    match (&entry.cron, &entry.after, entry.watermark) {
        (Some(text), None, false) => match (Cron::parse(text), zone) {
            (Ok(cron), Some(zone)) => Some(Trigger::Cron(Calendar { cron, zone: zone.clone() })),
            (Ok(_), None) => None,
            (Err(error), _) => {
                say("cron", error.to_string());
                None
            }
        },
        (None, Some(after), false) => Some(Trigger::After(after.clone())),
        (None, None, true) => Some(Trigger::Watermark),
        (None, None, false) => {
            let message = "is missing: set cron, or after = \"another-job\", or watermark = true";
            say("cron", message.into());
            None
        }
        _ => {
            say("cron", "is one of three: set cron, after or watermark, not several".into());
            None
        }
    }
}

fn inputs(entry: &JobEntry, say: Say<'_>) -> Vec<Template> {
    let given = entry.input.each();
    if given.is_empty() || given.iter().any(String::is_empty) {
        say(
            "input",
            "is missing: name files, a folder or a pattern, with {date} where it is".into(),
        );
    }
    for path in given {
        if let Err(why) = location::check(Path::new(path)) {
            say("input", why);
        }
    }
    given.iter().filter_map(|path| template("input", path, say)).collect()
}

/// A path that cannot leave the folder that one reads in it.
fn folders(key: &'static str, path: &str, say: Say<'_>) {
    let leaves = Path::new(path).components().any(|part| {
        // A place brings no `..`, but may stand between two that are written.
        part == Component::ParentDir || part.as_os_str().to_string_lossy().contains("..")
    });
    if leaves {
        say(key, "must not contain \"..\": write the folder that is meant".into());
    }
}

fn template(key: &'static str, text: &str, say: Say<'_>) -> Option<Template> {
    match Template::parse(text) {
        Ok(template) => Some(template),
        Err(error) => {
            say(key, error.to_string());
            None
        }
    }
}

/// What runs read whose inputs and condition are these.
fn reads<'a>(all: impl Iterator<Item = &'a Template> + Clone) -> Reads {
    if all.clone().any(Template::tells_runs) {
        Reads::PerRun
    } else if all.clone().any(Template::tells_days) {
        Reads::PerDay
    } else {
        Reads::Same
    }
}

fn numbers(entry: &JobEntry, say: Say<'_>) {
    for (key, value, low, high) in [
        ("threads", entry.threads.map(|threads| threads as u64), 0, 512),
        ("retries", entry.retries.map(u64::from), 0, 100),
        ("retry_seconds", entry.retry_seconds.map(u64::from), 1, 21_600),
    ] {
        if let Some(value) = value.filter(|value| !(low..=high).contains(value)) {
            say(key, format!("{value} must be {low} to {high}"));
        }
    }
    if entry.reference.is_some() && !entry.drift {
        say("reference", "means nothing without drift = true".into());
    }
}

fn schedule(entry: &JobEntry) -> String {
    let zone = entry.time_zone.as_deref().unwrap_or("UTC");
    match (&entry.cron, &entry.after) {
        (Some(cron), _) => format!("{cron} {zone}"),
        (None, Some(after)) => format!("after {after}"),
        (None, None) => format!("end of day {zone}"),
    }
}

#[cfg(test)]
mod tests {
    use batch::jobs::Reads;

    use crate::config::{load, resolved_jobs};

    #[test]
    fn places_in_input_and_condition_say_which_runs_read_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tidegate.toml");
        for (reads, expected) in [
            ("input = 'in'", Reads::Same),
            ("input = 'in/{{date}}'\nwhere = \"a > 1\"", Reads::Same),
            ("input = ['in', 'in/{date-1}/*.csv']", Reads::PerDay),
            ("input = 'in/{time}'", Reads::PerRun),
            ("input = 'in/{date}/{time}'", Reads::PerRun),
            ("input = 'in'\nwhere = \"a >= '{start}'\"", Reads::PerDay),
        ] {
            let job = "[[jobs]]\nname = 'a'\ncron = '@daily'\noutput = 'out/{date}/{time}'\n";
            let topics = "[input]\ntopic = 'a'\n[output]\ntopic = 'b'\n[dead_letters]\ntopic = 'c'\n\
                          [model]\nname = 'm'\nversion = '1'\n";
            std::fs::write(&file, format!("{topics}{job}{reads}\n")).expect("it is writable");
            let config = load(Some(&file), std::iter::empty(), &[]).expect(reads);
            let found: Vec<Reads> =
                resolved_jobs(&config).iter().map(|job| job.spec.reads).collect();
            assert_eq!(found, [expected], "{reads}");
        }
    }
}

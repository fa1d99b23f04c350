//! Jobs on a schedule, as `run --only jobs` and `jobs` make them. No Kafka is needed, and none is there.

mod inputs;
mod killed;
mod missed;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use batch::parquet_io::ParquetRows;
use serde_json::Value;

use crate::harness::{Child, FLIGHTS, ended_with, folder, root, run};
use crate::monitor::archive_from;

/// Longest that anything but waiting for the next minute may take.
const SOON: Duration = Duration::from_secs(60);
/// The next minute, and what is done in it.
const NEXT_MINUTE: Duration = Duration::from_secs(120);

/// A folder with a configuration and what its jobs read and write.
pub(crate) struct Jobs {
    folder: tempfile::TempDir,
}

impl Jobs {
    pub(crate) fn new(jobs: &str) -> Self {
        let (folder, demo) = (folder(), root().join("deploy/demo"));
        let demo = demo.display();
        let text = format!(
            "[kafka]\nbrokers = '127.0.0.1:1'\n[input]\ntopic = 'a'\n[output]\ntopic = 'flights-scored'\n\
             [dead_letters]\ntopic = 'c'\n[contract]\nfile = '{demo}/contract.toml'\n\
             [model]\nrepository = '{demo}/models'\nname = 'flight-delay'\nversion = '1'\n\
             [server]\nlisten = ''\n[scheduler]\nconcurrent = 2\n{jobs}"
        );
        fs::write(folder.path().join("tidegate.toml"), text).expect("writable");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn arguments(&self, command: &[&str]) -> Vec<String> {
        let config = self.path("tidegate.toml").to_string_lossy().into_owned();
        let words = command.iter().map(|word| (*word).to_owned());
        words.chain(["--config".to_owned(), config]).collect()
    }

    fn run(&self, command: &[&str]) -> Output {
        let arguments = self.arguments(command);
        run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn spawn(&self, command: &[&str], environment: &[(&str, &str)]) -> Child {
        let arguments = self.arguments(command);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Child::spawn_with(&arguments, environment)
    }

    fn json(&self, command: &[&str]) -> Value {
        let output = self.run(&[command, &["--json"]].concat());
        ended_with(&output, 0);
        serde_json::from_slice(&output.stdout).expect("standard output is JSON")
    }

    /// Copies of the demo's flights, `files` of them.
    fn flights(&self, files: usize) {
        fs::create_dir_all(self.path("in")).expect("writable");
        for file in 0..files {
            let to = self.path(&format!("in/{file:03}.parquet"));
            fs::copy(root().join("deploy/demo/flights.parquet"), to).expect("copied");
        }
    }

    /// Waits until this holds of the history.
    fn wait(&self, child: &Child, bound: Duration, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let end = Instant::now() + bound;
        loop {
            let history = self.json(&["jobs", "history"]);
            let history = history.as_array().expect("a list").clone();
            if holds(&history) {
                return history;
            }
            assert!(Instant::now() < end, "{history:#?}\n{}", child.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Stops a `run` in order.
fn stop(mut child: Child) {
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Rows of an output, each there once by file and place.
fn rows(output: &Path) -> u64 {
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(output.join("results")).expect("results") {
        let path = entry.expect("readable").path();
        for batch in ParquetRows::open(&path, 8192).expect("Parquet") {
            let batch = batch.expect("whole");
            let column = |name: &str| batch.column_by_name(name).expect("asked for").clone();
            let (files, places) = (column("input_file"), column("input_position"));
            let (files, places) = (files.as_string::<i32>(), places.as_primitive::<Int64Type>());
            for row in 0..batch.num_rows() {
                let at = (files.value(row).to_owned(), places.value(row));
                assert!(seen.insert(at), "{path:?}, row {row} is there twice");
            }
        }
    }
    seen.len() as u64
}

/// Names in a folder, hidden ones included.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.expect("readable").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

#[test]
fn a_job_runs_on_time_and_one_follows_it() {
    let jobs = Jobs::new(
        "[[jobs]]\nname = 'minutely'\ncron = '* * * * *'\ninput = 'in'\noutput = 'out/{time}'\n\
         include = ['source']\n\
         [[jobs]]\nname = 'then'\nafter = 'minutely'\ninput = ['out/{time}/results']\n\
         output = 'then/{date}/{time}'\nmodel = 'flight-late'\nwhere = \"dep_delay > 0\"\n",
    );
    jobs.flights(1);
    let child = jobs.spawn(&["run", "--only", "jobs"], &[]);
    child.wait_for("a run succeeded", NEXT_MINUTE);
    let history = jobs.wait(&child, SOON, |history| {
        history.iter().filter(|run| run["outcome"] == "succeeded").count() >= 2
    });
    // One process starts runs; another waits, and takes over when it is gone.
    let mut second = jobs.spawn(&["run", "--only", "jobs"], &[]);
    let waits = second.wait_for("standing by", SOON);
    assert!(waits.contains("is held by"), "{waits}");
    let list = jobs.json(&["jobs", "list"]);
    assert_eq!(list[0]["schedule"], "* * * * * UTC");
    assert_eq!(list[0]["last"]["outcome"], "succeeded");
    let next: jiff::Timestamp = list[0]["next"].as_str().expect("a time").parse().expect("one");
    assert!((0..=60).contains(&next.duration_since(jiff::Timestamp::now()).as_secs()));
    assert!(second.running(), "{}", second.log());
    stop(child);
    second.wait_for("taking over", SOON);
    stop(second);
    let of = |name: &str| history.iter().find(|run| run["job"] == name).expect("made").clone();
    let (first, then) = (of("minutely"), of("then"));
    let scheduled: jiff::Timestamp =
        first["scheduled"].as_str().expect("a time").parse().expect("one");
    let started: jiff::Timestamp = first["started"].as_str().expect("a time").parse().expect("one");
    let late = started.duration_since(scheduled);
    assert!((0..10_000).contains(&late.as_millis()), "{late} late");
    assert_eq!(scheduled.as_second() % 60, 0);
    assert_eq!(rows(Path::new(first["output"].as_str().expect("a path"))), FLIGHTS);
    assert_eq!(then["scheduled"], first["scheduled"]);
    assert_eq!(then["made"]["rows"], FLIGHTS);
    assert!(then["made"]["scored"].as_u64().expect("a number") < FLIGHTS);
    let results =
        Path::new(then["output"].as_str().expect("a path")).join("results/000000.parquet");
    let results = ParquetRows::open(&results, 1).expect("Parquet");
    let predicted = |name: &str| results.schema().column_with_name(name).is_some();
    assert!(predicted("prediction_late_probability"), "the job's model, not the configured one");
}

#[test]
fn asked_to_stop_it_goes_on_at_the_next_start() {
    let jobs = Jobs::new(
        "[[jobs]]\nname = 'big'\ncron = '0 0 1 1 *'\ninput = 'in'\noutput = 'out/{date}'\n\
         include = ['source']\n",
    );
    jobs.flights(60);
    let begun = [("TIDEGATE_FAILPOINT", "archive.published=3")];
    let mut child = jobs.spawn(&["jobs", "run", "big", "--date", "2026-01-01"], &begun);
    assert!(!child.wait(SOON).success());
    let child = jobs.spawn(&["run", "--only", "jobs"], &[]);
    child.wait_for("a run begins", SOON);
    stop(child);
    let history = jobs.json(&["jobs", "history", "big"]);
    // The machine may have been faster than the signal.
    assert!(
        ["interrupted", "succeeded"].iter().any(|it| history[0]["outcome"] == *it),
        "{history:#}"
    );
    let child = jobs.spawn(&["run", "--only", "jobs"], &[]);
    jobs.wait(&child, SOON, |history| history[0]["outcome"] == "succeeded");
    stop(child);
    assert_eq!(rows(&jobs.path("out/2026-01-01")), 60 * FLIGHTS);
}

#[test]
fn a_run_of_a_job_that_is_being_made_is_not_started() {
    let jobs = Jobs::new(
        "[[jobs]]\nname = 'big'\ncron = '0 0 1 1 *'\ninput = 'in'\noutput = 'out/{date}'\nretries = 0\n",
    );
    jobs.flights(60);
    let run = ["jobs", "run", "big", "--date"];
    // So slowly that it is frozen before its last file.
    let slowly = [("TIDEGATE_FAILPOINT", "archive.published=delay:100")];
    let mut child = jobs.spawn(&[&run[..], &["2026-01-01"]].concat(), &slowly);
    let last = jobs.path("in/059.parquet");
    until(|| !names(&jobs.path("out/.2026-01-01.unfinished/results")).is_empty());
    child.freeze();
    for date in ["2026-01-01", "2025-01-01"] {
        let second = jobs.run(&[&run[..], &[date]].concat());
        ended_with(&second, 1);
        assert!(said(&second).contains("is being made"), "{}", said(&second));
    }
    assert_eq!(jobs.json(&["jobs", "list"])[0]["state"], "running");
    // An input that goes away meanwhile ends the run, and nothing of it is to be seen.
    let away = jobs.path("away.parquet");
    fs::rename(&last, &away).expect("moved");
    child.thaw();
    assert_eq!(child.wait(SOON).code(), Some(1), "{}", child.log());
    let history = jobs.json(&["jobs", "history", "big"]);
    let error = history[0]["error"].as_str().expect("it failed");
    assert!(error.contains("059.parquet is gone"), "{error}");
    assert_eq!((&history[0]["outcome"], &history[0]["made"]), (&"failed".into(), &Value::Null));
    assert_eq!(names(&jobs.path("out")), [".2026-01-01.unfinished"]);
    // Half of another input is not put beside half of this one, unless one says so.
    let again = jobs.run(&[&run[..], &["2026-01-01"]].concat());
    ended_with(&again, 1);
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(said.contains("059.parquet is gone") && said.contains("--anew"), "{said}");
    fs::rename(&away, &last).expect("moved back");
    let made = jobs.json(&[&run[..], &["2026-01-01"]].concat());
    assert_eq!(made["made"]["scored"], 60 * FLIGHTS);
    assert_eq!(names(&jobs.path("out")), ["2026-01-01"]);
}

fn until(holds: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < end, "it did not come to pass within {SOON:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn an_input_that_is_none_is_a_failed_run_and_leaves_nothing() {
    let jobs = Jobs::new(
        "[[jobs]]\nname = 'one'\ncron = '@daily'\ninput = 'in/{date}.*'\noutput = 'out/{date}'\nretries = 0\n",
    );
    fs::create_dir_all(jobs.path("in")).expect("writable");
    let whole = fs::read(root().join("deploy/demo/flights.parquet")).expect("the demo's flights");
    fs::write(jobs.path("in/2026-01-01.parquet"), &whole[..whole.len() / 2]).expect("writable");
    fs::write(jobs.path("in/2026-01-02.csv"), "id,carrier\n1,UA\n").expect("writable");
    for (date, reason) in [
        ("2026-01-01", "2026-01-01.parquet"),
        ("2026-01-02", "no column \"departed_at\""),
        ("2026-01-03", "it holds no .parquet"),
    ] {
        ended_with(&jobs.run(&["jobs", "run", "one", "--date", date]), 1);
        let history = jobs.json(&["jobs", "history", "one", "--limit", "1"]);
        assert_eq!((&history[0]["date"], &history[0]["outcome"]), (&date.into(), &"failed".into()));
        let error = history[0]["error"].as_str().expect("a reason");
        assert!(error.contains(reason), "{error}");
        assert!(!jobs.path("out").exists(), "{date}: something was written");
    }
    // Made whole, it is a run like any other.
    fs::write(jobs.path("in/2026-01-01.parquet"), &whole).expect("writable");
    let made = jobs.json(&["jobs", "run", "one", "--date", "2026-01-01"]);
    assert_eq!((&made["outcome"], &made["starts"]), (&"succeeded".into(), &2.into()));
}

#[test]
fn mistakes_of_all_jobs_are_said_at_once() {
    let jobs = Jobs::new(
        "[[jobs]]\nname = '../x'\ncron = '61 * * * *'\ntime_zone = 'Mars/Olympus'\ninput = 'in/{../../etc}'\n\
         output = 'out/../../{date}'\nwhere = \"a = '{date'' OR 1=1}'\"\nthreads = 1000\n\
         [[jobs]]\nname = 'b'\nafter = 'c'\ncron = '@daily'\ninput = []\noutput = 'out'\nretries = 'many'\n\
         [[jobs]]\nname = 'c'\nafter = 'd'\ninput = 'in'\noutput = 'c/{date}'\nreference = 'r.parquet'\n\
         [[jobs]]\nname = 'd'\nafter = 'c'\ninput = 'in'\noutput = 'c/{date}'\nscore = true\n\
         [[jobs]]\nname = 'e'\ncron = '@hourly'\ninput = 'in'\noutput = 'e/{date}'\n",
    );
    let output = jobs.run(&["check", "--offline"]);
    ended_with(&output, 2);
    let said = said(&output);
    for key in [
        "jobs.../x.name",
        "jobs.../x.cron",
        "jobs.../x.time_zone",
        "jobs.../x.input",
        "jobs.../x.output",
        "jobs.../x.where",
        "jobs.../x.threads",
        "jobs.b.cron",
        "jobs.b.input",
        "jobs.b.output",
        "jobs.b.retries",
        "jobs.c.after",
        "jobs.c.reference",
        "jobs.c.output",
        "jobs.d.score",
        "jobs.d.after",
        "jobs.e.output",
    ] {
        assert!(said.contains(&format!("\n  {key}")), "{key} is not in:\n{said}");
    }
    assert!(said.contains("is a ring") && said.contains("{time}"), "{said}");
}

#[test]
fn a_day_is_scored_when_the_archive_has_passed_it() {
    let jobs = Jobs::new(
        "[archive]\ndirectory = 'data'\n\
         [[jobs]]\nname = 'daily'\nwatermark = true\ninput = 'data/results/flights-scored'\n\
         output = 'again/date={date}'\nwhere = \"event_time >= '{start}' AND event_time < '{start+1}'\"\n",
    );
    // Twenty hours of 1 June 2013: the day before is complete, and has no events.
    let start = 1_370_044_800;
    archive_from(start, &jobs.path("data"), 0..20, 99);
    let child = jobs.spawn(&["run", "--only", "jobs"], &[]);
    let over = |runs: &[Value], count: usize| {
        runs.iter().filter(|run| run["outcome"] == "succeeded").count() == count
    };
    jobs.wait(&child, SOON, |history| over(history, 1));
    // The rest of the day, and two hours of the next.
    archive_from(start, &jobs.path("data"), 20..26, 99);
    let history = jobs.wait(&child, SOON, |history| over(history, 2));
    stop(child);
    let days = [&history[0], &history[1]].map(|run| (&run["date"], &run["made"]["scored"]));
    assert_eq!(
        days,
        [(&"2013-06-01".into(), &(24 * 600).into()), (&"2013-05-31".into(), &0.into())]
    );
    assert!(jobs.path("again/date=2013-06-01/results").is_dir());
}

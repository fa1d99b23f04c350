//! `monitor count` and `monitor evaluate` as a user runs them, without Kafka: the archive is written by
//! the archive's own writer, a month of flights an hour after the other.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arrow::datatypes::{DataType, Field, Schema};
use batch::{Archive, ArchiveConfig, TopicIdentity};
use schemas::{Contract, MicroBatch, ResultsTable};
use serde_json::Value;

use crate::harness::{binary, ended_with, folder, output, root};

/// Hours that are archived, and flights in each.
const HOURS: i64 = 12;
const FLIGHTS: i64 = 600;
/// 2013-06-01T00:00:00Z in seconds.
const START: i64 = 1_370_044_800;

/// A carrier that would like to be code, on two lines.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script>\"'&\n<img src=x onerror=alert(2)>";

/// A record of the output topic, hours counted from `start`; from hour `late` on every flight leaves half
/// an hour late.
fn record(start: i64, number: i64, late: i64) -> String {
    let second = start + number * 3600 / FLIGHTS;
    let at = jiff::Timestamp::from_second(second).expect("a time");
    let dice = |salt: i64| ((number * 31 + salt) * 2_654_435_761) >> 7 & 0xffff;
    let carrier = ["UA", "AA", "DL", "B6", HOSTILE][(dice(1) % 5) as usize];
    let carrier = serde_json::to_string(carrier).expect("a text");
    let origin = ["EWR", "JFK", "LGA"][(dice(2) % 3) as usize];
    let delay = dice(3) % 40 - 10 + if number / FLIGHTS >= late { 30 } else { 0 };
    let temp = if dice(4) % 20 == 0 { "null".to_owned() } else { (dice(5) % 50 + 30).to_string() };
    let mut text = String::new();
    write!(
        text,
        r#"{{"id":"{number}","departed_at":"{at}","carrier":{carrier},"flight":{},"tail":null,
        "origin":"{origin}","dest":"IAH","weekday":6,"sched_dep":{},"sched_arr":{},"dep_delay":{delay},
        "distance":{},"temp":{temp},"wind":12.5,"visib":10.0,"prediction":{{"arr_delay":{}.5}},
        "model":{{"name":"flight-delay","version":"1"}},"arm":"stable","scored_at":"{at}",
        "source":{{"topic":"flights","partition":0,"offset":{number},"timestamp":{}}}}}"#,
        dice(6) % 5000 + 1,
        dice(7) % 1440,
        dice(8) % 1440,
        dice(9) % 2000 + 100,
        delay / 2,
        second * 1000,
    )
    .expect("a string grows");
    text
}

/// Archives these hours, each as a file of one of two partitions.
pub(crate) fn archive(directory: &Path, hours: std::ops::Range<i64>, late: i64) {
    archive_from(START, directory, hours, late);
}

/// The same, hours counted from `since` (seconds since 1970).
pub(crate) fn archive_from(since: i64, directory: &Path, hours: std::ops::Range<i64>, late: i64) {
    let text = std::fs::read_to_string(root().join("deploy/demo/contract.toml")).expect("there");
    let contract = Contract::from_toml(&text).expect("the demo's contract");
    let outputs = Schema::new(vec![Field::new("arr_delay", DataType::Float32, true)]);
    for hour in hours {
        let table = ResultsTable::new(&contract, &Arc::new(outputs.clone()), b"").expect("a table");
        let topic = TopicIdentity {
            cluster_id: "c".into(),
            topic: "flights-scored".into(),
            topic_id: "t".into(),
        };
        let config = ArchiveConfig::new(directory.to_path_buf(), "results", "test");
        let mut archive =
            Archive::open(config, topic, table.into(), SystemTime::now()).expect("opens");
        let partition = (hour % 2) as i32;
        let start = archive.position(partition).expect("whole").unwrap_or(0);
        let mut batch = MicroBatch::with_capacity("flights-scored".into(), 0, 0);
        for place in 0..FLIGHTS {
            let value = record(since, hour * FLIGHTS + place, late);
            let time = (since + hour * 3600) * 1000;
            batch
                .push(partition, start + place, time, None, Some(value.as_bytes()))
                .expect("ascending");
        }
        let _ = archive.append(&batch, Instant::now()).expect("appends");
        assert_eq!(archive.finish().expect("publishes").published.len(), 1);
    }
}

/// A folder with an archive and what the commands need to know of it.
pub(crate) struct Monitored {
    pub(crate) folder: tempfile::TempDir,
}

impl Monitored {
    pub(crate) fn new() -> Self {
        Self { folder: folder() }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn run(&self, command: &[&str], failpoint: Option<&str>, sets: &[&str]) -> Output {
        let config = root().join("deploy/demo/tidegate.toml");
        let mut process = Command::new(binary());
        process.args(command).arg("--config").arg(config);
        let own = [
            format!("archive.directory={}", self.path("data")),
            format!("monitor.reference={}", self.path("reference.parquet")),
            "monitor.segments=[\"origin\"]".to_owned(),
            "monitor.previous_seconds=3600".to_owned(),
        ];
        let sets = own.into_iter().chain(sets.iter().map(|set| (*set).to_owned()));
        sets.for_each(|set| {
            process.arg("--set").arg(set);
        });
        if let Some(name) = failpoint {
            process.env("TIDEGATE_FAILPOINT", name);
        }
        output(&mut process)
    }

    pub(crate) fn fit(&self, files: &[&str]) {
        let results = self.path("data/results");
        let contract = root().join("deploy/demo/contract.toml");
        let to = self.path("reference.parquet");
        let mut arguments = vec!["baseline", "fit", &results, "-o", &to, "--chunk-rows", "600"];
        let contract = contract.to_string_lossy().into_owned();
        arguments.extend(["--contract", &contract, "--force"]);
        arguments.extend(files);
        ended_with(&crate::harness::run(&arguments), 0);
    }

    pub(crate) fn sql(&self, query: &str) -> String {
        let output = self.run(&["sql", "-c", query, "--format", "csv"], None, &[]);
        ended_with(&output, 0);
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().skip(1).collect::<Vec<_>>().join("\n")
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON on standard output")
}

/// Sums of a column as the counts have them, and as the archive has them.
const COUNTED: &str = "SELECT sum(rows), sum(nulls), round(sum(sum), 3), min(min), max(max) FROM counts \
                       WHERE segment IS NULL AND column_name = ";
const DIRECT: [(&str, &str); 3] = [
    ("dep_delay", "dep_delay"),
    ("temp", "temp"),
    ("prediction_arr_delay", "prediction_arr_delay"),
];

fn counts_are_the_archives(monitored: &Monitored) {
    assert_eq!(
        monitored.sql("SELECT sum(rows) FROM counts WHERE column_name IS NULL AND segment IS NULL"),
        monitored.sql("SELECT count(*) FROM results")
    );
    for (name, column) in DIRECT {
        let direct = format!(
            "SELECT count(*), count(*) - count({column}), round(sum(cast({column} as double)), 3), \
             min(cast({column} as double)), max(cast({column} as double)) FROM results"
        );
        assert_eq!(monitored.sql(&format!("{COUNTED}'{name}'")), monitored.sql(&direct), "{name}");
    }
    assert_eq!(
        monitored.sql(
            "SELECT pane_start, segment_value, sum(rows) FROM counts WHERE column_name IS NULL \
             AND segment = 'origin' GROUP BY 1, 2 ORDER BY 1, 2"
        ),
        monitored.sql(
            "SELECT date_trunc('minute', event_time), origin, count(*) FROM results \
             GROUP BY 1, 2 ORDER BY 1, 2"
        )
    );
}

#[test]
fn killed_between_any_two_steps_the_counts_are_the_archives() {
    let monitored = Monitored::new();
    let directory = monitored.folder.path().join("data");
    archive(&directory, 0..4, 99);
    monitored.fit(&[]);
    for (at, step) in
        ["created", "before_close", "before_sync", "before_publish", "published"].iter().enumerate()
    {
        let hour = 4 + at as i64;
        archive(&directory, hour..hour + 1, 99);
        let failpoint = format!("archive.{step}=1");
        let output = monitored.run(&["monitor", "count"], Some(&failpoint), &[]);
        assert!(!output.status.success(), "it was killed at {step}");
        if at % 2 == 0 {
            ended_with(&monitored.run(&["monitor", "count"], None, &[]), 0);
            counts_are_the_archives(&monitored);
        }
    }
    ended_with(&monitored.run(&["monitor", "count"], None, &[]), 0);
    counts_are_the_archives(&monitored);
    let again = monitored.run(&["monitor", "count", "--json"], None, &[]);
    ended_with(&again, 0);
    assert_eq!(json(&again)["references"][0]["new_files"], 0);
    // Panes of another length: everything is counted anew.
    let sets = ["monitor.pane_seconds=300"];
    let other = monitored.run(&["monitor", "count", "--json"], None, &sets);
    assert_eq!(json(&other)["references"][0]["new_files"], 9);
    // Another profile: the whole archive is counted by it, also where that begins with being killed.
    monitored.fit(&["--where", "event_time < '2013-06-01T03:00:00Z'"]);
    let killed = monitored.run(&["monitor", "count"], Some("archive.before_publish=1"), &[]);
    assert!(!killed.status.success());
    let anew = monitored.run(&["monitor", "count", "--json"], None, &[]);
    ended_with(&anew, 0);
    assert_eq!(json(&anew)["references"][0]["new_files"], 9);
    counts_are_the_archives(&monitored);
}

#[test]
fn a_window_is_judged_once_and_late_flights_are_found() {
    let monitored = Monitored::new();
    let directory = monitored.folder.path().join("data");
    archive(&directory, 0..HOURS, 9);
    monitored.fit(&["--where", "event_time < '2013-06-01T06:00:00Z'"]);
    // Killed in the middle of publishing, the windows are judged all the same, and once.
    ended_with(&monitored.run(&["monitor", "count"], None, &[]), 0);
    let killed = monitored.run(&["monitor", "evaluate"], Some("archive.before_publish"), &[]);
    assert!(!killed.status.success());
    let output = monitored.run(&["monitor", "evaluate", "--json"], None, &[]);
    ended_with(&output, 0);
    let judged = json(&output);
    // The last hour is not complete: nothing came after it.
    assert_eq!(judged["windows"], HOURS - 1);
    let of = |rule: &str, column: &str| -> Vec<i64> {
        let findings = judged["findings"].as_array().expect("a list");
        let whole = findings.iter().filter(|it| it["segment"].is_null());
        whole
            .filter(|it| it["rule"] == rule && it["column"] == column)
            .map(|it| (it["start_us"].as_i64().expect("a time") / 1_000_000 - START) / 3600)
            .collect()
    };
    assert_eq!(of("drift_training", "dep_delay"), [9, 10]);
    assert_eq!(of("drift_training", "prediction_arr_delay"), [9, 10]);
    assert_eq!(of("drift_previous", "dep_delay"), [9], "a step is news once");
    assert!(of("drift_training", "temp").is_empty());
    let again = monitored.run(&["monitor", "evaluate", "--json"], None, &[]);
    assert_eq!((&json(&again)["windows"], &json(&again)["rows"]), (&0.into(), &0.into()));
    assert_eq!(
        monitored.sql(
            "SELECT count(*) FROM reports WHERE column_name = 'dep_delay' AND state = 'drift' \
             AND segment IS NULL AND reference = 'training'"
        ),
        "2"
    );
    assert_eq!(
        monitored.sql("SELECT count(DISTINCT window_start) FROM reports"),
        (HOURS - 1).to_string()
    );
    let table = monitored.run(&["monitor", "evaluate"], None, &["monitor.slide_seconds=1800"]);
    ended_with(&table, 0);
    let text = String::from_utf8(table.stdout).expect("text");
    assert!(text.contains("drift_training") && text.contains("dep_delay"), "{text}");
}

#[test]
fn mistakes_of_the_monitor_are_named() {
    let monitored = Monitored::new();
    archive(&monitored.folder.path().join("data"), 0..2, 99);
    monitored.fit(&[]);
    for (sets, code, said) in [
        (vec!["monitor.reference="], 2, "baseline fit"),
        (vec!["monitor.reference=nowhere.parquet"], 2, "is no profile"),
        (vec!["monitor.segments=[\"temp\"]"], 2, "segment \"temp\""),
        (vec!["monitor.pane_seconds=7"], 2, "must divide a day"),
        (vec!["monitor.slide_seconds=1000"], 2, "the slide must divide the length"),
        (vec!["monitor.previous_seconds=10"], 2, "monitor.previous_seconds"),
        (vec!["monitor.alpha=2"], 2, "monitor.alpha"),
    ] {
        let output = monitored.run(&["monitor", "count"], None, &sets);
        ended_with(&output, code);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(said), "{sets:?}: {text}");
    }
    let checked = monitored.run(&["check", "--offline"], None, &["monitor.segments=[\"temp\"]"]);
    ended_with(&checked, 1);
    assert!(String::from_utf8_lossy(&checked.stdout).contains("segment \"temp\""));
}

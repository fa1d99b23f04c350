//! Tables in an object store: an archive under kill -9, faults of the server and two writers; jobs from and
//! to it; SQL and counts over it; and what cannot be there is said.

mod slow;

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Broker, FLIGHTS, Kills, Pipeline, S3, SECRET, ended_with, folder, root, run_with, scored, seed,
};
use crate::jobs::Jobs;

const SOON: Duration = Duration::from_secs(120);
/// How long a process lives: from before its first file to well into its work.
const LIVES: std::ops::Range<Duration> = Duration::from_millis(1_000)..Duration::from_millis(4_000);
const KILLS: u64 = 5;

/// What tells one event from another.
const COORDINATES: [&str; 2] = ["input_partition", "input_offset"];

fn pipeline(broker: &Broker, s3: &S3, stem: &str, sets: &[&str]) -> Pipeline {
    let pipeline = Pipeline::new(broker, stem, sets);
    let directory = format!("archive.directory={}", s3.place(stem));
    // References of the demo's model: hop 3 counts there, too.
    let state = format!("alerts.state={}", pipeline.archive().join("alerts.db").display());
    pipeline.with_set(directory).with_set(state).with_environment(s3.environment())
}

/// The folder of the results below the bucket.
fn results(pipeline: &Pipeline, stem: &str) -> String {
    format!("{stem}/results/{}", pipeline.output())
}

fn has_each_once(pipeline: &Pipeline, s3: &S3, stem: &str, events: u64) {
    let distinct = "SELECT count(DISTINCT (input_partition, input_offset)) FROM results";
    assert_eq!(pipeline.sql("SELECT count(*) FROM results"), events.to_string());
    assert_eq!(pipeline.sql(distinct), events.to_string());
    let Some(counted) = s3.count(&results(pipeline, stem), &COORDINATES) else { return };
    assert_eq!(counted, (events, events), "rows and distinct rows, by pyarrow");
}

#[test]
fn every_record_once_in_the_bucket_under_kill_9_and_faults_of_the_server() {
    let (Some(broker), Some(s3)) = (Broker::shared(), S3::start()) else { return };
    let pipeline = pipeline(broker, &s3, "killed", &[]);
    let events = KILLS * 3 * FLIGHTS;
    let mut producer = pipeline.produce(events, Some(FLIGHTS));
    s3.faults(&json!({ "fail": 7, "lose": 5, "cut": 11 }));
    for life in Kills::new(seed(), LIVES).take(KILLS as usize) {
        let mut child = pipeline.run("a");
        std::thread::sleep(life);
        assert!(child.running(), "ended by itself:\n{}", child.log());
        assert!(!child.whole_log().contains(SECRET), "a secret is logged");
        child.kill();
    }
    assert!(producer.wait(SOON).success(), "{}", producer.log());
    let mut child = pipeline.run("a");
    // It reads and lists through the same faults.
    ended_with(&pipeline.command(&["verify"], &["--wait", "120"]), 0);
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
    let seen = s3.faults(&json!({}));
    for fault in ["fail", "lose", "cut"] {
        assert!(seen[fault].as_u64().is_some_and(|times| times > 0), "{seen}");
    }
    has_each_once(&pipeline, &s3, "killed", events);
}

#[test]
fn two_writers_and_a_frozen_one_publish_nothing_twice() {
    let (Some(broker), Some(s3)) = (Broker::shared(), S3::start()) else { return };
    let pipeline = pipeline(broker, &s3, "frozen", &[]);
    let events = 10 * FLIGHTS;
    let mut producer = pipeline.produce(events, Some(FLIGHTS));
    let frozen = pipeline.run("a");
    frozen.wait_for("\"owned\":4", SOON);
    frozen.wait_for("archiving partitions", SOON);
    std::thread::sleep(Duration::from_secs(2));
    frozen.freeze();
    let other = pipeline.run("b");
    other.wait_for("\"owned\":4", SOON);
    std::thread::sleep(Duration::from_secs(3));
    frozen.thaw();
    assert!(producer.wait(SOON).success(), "{}", producer.log());
    ended_with(&pipeline.command(&["verify"], &["--wait", "120"]), 0);
    drop((frozen, other));
    has_each_once(&pipeline, &s3, "frozen", events);
}

#[test]
fn a_server_that_is_away_for_a_while_is_waited_for() {
    let (Some(broker), Some(s3)) = (Broker::shared(), S3::start()) else { return };
    let pipeline = pipeline(broker, &s3, "away", &[]);
    let mut producer = pipeline.produce(6 * FLIGHTS, Some(2 * FLIGHTS));
    s3.faults(&json!({ "fail": 1 }));
    let mut child = pipeline.run("a");
    assert!(producer.wait(SOON).success(), "{}", producer.log());
    std::thread::sleep(Duration::from_secs(3));
    assert!(child.running(), "{}", child.log());
    s3.faults(&json!({ "slow_ms": 300 }));
    ended_with(&pipeline.command(&["verify"], &["--wait", "150"]), 0);
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
    s3.faults(&json!({}));
    has_each_once(&pipeline, &s3, "away", 6 * FLIGHTS);
}

#[test]
fn what_would_lose_records_is_refused_at_once() {
    let (Some(broker), Some(s3)) = (Broker::shared(), S3::start()) else { return };
    let ignoring = pipeline(broker, &s3, "ignoring", &[]);
    ignoring.send(&[crate::harness::flight("a", "")]);
    s3.faults(&json!({ "ignore_conditions": true }));
    let mut child = ignoring.run("a");
    assert_eq!(child.wait(SOON).code(), Some(2), "{}", child.log());
    assert!(child.whole_log().contains("If-None-Match"), "{}", child.log());
    let checked = ignoring.command(&["check"], &[]);
    assert!(String::from_utf8_lossy(&checked.stdout).contains("If-None-Match"), "{checked:?}");
    s3.faults(&json!({}));
    ended_with(&ignoring.command(&["check"], &[]), 0);
    let missing = "archive.directory=s3://no-such-bucket/x";
    let mut child = ignoring.run_with("a", &[missing]);
    assert_eq!(child.wait(SOON).code(), Some(2), "{}", child.log());
    assert!(child.whole_log().contains("no-such-bucket"), "{}", child.log());
    for (set, key) in [
        ("archive.directory=gs://bucket/x", "archive.directory"),
        ("alerts.state=s3://tidegate/alerts.db", "alerts.state"),
        ("archive.roll_bytes=1000000000", "archive.roll_bytes"),
    ] {
        let refused = ignoring.command(&["check"], &["--set", set]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && said.contains(key), "{set}: {said}");
    }
    let refused = ignoring.command(&["compact"], &[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("local folder"), "{said}");
}

fn score(s3: &S3, input: &str, output: &str, more: &[&str]) -> (Option<i32>, Value, String) {
    let config = root().join("deploy/demo/tidegate.toml");
    let config = config.to_string_lossy();
    let mut arguments = vec!["score", "--config", &config, "--json", input, output];
    arguments.extend(more);
    let output = run_with(&arguments, &s3.environment());
    let summary = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), summary, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_job_from_and_to_the_bucket_is_killed_and_goes_on() {
    let Some(s3) = S3::start() else { return };
    let flights = root().join("deploy/demo/flights.parquet").to_string_lossy().into_owned();
    // Its own output is the next one's input: what a bucket holds, is there without another tool.
    let (first, second) = (s3.place("scored/first"), s3.place("scored/second"));
    let (code, summary, said) = score(&s3, &flights, &first, &["--columns", COLUMNS]);
    assert_eq!((code, &summary["scored"]), (Some(0), &json!(FLIGHTS)), "{said}");
    let input = format!("{first}/results/*.parquet");
    s3.faults(&json!({ "fail": 6, "lose": 4, "cut": 9 }));
    let environment = s3.environment();
    for place in ["archive.before_publish", "archive.published"] {
        let mut environment = environment.clone();
        environment.push(("TIDEGATE_FAILPOINT".into(), format!("{place}=1")));
        let config = root().join("deploy/demo/tidegate.toml");
        let config = config.to_string_lossy();
        let killed = run_with(&["score", "--config", &config, &input, &second], &environment);
        assert!(!killed.status.success(), "{place} was passed: {killed:?}");
    }
    let (code, summary, said) = score(&s3, &input, &second, &[]);
    assert_eq!((code, &summary["scored"]), (Some(0), &json!(FLIGHTS)), "{said}");
    assert_eq!(summary["parts_before"], json!(1), "the second kill came behind the publishing");
    let (code, summary, said) = score(&s3, &input, &second, &[]);
    assert_eq!((code, &summary["rows_now"]), (Some(0), &json!(0)), "{said}");
    s3.faults(&json!({}));
    if let Some(counted) = s3.count("scored/second/results", &["id"]) {
        assert_eq!(counted, (FLIGHTS, FLIGHTS), "rows and distinct rows, by pyarrow");
    }
    let (code, _, said) = score(&s3, &flights, &second, &[]);
    assert!(code == Some(2) && said.contains("another job"), "{said}");
    let (code, _, said) = score(&s3, &s3.place("nothing/here"), &s3.place("x"), &[]);
    assert!(code == Some(2) && said.contains("no such object"), "{said}");
    let local = folder();
    let (code, _, said) = score(&s3, &input, &local.path().join("out").to_string_lossy(), &[]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_job_on_a_schedule_marks_its_output_when_it_is_whole() {
    let Some(s3) = S3::start() else { return };
    let flights = root().join("deploy/demo/flights.parquet").display().to_string();
    let jobs = Jobs::new(&format!(
        "[[jobs]]\nname = 'nightly'\ncron = '0 0 1 1 *'\ninput = '{flights}'\noutput = '{}/{{date}}'\n\
         columns = ['id']\ndrift = true\nreference = '{flights}'\n",
        s3.place("nightly")
    ));
    let run = |more: &[&str], place: Option<&str>| {
        let command = [&["jobs", "run", "nightly", "--date", "2026-01-01"], more].concat();
        let mut environment = s3.environment();
        environment.extend(place.map(|place| ("TIDEGATE_FAILPOINT".to_owned(), place.to_owned())));
        let arguments = jobs.arguments(&command);
        run_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &environment)
    };
    let mark = || s3.get("nightly/2026-01-01/_SUCCESS");
    s3.faults(&json!({ "fail": 6, "lose": 4, "cut": 9 }));
    for place in ["archive.before_publish=1", "archive.published=1"] {
        assert!(!run(&[], Some(place)).status.success(), "{place} was passed");
        assert_eq!(mark(), None, "killed at {place}");
    }
    // Whatever the bucket holds of it is thrown away, and made again.
    ended_with(&run(&["--anew"], None), 0);
    assert_eq!(mark(), Some(String::new()));
    s3.faults(&json!({}));
    let report = s3.get("nightly/2026-01-01/report.json").expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["drift"], json!(false), "a file against itself");
    assert!(s3.get("nightly/2026-01-01/report.html").expect("a page").contains("<html"));
    if let Some(counted) = s3.count("nightly/2026-01-01/results", &["id"]) {
        assert_eq!(counted, (FLIGHTS, FLIGHTS), "rows and distinct rows, by pyarrow");
    }
    // What is whole is left as it is.
    let again = run(&[], None);
    ended_with(&again, 0);
    let killed = run(&["--anew"], Some("archive.created=1"));
    assert!(killed.status.success(), "a part is not made again: {killed:?}");
}

/// The fields of the demo's contract.
const COLUMNS: &str = "id,departed_at,carrier,flight,tail,origin,dest,weekday,sched_dep,dep_delay,\
                       sched_arr,distance,temp,wind,visib";

#[test]
fn counts_and_reports_lie_beside_the_tables() {
    let (Some(broker), Some(s3)) = (Broker::shared(), S3::start()) else { return };
    let pipeline = pipeline(broker, &s3, "counted", &[]);
    let reference = root().join("deploy/demo/reference.parquet");
    let watched = pipeline.with_set(format!("monitor.reference={}", reference.display()));
    watched.produced(FLIGHTS);
    scored(&watched);
    ended_with(&watched.command(&["monitor", "count"], &[]), 0);
    ended_with(&watched.command(&["monitor", "evaluate"], &[]), 0);
    let again = watched.command(&["monitor", "count"], &["--json"]);
    ended_with(&again, 0);
    let again: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    let of = &again["references"][0];
    assert_eq!((&of["rows"], &of["new_rows"]), (&json!(FLIGHTS), &json!(0)), "counted once");
    let counted = "SELECT sum(rows) FROM counts WHERE column_name IS NULL AND segment IS NULL";
    assert_eq!(watched.sql(counted), FLIGHTS.to_string());
    let rows = watched.sql("SELECT count(*) FROM reports WHERE reference = 'training'");
    assert_ne!(rows, "0", "windows were judged");
}

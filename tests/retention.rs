//! Records that retention removed: `verify` says what it could not check, the archive refuses to go
//! on behind a hole, and a named command accepts it.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{
    Broker, Pipeline, delete_records, delete_topic, ended_with, flight, in_topics, scored,
};

const SOON: Duration = Duration::from_secs(60);

/// Exit codes of `verify`: a record lost, and positions that could not be checked.
const LOST: i32 = 3;
const UNCHECKED: i32 = 4;

fn flights(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| flight(&number.to_string(), "")).collect()
}

fn verdict(pipeline: &Pipeline, code: i32) -> Value {
    let output = pipeline.command(&["verify"], &["--json", "--wait", "60"]);
    ended_with(&output, code);
    serde_json::from_slice(&output.stdout).expect("--json prints JSON")
}

#[test]
fn positions_that_retention_took_are_reported_unchecked() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "retention", &[]);
    pipeline.send(&flights(10));
    scored(&pipeline);
    delete_records(broker.address(), &pipeline.input(), 4);
    let partly = verdict(&pipeline, UNCHECKED);
    assert_eq!(
        (&partly["positions_taken_by_retention"], &partly["records"]),
        (&4.into(), &6.into())
    );
    assert_eq!(partly["findings"]["missing"], 0);
    // Waiting for what is still to come is not cut short by what is gone.
    pipeline.send(&flights(3));
    let mut child = pipeline.run("a");
    let caught_up = verdict(&pipeline, UNCHECKED);
    assert_eq!((&caught_up["waiting"], &caught_up["records"]), (&0.into(), &9.into()));
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
}

#[test]
fn a_hole_in_the_archive_is_refused_until_it_is_accepted() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "gap", &[]);
    pipeline.send(&flights(5));
    scored(&pipeline);

    // Scored and not archived when retention comes.
    pipeline.send(&flights(4));
    let mut child = pipeline.run_only("a", "score");
    in_topics(&pipeline);
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
    let low = pipeline.delete_all(&pipeline.output());

    let mut child = pipeline.run("a");
    assert_eq!(child.wait(SOON).code(), Some(2), "{}", child.log());
    let way_out = "tidegate archive accept-gap --table results --partition 0";
    child.wait_for(way_out, Duration::ZERO);

    let accept = |table: &str, more: &[&str]| {
        let mut flags = vec!["--table", table, "--partition", "0"];
        flags.extend(more);
        pipeline.command(&["archive", "accept-gap"], &flags)
    };
    let nothing = accept("dead_letters", &[]);
    ended_with(&nothing, 1);
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("nothing is missing"));
    let reason = "retention was too short in June";
    let accepted = accept("results", &["--reason", reason]);
    ended_with(&accepted, 0);
    let said = String::from_utf8_lossy(&accepted.stdout).into_owned();
    assert!(said.contains(&format!("goes on at {low}")), "{said}");
    ended_with(&accept("results", &[]), 1);
    let file =
        said.rsplit_once('(').and_then(|(_, rest)| rest.split_once(')')).expect("its file").0;
    let bytes = std::fs::read(file).expect("the file of the gap is there");
    assert!(bytes.windows(reason.len()).any(|part| part == reason.as_bytes()), "{file}");

    pipeline.send(&flights(3));
    let mut child = pipeline.run("a");
    let until = Instant::now() + SOON;
    while pipeline.sql("SELECT count(*) FROM results") != "8" {
        assert!(Instant::now() < until, "not archived:\n{}", child.log());
    }
    // What is gone is gone: its input records are nowhere, and `verify` does not hide it.
    let verdict = verdict(&pipeline, LOST);
    assert_eq!((&verdict["findings"]["missing"], &verdict["waiting"]), (&4.into(), &0.into()));
    assert_eq!(verdict["archives"][0]["findings"]["missing"], 0);
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
}

/// Its rows would lie behind those of the topic before, as if they were one.
#[test]
fn a_topic_made_anew_under_a_running_archive_is_not_mixed_with_the_one_before() {
    let Some(broker) = Broker::shared() else { return };
    let look = "kafka.properties.topic.metadata.refresh.interval.ms=500";
    let pipeline = Pipeline::new(broker, "anew", &[look]);
    pipeline.send(&flights(5));
    let mut archiving = pipeline.run_only("b", "archive");
    let mut scoring = pipeline.run_only("a", "score");
    ended_with(&pipeline.command(&["verify"], &["--wait", "60"]), 0);
    scoring.terminate();
    assert!(scoring.wait(SOON).success(), "{}", scoring.log());

    let output = pipeline.output();
    delete_topic(broker.address(), &output);
    archiving.wait_for("handing partitions over", SOON);
    pipeline.create(&output, 1);
    pipeline.send(&flights(20));
    let _scoring = pipeline.run_only("a", "score");
    assert_eq!(archiving.wait(SOON).code(), Some(2), "{}", archiving.log());
    archiving.wait_for("was archived from topic id", Duration::ZERO);
    assert_eq!(verdict(&pipeline, LOST)["archives"][0]["files_of_another_topic"], 1);
}

#[test]
fn an_archive_that_begins_late_covers_what_the_log_had_lost() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "late", &[]);
    pipeline.send(&flights(4));
    let mut child = pipeline.run_only("a", "score");
    in_topics(&pipeline);
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
    assert!(pipeline.delete_all(&pipeline.output()) > 0);

    pipeline.send(&flights(3));
    let folder = pipeline.archive().join("results").join(pipeline.output());
    let first = folder.join(format!("source_partition=0/{:020}.parquet", 0));
    let mut child = pipeline.run("a");
    let until = Instant::now() + SOON;
    while !first.is_file() || pipeline.sql("SELECT count(*) FROM results") != "3" {
        assert!(Instant::now() < until, "no {}:\n{}", first.display(), child.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let verdict = verdict(&pipeline, LOST);
    assert_eq!((&verdict["findings"]["missing"], &verdict["waiting"]), (&4.into(), &0.into()));
    let archive = &verdict["archives"][0];
    assert_eq!((&archive["findings"]["missing"], &archive["rows"]), (&0.into(), &3.into()));
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
}

//! Compaction and expiry beside a running hop 2: each row is seen once all the time, and what went is what
//! `verify` could not check.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{SOON, UNCHECKED};
use crate::harness::{Broker, FLIGHTS, Pipeline, ended_with, rows_and_events};

/// Eight seconds of events, so that hop 2 publishes many files while it is compacted.
const EVENTS: u64 = 8 * FLIGHTS;
const RATE: u64 = FLIGHTS;

/// Rows that SQL sees, each of another event.
fn seen(pipeline: &Pipeline) -> u64 {
    let (rows, events) = rows_and_events(pipeline);
    assert_eq!(rows, events, "a row is there twice");
    rows
}

fn compact(pipeline: &Pipeline, flags: &[&str]) -> Value {
    let output = pipeline.command(&["compact"], &[&["--json"], flags].concat());
    ended_with(&output, 0);
    serde_json::from_slice(&output.stdout).expect("--json prints JSON")
}

fn number(of: &Value) -> u64 {
    of.as_u64().unwrap_or_else(|| panic!("{of} is no count"))
}

/// `verify` finds each record where it belongs, but for so many whose rows expiry has taken.
fn verified(pipeline: &Pipeline, records: u64, taken: u64) {
    let output = pipeline.command(&["verify"], &["--json", "--wait", "60"]);
    ended_with(&output, UNCHECKED);
    let verdict: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let (topics, results) = (&verdict["findings"], &verdict["archives"][0]);
    assert_eq!((number(&verdict["records"]), number(&verdict["waiting"])), (records, 0));
    assert_eq!((number(&topics["missing"]), number(&topics["doubled"])), (0, 0), "{verdict}");
    assert_eq!(number(&results["positions_taken_by_expiry"]), taken, "{verdict}");
    assert_eq!(number(&results["rows"]), records - taken, "{verdict}");
    assert_eq!(number(&results["waiting"]), 0, "{verdict}");
    assert_eq!(number(&results["findings"]["doubled"]), 0, "{verdict}");
}

#[test]
fn beside_a_live_archive_no_row_is_lost_or_doubled_and_what_expires_is_told() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "compact-live", &[]).with_partitions(2);
    let mut producer = pipeline.produce(EVENTS, Some(RATE));
    let mut child = pipeline.run("a");
    let (mut rows, mut compacted, mut taken) = (0, 0, 0);
    let end = Instant::now() + SOON;
    while rows < EVENTS {
        assert!(Instant::now() < end, "{rows} of {EVENTS}:\n{}", child.log());
        let before = std::mem::replace(&mut rows, seen(&pipeline));
        assert!(before <= rows && rows <= EVENTS, "{before} rows, then {rows}");
        if rows == 0 {
            continue;
        }
        // Originals go as soon as they may, while hop 2 adds to their folder.
        let done = compact(&pipeline, &["--expire-originals", "1s"]);
        compacted += number(&done["read"]["rows"]);
        taken += number(&done["originals"]["archive"]["rows"]);
    }
    assert!(producer.wait(SOON).success(), "{}", producer.log());
    assert!(child.running(), "{}", child.log());
    assert!(taken > 0 && compacted > taken, "{taken} of {compacted} rows went beside hop 2");
    verified(&pipeline, EVENTS, taken);

    // All of it is compacted, and then too old: the age that is asked for is less than this.
    compacted += number(&compact(&pipeline, &[])["read"]["rows"]);
    assert_eq!((compacted, seen(&pipeline)), (EVENTS, EVENTS));
    std::thread::sleep(Duration::from_millis(1_100));
    let went = compact(&pipeline, &["--expire", "1s"]);
    assert_eq!(number(&went["pending"]["files"]), 0, "{went}");
    assert_eq!(number(&went["expired"]["compacted"]["rows"]), EVENTS, "{went}");
    assert_eq!((number(&went["compacted"]["rows"]), seen(&pipeline)), (0, 0), "{went}");
    taken += number(&went["expired"]["archive"]["rows"]);

    // The same process goes on, and compaction with what it adds.
    pipeline.produced(FLIGHTS);
    verified(&pipeline, EVENTS + FLIGHTS, taken);
    assert_eq!(seen(&pipeline), FLIGHTS);
    assert_eq!(number(&compact(&pipeline, &[])["read"]["rows"]), FLIGHTS);
    assert_eq!(seen(&pipeline), FLIGHTS);
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
}

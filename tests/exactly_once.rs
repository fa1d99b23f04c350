//! Nothing lost and nothing doubled, scored or rejected, while the process is killed with SIGKILL at random
//! instants, and a control arm that shows that `verify` would see it.

use std::time::Duration;

use crate::harness::{
    Broker, Kills, Pipeline, each_once, ended_with, kills, rows_and_events, seed, verdict_at_last,
};

/// Kills in a run of `make test`; `TIDEGATE_TEST_KILLS=50` makes it the million-event run.
const KILLS: u64 = 6;

/// Events for each kill; the producer is paced so that every kill falls into work.
const EVENTS_PER_KILL: u64 = 20_000;

/// Events per second: a life lasts 1.5 s on average, so events outlast the kills.
const RATE: u64 = 12_000;

/// One event in so many cannot be scored and goes to the dead letters.
const BAD_IN: u64 = 20;

/// How long a process lives: from before its first assignment to well into its work.
const LIVES: std::ops::Range<Duration> = Duration::from_millis(500)..Duration::from_millis(2_500);

/// The exit code of `verify` for a record lost or doubled.
const LOST_OR_DOUBLED: i32 = 3;

/// Produces, runs and kills; answers how many events can be scored, and how many cannot.
fn killed_again_and_again(pipeline: &Pipeline) -> (u64, u64) {
    let good = kills(KILLS) * EVENTS_PER_KILL;
    let bad = good / BAD_IN;
    let mut producer = pipeline.produce(good, Some(RATE));
    let mut other = pipeline.produce_bad(bad, Some(RATE / BAD_IN));
    for life in Kills::new(seed(), LIVES).take(kills(KILLS) as usize) {
        let mut child = pipeline.run("a");
        std::thread::sleep(life);
        assert!(child.running(), "ended by itself:\n{}", child.log());
        child.kill();
    }
    assert!(producer.wait(Duration::from_secs(300)).success(), "{}", producer.log());
    assert!(other.wait(Duration::from_secs(300)).success(), "{}", other.log());
    (good, bad)
}

#[test]
fn every_record_once_in_topics_and_parquet_under_kill_9() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "killed", &[]);
    let (good, bad) = killed_again_and_again(&pipeline);
    let mut child = pipeline.run("a");
    ended_with(&pipeline.command(&["verify"], &["--wait", "120"]), 0);
    child.terminate();
    assert!(child.wait(Duration::from_secs(30)).success(), "{}", child.log());
    each_once(&pipeline, good, bad);
}

#[test]
fn at_least_once_doubles_when_killed_and_verify_and_the_counts_see_it() {
    const EVENTS: u64 = 60_000;
    let Some(broker) = Broker::shared() else { return };
    let sets = ["delivery.mode=at_least_once", "commit.interval_ms=1000"];
    let pipeline = Pipeline::new(broker, "control", &sets);
    let mut producer = pipeline.produce(EVENTS, Some(RATE));
    for _ in 0..3 {
        // Ended behind an acknowledgement and before its offsets are committed.
        let mut child = pipeline.run_until("a", "pipe.acknowledged", 3);
        assert!(!child.wait(Duration::from_secs(60)).success(), "{}", child.log());
    }
    assert!(producer.wait(Duration::from_secs(60)).success(), "{}", producer.log());
    let mut child = pipeline.run("a");
    let verdict = verdict_at_last(&pipeline, Duration::from_secs(120));
    assert_eq!(verdict["exit_code"], LOST_OR_DOUBLED, "{verdict:#}");
    let findings = &verdict["findings"];
    assert_eq!(findings["missing"], 0, "{verdict:#}");
    assert!(findings["doubled"].as_u64().is_some_and(|doubled| doubled > 0), "{verdict:#}");
    child.terminate();
    assert!(child.wait(Duration::from_secs(30)).success(), "{}", child.log());
    // The count apart from it sees the same in the archive.
    let (rows, events) = rows_and_events(&pipeline);
    assert_eq!(events, EVENTS, "of {rows} rows");
    assert!(rows > events, "{rows} rows of {events} events");
}

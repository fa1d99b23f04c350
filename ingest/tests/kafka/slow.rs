//! Workers that are slow before a backlog: commits go by the clock, partitions are handed over in time.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{LIMIT, Stage, Tally, kafka};

/// The example's exit code when a call does not return.
const STUCK: i32 = 70;

/// Commits that reached the output, at least: each leaves a marker in every partition it wrote to.
fn commits(stage: &Stage) -> i64 {
    let output = stage.output();
    let info = ingest::topic_info(&stage.connection(), &output, LIMIT).unwrap();
    let read = stage.records(&output);
    let markers = info.partitions.iter().map(|each| {
        let of_it = |batch: &schemas::MicroBatch| {
            batch.records().iter().filter(|record| record.partition == each.partition).count()
        };
        each.high - read.iter().map(of_it).sum::<usize>() as i64
    });
    markers.max().unwrap()
}

#[test]
fn a_backlog_before_a_slow_worker_is_committed_by_the_clock() {
    let Some(brokers) = kafka() else { return };
    // 1,280 records a second at most: 16 s of work, longer than a transaction may take.
    let (stage, ids) = (Stage::new(brokers, "slow", 2), 20_000);
    stage.feed(0, ids);
    let settings = ["workers=1", "max_rows=64"];
    let pipe = stage.start_at("one", &settings, "worker.scored=delay:50");
    stage.wait_until_done();
    assert_eq!(pipe.stop().0, 0);
    assert_eq!(stage.tally(ids), Tally::EXACT);
    let commits = commits(&stage);
    assert!(commits >= 50, "{commits}");
}

/// The run cannot go down without it, so the process has to.
#[test]
fn a_worker_that_hangs_ends_the_process_and_the_next_one_goes_on() {
    let Some(brokers) = kafka() else { return };
    let (stage, ids) = (Stage::new(brokers, "hung", 2), 20_000);
    stage.feed(0, ids);
    let mut hung = stage.start_at("one", &["batch_limit_s=2"], "worker.scored=hang:5");
    assert_eq!(hung.wait().0, STUCK);
    let pipe = stage.start("one", &[]);
    stage.wait_until_done();
    assert_eq!(pipe.stop().0, 0);
    assert_eq!(stage.tally(ids), Tally::EXACT);
}

#[test]
fn slow_batches_are_handed_over_in_time() {
    let Some(brokers) = kafka() else { return };
    // 16 batches in flight would take 12.8 s; a revoke waits for 5 s.
    let (stage, ids) = (Stage::new(brokers, "slow-members", 2), 10_000);
    stage.feed(0, ids);
    let slow =
        |name| stage.start_at(name, &["workers=1", "max_rows=256"], "worker.scored=delay:800");
    let first = slow("one");
    thread::sleep(Duration::from_secs(4));
    let begun = Instant::now();
    let second = slow("two");
    stage.wait_until_done();
    // Forty batches of 0.8 s, by two: a hand-over that fails costs sessions and reads again.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!((first.stop().0, second.stop().0), (0, 0));
    assert_eq!(stage.tally(ids), Tally::EXACT);
}

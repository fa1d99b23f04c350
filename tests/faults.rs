//! Faults at chosen places: the process ended at each step of a commit and of a file, a call that hangs, a
//! process frozen past its session, a disk that is full.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use crate::harness::{
    Broker, Child, FLIGHTS, Pipeline, SmallDisk, each_once, ended_with, in_topics,
};

/// Places that hop 1 and hop 2 pass again and again, in the order in which they pass them. Those that are not
/// here are passed in another mode (`pipe.acknowledged`), at a hand-over or at an end, or need larger files;
/// `tests/tidy` sees that a test kills at each.
pub(crate) const PLACES: [&str; 13] = [
    "worker.scored",
    "pipe.begun",
    "pipe.placed",
    "pipe.before_offsets",
    "pipe.offsets_sent",
    "pipe.before_commit",
    "pipe.committed",
    "archive.created",
    "archive.before_close",
    "archive.before_sync",
    "archive.before_publish",
    "archive.published",
    "archive.dir_synced",
];

/// The exit code for a call into Kafka's library that hung.
const STUCK: i32 = 6;
const SOON: Duration = Duration::from_secs(60);

#[test]
fn ended_at_every_step_of_a_commit_and_of_a_file_and_at_its_end() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "steps", &[]);
    let (good, bad) = (40 * FLIGHTS, 4 * FLIGHTS);
    let mut producer = pipeline.produce(good, Some(2 * FLIGHTS));
    let mut other = pipeline.produce_bad(bad, Some(FLIGHTS / 5));
    for place in PLACES {
        let mut child = pipeline.run_until("a", place, 1);
        assert!(ended_at_its_place(&mut child, SOON), "{place} was not passed:\n{}", child.log());
    }
    // One that is asked to end has left its group's offsets behind, and does not leave the group.
    let mut child = pipeline.run_until("a", "pipe.closing", 1);
    child.wait_for("\"owned\":4", SOON);
    child.wait_for("archiving partitions", SOON);
    child.terminate();
    assert!(ended_at_its_place(&mut child, SOON), "it closed its consumer:\n{}", child.log());
    let child = pipeline.run("a");
    assert!(producer.wait(SOON).success(), "{}", producer.log());
    assert!(other.wait(SOON).success(), "{}", other.log());
    all_arrived(&pipeline, good, bad);
    drop(child);
}

/// Whether it ends at the place at which it was told to.
pub(crate) fn ended_at_its_place(child: &mut Child, within: Duration) -> bool {
    const SIGABRT: i32 = 6;
    child.ended_within(within).is_some_and(|ended| ended.signal() == Some(SIGABRT))
}

#[test]
fn a_process_frozen_past_its_session_is_fenced_in_topic_and_parquet() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "frozen", &[]);
    let mut producer = pipeline.produce(12 * FLIGHTS, Some(FLIGHTS));
    let frozen = pipeline.run("a");
    frozen.wait_for("\"owned\":4", SOON);
    let other = pipeline.run("b");
    other.wait_for("\"owned\":2", SOON);
    frozen.freeze();
    // Its sessions are over: the other one has everything, of both topics.
    other.wait_for("\"owned\":4", SOON);
    other.wait_until("4 partitions archived", SOON, |lines| (archived(lines) == 4).then_some(()));
    let seen = frozen.printed();
    frozen.thaw();
    // It is refused, whomever it asks first: the group, or the coordinator of its transaction.
    frozen.wait_until("the end of hop 1", SOON, |lines| {
        line_with(&lines[seen..], &["hop 1 ended", "\"kind\":\"retry\""])
    });
    // The group says so to hop 2, or the file that the other one has published under its name.
    frozen.wait_until("the end of hop 2's turn", SOON, |lines| {
        let lines = &lines[seen..];
        line_with(lines, &["handing partitions over", "\"table\":\"results\""])
            .or_else(|| line_with(lines, &["hop failed", "\"hop\":\"results\""]))
    });
    assert!(producer.wait(SOON).success(), "{}", producer.log());
    all_arrived(&pipeline, 12 * FLIGHTS, 0);
    drop((frozen, other));
}

/// The first line that has all of these words.
fn line_with(lines: &[String], words: &[&str]) -> Option<String> {
    lines.iter().find(|line| words.iter().all(|word| line.contains(word))).cloned()
}

/// How many partitions of the output topic a process has said to archive.
fn archived(lines: &[String]) -> usize {
    let words = ["archiving partitions", "\"table\":\"results\""];
    let said = lines.iter().filter(|line| words.iter().all(|word| line.contains(word)));
    let lists = said.filter_map(|line| line.split_once("\"partitions\":\"[")?.1.split_once(']'));
    let numbers = lists.flat_map(|(list, _)| list.split(", ")).filter(|number| !number.is_empty());
    numbers.collect::<BTreeSet<_>>().len()
}

#[test]
fn a_commit_that_hangs_is_left_behind_and_its_hop_goes_on() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "hanging", &[]);
    let mut producer = pipeline.produce(8 * FLIGHTS, Some(2 * FLIGHTS));
    let mut child = pipeline.run_hanging("a", "pipe.before_offsets", 5);
    child.wait_for("send_offsets_to_transaction does not return", SOON);
    assert!(producer.wait(SOON).success(), "{}", producer.log());
    all_arrived(&pipeline, 8 * FLIGHTS, 0);
    assert!(child.running(), "a call that hung ended it:\n{}", child.log());
}

#[test]
fn a_publisher_that_panics_is_replaced_and_nothing_is_lost() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "panicked", &[]);
    let mut producer = pipeline.produce(4 * FLIGHTS, Some(2 * FLIGHTS));
    let mut child = pipeline.run_panicking("a", "pipe.offsets_sent");
    child.wait_for("the publisher panicked", SOON);
    assert!(producer.wait(SOON).success(), "{}", producer.log());
    all_arrived(&pipeline, 4 * FLIGHTS, 0);
    assert!(child.running(), "a panic ended it:\n{}", child.log());
}

/// It cannot be left behind: two consumers cannot be one member.
#[test]
fn a_consumer_that_hangs_ends_the_process_and_the_next_one_goes_on() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "stuck", &["shutdown.grace_seconds=60"]);
    let mut producer = pipeline.produce(8 * FLIGHTS, Some(2 * FLIGHTS));
    let mut stuck = pipeline.run_hanging("a", "pipe.closing", 1);
    stuck.wait_for("\"owned\":4", SOON);
    stuck.wait_for("archiving partitions", SOON);
    stuck.terminate();
    // Twice the session time-out and half a minute later; after shutdown.grace_seconds it would be 1.
    assert_eq!(stuck.wait(SOON).code(), Some(STUCK), "{}", stuck.log());
    stuck.wait_for("\"call\":\"close of the consumer\"", SOON);
    let mut child = pipeline.run("a");
    assert!(producer.wait(SOON).success(), "{}", producer.log());
    all_arrived(&pipeline, 8 * FLIGHTS, 0);
    assert!(child.running(), "it ended:\n{}", child.log());
}

#[test]
fn a_hand_over_that_hangs_ends_the_process_and_another_takes_its_partitions() {
    let Some(broker) = Broker::shared() else { return };
    for (place, call) in [
        ("pipe.handed_over", "a turn of the consumer"),
        ("reader.handed_over", "release of partitions"),
    ] {
        let pipeline = Pipeline::new(broker, "hung-over", &[]);
        let mut producer = pipeline.produce(4 * FLIGHTS, Some(FLIGHTS));
        let mut stuck = pipeline.run_hanging("a", place, 1);
        stuck.wait_for("\"owned\":4", SOON);
        stuck.wait_for("archiving partitions", SOON);
        let mut other = pipeline.run("b");
        assert_eq!(stuck.wait(SOON).code(), Some(STUCK), "{}", stuck.log());
        stuck.wait_for(&format!("\"call\":\"{call}\""), SOON);
        assert!(producer.wait(SOON).success(), "{}", producer.log());
        all_arrived(&pipeline, 4 * FLIGHTS, 0);
        assert!(other.running(), "it ended:\n{}", other.log());
    }
}

#[test]
fn one_partition_and_twelve() {
    let Some(broker) = Broker::shared() else { return };
    for partitions in [1, 12] {
        let pipeline = Pipeline::new(broker, "partitions", &[]).with_partitions(partitions);
        pipeline.produced(2 * FLIGHTS);
        let first = pipeline.run("a");
        let second = pipeline.run("b");
        all_arrived(&pipeline, 2 * FLIGHTS, 0);
        drop((first, second));
    }
}

#[test]
fn partitions_added_while_it_runs_are_read_and_archived() {
    let Some(broker) = Broker::shared() else { return };
    // New partitions are seen at the next look at the topics, each minute unless told otherwise.
    let look = "kafka.properties.topic.metadata.refresh.interval.ms=1000";
    let pipeline = Pipeline::new(broker, "grown", &[look]).with_partitions(1);
    let mut before = pipeline.produce(FLIGHTS, None);
    let mut child = pipeline.run("a");
    assert!(before.wait(SOON).success(), "{}", before.log());
    all_arrived(&pipeline, FLIGHTS, 0);
    pipeline.add_partitions(4);
    pipeline.produced(FLIGHTS);
    all_arrived(&pipeline, 2 * FLIGHTS, 0);
    assert!(child.running(), "new partitions ended it:\n{}", child.log());
}

#[test]
fn a_full_disk_stops_the_archive_until_there_is_space() {
    let Some(broker) = Broker::shared() else { return };
    let Some(disk) = SmallDisk::mount(8) else { return };
    let pipeline = Pipeline::new(broker, "full", &[]).on(&disk);
    disk.fill_but(300_000);
    pipeline.produced(20 * FLIGHTS);
    let mut child = pipeline.run("a");
    child.wait_for("No space left on device", SOON);
    in_topics(&pipeline);
    assert!(child.running(), "a full disk ended it:\n{}", child.log());
    disk.empty();
    all_arrived(&pipeline, 20 * FLIGHTS, 0);
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
    each_once(&pipeline, 20 * FLIGHTS, 0);
}

/// Soon every event is in topic and archive, once: `verify`, SQL and DuckDB say so.
#[track_caller]
fn all_arrived(pipeline: &Pipeline, good: u64, bad: u64) {
    ended_with(&pipeline.command(&["verify"], &["--wait", "120"]), 0);
    each_once(pipeline, good, bad);
}

//! Where a group begins, what a graceful stop leaves, and what stops a start.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::harness::{LIMIT, Stage, Tally, kafka};

#[test]
fn a_graceful_stop_leaves_nothing_to_repeat() {
    let Some(brokers) = kafka() else { return };
    let (stage, ids) = (Stage::new(brokers, "graceful", 4), 50_000);
    for round in 0..5 {
        let pipe = stage.start("one", &[]);
        stage.feed(round * ids / 5, (round + 1) * ids / 5);
        thread::sleep(Duration::from_millis(300));
        assert_eq!(pipe.stop().0, 0);
    }
    let pipe = stage.start("one", &[]);
    stage.wait_until_done();
    assert_eq!(pipe.stop().0, 0);
    assert_eq!(stage.tally(ids), Tally::EXACT);
}

#[test]
fn latest_skips_what_was_there_and_nothing_that_came_later() {
    let Some(brokers) = kafka() else { return };
    let stage = Stage::new(brokers, "latest", 2);
    stage.feed(0, 1000);
    // Nothing arrives during the first life: the second must still know where the group began.
    let first = stage.start("one", &["start=latest"]);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(first.stop().0, 0);
    stage.feed(1000, 3000);
    let second = stage.start("one", &["start=latest"]);
    stage.wait_until_done();
    assert_eq!(second.stop().0, 0);
    assert_eq!(stage.tally(3000), Tally { missing: 1000, doubled: 0 });
}

#[test]
fn a_missing_output_topic_is_said_and_not_retried() {
    let Some(brokers) = kafka() else { return };
    let stage = Stage::new(brokers, "missing", 1);
    let mut pipe = stage.start("one", &["output=there-is-no-such-topic"]);
    assert_eq!(pipe.wait().0, 2);
}

#[test]
fn a_partition_added_later_is_read_from_its_beginning() {
    let Some(brokers) = kafka() else { return };
    let (stage, ids) = (Stage::new(brokers, "added", 1), 2000);
    stage.feed(0, ids / 2);
    let pipe = stage.start("one", &["start=latest", "p.topic.metadata.refresh.interval.ms=1000"]);
    let until = Instant::now() + Duration::from_secs(60);
    let begins =
        || ingest::committed(&stage.connection(), &stage.name, &stage.input(), &[0], LIMIT);
    while !begins().is_ok_and(|known| known.contains_key(&0)) {
        assert!(Instant::now() < until, "the group has no position");
        thread::sleep(Duration::from_millis(100));
    }
    stage.add_partitions(3);
    stage.feed(ids / 2, ids);
    stage.wait_until_done();
    assert_eq!(pipe.stop().0, 0);
    assert_eq!(stage.tally(ids), Tally { missing: ids / 2, doubled: 0 });
}

/// As after `offsets.retention.minutes`: the topics hold what was scored, the group knows nothing.
#[test]
fn a_group_without_offsets_beside_results_is_refused_until_it_may_begin_anew() {
    let Some(brokers) = kafka() else { return };
    let stage = Stage::new(brokers, "forgotten", 1);
    stage.feed(0, 100);
    let pipe = stage.start("one", &[]);
    stage.wait_until_done();
    assert_eq!(pipe.stop().0, 0);
    let other = format!("pipeline={}-2", stage.name);
    assert_eq!(stage.start("one", &[&other]).wait().0, 2);
    let pipe = stage.start("one", &[&other, "begin_anew=yes"]);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(pipe.stop().0, 0);
    // From then on it is a group like every other.
    let pipe = stage.start("one", &[&other]);
    thread::sleep(Duration::from_secs(1));
    assert_eq!(pipe.stop().0, 0);
}

#[test]
fn a_group_that_others_share_in_another_way_is_refused() {
    let Some(brokers) = kafka() else { return };
    let stage = Stage::new(brokers, "foreign", 1);
    let foreign: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &stage.brokers)
        .set("group.id", &stage.name)
        .set("partition.assignment.strategy", "range")
        .create()
        .unwrap();
    // The pipe writes the group's first positions while nobody is in it.
    let pipe = stage.start("one", &[]);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(pipe.stop().0, 0);
    foreign.subscribe(&[&stage.input()]).unwrap();
    let until = Instant::now() + LIMIT;
    while foreign.assignment().unwrap().count() == 0 {
        assert!(Instant::now() < until, "the foreign member gets nothing");
        let _ = foreign.poll(Duration::from_millis(100));
    }
    assert_eq!(stage.start("one", &[]).wait().0, 2);
}

#[test]
fn a_compacted_output_topic_is_refused() {
    let Some(brokers) = kafka() else { return };
    let stage = Stage::new(brokers, "compacted", 1);
    let topic = format!("{}-compacted", stage.name);
    stage.create(&topic, 1, &[("cleanup.policy", "compact,delete")]);
    assert_eq!(stage.start("one", &[&format!("output={topic}")]).wait().0, 2);
}

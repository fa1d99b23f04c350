//! Start, share, hand over, outlive the broker, stop.

use std::time::{Duration, Instant};

use crate::harness::{
    Api, Broker, Child, Cut, FLIGHTS, Pipeline, Proxy, each_once, each_once_as_it_came, ended_with,
    flight, in_topics, rows_and_events, scored, verdict_at_last,
};

const SOON: Duration = Duration::from_secs(60);

/// A stall of the machine of a few seconds ends no hop.
const PATIENT: [&str; 3] = [
    "kafka.session_timeout_ms=6000",
    "kafka.max_poll_interval_ms=16000",
    "kafka.transaction_timeout_ms=12000",
];

#[test]
fn a_broker_restart_under_load_is_survived_in_the_process() {
    let Some(broker) = Broker::start() else { return };
    let pipeline = Pipeline::new(&broker, "restart", &[]);
    let mut producer = pipeline.produce(10 * FLIGHTS, Some(FLIGHTS));
    let mut child = pipeline.run("a");
    child.wait_for("archiving partitions", SOON);
    std::thread::sleep(Duration::from_secs(1));
    broker.restart();
    std::thread::sleep(Duration::from_secs(2));
    broker.kill();
    broker.start_again();
    assert!(producer.wait(Duration::from_secs(180)).success(), "{}", producer.log());
    ended_with(&pipeline.command(&["verify"], &["--wait", "120"]), 0);
    assert!(child.running(), "the broker's restart ended it:\n{}", child.log());
    each_once_as_it_came(&pipeline, 10 * FLIGHTS, 0);
}

/// Commits of offsets are sent again until it is back, and no consumer closes before.
#[test]
fn a_frozen_broker_is_waited_for_at_least_once_too() {
    let Some(broker) = Broker::start() else { return };
    let pipeline = Pipeline::new(&broker, "away", &["delivery.mode=at_least_once"]);
    let events = 20 * FLIGHTS;
    let mut producer = pipeline.produce(events, Some(FLIGHTS));
    let mut child = pipeline.run("a");
    child.wait_for("archiving partitions", SOON);
    // The session, and what closing may take where nothing is to be waited for.
    broker.freeze_for(Duration::from_secs(3 + 2 * 3 + 6));
    assert!(producer.wait(Duration::from_secs(180)).success(), "{}", producer.log());
    let verdict = verdict_at_last(&pipeline, Duration::from_secs(120));
    assert_eq!(verdict["findings"]["missing"], 0, "{verdict:#}");
    assert!(child.running(), "the broker's absence ended it:\n{}", child.log());
    assert_eq!(rows_and_events(&pipeline).1, events);
}

#[test]
fn members_join_and_leave_without_a_record_lost() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "members", &[]);
    let mut producer = pipeline.produce(8 * FLIGHTS, Some(FLIGHTS));
    let mut first = pipeline.run("a");
    first.wait_for("\"owned\":4", SOON);
    let second = pipeline.run("b");
    second.wait_for("\"owned\":2", SOON);
    let third = pipeline.run("c");
    third.wait_for("\"owned\":1", SOON);
    first.terminate();
    assert!(first.wait(Duration::from_secs(30)).success(), "{}", first.log());
    drop(second);
    assert!(producer.wait(Duration::from_secs(60)).success(), "{}", producer.log());
    ended_with(&pipeline.command(&["verify"], &["--wait", "120"]), 0);
    each_once(&pipeline, 8 * FLIGHTS, 0);
    drop(third);
}

/// The group believes itself complete when a member with a name comes back that had given up
/// partitions and not yet said so.
#[test]
fn a_member_killed_while_it_hands_over_leaves_no_partition_unread() {
    let Some(broker) = Broker::shared() else { return };
    for place in ["pipe.handed_over", "reader.handed_over"] {
        let pipeline = Pipeline::new(broker, "hand-over", &[]);
        let mut producer = pipeline.produce(4 * FLIGHTS, Some(FLIGHTS / 2));
        let mut first = pipeline.run_until("a", place, 1);
        first.wait_for("\"owned\":4", SOON);
        first.wait_for("archiving partitions", SOON);
        let mut second = pipeline.run("b");
        assert!(!first.wait(SOON).success(), "{place} was not passed:\n{}", first.log());
        let mut first = pipeline.run("a");
        assert!(producer.wait(SOON).success(), "{}", producer.log());
        ended_with(&pipeline.command(&["verify"], &["--wait", "60"]), 0);
        each_once(&pipeline, 4 * FLIGHTS, 0);
        assert!(first.running() && second.running(), "{}\n{}", first.log(), second.log());
    }
}

/// Evicted while it joins anew, a member may find nobody in its place when it is back: librdkafka keeps its
/// partitions then and says nothing of it, and others have scored what it was to read next.
#[test]
fn a_member_evicted_while_it_joins_does_not_go_on_where_it_was() {
    let proxy = Proxy::listen();
    let Some(broker) = Broker::start_behind(&proxy) else { return };
    // librdkafka gives up a join after this, and what follows takes a while.
    let pipeline = Pipeline::new(&broker, "evicted", &["kafka.max_poll_interval_ms=120000"]);
    pipeline.produced(FLIGHTS);
    let mut evicted = pipeline.run_only("a", "score");
    in_topics(&pipeline);
    let mut other = pipeline.run_only("b", "score");
    proxy.strike(&[(Api::JoinGroup, Cut::Held)], SOON);
    // The first one's session is over.
    other.wait_for("\"owned\":4", SOON);
    pipeline.produced(FLIGHTS);
    in_topics(&pipeline);
    other.terminate();
    assert!(other.wait(SOON).success(), "{}", other.log());
    let seen = evicted.printed();
    proxy.let_go();
    pipeline.produced(FLIGHTS);
    in_topics(&pipeline);
    assert!(evicted.running(), "{}", evicted.log());
    evicted.wait_until("the end of hop 1", SOON, |lines| {
        // Or what it had under way failed before it knew.
        let why = ["was evicted", "records were not delivered"];
        let ended = |line: &&String| {
            line.contains("hop 1 ended") && why.iter().any(|why| line.contains(why))
        };
        lines[seen..].iter().find(ended).cloned()
    });
    let all = 3 * FLIGHTS;
    assert_eq!(pipeline.ends(&pipeline.input()), all);
    let results: u64 =
        pipeline.read(&pipeline.output()).iter().map(|batch| batch.len() as u64).sum();
    assert_eq!(results, all, "results of {all} events");
}

/// librdkafka asks a coordinator that has moved once for the committed offsets, and never again.
#[test]
fn offsets_that_a_coordinator_that_moved_did_not_tell_are_asked_for_again() {
    let moved = Cut::Refuse(16);
    let proxy = Proxy::listen();
    let Some(broker) = Broker::start_behind(&proxy) else { return };
    let pipeline = Pipeline::new(&broker, "untold", &PATIENT);
    // A broker that was just started has no coordinator yet.
    pipeline.send(&[flight("first", "")]);
    scored(&pipeline);
    pipeline.produced(FLIGHTS);
    let mut child = pipeline.run_only("a", "score");
    // Its offsets are asked for when the answer to this is there.
    proxy.strike(&[(Api::JoinGroup, Cut::Late(Duration::from_secs(1)))], SOON);
    proxy.strike(&[(Api::OffsetFetch, moved), (Api::OffsetFetch, moved)], SOON);
    in_topics(&pipeline);
    assert!(child.running(), "{}", child.log());
    began_once(&child);
}

/// It dies between the two steps of a join, and knows the member by the id of before when it is back.
#[test]
fn a_broker_that_forgot_a_member_does_not_end_it_as_its_own_twin() {
    let fenced = Cut::Refuse(82);
    let proxy = Proxy::listen();
    let Some(broker) = Broker::start_behind(&proxy) else { return };
    let pipeline = Pipeline::new(&broker, "forgotten", &[]);
    pipeline.produced(FLIGHTS);
    let mut child = pipeline.run_only("a", "score");
    in_topics(&pipeline);
    std::thread::scope(|scope| {
        let strike = scope.spawn(|| proxy.strike(&[(Api::SyncGroup, fenced)], SOON));
        // Longer than the session: the member joins anew.
        broker.kill();
        broker.start_again();
        strike.join().expect("it joined anew");
    });
    child.wait_for("joining anew", SOON);
    pipeline.produced(FLIGHTS);
    in_topics(&pipeline);
    assert!(child.running(), "{}", child.log());
}

/// Hop 1 was never torn down: of a pipeline that is [`PATIENT`].
fn began_once(child: &Child) {
    child.wait_until("a hop 1 without an end", Duration::ZERO, |lines| {
        (!lines.iter().any(|line| line.contains("hop 1 ended"))).then_some(())
    });
}

/// The killed member's transaction is open for a while, and holds back where its partitions begin.
#[test]
fn a_member_that_joins_while_offsets_are_withheld_disturbs_nobody() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "withheld", &PATIENT);
    let mut producer = pipeline.produce(4 * FLIGHTS, Some(FLIGHTS));
    let mut killed = pipeline.run_until("a", "pipe.offsets_sent", 3);
    assert!(!killed.wait(SOON).success(), "it was not killed:\n{}", killed.log());
    let mut second = pipeline.run("b");
    second.wait_for("\"owned\":4", SOON);
    let mut third = pipeline.run("c");
    third.wait_for("\"owned\":2", SOON);
    assert!(producer.wait(SOON).success(), "{}", producer.log());
    ended_with(&pipeline.command(&["verify"], &["--wait", "120"]), 0);
    each_once(&pipeline, 4 * FLIGHTS, 0);
    for member in [&mut second, &mut third] {
        assert!(member.running(), "{}", member.log());
        began_once(member);
    }
}

/// librdkafka tells none of several offsets while one of them is held back.
#[test]
fn partitions_that_come_with_a_withheld_one_do_not_wait_for_it() {
    let Some(broker) = Broker::shared() else { return };
    // Longer than the test: nothing but its owner's return ends the transaction.
    let longer =
        [PATIENT[0], "kafka.max_poll_interval_ms=120000", "kafka.transaction_timeout_ms=120000"];
    let pipeline = Pipeline::new(broker, "beside", &longer);
    pipeline.send_with(4, 0, &[(b"key", flight("first", ""))], &[]);
    let mut killed = pipeline.run_until("a", "pipe.offsets_sent", 1);
    assert!(!killed.wait(SOON).success(), "it was not killed:\n{}", killed.log());
    pipeline.produced(FLIGHTS);
    let mut other = pipeline.run_only("b", "score");
    other.wait_for("\"owned\":4", SOON);
    let until = Instant::now() + SOON;
    while pipeline.ends(&pipeline.output()) < FLIGHTS / 2 {
        assert!(Instant::now() < until, "three of four partitions wait:\n{}", other.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut back = pipeline.run_only("a", "score");
    in_topics(&pipeline);
    assert!(other.running() && back.running(), "{}{}", other.log(), back.log());
    began_once(&other);
}

#[test]
fn an_unreachable_broker_is_waited_for_and_named() {
    let nobody = "kafka.brokers=127.0.0.1:1";
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "unreachable", &[nobody]);
    let mut child = pipeline.run("a");
    child.wait_for("127.0.0.1:1", Duration::from_secs(30));
    std::thread::sleep(Duration::from_secs(1));
    assert!(child.running(), "it did not wait:\n{}", child.log());
    child.terminate();
    child.wait(Duration::from_secs(30));
}

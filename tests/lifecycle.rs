//! Start, share, hand over, outlive the broker, stop.

use std::time::Duration;

use crate::harness::{Broker, FLIGHTS, Pipeline, ended_with};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_broker_restart_under_load_is_survived_in_the_process() {
    let Some(broker) = Broker::start() else { return };
    let pipeline = Pipeline::new(&broker, "restart", &[]);
    let mut producer = pipeline.produce(10 * FLIGHTS, Some(FLIGHTS));
    let mut child = pipeline.run("a");
    std::thread::sleep(Duration::from_secs(3));
    broker.restart();
    std::thread::sleep(Duration::from_secs(2));
    broker.kill();
    broker.start_again();
    assert!(producer.wait(Duration::from_secs(180)).success(), "{}", producer.log());
    ended_with(&pipeline.command(&["verify"], &["--wait", "120"]), 0);
    assert!(child.running(), "the broker's restart ended it:\n{}", child.log());
}

#[test]
fn members_join_and_leave_without_a_record_lost() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "members", &[]);
    let mut producer = pipeline.produce(8 * FLIGHTS, Some(FLIGHTS));
    let mut first = pipeline.run("a");
    std::thread::sleep(Duration::from_secs(2));
    let second = pipeline.run("b");
    std::thread::sleep(Duration::from_secs(2));
    let third = pipeline.run("c");
    std::thread::sleep(Duration::from_secs(2));
    first.terminate();
    assert!(first.wait(Duration::from_secs(30)).success(), "{}", first.log());
    drop(second);
    assert!(producer.wait(Duration::from_secs(60)).success(), "{}", producer.log());
    ended_with(&pipeline.command(&["verify"], &["--wait", "120"]), 0);
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
        assert!(first.running() && second.running(), "{}\n{}", first.log(), second.log());
    }
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

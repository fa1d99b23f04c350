//! The connection is cut around each transactional request, before it reached the broker and after
//! it took effect there, or its answer comes too late, or its coordinator has moved: each event still ends
//! in exactly one copy.

use std::time::Duration;

use crate::harness::{Api, Broker, Cut, FLIGHTS, Pipeline, Proxy, each_once, ended_with};

const SOON: Duration = Duration::from_secs(60);

/// Two of hop 1's pauses may lie between a strike's first request and its second; they double up to 30 s.
const STRUCK: Duration = Duration::from_secs(180);

/// Beyond the tests' transaction time-out of 4 s.
const TOO_LATE: Cut = Cut::Late(Duration::from_secs(6));

// Kafka's error codes.
/// The coordinator has not read its log yet.
const LOADING: Cut = Cut::Refuse(14);
/// The coordinator is another broker now.
const MOVED: Cut = Cut::Refuse(16);
/// The group has a generation that the consumer does not know of: the transaction must be aborted.
const STALE: Cut = Cut::Refuse(22);

const STRIKES: [&[(Api, Cut)]; 31] = [
    &[(Api::AddPartitionsToTxn, Cut::Before)],
    &[(Api::AddPartitionsToTxn, Cut::After)],
    &[(Api::AddPartitionsToTxn, LOADING)],
    &[(Api::AddPartitionsToTxn, MOVED)],
    &[(Api::Produce, Cut::Before)],
    &[(Api::Produce, Cut::After)],
    &[(Api::AddOffsetsToTxn, Cut::Before)],
    &[(Api::AddOffsetsToTxn, Cut::After)],
    &[(Api::AddOffsetsToTxn, LOADING)],
    &[(Api::AddOffsetsToTxn, MOVED)],
    &[(Api::TxnOffsetCommit, Cut::Before)],
    &[(Api::TxnOffsetCommit, Cut::After)],
    &[(Api::TxnOffsetCommit, LOADING)],
    &[(Api::TxnOffsetCommit, MOVED)],
    &[(Api::Commit, Cut::Before)],
    // The commit whose answer is lost.
    &[(Api::Commit, Cut::After)],
    &[(Api::Commit, LOADING)],
    &[(Api::Commit, MOVED)],
    // It moves and moves again.
    &[(Api::Commit, MOVED), (Api::Commit, LOADING), (Api::Commit, MOVED)],
    // An abort, and its own request struck.
    &[(Api::TxnOffsetCommit, STALE)],
    &[(Api::TxnOffsetCommit, STALE), (Api::Abort, Cut::Before)],
    &[(Api::TxnOffsetCommit, STALE), (Api::Abort, Cut::After)],
    &[(Api::TxnOffsetCommit, STALE), (Api::Abort, MOVED)],
    &[(Api::TxnOffsetCommit, STALE), (Api::Abort, TOO_LATE)],
    &[(Api::Commit, TOO_LATE)],
    &[(Api::Produce, TOO_LATE)],
    &[(Api::AddOffsetsToTxn, TOO_LATE)],
    &[(Api::TxnOffsetCommit, TOO_LATE)],
    &[(Api::AddPartitionsToTxn, TOO_LATE)],
    // A new producer asks for its id again and again.
    &[(Api::Commit, TOO_LATE), (Api::InitProducerId, TOO_LATE)],
    &[(Api::Commit, TOO_LATE), (Api::InitProducerId, MOVED), (Api::InitProducerId, LOADING)],
];

#[test]
fn a_transactional_request_struck_anywhere_ends_in_exactly_one_copy() {
    let proxy = Proxy::listen();
    let Some(broker) = Broker::start_behind(&proxy) else { return };
    let pipeline = Pipeline::new(&broker, "cuts", &[]);
    // Events come as long as there are strikes.
    let mut producer = pipeline.produce(u64::from(u32::MAX), Some(FLIGHTS / 2));
    let mut other = pipeline.produce_bad(u64::from(u32::MAX), Some(FLIGHTS / 20));
    let mut child = pipeline.run("a");
    proxy.strike(&[(Api::InitProducerId, Cut::Before)], SOON);
    proxy.strike(&[(Api::InitProducerId, Cut::After)], SOON);
    child.wait_for("\"owned\":4", SOON);
    for strikes in STRIKES {
        proxy.strike(strikes, STRUCK);
        assert!(child.running(), "{strikes:?} ended it:\n{}", child.log());
    }
    producer.kill();
    other.kill();
    ended_with(&pipeline.command(&["verify"], &["--wait", "120"]), 0);
    assert!(child.running(), "it ended:\n{}", child.log());
    let [events, bad] = ["results", "dead_letters"]
        .map(|table| pipeline.sql(&format!("SELECT count(*) FROM {table}")).parse().expect("rows"));
    let sent: u64 = pipeline.ends(&pipeline.input());
    assert_eq!(events + bad, sent, "results and dead letters of everything that was sent");
    each_once(&pipeline, events, bad);
}

//! The connection is cut around each transactional request, before it reached the broker and after
//! it took effect there, or its answer comes too late: each event still ends in exactly one copy.

use std::time::Duration;

use crate::harness::{Api, Broker, Cut, FLIGHTS, Pipeline, Proxy, ended_with};

const SOON: Duration = Duration::from_secs(60);

/// Beyond the tests' transaction time-out of 4 s.
const TOO_LATE: Cut = Cut::Late(Duration::from_secs(6));

const STRIKES: [(Api, Cut); 14] = [
    (Api::AddPartitionsToTxn, Cut::Before),
    (Api::AddPartitionsToTxn, Cut::After),
    (Api::Produce, Cut::Before),
    (Api::Produce, Cut::After),
    (Api::AddOffsetsToTxn, Cut::Before),
    (Api::AddOffsetsToTxn, Cut::After),
    (Api::TxnOffsetCommit, Cut::Before),
    (Api::TxnOffsetCommit, Cut::After),
    (Api::EndTxn, Cut::Before),
    // The commit whose answer is lost.
    (Api::EndTxn, Cut::After),
    (Api::EndTxn, TOO_LATE),
    (Api::AddOffsetsToTxn, TOO_LATE),
    (Api::TxnOffsetCommit, TOO_LATE),
    (Api::AddPartitionsToTxn, TOO_LATE),
];

#[test]
fn a_transactional_request_cut_anywhere_ends_in_exactly_one_copy() {
    let proxy = Proxy::listen();
    let Some(broker) = Broker::start_behind(&proxy) else { return };
    let pipeline = Pipeline::new(&broker, "cuts", &[]);
    let mut producer = pipeline.produce(90 * FLIGHTS, Some(FLIGHTS));
    let mut child = pipeline.run("a");
    proxy.strike(Api::InitProducerId, Cut::Before, SOON);
    proxy.strike(Api::InitProducerId, Cut::After, SOON);
    child.wait_for("\"owned\":4", SOON);
    for (api, cut) in STRIKES {
        proxy.strike(api, cut, SOON);
        assert!(child.running(), "{api:?} {cut:?} ended it:\n{}", child.log());
    }
    producer.kill();
    ended_with(&pipeline.command(&["verify"], &["--wait", "120"]), 0);
    assert!(child.running(), "it ended:\n{}", child.log());
}

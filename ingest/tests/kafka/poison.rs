//! Records that cannot be handled: they end in the dead letters with a reason, their neighbours in
//! the results, and the stream goes on.

use ingest::{Outgoing, Producer};

use crate::harness::{LIMIT, Stage, kafka};

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// Value (shortened), stage and reason of each dead letter, by source offset.
fn dead_letters(stage: &Stage) -> Vec<(i64, String, String, String)> {
    let mut found = Vec::new();
    for batch in stage.records(&stage.dead()) {
        for row in 0..batch.len() {
            let header = |name: &str| text(batch.header(row, name));
            assert_eq!(header("tidegate.topic"), stage.input());
            assert_eq!(header("tidegate.partition"), "0");
            assert_eq!(text(batch.key(row)), "key");
            let value = text(batch.value(row)).chars().take(12).collect();
            found.push((
                header("tidegate.offset").parse().unwrap(),
                value,
                header("tidegate.stage"),
                header("tidegate.reason"),
            ));
        }
    }
    found.sort();
    found
}

fn results(stage: &Stage) -> Vec<String> {
    let batches = stage.records(&stage.output());
    let mut all: Vec<String> = batches
        .iter()
        .flat_map(|batch| (0..batch.len()).map(|row| text(batch.value(row))))
        .collect();
    all.sort();
    all
}

fn check(test: &str, values: &[&str], good: &[&str], dead: &[(i64, &str, &str, &str)]) {
    let Some(brokers) = kafka() else { return };
    let stage = Stage::new(brokers, test, 2);
    stage.send(values);
    let pipe = stage.start("one", &[]);
    stage.wait_until_done();
    assert_eq!(pipe.stop().0, 0);
    assert_eq!(results(&stage), good);
    let found = dead_letters(&stage);
    assert_eq!(found.len(), dead.len(), "{found:?}");
    for ((offset, value, stage, reason), want) in found.iter().zip(dead) {
        assert_eq!((*offset, value.as_str(), stage.as_str()), (want.0, want.1, want.2));
        assert!(reason.contains(want.3), "{reason:?} should say {:?}", want.3);
    }
}

#[test]
fn a_reject_goes_to_the_dead_letters_with_its_bytes() {
    check(
        "reject",
        &["a", "REJECT me", "b"],
        &["a", "b"],
        &[(1, "REJECT me", "decode", "asked to")],
    );
}

#[test]
fn a_result_that_the_topic_does_not_take_becomes_a_dead_letter() {
    check("big", &["a", "BIG", "b"], &["a", "b"], &[(1, "BIG", "produce", "max.message.bytes")]);
}

#[test]
fn what_makes_a_worker_panic_is_found_by_the_third_failure() {
    check(
        "panic",
        &["a", "b", "PANIC", "c", "PANIC again", "d"],
        &["a", "b", "c", "d"],
        &[(2, "PANIC", "model", "asked to panic"), (4, "PANIC again", "model", "asked to panic")],
    );
}

#[test]
fn headers_are_carried_where_asked() {
    use rdkafka::message::{Header, OwnedHeaders};
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let Some(brokers) = kafka() else { return };
    let stage = Stage::new(brokers, "carry", 1);
    let mut client = rdkafka::ClientConfig::new();
    let producer: BaseProducer = client.set("bootstrap.servers", &stage.brokers).create().unwrap();
    let headers = || OwnedHeaders::new().insert(Header { key: "trace", value: Some("t1") });
    for value in ["a", "REJECT"] {
        let input = stage.input();
        producer.send(BaseRecord::to(&input).key("key").payload(value).headers(headers())).unwrap();
    }
    producer.flush(LIMIT).unwrap();
    let pipe = stage.start("one", &["carry=headers"]);
    stage.wait_until_done();
    assert_eq!(pipe.stop().0, 0);
    for topic in [stage.output(), stage.dead()] {
        let batches = stage.records(&topic);
        assert_eq!(batches.iter().map(schemas::MicroBatch::len).sum::<usize>(), 1);
        assert_eq!(text(batches[0].header(0, "trace")), "t1", "{topic}");
    }
}

/// Compressed it went through the input topic; as it is it fits neither of the others.
#[test]
fn a_record_whose_key_alone_is_too_large_becomes_a_dead_letter_without_it() {
    let Some(brokers) = kafka() else { return };
    let stage = Stage::new(brokers, "large-key", 1);
    let mut connection = stage.connection();
    for (name, value) in [("message.max.bytes", "4000000"), ("compression.type", "gzip")] {
        connection.properties.insert(name.into(), value.into());
    }
    let mut producer = Producer::new(&connection, &stage.input(), LIMIT).unwrap();
    let mut records = Outgoing::new();
    records.push(Some(&vec![b'k'; 2_000_000]), b"large", Some(0));
    records.push(Some(b"key"), b"behind", Some(0));
    producer.send(records).unwrap();
    producer.flush().unwrap();
    let pipe = stage.start("one", &[]);
    stage.wait_until_done();
    assert_eq!(pipe.stop().0, 0);
    let letters = stage.records(&stage.dead());
    let [letter] = &letters[..] else { panic!("{} batches", letters.len()) };
    assert_eq!((letter.len(), letter.key(0), letter.value(0)), (1, None, Some(&b"large"[..])));
    let said = str::from_utf8(letter.header(0, "tidegate.shortened").unwrap()).unwrap();
    assert!(said.contains("key 2000000 bytes") && said.contains("not the key"), "{said}");
}

#[test]
fn results_without_a_key_keep_their_order_in_a_partition() {
    let Some(brokers) = kafka() else { return };
    let stage = Stage::new(brokers, "ordered", 1);
    // Several turns (500 kB) of the one partition: they end in the middle of a batch.
    let values: Vec<String> = (0..20_000).map(|id| format!("{id:0100}")).collect();
    let mut producer = Producer::new(&stage.connection(), &stage.input(), LIMIT).unwrap();
    let mut records = Outgoing::new();
    values.iter().for_each(|value| records.push(None, value.as_bytes(), Some(0)));
    producer.send(records).unwrap();
    producer.flush().unwrap();
    let pipe = stage.start("one", &[]);
    stage.wait_until_done();
    assert_eq!(pipe.stop().0, 0);
    let mut expected = values.iter();
    for batch in stage.records(&stage.output()) {
        for row in 0..batch.len() {
            assert_eq!(batch.value(row), expected.next().map(String::as_bytes));
        }
    }
    assert!(expected.next().is_none());
}

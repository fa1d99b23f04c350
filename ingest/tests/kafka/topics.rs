//! Topics described, created, written and scanned.

use std::time::{SystemTime, UNIX_EPOCH};

use ingest::{AdminError, Outgoing, Producer, topic_info};

use crate::harness::{LIMIT, Stage, kafka};

#[test]
fn a_topic_is_described_with_its_ids_and_settings() {
    let Some(brokers) = kafka() else { return };
    let stage = Stage::new(brokers, "described", 3);
    let other = format!("{}-other", stage.name);
    stage.create(&other, 1, &[("max.message.bytes", "5000"), ("retention.ms", "60000")]);
    let first = topic_info(&stage.connection(), &stage.input(), LIMIT).unwrap();
    let second = topic_info(&stage.connection(), &other, LIMIT).unwrap();
    assert_eq!(first.partitions.len(), 3);
    assert!(!first.cluster_id.is_empty() && first.cluster_id == second.cluster_id);
    assert!(first.topic_id.len() >= 22 && first.topic_id != second.topic_id, "{first:?}");
    assert_eq!((second.max_message_bytes, second.retention_ms), (5000, Some(60_000)));
    assert_eq!(second.cleanup_policy, "delete");
}

#[test]
fn a_topic_that_is_not_there_is_said() {
    let Some(brokers) = kafka() else { return };
    let stage = Stage::new(brokers, "not-there", 1);
    let error = topic_info(&stage.connection(), "there-is-no-such-topic", LIMIT).unwrap_err();
    assert!(matches!(error, AdminError::NoTopic(_)), "{error}");
}

#[test]
fn a_broker_that_does_not_answer_is_said_within_the_limit() {
    if kafka().is_none() {
        return;
    }
    let nobody = ingest::Connection {
        brokers: "127.0.0.1:1".into(),
        properties: std::collections::BTreeMap::new(),
        instance: "test".into(),
    };
    let begun = std::time::Instant::now();
    let error = topic_info(&nobody, "any", std::time::Duration::from_secs(1)).unwrap_err();
    assert!(matches!(error, AdminError::Unreachable(_)), "{error}");
    assert!(begun.elapsed().as_secs() < 5);
}

#[test]
fn what_is_produced_is_scanned_with_keys_and_partitions_without_aborted_records() {
    let Some(brokers) = kafka() else { return };
    let stage = Stage::new(brokers, "scanned", 3);
    let mut producer = Producer::new(&stage.connection(), &stage.input(), LIMIT).unwrap();
    let mut records = Outgoing::new();
    for id in 0..3000u32 {
        let key = id.is_multiple_of(2).then(|| id.to_string());
        records.push(
            key.as_deref().map(str::as_bytes),
            id.to_string().as_bytes(),
            Some((id % 3) as i32),
        );
    }
    producer.send(records).unwrap();
    producer.flush().unwrap();
    assert_eq!(producer.acknowledged(), 3000);
    stage.abort(100);
    let mut ids = Vec::new();
    for batch in stage.records(&stage.input()) {
        for (row, record) in batch.records().iter().enumerate() {
            let id: u32 = std::str::from_utf8(batch.value(row).unwrap()).unwrap().parse().unwrap();
            assert_eq!(record.partition, (id % 3) as i32);
            assert_eq!(batch.key(row).is_some(), id.is_multiple_of(2));
            ids.push(id);
        }
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..3000).collect::<Vec<_>>());
}

#[test]
fn a_record_keeps_the_time_it_was_stamped_with_beside_its_batchs_headers() {
    let Some(brokers) = kafka() else { return };
    let stage = Stage::new(brokers, "stamped", 1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let hour_ago = now - 3_600_000;
    let mut producer = Producer::new(&stage.connection(), &stage.input(), LIMIT).unwrap();
    let mut records = Outgoing::new();
    records.push(Some(b"key"), b"old", Some(0));
    records.stamp(hour_ago);
    records.push(Some(b"key"), b"new", Some(0));
    records.header("trace", b"t1");
    producer.send(records).unwrap();
    producer.flush().unwrap();
    let mut times = Vec::new();
    for batch in stage.records(&stage.input()) {
        for (row, record) in batch.records().iter().enumerate() {
            assert_eq!(batch.header(row, "trace"), Some(&b"t1"[..]));
            times.push(record.timestamp_ms);
        }
    }
    assert_eq!(times.len(), 2);
    assert!(times[0] == hour_ago && times[1] >= now, "{times:?}, sent at {now}");
}

//! What a result carries of its record: key, headers, timestamp, partition, the members asked for.

use serde_json::Value;

use crate::harness::{Broker, FLIGHTS, Pipeline, flight, scored};

const PARTITIONS: i32 = 4;

#[test]
fn a_result_carries_what_the_configuration_says() {
    let Some(broker) = Broker::shared() else { return };
    let sets = [
        "output.carry_headers=true",
        "output.carry_timestamp=true",
        "output.partitioner=same",
        r#"output.members=["distance", "id"]"#,
    ];
    let pipeline = Pipeline::new(broker, "carried", &sets);
    let trace =
        |partition: i32| format!("00-{:032x}-{:016x}-01", 0xabc0 + partition, 7 + partition);
    for partition in 0..PARTITIONS {
        // Each key on every partition: the key's own partition is another one for most of them.
        let records: Vec<(&[u8], Vec<u8>)> = [&b"k0"[..], b"k1", b"k2", b"k3"]
            .into_iter()
            .map(|key| (key, flight(str::from_utf8(key).expect("text"), "")))
            .collect();
        let tenant = format!("tenant {partition}");
        let headers = [("traceparent", trace(partition)), ("tenant", tenant), ("none", "".into())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        pipeline.send_with(PARTITIONS, partition, &records, &headers);
    }
    scored(&pipeline);
    let mut seen = 0;
    for batch in pipeline.read(&pipeline.output()) {
        for (row, record) in batch.records().iter().enumerate() {
            let value = batch.value(row).expect("a result has a value");
            let result: Value = serde_json::from_slice(value).expect("a result is JSON");
            let members: Vec<&String> = result.as_object().expect("an object").keys().collect();
            let expected = ["distance", "id", "prediction", "model", "arm", "scored_at", "source"];
            assert_eq!(members, expected);
            assert_eq!(result["source"]["partition"], record.partition, "{result}");
            assert_eq!(result["source"]["timestamp"], record.timestamp_ms, "{result}");
            let key = batch.key(row).expect("the key is carried");
            assert_eq!(result["id"], str::from_utf8(key).expect("text"));
            let trace = trace(record.partition);
            let tenant = format!("tenant {}", record.partition);
            let headers: Vec<_> = batch.headers(row).collect();
            let expected: [(&[u8], Option<&[u8]>); 3] = [
                (b"traceparent", Some(trace.as_bytes())),
                (b"tenant", Some(tenant.as_bytes())),
                (b"none", Some(b"")),
            ];
            assert_eq!(headers, expected);
            seen += 1;
        }
    }
    assert_eq!(seen, 4 * PARTITIONS);
}

/// Keys, and where Java's client puts them among 4 partitions (hashes of Kafka's `UtilsTest`).
const KEYS: [(&[u8], i32); 4] = [
    (b"21", 0),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", 1),
    (b"foobar", 2),
    (b"abc", 3),
];

#[test]
fn a_result_goes_to_its_keys_partition_and_without_one_each_partition_has_its_turn() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "placed", &[]);
    // Several requests of results without a key, from one partition.
    let plain: Vec<Vec<u8>> =
        (0..2 * FLIGHTS).map(|number| flight(&number.to_string(), "")).collect();
    pipeline.send_to(&pipeline.input(), PARTITIONS, 1, &plain);
    let keyed: Vec<(&[u8], Vec<u8>)> = KEYS
        .iter()
        .flat_map(|(key, _)| {
            (0..50).map(|_| (*key, flight(str::from_utf8(key).expect("text"), "")))
        })
        .collect();
    pipeline.send_with(PARTITIONS, 0, &keyed, &[]);
    scored(&pipeline);
    let (mut with_key, mut without) = ([0; 4], [0; 4]);
    for batch in pipeline.read(&pipeline.output()) {
        for (row, record) in batch.records().iter().enumerate() {
            let at = record.partition as usize;
            match batch.key(row) {
                Some(found) => {
                    let (_, partition) = KEYS.iter().find(|(key, _)| *key == found).expect("sent");
                    assert_eq!(record.partition, *partition, "{}", found.escape_ascii());
                    with_key[at] += 1;
                }
                None => without[at] += 1,
            }
        }
    }
    assert_eq!(with_key, [50; 4]);
    assert_eq!(without.iter().sum::<u64>(), 2 * FLIGHTS);
    assert!(without.iter().all(|records| *records > 0), "{without:?}");
}

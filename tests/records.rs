//! What a result carries of its record: key, headers, timestamp, partition, the members asked for.

use serde_json::Value;

use crate::harness::{Broker, Pipeline, flight, scored};

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

//! Sensitive values are nowhere in the clear: not in a topic, a table, a file, the log or a metric,
//! whether their record is scored or rejected.

use std::fs;
use std::path::Path;
use std::time::Duration;

use arrow::array::{Array as _, ArrayData};
use batch::parquet_io::ParquetRows;

use crate::harness::{Broker, Pipeline, address_in, ended_with, flight, folder, metrics, root};

const SOON: Duration = Duration::from_secs(40);

/// Each appears in the input in the clear, and nowhere else; the salt does not even appear there.
const KEY: &str = "clear-key-7f3a91";
const DROPPED: &str = "clear-tail-20c4d8";
const NUMBER: &str = "87654321";
const HEADER: &str = "clear-header-5e11b0";
const UNKNOWN: &str = "clear-unknown-c93f66";
const BAD: &str = "clear-bad-4417ae";
const SALT: &str = "pepper-salt-e8d202";
const SECRETS: [&str; 7] = [KEY, DROPPED, NUMBER, HEADER, UNKNOWN, BAD, SALT];

#[track_caller]
fn clean(what: &str, bytes: &[u8]) {
    for secret in SECRETS {
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "{secret} is in {what}:\n{}", String::from_utf8_lossy(bytes));
    }
}

/// The demo's contract with its key and a number hashed and a string dropped.
fn contract(place: &Path) -> String {
    let mut text =
        fs::read_to_string(root().join("deploy/demo/contract.toml")).expect("the demo's contract");
    for (name, how) in [("id", "hash"), ("flight", "hash"), ("tail", "drop")] {
        let field = format!("name = \"{name}\"\n");
        assert!(text.contains(&field), "{name} is not in the demo's contract");
        text = text.replace(&field, &format!("{field}sensitive = \"{how}\"\n"));
    }
    let file = place.join("contract.toml");
    fs::write(&file, text).expect("writable");
    format!("contract.file={}", file.display())
}

fn records() -> Vec<Vec<u8>> {
    let text = String::from_utf8(flight(KEY, &format!(r#","unknown":"{UNKNOWN}""#)));
    let good = text.expect("a flight is text");
    let good = good.replace(r#""tail":null"#, &format!(r#""tail":"{DROPPED}""#));
    let good = good.replace(r#""flight":1"#, &format!(r#""flight":{NUMBER}"#));
    let bad = [
        good.replace(r#""weekday":6"#, &format!(r#""weekday":"{BAD}""#)),
        good.replace(NUMBER, &format!("{NUMBER}{NUMBER}")),
        good.replace(r#""flight":"#, &format!(r#""flight":"{BAD}","was":"#)),
        good.replace(r#","distance":1400"#, ""),
        format!("{{\"id\":\"{KEY}\",\"tail\":\"{DROPPED}\",\"departed_at\":\"{BAD}"),
        good.replace("2013-06-01T12:00:00Z", BAD),
        BAD.into(),
    ];
    let neighbours = bad.into_iter().flat_map(|bad| [good.clone(), bad]);
    neighbours.map(String::into_bytes).collect()
}

#[test]
fn secrets_are_nowhere_in_the_clear() {
    let Some(broker) = Broker::shared() else { return };
    let place = folder();
    let (contract, salt) = (contract(place.path()), format!("contract.hash_salt={SALT}"));
    let pipeline = Pipeline::new(broker, "sensitive", &[&contract, &salt]);
    let records = records();
    let keyed: Vec<_> = records.iter().map(|record| (KEY.as_bytes(), record.clone())).collect();
    pipeline.send_with(1, 0, &keyed, &[("user", HEADER)]);

    let mut child = pipeline.run_with("a", &["telemetry.log=trace", "server.listen=127.0.0.1:0"]);
    ended_with(&pipeline.command(&["verify"], &["--wait", "60"]), 0);
    let metrics = metrics(&address_in(&child.wait_for("serving /livez", SOON)));
    assert!(metrics.contains("tidegate_dead_letters"), "{metrics}");
    clean("/metrics", metrics.as_bytes());
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
    let log = child.whole_log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is at no fine level");
    clean("the log", log.as_bytes());
    clean("check", &pipeline.command(&["check"], &[]).stdout);

    let half = records.len() / 2;
    for (topic, count) in [(pipeline.output(), half), (pipeline.dead(), half)] {
        let batches = pipeline.read(&topic);
        assert_eq!(batches.iter().map(|batch| batch.len()).sum::<usize>(), count, "{topic}");
        for batch in &batches {
            for row in 0..batch.len() {
                clean(&topic, batch.key(row).unwrap_or_default());
                clean(&topic, batch.value(row).unwrap_or_default());
                for (name, value) in batch.headers(row) {
                    clean(&topic, name);
                    clean(&topic, value.unwrap_or_default());
                }
            }
        }
    }
    let files = files(pipeline.archive());
    assert!(files.iter().filter(|file| file.ends_with(".parquet")).count() >= 2, "{files:?}");
    for file in &files {
        clean(file, &fs::read(file).expect("readable"));
        clean(file, &unpacked(Path::new(file)));
    }
    what_stays_is_of_use(&pipeline, half);
}

/// A hash is one value for one value, the same in the topic, its key and the table.
fn what_stays_is_of_use(pipeline: &Pipeline, half: usize) {
    let hashed = pipeline.sql("SELECT min(id) FROM results");
    assert_eq!(hashed.len(), 64, "{hashed}");
    for (condition, rows) in [
        (format!("id = '{hashed}'"), half),
        (format!("cast(key AS varchar) = '{hashed}'"), half),
        ("length(flight) = 64".into(), half),
        ("undecodable_reason IS NOT NULL".into(), 0),
    ] {
        let query = format!("SELECT count(*) FROM results WHERE {condition}");
        assert_eq!(pipeline.sql(&query), rows.to_string(), "{condition}");
    }
    let first = pipeline.read(&pipeline.output());
    let value = String::from_utf8_lossy(first[0].value(0).expect("a result")).into_owned();
    assert!(value.starts_with(&format!(r#"{{"id":"{hashed}","#)), "{value}");
    let told = "SELECT count(*) FROM dead_letters WHERE reason IS NOT NULL AND input_offset >= 0";
    assert_eq!(pipeline.sql(told), half.to_string());
}

fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths
        .flat_map(|path| {
            if path.is_dir() { files(&path) } else { vec![path.to_string_lossy().into_owned()] }
        })
        .collect()
}

/// Bytes of every value of a Parquet file, without its compression.
fn unpacked(file: &Path) -> Vec<u8> {
    fn bytes_of(data: &ArrayData, into: &mut Vec<u8>) {
        data.buffers().iter().for_each(|buffer| into.extend_from_slice(buffer));
        data.child_data().iter().for_each(|child| bytes_of(child, into));
    }
    let mut bytes = Vec::new();
    for rows in ParquetRows::open(file, 1024).expect("a Parquet file") {
        for column in rows.expect("readable").columns() {
            bytes_of(&column.to_data(), &mut bytes);
        }
    }
    bytes
}

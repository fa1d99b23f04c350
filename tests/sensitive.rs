//! Sensitive values are nowhere in the clear: not in a topic, a table, a file, the log or a metric,
//! whether their record is scored or rejected.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::{Array as _, ArrayData};
use batch::parquet_io::ParquetRows;
use serde_json::Value;

use crate::harness::{
    Broker, Pipeline, address_in, ended_with, flight, folder, get, metrics, root, run, scored,
};
use crate::watch::receiver;

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
    without(&SECRETS, what, bytes);
}

#[track_caller]
fn without(secrets: &[&str], what: &str, bytes: &[u8]) {
    for secret in secrets {
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

/// Flight numbers of the stream that is watched.
const NUMBERS: [&str; 8] = [
    "87654321", "87654322", "87654323", "87654324", "87654325", "87654326", "87654327", "87654328",
];
/// 2013-06-01T00:00:00Z in seconds.
const START: i64 = 1_370_044_800;
/// Flights in an hour; from hour 4 on they have two numbers only.
const HOURLY: i64 = 400;

/// The flight of this place in the stream.
fn watched(place: i64) -> Vec<u8> {
    let at = jiff::Timestamp::from_second(START + place * 3600 / HOURLY).expect("a time");
    let number = NUMBERS[(place % if place / HOURLY < 4 { 8 } else { 2 }) as usize];
    let mut text = String::from_utf8(flight(&format!("{KEY}-{place}"), "")).expect("it is text");
    for (from, to) in [
        ("\"tail\":null", format!("\"tail\":\"{DROPPED}-{}\"", place % 5)),
        ("\"flight\":1,", format!("\"flight\":{number},")),
        ("\"dep_delay\":2,", format!("\"dep_delay\":{},", place % 40)),
        ("2013-06-01T12:00:00Z", at.to_string()),
    ] {
        assert!(text.contains(from), "{from} is not in {text}");
        text = text.replace(from, &to);
    }
    text.into_bytes()
}

#[test]
fn what_is_watched_is_told_to_nobody_in_the_clear() {
    let Some(broker) = Broker::shared() else { return };
    let place = folder();
    let (contract, salt) = (contract(place.path()), format!("contract.hash_salt={SALT}"));
    let pipeline = Pipeline::new(broker, "watched", &[&contract, &salt]);
    let records: Vec<_> = (0..7 * HOURLY).map(|place| (KEY.as_bytes(), watched(place))).collect();
    pipeline.send_with(1, 0, &records, &[]);
    scored(&pipeline);
    let secrets = [&NUMBERS[..], &[KEY, DROPPED, SALT]].concat();
    let at = |name: &str| pipeline.archive().join(name).to_string_lossy().into_owned();
    let (results, reference, state) =
        (at("results"), at("reference.parquet"), at("alerts/state.sqlite"));
    let contract = place.path().join("contract.toml").to_string_lossy().into_owned();
    let before = "event_time < '2013-06-01T04:00:00Z'";
    let fit = ["baseline", "fit", &results, "-o", &reference, "--contract", &contract];
    let fitted = run(&[&fit[..], &["--where", before, "--chunk-rows", "400"]].concat());
    ended_with(&fitted, 0);
    without(&secrets, "baseline fit", &fitted.stdout);

    let (address, heard) = receiver();
    let events = "events=[\"alerts\",\"retraining\"]";
    let sets = [
        format!("monitor.reference={reference}"),
        format!("alerts.state={state}"),
        format!("routes=[{{name=\"ops\",kind=\"webhook\",url=\"http://{address}/\",{events}}}]"),
        "rules=[{name=\"drift\",min_rows=100,breaches=1,windows=1}]".to_owned(),
        "alerts.http.allow_private=[\"127.0.0.1\"]".to_owned(),
        "alerts.retraining.min_rows=100".to_owned(),
        "monitor.segments=[\"flight\"]".to_owned(),
        "server.listen=127.0.0.1:0".to_owned(),
        "telemetry.log=debug".to_owned(),
    ];
    let flags: Vec<&str> = sets.iter().flat_map(|set| ["--set", set.as_str()]).collect();
    let mut child = pipeline.run_with_flags("a", "monitor", &flags);
    let server = address_in(&child.wait_for("serving /livez", SOON));
    let mut posted: Vec<Value> = Vec::new();
    while posted.last().is_none_or(|body| body["type"] != "tidegate.retraining.requested") {
        let request = heard.recv_timeout(SOON);
        let request = request.unwrap_or_else(|_| panic!("not heard:\n{}", child.log()));
        without(&secrets, "a message", &request.body);
        posted.push(serde_json::from_slice(&request.body).expect("JSON"));
    }
    let asked = &posted.last().expect("it was heard")["data"];
    let columns = asked["columns"].as_array().expect("a list");
    assert!(columns.iter().any(|concern| concern["column"] == "flight"), "{asked}");
    assert!(posted.iter().all(|body| !body.to_string().contains("\"tail\"")), "{posted:?}");
    let episode = asked["episode"].as_str().expect("an id");
    // The round that told of it ends with the gauges.
    let end = Instant::now() + SOON;
    let told = loop {
        let told = metrics(&server);
        if told.contains("column=\"flight\"") {
            break told;
        }
        assert!(Instant::now() < end, "{told}\n{}", child.log());
        std::thread::sleep(Duration::from_millis(100));
    };
    without(&secrets, "/metrics", told.as_bytes());
    assert!(!told.contains("column=\"tail\""), "{told}");
    let hashed = pipeline.sql("SELECT min(flight) FROM results");
    assert_eq!(hashed.len(), 64, "{hashed}");
    shown_without(&secrets, &server, episode, &hashed);
    for query in [
        "SELECT DISTINCT column_name, segment, segment_value FROM counts",
        "SELECT DISTINCT column_name, segment, segment_value, reason FROM reports",
    ] {
        let output =
            pipeline.command(&["sql"], &[&flags[..], &["--format", "csv", "-c", query]].concat());
        ended_with(&output, 0);
        without(&secrets, query, &output.stdout);
        let rows = String::from_utf8(output.stdout).expect("CSV is UTF-8");
        let of = |name: &str| rows.lines().any(|row| row.split(',').next() == Some(name));
        assert!(of("flight") && !of("tail"), "{query}: {rows}");
        assert!(rows.contains(&hashed), "{query}: {rows}");
    }
    let listed = pipeline.command(&["alerts", "list", "--json"], &flags);
    ended_with(&listed, 0);
    without(&secrets, "alerts list", &listed.stdout);
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
    without(&secrets, "the log", child.whole_log().as_bytes());
    let mut has_hash = Vec::new();
    for file in files(pipeline.archive()) {
        without(&secrets, &file, &fs::read(&file).expect("readable"));
        if file.ends_with(".parquet") {
            let bytes = unpacked(Path::new(&file));
            without(&secrets, &file, &bytes);
            if bytes.windows(hashed.len()).any(|part| part == hashed.as_bytes()) {
                has_hash.push(file);
            }
        }
    }
    for place in ["results", "counts", "reports", "reference.parquet"] {
        assert!(has_hash.iter().any(|file| file.contains(place)), "{place}: {has_hash:?}");
    }
}

/// What the dashboard answers of the hashed column; of the dropped one it knows nothing.
fn shown_without(secrets: &[&str], server: &str, episode: &str, hashed: &str) {
    let whose = "model=flight-delay&version=1&arm=stable";
    let histogram = format!("/api/v1/histogram?{whose}&column=flight&window=2013-06-01T04:00:00Z");
    for path in [
        "/api/v1/overview",
        "/api/v1/alerts",
        "/api/v1/process",
        "/",
        "/column?column=flight",
        "/alerts",
        &format!("/alerts/{episode}"),
        &format!("/api/v1/alert?id={episode}"),
        &format!("/api/v1/heat?{whose}"),
        &format!("/api/v1/column?{whose}&column=flight"),
        &histogram,
    ] {
        let answer = get(server, path);
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        without(secrets, path, answer.as_bytes());
        assert!(!answer.contains("\"tail\""), "{path}: {answer}");
    }
    let drawn = get(server, &histogram);
    assert!(drawn.contains(hashed), "the bars are of hashes: {drawn}");
    let dropped = get(server, &format!("/api/v1/column?{whose}&column=tail"));
    assert!(dropped.starts_with("HTTP/1.1 404"), "{dropped}");
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

//! Nanoseconds per record of the encoder and of the results table, on one thread:
//! `cargo run --release --workspace --example encode_rate`.
//!
//! 231-byte flights of 15 fields, one float output, batches of 1024. Prints the best and the median
//! of many rounds, since other work on the machine only ever adds.
#![allow(clippy::print_stdout, reason = "an example says what it measured")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Float32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use schemas::{
    Contract, Decoder, Encoder, Members, MicroBatch, Predicted, ResultsTable, ScoredBatch, Stamp,
};

const ROWS: usize = 1024;
const ROUNDS: usize = 400;

const CONTRACT: &str = r#"
    name = "flights"
    fields = [
        { name = "id", type = "string", role = "key" },
        { name = "time_hour", type = "timestamp", role = "event_time" },
        { name = "month", type = "int8" },
        { name = "day", type = "int8" },
        { name = "dep_time", type = "int32" },
        { name = "sched", type = "int32" },
        { name = "dep_delay", type = "float32" },
        { name = "carrier", type = "string" },
        { name = "flight", type = "int32" },
        { name = "tail", type = "string" },
        { name = "origin", type = "string" },
        { name = "dest", type = "string" },
        { name = "air_time", type = "float32" },
        { name = "distance", type = "float32" },
        { name = "hour", type = "int8" },
    ]
"#;

fn event(row: usize) -> String {
    format!(
        r#"{{"id":"f{:07}","time_hour":"2013-01-{:02}T05:00:00Z","month":1,"day":{},"dep_time":517,"sched":515,"dep_delay":{}.5,"carrier":"UA","flight":{},"tail":"N14228","origin":"EWR","dest":"IAH","air_time":227.0,"distance":1400.0,"hour":5}}"#,
        1_000_000 + row,
        1 + row % 28,
        10 + row % 18,
        10 + row % 80,
        1000 + row,
    )
}

fn source() -> MicroBatch {
    let mut batch = MicroBatch::with_capacity("flights".into(), ROWS, ROWS * 231);
    for row in 0..ROWS {
        let at = 1_000_000 + row as i64;
        batch
            .push(0, at, 1_700_000_000_000 + at, None, Some(event(row).as_bytes()))
            .expect("ascending");
    }
    batch
}

fn print(what: &str, mut nanos: Vec<f64>) {
    nanos.sort_by(f64::total_cmp);
    println!("{what:<42} best {:6.1}  median {:6.1} ns/record", nanos[0], nanos[nanos.len() / 2]);
}

fn main() {
    let contract = Contract::from_toml(CONTRACT).expect("the contract is one");
    let outputs = Arc::new(Schema::new(vec![Field::new("arr_delay", DataType::Float32, true)]));
    let stamp = Stamp {
        model_name: "delay-mlp".into(),
        model_version: "1".into(),
        arm: "stable".into(),
        scored_at: "2026-01-02T03:04:05.678Z".parse().expect("an instant"),
    };
    let mut decoder = Decoder::new(&contract);
    let source = source();
    let bytes = source.value(0).map_or(0, <[u8]>::len);
    let mut run = |members: Members, what: &str| {
        let mut encoder = Encoder::new(&contract, &outputs, members, b"").expect("no clash");
        let mut nanos = Vec::new();
        let mut last = None;
        for round in 0..ROUNDS {
            let decoded = decoder.decode(&source);
            assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects.first());
            let values = (0..ROWS).map(|row| (row + round) as f32 * 0.137);
            let column = Arc::new(Float32Array::from_iter_values(values));
            let outputs = RecordBatch::try_new(outputs.clone(), vec![column]).expect("one column");
            let predicted = Predicted { outputs, poison: vec![] };
            let batch = source.clone();
            let start = Instant::now();
            let scored: ScoredBatch = black_box(encoder.encode(batch, decoded, predicted, &stamp));
            nanos.push(start.elapsed().as_nanos() as f64 / ROWS as f64);
            last = Some(scored);
        }
        print(what, nanos);
        last.expect("there was a round")
    };
    let names = contract.fields().iter().map(|field| field.name.clone()).collect();
    let scored = run(Members::All, &format!("encode, all members ({bytes}-byte event)"));
    run(Members::Listed(names), "encode, 15 members listed");

    let mut topic = MicroBatch::with_capacity("results".into(), ROWS, scored.values().len());
    for (offset, row) in (0..).zip(scored.results()) {
        let value = Some(row.value.of(scored.values()));
        topic.push(0, offset, 1_700_000_000_000, Some(b"f1000000"), value).expect("ascending");
    }
    println!("output record: {} bytes", scored.values().len() / ROWS);
    let mut table = ResultsTable::new(&contract, &outputs, b"").expect("no clash");
    let mut nanos = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let rows = black_box(table.rows(&topic));
        nanos.push(start.elapsed().as_nanos() as f64 / ROWS as f64);
        assert_eq!(rows["undecodable_reason"].null_count(), ROWS);
    }
    print("results table rows", nanos);
}

//! Prints what decoding costs per record, by learned shapes and without: a flight of 15 fields.
//!
//! `cargo run --release --workspace --example decode_rate`. No assertion on time: `benches/` holds figures.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::time::Instant;

use schemas::{Contract, Decoder, MicroBatch};

const FIELDS: [(&str, &str); 15] = [
    ("month", "int32"),
    ("day", "int32"),
    ("dep_time", "int32"),
    ("sched_dep_time", "int32"),
    ("dep_delay", "float32"),
    ("arr_delay", "float32"),
    ("carrier", "string"),
    ("flight", "int32"),
    ("tailnum", "string"),
    ("origin", "string"),
    ("dest", "string"),
    ("air_time", "float32"),
    ("distance", "float32"),
    ("wind_speed", "float64"),
    ("time_hour", "timestamp"),
];
const ROWS: usize = 1024;
const ROUNDS: usize = 400;

fn main() {
    let fields: String = FIELDS
        .iter()
        .map(|(name, kind)| {
            format!("[[fields]]\nname = '{name}'\ntype = '{kind}'\nnullable = true\n")
        })
        .collect();
    let contract = Contract::from_toml(&format!("name = 'flights'\n{fields}")).expect("a contract");
    let regular: Vec<String> = (0..ROWS).map(|row| flight(row, false)).collect();
    let mixed: Vec<String> = (0..ROWS).map(|row| flight(row, true)).collect();
    let bytes: usize = regular.iter().map(String::len).sum();
    println!("{} bytes a record, 15 fields, {ROWS} rows a batch", bytes / ROWS);
    measure("one shape", &contract, &regular);
    measure("two delays often null", &contract, &nulls(&regular));
    measure("every 8th with a member missing", &contract, &mixed);
    // Members in another order each time: no shape ever fits, the general decoder does all the work.
    measure("general decoder (no two alike)", &contract, &shuffled(&regular));
}

fn measure(name: &str, contract: &Contract, records: &[String]) {
    let bytes: usize = records.iter().map(String::len).sum();
    let mut batch = MicroBatch::with_capacity("flights".into(), ROWS, bytes);
    for (offset, record) in (0..).zip(records) {
        batch.push(0, offset, 0, None, Some(record.as_bytes())).expect("offsets ascend");
    }
    let mut decoder = Decoder::new(contract);
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let decoded = decoder.decode(&batch);
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / ROWS as f64);
        assert_eq!(decoded.events.num_rows(), ROWS, "{:?}", decoded.rejects.first());
    }
    println!("{name:34} {best:6.0} ns/record");
}

/// A flight as a JSON object; with `gaps`, every eighth lacks a member.
fn flight(row: usize, gaps: bool) -> String {
    let pick = |seed: usize, bound: usize| {
        (row.wrapping_mul(2_654_435_761) >> 7).wrapping_mul(seed) % bound
    };
    let airport = |seed| ["JFK", "LGA", "EWR", "ATL", "ORD", "LAX", "SFO"][pick(seed, 7)];
    let tail = if gaps && row.is_multiple_of(8) {
        String::new()
    } else {
        format!("\"tailnum\":\"N{}UA\",", 100 + pick(3, 900))
    };
    format!(
        "{{\"month\":{},\"day\":{},\"dep_time\":{},\"sched_dep_time\":{},\"dep_delay\":{},\"arr_delay\":{}.0,\
         \"carrier\":\"{}\",\"flight\":{},{tail}\"origin\":\"{}\",\"dest\":\"{}\",\"air_time\":{}.0,\
         \"distance\":{},\"wind_speed\":{}.{:05},\"time_hour\":\"2013-{:02}-{:02}T{:02}:00:00Z\"}}",
        1 + pick(5, 12),
        1 + pick(7, 28),
        pick(11, 2400),
        pick(13, 2400),
        pick(17, 90) as i64 - 20,
        pick(19, 90) as i64 - 30,
        ["UA", "B6", "AA", "DL"][pick(23, 4)],
        pick(29, 6000),
        airport(31),
        airport(37),
        30 + pick(41, 400),
        100 + pick(43, 4000),
        pick(47, 30),
        pick(53, 100_000),
        1 + pick(5, 12),
        1 + pick(7, 28),
        pick(59, 24),
    )
}

fn nulls(records: &[String]) -> Vec<String> {
    let null = |record: &String, member: &str| {
        let start = record.find(member).expect("the member is there") + member.len();
        let end = start + record[start..].find(',').expect("a comma follows");
        format!("{}null{}", &record[..start], &record[end..])
    };
    let often = |(row, record): (usize, &String)| match row % 5 {
        0 | 3 => null(&null(record, "\"dep_delay\":"), "\"arr_delay\":"),
        _ => record.clone(),
    };
    records.iter().enumerate().map(often).collect()
}

fn shuffled(records: &[String]) -> Vec<String> {
    let turn = |(row, record): (usize, &String)| {
        let mut members: Vec<&str> = record[1..record.len() - 1].split(',').collect();
        let count = members.len();
        members.rotate_left(row % count);
        members.swap(row / count % count, row / 7 % count);
        format!("{{{}}}", members.join(","))
    };
    records.iter().enumerate().map(turn).collect()
}

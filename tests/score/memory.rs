//! A job's memory does not grow with its input.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Float64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use batch::parquet_io::{NewParquet, ParquetRows};

use super::{SOON, arguments, demo, text};
use crate::harness::{Child, Dice, folder};

/// Columns of random numbers, which no encoding makes smaller: eight bytes a cell, on disk as in memory.
const NOISE: usize = 14;
/// Rows of a row group, as this writer cuts them.
const GROUP: usize = 128 << 10;
/// Row groups of the large input, which is larger than the 500 MB that no job may take.
const GROUPS: usize = 40;
/// Parts of it, each of eight.
const PARTS: usize = 5;
/// Long enough to ask how much memory a job has taken while it publishes.
const HOLD: &str = "archive.published=delay:2000";
/// Of the process as it is without rows, model and runtime loaded, some 125 MiB.
const MOST: u64 = 300 << 20;

/// Flights over and over, with noise; answers the file's bytes.
fn noisy(to: &Path, groups: usize) -> u64 {
    let flights = ParquetRows::open(Path::new(&demo("flights.parquet")), 8192).expect("there");
    let flights: Vec<RecordBatch> = flights.map(|batch| batch.expect("whole")).collect();
    let known = flights[0].schema();
    let mut fields: Vec<Field> = known.fields().iter().map(|field| Field::clone(field)).collect();
    let noise = |number: usize| Field::new(format!("noise_{number}"), DataType::Float64, false);
    fields.extend((0..NOISE).map(noise));
    let schema = Arc::new(Schema::new(fields));
    let mut file = NewParquet::create(to, &schema).expect("a free name");
    let (mut dice, mut left) = (Dice::new(1), groups * GROUP);
    for batch in flights.iter().cycle() {
        let rows = left.min(batch.num_rows());
        let mut columns = batch.slice(0, rows).columns().to_vec();
        for _ in 0..NOISE {
            let cells = Float64Array::from_iter_values((0..rows).map(|_| dice.share()));
            columns.push(Arc::new(cells));
        }
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("as many rows");
        file.write(&batch).expect("writable");
        left -= rows;
        if left == 0 {
            break;
        }
    }
    file.publish().expect("writable")
}

/// Most memory that a job on one thread had taken when it had scored all of this, in bytes.
fn peak(input: &Path, output: &Path, parts: usize, rows: usize) -> u64 {
    let arguments = arguments(&text(input), output, &["--threads", "1"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut child = Child::spawn_with(&arguments, &[("TIDEGATE_FAILPOINT", HOLD)]);
    let part = |number: usize| output.join(format!("results/{number:06}.parquet"));
    let end = Instant::now() + SOON;
    while !part(parts - 1).exists() {
        assert!(child.running() && Instant::now() < end, "{}", child.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    let peak = child.peak_bytes();
    assert!(child.wait(SOON).success(), "{}", child.log());
    let rows_of = |number| ParquetRows::open(&part(number), 1).expect("whole").rows();
    assert_eq!((0..parts).map(rows_of).sum::<u64>(), rows as u64);
    peak
}

#[test]
fn forty_row_groups_take_no_more_memory_than_one() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let (one, all) = (at("one.parquet"), at("all.parquet"));
    let more = noisy(&all, GROUPS) - noisy(&one, 1);
    assert!(more > 500_000_000, "{more} bytes are too few to tell");
    let small = peak(&one, &at("small"), 1, GROUP);
    let large = peak(&all, &at("large"), PARTS, GROUPS * GROUP);
    eprintln!("{more} bytes more: peak {} MiB, then {} MiB", small >> 20, large >> 20);
    // A row group is read and one is written at a time. Whoever held a part, or its rows in any form, took
    // some hundred million bytes more: random numbers are no smaller on disk than in memory.
    assert!(large < small + more / 6, "{small} bytes, and {large} for {more} of input more");
    assert!(large < MOST, "{large} bytes");
}

//! DuckDB, Polars, pandas and pyarrow read the archive's folder as one table, as it is.

use std::process::Command;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arrow::array::{
    ArrayRef, BinaryArray, FixedSizeListArray, Float32Array, Int32Array, Int64Array, ListArray,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Float32Type, Schema, SchemaRef, TimeUnit};
use batch::{Archive, ArchiveConfig, Table, TopicIdentity};
use schemas::MicroBatch;

fn schema() -> SchemaRef {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    Arc::new(Schema::new(vec![
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("text", DataType::Utf8, true),
        Field::new("bytes", DataType::Binary, true),
        Field::new("x", DataType::Float32, true),
        Field::new("few", DataType::List(item.clone()), true),
        Field::new("two", DataType::FixedSizeList(item, 2), true),
    ]))
}

/// Every third row has nulls.
fn rows(batch: &MicroBatch) -> RecordBatch {
    let some = |r: &schemas::Record| r.offset % 3 != 0;
    let records = batch.records();
    let list = |r: &schemas::Record| some(r).then(|| vec![Some(1.0), Some(r.offset as f32)]);
    let texts: Vec<String> = records.iter().map(|r| format!("é{}", r.offset % 5)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(records.iter().map(|r| r.partition))),
        Arc::new(Int64Array::from_iter_values(records.iter().map(|r| r.offset))),
        Arc::new(
            records
                .iter()
                .map(|r| some(r).then_some(r.offset))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        Arc::new(
            records.iter().zip(&texts).map(|(r, t)| some(r).then_some(t)).collect::<StringArray>(),
        ),
        Arc::new(records.iter().map(|r| some(r).then_some(b"\xff\x00")).collect::<BinaryArray>()),
        Arc::new(
            records.iter().map(|r| some(r).then_some(r.offset as f32)).collect::<Float32Array>(),
        ),
        Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(records.iter().map(list))),
        Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
            records.iter().map(list),
            2,
        )),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/archive/readers.py");

#[test]
fn the_folder_is_one_table_to_every_reader() {
    let root = tempfile::tempdir().unwrap();
    let config = ArchiveConfig::new(root.path().to_path_buf(), "results", "a");
    let topic =
        TopicIdentity { cluster_id: "c".into(), topic: "scored".into(), topic_id: "t".into() };
    let table = Table::new(schema(), "wide", rows);
    let mut archive = Archive::open(config, topic, table, SystemTime::now()).unwrap();
    let mut expected = [0; 7];
    for (partition, offsets) in [(0, 0..100), (0, 100..250), (1, 7..40), (12, 0..1)] {
        archive.position(partition).unwrap();
        let mut batch = MicroBatch::with_capacity("scored".into(), 0, 0);
        for offset in offsets {
            batch.push(partition, offset, 0, None, None).unwrap();
            let some = i64::from(offset % 3 != 0);
            let row = [1, offset, i64::from(partition), some, some * offset, some * 2, some];
            (0..7).for_each(|at| expected[at] += row[at]);
        }
        let _ = archive.append(&batch, Instant::now()).unwrap();
        let _ = archive.finish().unwrap();
    }
    // A file without rows, and one still being written, are no trouble to readers.
    archive.position(12).unwrap();
    archive.advance(12, 9, Instant::now()).unwrap();
    assert_eq!(archive.finish().unwrap().published[0].footer.rows, 0);
    archive.position(1).unwrap();
    let mut open = MicroBatch::with_capacity("scored".into(), 0, 0);
    open.push(1, 40, 0, None, None).unwrap();
    let _ = archive.append(&open, Instant::now()).unwrap();

    let expected = expected.map(|number| number.to_string()).join(" ");
    for reader in ["duckdb", "polars", "pandas", "pyarrow"] {
        let python = Command::new("python3").args(["-c", &format!("import {reader}")]).output();
        if !python.is_ok_and(|output| output.status.success()) {
            assert_ne!(
                std::env::var("CI").as_deref(),
                Ok("true"),
                "python3 with {reader} is needed"
            );
            eprintln!("skipped: python3 has no {reader} (pip install {reader})");
            continue;
        }
        let folder = archive.folder().to_str().unwrap();
        let output = Command::new("python3").args([SCRIPT, folder, reader]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{reader}: {said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected, "{reader}: {said}");
    }
}

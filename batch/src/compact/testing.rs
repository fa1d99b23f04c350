//! A table with times for the tests: a record's value is its event's time in microseconds, or empty.

use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use schemas::MicroBatch;

use super::{CompactConfig, Compaction};
use crate::archive::{Archive, ArchiveConfig, Table, TopicIdentity};

pub(super) const TOPIC: &str = "scored";
pub(super) const DAY: i64 = 86_400_000_000;

/// The table's columns, the last of them only where it is `wide`.
pub(super) fn schema(wide: bool) -> SchemaRef {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("timestamp", instant.clone(), true),
        Field::new("event_time", instant, true),
    ];
    fields.extend(wide.then(|| Field::new("text", DataType::Utf8, true)));
    Arc::new(Schema::new(fields))
}

fn rows(batch: &MicroBatch, wide: bool) -> RecordBatch {
    let records = batch.records();
    let instants = |times: Vec<Option<i64>>| {
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")) as ArrayRef
    };
    let event = |row: usize| std::str::from_utf8(batch.value(row)?).ok()?.parse().ok();
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(records.iter().map(|r| r.partition))),
        Arc::new(Int64Array::from_iter_values(records.iter().map(|r| r.offset))),
        instants(records.iter().map(|r| Some(r.timestamp_ms * 1000)).collect()),
        instants((0..batch.len()).map(event).collect()),
    ];
    let text = |row: usize| format!("é{}", records[row].offset % 7);
    columns.extend(wide.then(|| {
        Arc::new((0..batch.len()).map(|row| Some(text(row))).collect::<StringArray>()) as ArrayRef
    }));
    RecordBatch::try_new(schema(wide), columns).unwrap()
}

/// A row: time of its record and of its event, in days since 1970.
pub(super) type Row = (i64, Option<f64>);

/// Opens the archive as this instance.
pub(super) fn writer(root: &Path, instance: &str, wide: bool) -> Archive {
    let id = if wide { "wide" } else { "narrow" };
    let table = Table::new(schema(wide), id, move |batch| rows(batch, wide));
    let topic = TopicIdentity { cluster_id: "c".into(), topic: TOPIC.into(), topic_id: "t".into() };
    let config = ArchiveConfig::new(root.to_path_buf(), "results", instance);
    Archive::open(config, topic, table, SystemTime::now()).unwrap()
}

/// These rows as records of a partition from `start` on.
pub(super) fn records(partition: i32, start: i64, rows_of: &[Row]) -> MicroBatch {
    let mut batch = MicroBatch::with_capacity(TOPIC.into(), 0, 0);
    for (offset, (record, event)) in (start..).zip(rows_of) {
        let event = event.map(|days| ((days * DAY as f64) as i64).to_string());
        let value = event.unwrap_or_default();
        batch.push(partition, offset, record * DAY / 1000, None, Some(value.as_bytes())).unwrap();
    }
    batch
}

/// Archives these rows as one more file of a partition.
pub(super) fn archive(root: &Path, partition: i32, wide: bool, rows_of: &[Row]) {
    let mut archive = writer(root, "test", wide);
    let start = archive.position(partition).unwrap().unwrap_or(0);
    let _ = archive.append(&records(partition, start, rows_of), Instant::now()).unwrap();
    assert_eq!(archive.finish().unwrap().published.len(), 1);
}

pub(super) fn config(root: &Path) -> CompactConfig {
    CompactConfig {
        root: root.to_path_buf(),
        table: "results".into(),
        topic: TOPIC.into(),
        file_bytes: 1 << 20,
        memory_bytes: 64 << 20,
    }
}

pub(super) fn open(root: &Path) -> Compaction {
    Compaction::open(config(root)).unwrap()
}

//! A small table for the tests: a row is its coordinates and its value.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{AsArray, BinaryArray, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schemas::MicroBatch;

use super::{ArchiveConfig, Table, TopicIdentity};

pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("value", DataType::Binary, true),
    ]))
}

pub(crate) fn rows(batch: &MicroBatch) -> RecordBatch {
    let records = batch.records();
    let partitions: Int32Array = records.iter().map(|record| Some(record.partition)).collect();
    let offsets: Int64Array = records.iter().map(|record| Some(record.offset)).collect();
    let values: BinaryArray = (0..batch.len()).map(|row| batch.value(row)).collect();
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(partitions), Arc::new(offsets), Arc::new(values)];
    RecordBatch::try_new(schema(), columns).unwrap()
}

pub(crate) fn table() -> Table {
    Table::new(schema(), "test-table", rows)
}

pub(crate) fn topic() -> TopicIdentity {
    TopicIdentity { cluster_id: "c1".into(), topic: "scored".into(), topic_id: "t1".into() }
}

pub(crate) fn config(root: impl Into<PathBuf>, instance: &str) -> ArchiveConfig {
    ArchiveConfig::new(root.into(), "results", instance)
}

/// Records of one partition at these offsets.
pub(crate) fn batch(partition: i32, offsets: impl IntoIterator<Item = i64>) -> MicroBatch {
    let mut batch = MicroBatch::with_capacity("scored".into(), 0, 0);
    for offset in offsets {
        batch.push(partition, offset, 0, None, Some(format!("v{offset}").as_bytes())).unwrap();
    }
    batch
}

pub(crate) fn offsets(rows: &RecordBatch) -> Vec<i64> {
    rows.column_by_name("offset").unwrap().as_primitive::<Int64Type>().values().to_vec()
}

/// Offsets of the rows of a Parquet file, each checked against its value.
pub(crate) fn offsets_of_file(bytes: &[u8]) -> Vec<i64> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let mut all = Vec::new();
    for rows in builder.build().unwrap() {
        let rows = rows.unwrap();
        let values = rows.column_by_name("value").unwrap().as_binary::<i32>().clone();
        for (offset, value) in offsets(&rows).into_iter().zip(values.iter()) {
            assert_eq!(value.unwrap(), format!("v{offset}").as_bytes());
            all.push(offset);
        }
    }
    all
}

//! Columns that every table has, and the id of a table's schema.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use crate::MicroBatch;
use crate::sensitive::sha256_hex;

/// Microseconds, UTC.
pub(super) fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// `partition`, `offset`, `timestamp` and `key`: the coordinates of the record that is the row.
pub(super) fn coordinate_fields() -> [Field; 4] {
    [
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("timestamp", instant_type(), true),
        Field::new("key", DataType::Binary, true),
    ]
}

/// The first three of [`coordinate_fields`].
pub(super) fn coordinates(batch: &MicroBatch) -> [ArrayRef; 3] {
    let records = batch.records();
    [
        Arc::new(Int32Array::from_iter_values(records.iter().map(|record| record.partition))),
        Arc::new(Int64Array::from_iter_values(records.iter().map(|record| record.offset))),
        instants(records.iter().map(|record| record.timestamp_ms)),
    ]
}

/// Milliseconds since the epoch as a column; null where negative (a record without time) or beyond
/// what microseconds hold.
pub(super) fn instants(millis: impl Iterator<Item = i64>) -> ArrayRef {
    let micros = millis.map(|ms| if ms < 0 { None } else { ms.checked_mul(1_000) });
    Arc::new(TimestampMicrosecondArray::from_iter(micros).with_timezone("UTC"))
}

/// Bytes of every row.
pub(super) fn bytes<'a>(values: impl Iterator<Item = Option<&'a [u8]>>) -> ArrayRef {
    Arc::new(BinaryArray::from_iter(values))
}

/// The same text in every row.
pub(super) fn constant(text: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)))
}

/// Short hash of what a table's columns mean: names, types, nullability and, in `treatment`,
/// what was done to values.
pub(super) fn id_of(table: &str, schema: &Schema, treatment: &[String]) -> String {
    let mut meaning = format!("{table} 1\n");
    for field in schema.fields() {
        let nullable = field.is_nullable();
        let _ = writeln!(meaning, "{:?} {} nullable={nullable}", field.name(), field.data_type());
    }
    treatment.iter().for_each(|line| {
        let _ = writeln!(meaning, "{line}");
    });
    let mut hex = sha256_hex(&[meaning.as_bytes()]);
    hex.truncate(16);
    hex
}

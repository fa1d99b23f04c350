//! Answers in types that every reader of Parquet has.
//!
//! The engine holds text and bytes as views. A file whose Arrow schema says so is refused by readers that do
//! not know them; what Parquet itself holds is the same either way.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;

/// Rows that are made plain together: plain text has 2 GiB in a batch at most, and so many values of a mebibyte,
/// as large as Kafka's records usually may be, are half of that.
pub(super) const ROWS: usize = 1024;

/// The columns of `schema` without views; `None` where it has none.
pub(super) fn schema(schema: &Schema) -> Option<SchemaRef> {
    let fields: Vec<FieldRef> = schema.fields().iter().map(plain_field).collect();
    let plain = Schema::new_with_metadata(fields, schema.metadata().clone());
    (plain != *schema).then(|| Arc::new(plain))
}

/// The same rows with the columns that [`schema`] answered.
pub(super) fn rows(batch: &RecordBatch, plain: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(plain.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()));
    RecordBatch::try_new(Arc::clone(plain), columns.collect::<Result<_, _>>()?)
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let kind = plain_type(field.data_type());
    if kind == *field.data_type() {
        return Arc::clone(field);
    }
    Arc::new(Field::clone(field).with_data_type(kind))
}

fn plain_type(kind: &DataType) -> DataType {
    match kind {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) => DataType::List(plain_field(item)),
        DataType::LargeList(item) => DataType::LargeList(plain_field(item)),
        DataType::FixedSizeList(item, len) => DataType::FixedSizeList(plain_field(item), *len),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        DataType::Dictionary(key, value) => {
            DataType::Dictionary(key.clone(), Box::new(plain_type(value)))
        }
        other => other.clone(),
    }
}

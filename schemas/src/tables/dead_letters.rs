//! Rows of the dead-letter topic.
//!
//! Where the contract has sensitive fields, key, value and foreign headers are not kept, whatever
//! the topic holds: nothing says what is in them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use super::common::{bytes, coordinate_fields, coordinates, id_of, instant_type, instants};
use crate::{Contract, MicroBatch, dead_letter};

/// The table of dead letters: one row per record of the topic.
///
/// `partition, offset, timestamp, key, value, input_topic, input_partition, input_offset,
/// input_timestamp, stage, reason, model_name, model_version, headers`; the last are the
/// original's own, as a list of (name, value). What a record does not say is null.
pub struct DeadLetterTable {
    schema: SchemaRef,
    id: String,
    keeps_originals: bool,
}

impl DeadLetterTable {
    /// The table of the dead letters of a contract's events.
    #[must_use]
    pub fn new(contract: &Contract) -> Self {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let mut fields = Vec::from(coordinate_fields());
        fields.extend([
            Field::new("value", DataType::Binary, true),
            text("input_topic"),
            Field::new("input_partition", DataType::Int32, true),
            Field::new("input_offset", DataType::Int64, true),
            Field::new("input_timestamp", instant_type(), true),
            text("stage"),
            text("reason"),
            text("model_name"),
            text("model_version"),
            Field::new("headers", DataType::List(header_item()), true),
        ]);
        let schema = Schema::new(fields);
        let id = id_of("dead_letters", &schema, &[]);
        Self { schema: Arc::new(schema), id, keeps_originals: !contract.has_sensitive() }
    }

    /// Columns of the table.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Short hash of the schema.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// One row per record, in order.
    #[must_use]
    pub fn rows(&mut self, batch: &MicroBatch) -> RecordBatch {
        let rows = 0..batch.len();
        let kept = self.keeps_originals;
        let header =
            |row, name| batch.header(row, name).and_then(|value| str::from_utf8(value).ok());
        let text = |name| -> ArrayRef {
            Arc::new(StringArray::from_iter(rows.clone().map(|row| header(row, name))))
        };
        let number = |row, name| header(row, name).and_then(|text| text.parse::<i64>().ok());
        let partition =
            |row| number(row, dead_letter::PARTITION).and_then(|id| i32::try_from(id).ok());
        let mut columns = Vec::from(coordinates(batch));
        columns.extend([
            bytes(rows.clone().map(|row| batch.key(row).filter(|_| kept))),
            bytes(rows.clone().map(|row| batch.value(row).filter(|_| kept))),
            text(dead_letter::TOPIC),
            Arc::new(Int32Array::from_iter(rows.clone().map(partition))) as ArrayRef,
            Arc::new(Int64Array::from_iter(
                rows.clone().map(|row| number(row, dead_letter::OFFSET)),
            )),
            instants(rows.clone().map(|row| number(row, dead_letter::TIMESTAMP).unwrap_or(-1))),
            text(dead_letter::STAGE),
            text(dead_letter::REASON),
            text(dead_letter::MODEL_NAME),
            text(dead_letter::MODEL_VERSION),
            headers(batch, kept),
        ]);
        let rows =
            RecordBatch::try_new(self.schema(), columns).expect("columns as the schema has them");
        assert_eq!(rows.num_rows(), batch.len(), "one row per record");
        rows
    }
}

fn header_fields() -> Fields {
    let name = Field::new("name", DataType::Utf8, false);
    Fields::from(vec![name, Field::new("value", DataType::Binary, true)])
}

fn header_item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Struct(header_fields()), false))
}

/// Headers that are not ours; null where they are not kept.
fn headers(batch: &MicroBatch, kept: bool) -> ArrayRef {
    let (mut names, mut values, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..batch.len() {
        let before = names.len();
        let foreign = batch.headers(row).filter(|(name, _)| kept && !dead_letter::is_ours(name));
        for (name, value) in foreign {
            names.push(String::from_utf8_lossy(name));
            values.push(value);
        }
        lengths.push(names.len() - before);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(names)),
        Arc::new(BinaryArray::from_iter(values)),
    ];
    let items = StructArray::new(header_fields(), columns, None);
    let nulls = (!kept).then(|| NullBuffer::new_null(batch.len()));
    let ends = OffsetBuffer::from_lengths(lengths);
    Arc::new(ListArray::new(header_item(), ends, Arc::new(items), nulls))
}

//! Rows of the output topic.
//!
//! What cannot be decoded keeps its bytes, or, where the contract has sensitive fields, only its
//! coordinates: in both cases with the reason, and never without a row.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::common::{bytes, constant, coordinate_fields, coordinates, id_of, instant_type};
use super::names;
use crate::encode::check_names;
use crate::sensitive::{KeyRule, first_hashed, hash_once};
use crate::{
    Column, Contract, Decoded, Decoder, EncodeError, EpochUnit, FieldType, MicroBatch, NumberType,
    Sensitive, TimestampForms,
};

/// The table of results: one row per record of the output topic.
///
/// `partition, offset, timestamp, key` (of the output record), `input_topic, input_partition,
/// input_offset, input_timestamp`, `event_time` (a copy of the field with that role), the event's
/// fields, `prediction_<output>`, `model_name, model_version, arm, scored_at, contract_id`,
/// `undecodable, undecodable_reason`. Instants are microseconds UTC, 16-bit floats are stored as
/// 32-bit ones and fixed-size lists as lists, which every reader knows. A field with
/// `sensitive = "drop"` has no column; with `"hash"` its column is text, the hex SHA-256 of the
/// salt followed by the value's text (a string or bytes as they are, an instant as RFC 3339, the
/// rest as in JSON), which hop 1 wrote; a text in its place that is no such hash is hashed. The Kafka key is kept in the clear only where the contract says that it may
/// be: without sensitive fields, or with a field of the role `key` that is none.
pub struct ResultsTable {
    schema: SchemaRef,
    id: String,
    contract_id: String,
    decoder: Decoder,
    /// What becomes of each decoded column, and at which column of the table.
    stored: Vec<Stored>,
    /// The decoded column that `event_time` copies, where the event has one of another name.
    event_time: EventTime,
    key: KeyRule,
    keeps_undecodable: bool,
    salt: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq)]
enum Stored {
    AsIs,
    Cast(DataType),
    Hashed,
}

#[derive(Clone, Copy)]
enum EventTime {
    /// The contract has none: nulls.
    None,
    /// A copy of this decoded column.
    CopyOf(usize),
    /// This decoded column is `event_time` itself.
    Is(usize),
}

/// Columns that come before the event's fields in the decoder: `source` and `event_time` apart.
const SOURCE_COLUMNS: usize = 4;

impl ResultsTable {
    /// The table of the results of a contract's events under a model with these outputs.
    ///
    /// `hash_salt` is a secret of the deployment; it may be empty where no field is hashed.
    pub fn new(
        contract: &Contract,
        outputs: &SchemaRef,
        hash_salt: &[u8],
    ) -> Result<Self, EncodeError> {
        check_names(contract, outputs)?;
        if let Some(field) = first_hashed(contract).filter(|_| hash_salt.is_empty()) {
            return Err(EncodeError::EmptySalt { field: field.into() });
        }
        let mut columns = source_columns();
        let mut stored = vec![Stored::AsIs; columns.len()];
        let mut event_time = EventTime::None;
        for field in
            contract.fields().iter().filter(|field| field.sensitive != Some(Sensitive::Drop))
        {
            let name = names::of_field(field);
            if contract.event_time() == Some(field) {
                let at = columns.len();
                event_time =
                    if name == "event_time" { EventTime::Is(at) } else { EventTime::CopyOf(at) };
            }
            let (kind, how) = match field.sensitive {
                Some(Sensitive::Hash) => (FieldType::String, Stored::Hashed),
                Some(Sensitive::Drop) | None => (field.kind, stored_as(field.kind)),
            };
            stored.push(how);
            columns.push(column(&[&field.name], kind, true, &name));
        }
        for output in outputs.fields() {
            let kind = output_kind(output.data_type());
            stored.push(stored_as(kind));
            columns.push(column(
                &["prediction", output.name()],
                kind,
                true,
                &names::of_output(output.name()),
            ));
        }
        let stamp = stamp_columns();
        stored.extend(stamp.iter().map(|_| Stored::AsIs));
        columns.extend(stamp);
        let schema = schema_of(&columns, &stored, event_time);
        let treatment: Vec<_> = columns
            .iter()
            .zip(&stored)
            .filter(|(_, stored)| **stored == Stored::Hashed)
            .map(|(column, _)| format!("{:?} is hashed", column.name))
            .collect();
        Ok(Self {
            id: id_of("results", &schema, &treatment),
            schema: Arc::new(schema),
            contract_id: contract.id().to_owned(),
            // An output record is longer than its event, and has come through Kafka already.
            decoder: Decoder::with_columns(columns).max_event_bytes(usize::MAX),
            stored,
            event_time,
            key: KeyRule::of(contract),
            keeps_undecodable: !contract.has_sensitive(),
            salt: hash_salt.to_vec(),
        })
    }

    /// Columns of the table.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Short hash of the schema and of which columns are hashed.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// One row per record, in order.
    #[must_use]
    pub fn rows(&mut self, batch: &MicroBatch) -> RecordBatch {
        let decoded = self.decoder.decode(batch);
        let columns = spread(&decoded, batch.len());
        let stored = columns.iter().zip(&self.stored).map(|(column, stored)| match stored {
            Stored::AsIs => Arc::clone(column),
            Stored::Cast(kind) => cast(column, kind).expect("widening casts exist"),
            Stored::Hashed => self.hashed(column),
        });
        let mut stored: Vec<ArrayRef> = stored.collect();
        let event_time = match self.event_time {
            EventTime::None => arrow::array::new_null_array(&instant_type(), batch.len()),
            EventTime::CopyOf(at) => Arc::clone(&stored[at]),
            EventTime::Is(at) => stored.remove(at),
        };
        stored.insert(SOURCE_COLUMNS, event_time);
        let mut all = Vec::with_capacity(self.schema.fields().len());
        all.extend(coordinates(batch));
        all.push(self.keys(batch));
        all.extend(stored);
        all.push(constant(&self.contract_id, batch.len()));
        all.extend(self.undecodable(batch, &decoded));
        let rows =
            RecordBatch::try_new(self.schema(), all).expect("columns as the schema has them");
        assert_eq!(rows.num_rows(), batch.len(), "one row per record");
        rows
    }

    fn keys(&self, batch: &MicroBatch) -> ArrayRef {
        let keys = (0..batch.len()).map(|row| batch.key(row));
        match self.key {
            KeyRule::Keep => bytes(keys),
            KeyRule::Omit => arrow::array::new_null_array(&DataType::Binary, batch.len()),
            KeyRule::Hash => {
                let hashes: Vec<_> =
                    keys.map(|key| key.map(|key| hash_once(&self.salt, key))).collect();
                bytes(hashes.iter().map(|hash| hash.as_ref().map(String::as_bytes)))
            }
        }
    }

    fn hashed(&self, column: &ArrayRef) -> ArrayRef {
        let texts = column.as_string::<i32>().iter();
        let hashes = texts.map(|text| text.map(|text| hash_once(&self.salt, text.as_bytes())));
        Arc::new(hashes.collect::<StringArray>())
    }

    /// Bytes and reason of the rows that were not decoded.
    fn undecodable(&self, batch: &MicroBatch, decoded: &Decoded) -> [ArrayRef; 2] {
        if decoded.rejects.is_empty() {
            return [DataType::Binary, DataType::Utf8]
                .map(|kind| arrow::array::new_null_array(&kind, batch.len()));
        }
        let mut reasons = vec![None; batch.len()];
        let mut values = vec![None; batch.len()];
        for reject in &decoded.rejects {
            let row = reject.row as usize;
            reasons[row] = Some(reject.reason.as_str());
            values[row] = batch.value(row).filter(|_| self.keeps_undecodable);
        }
        [bytes(values.into_iter()), Arc::new(StringArray::from(reasons))]
    }
}

/// The decoded columns with a null row for each record that was not decoded.
fn spread(decoded: &Decoded, rows: usize) -> Vec<ArrayRef> {
    if decoded.rejects.is_empty() {
        return decoded.events.columns().to_vec();
    }
    let mut from = vec![None; rows];
    (0..).zip(&decoded.rows).for_each(|(event, row)| from[*row as usize] = Some(event));
    let from = UInt32Array::from(from);
    let columns = decoded.events.columns().iter();
    columns.map(|column| take(column, &from, None).expect("indices of the column itself")).collect()
}

fn column(path: &[&str], kind: FieldType, nullable: bool, name: &str) -> Column {
    let path = path.iter().map(|name| (*name).to_owned()).collect();
    Column { path, kind, nullable, name: name.to_owned() }
}

fn source_columns() -> Vec<Column> {
    let millis = TimestampForms { rfc3339: false, epoch: Some(EpochUnit::Millis) };
    let columns = vec![
        column(&["source", "topic"], FieldType::String, false, "input_topic"),
        column(
            &["source", "partition"],
            FieldType::Number(NumberType::Int32),
            false,
            "input_partition",
        ),
        column(&["source", "offset"], FieldType::Number(NumberType::Int64), false, "input_offset"),
        column(&["source", "timestamp"], FieldType::Timestamp(millis), true, "input_timestamp"),
    ];
    assert_eq!(columns.len(), SOURCE_COLUMNS);
    columns
}

fn stamp_columns() -> [Column; 4] {
    [
        column(&["model", "name"], FieldType::String, false, "model_name"),
        column(&["model", "version"], FieldType::String, false, "model_version"),
        column(&["arm"], FieldType::String, false, "arm"),
        column(&["scored_at"], FieldType::Timestamp(TimestampForms::RFC3339), false, "scored_at"),
    ]
}

/// Types that not every Parquet reader has are stored as ones that it has.
fn stored_as(kind: FieldType) -> Stored {
    let wide = |number| match number {
        NumberType::Float16 => NumberType::Float32,
        number => number,
    };
    let plain = match kind {
        FieldType::Number(number) => FieldType::Number(wide(number)),
        FieldType::List(number) | FieldType::FixedList(number, _) => FieldType::List(wide(number)),
        kind @ (FieldType::Bool
        | FieldType::String
        | FieldType::Bytes
        | FieldType::Timestamp(_)) => kind,
    };
    if plain == kind { Stored::AsIs } else { Stored::Cast(plain.data_type()) }
}

/// How an output reads back from JSON.
fn output_kind(kind: &DataType) -> FieldType {
    let number = |kind: &DataType| {
        let found = NumberType::ALL.into_iter().find(|number| number.data_type() == *kind);
        found.unwrap_or_else(|| panic!("{kind} passed for an output's number"))
    };
    match kind {
        DataType::Boolean => FieldType::Bool,
        DataType::Utf8 => FieldType::String,
        DataType::List(item) => FieldType::List(number(item.data_type())),
        DataType::FixedSizeList(item, len) => {
            FieldType::FixedList(number(item.data_type()), *len as u32)
        }
        kind => FieldType::Number(number(kind)),
    }
}

fn schema_of(columns: &[Column], stored: &[Stored], event_time: EventTime) -> Schema {
    let mut fields: Vec<Field> = columns
        .iter()
        .zip(stored)
        .map(|(column, stored)| {
            let kind = match stored {
                Stored::AsIs => column.kind.data_type(),
                Stored::Cast(kind) => kind.clone(),
                Stored::Hashed => DataType::Utf8,
            };
            Field::new(&column.name, kind, true)
        })
        .collect();
    if let EventTime::Is(at) = event_time {
        fields.remove(at);
    }
    fields.insert(SOURCE_COLUMNS, Field::new("event_time", instant_type(), true));
    fields.splice(..0, coordinate_fields());
    fields.push(Field::new("contract_id", DataType::Utf8, false));
    fields.push(Field::new("undecodable", DataType::Binary, true));
    fields.push(Field::new("undecodable_reason", DataType::Utf8, true));
    Schema::new(fields)
}

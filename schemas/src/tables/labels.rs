//! Rows of a labels topic: what turned out to be true of an event.
//!
//! A label record is a JSON object with the event's key and one plain value. What cannot be read so
//! keeps its bytes and the reason, or, where the contract has sensitive fields, the reason only:
//! never without a row.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::{Map, Value};

use super::common::{bytes, coordinate_fields, coordinates, id_of, instant_type};
use crate::decode::{bounded, rfc3339_micros};
use crate::sensitive::{KeyRule, hash_once};
use crate::{Contract, FieldType, MicroBatch, Sensitive};

/// Bytes of a label or of its key: names of classes and identifiers are far shorter.
pub const MAX_LABEL_BYTES: usize = 1024;

/// Members of a label record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMembers {
    /// The event's key: a string or an integer.
    pub key: String,
    /// The label: a string, a number, a bool; null takes an earlier one back.
    pub label: String,
    /// When it was known, RFC 3339 or milliseconds since 1970; none: the record's own time.
    pub time: Option<String>,
}

/// Labels that cannot be kept, or not be joined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum LabelsError {
    #[error("the contract has no field with role = \"key\": labels are joined on it, give it one")]
    NoKey,
    #[error(
        "the contract's key {field:?} is {kind}, and labels are joined on a string or an integer: \
         give the role to such a field"
    )]
    KeyType { field: String, kind: String },
    #[error(
        "the contract's key {field:?} is sensitive = \"drop\", so no result holds it and no label \
         can be joined: use sensitive = \"hash\""
    )]
    DroppedKey { field: String },
    #[error(
        "labels.label = {field:?} is sensitive in the contract, and the table of labels would hold \
         it in the clear: name another member, or take the mark off"
    )]
    SensitiveLabel { field: String },
}

/// The table of labels: one row per record of the topic.
///
/// `partition, offset, timestamp, key` (of the record), `label_key` (hashed where the contract says
/// so of the event's), `label` (as text), `label_number` (where it is a number), `label_time`,
/// `undecodable, undecodable_reason`.
pub struct LabelTable {
    schema: SchemaRef,
    id: String,
    members: LabelMembers,
    hashes_key: bool,
    kafka_key: KeyRule,
    keeps_undecodable: bool,
    salt: Vec<u8>,
}

/// A label record, read.
#[derive(Default)]
struct Label {
    key: Option<String>,
    text: Option<String>,
    number: Option<f64>,
    micros: Option<i64>,
}

impl LabelTable {
    /// The table of the labels of a contract's events.
    pub fn new(
        contract: &Contract,
        members: LabelMembers,
        hash_salt: &[u8],
    ) -> Result<Self, LabelsError> {
        let key = contract.key().ok_or(LabelsError::NoKey)?;
        let is_key = match key.kind {
            FieldType::String => true,
            FieldType::Number(number) => number.integer_range().is_some(),
            FieldType::Bool
            | FieldType::Bytes
            | FieldType::Timestamp(_)
            | FieldType::FixedList(..)
            | FieldType::List(_) => false,
        };
        let field = key.name.clone();
        if !is_key {
            return Err(LabelsError::KeyType { field, kind: key.kind.to_string() });
        }
        if key.sensitive == Some(Sensitive::Drop) {
            return Err(LabelsError::DroppedKey { field });
        }
        if contract.field(&members.label).is_some_and(|field| field.sensitive.is_some()) {
            return Err(LabelsError::SensitiveLabel { field: members.label });
        }
        let mut fields = Vec::from(coordinate_fields());
        fields.extend([
            Field::new("label_key", DataType::Utf8, true),
            Field::new("label", DataType::Utf8, true),
            Field::new("label_number", DataType::Float64, true),
            Field::new("label_time", instant_type(), true),
            Field::new("undecodable", DataType::Binary, true),
            Field::new("undecodable_reason", DataType::Utf8, true),
        ]);
        let schema = Schema::new(fields);
        let hashes_key = key.sensitive == Some(Sensitive::Hash);
        let treatment =
            if hashes_key { vec!["\"label_key\" is hashed".to_owned()] } else { vec![] };
        Ok(Self {
            id: id_of("labels", &schema, &treatment),
            schema: Arc::new(schema),
            members,
            hashes_key,
            kafka_key: KeyRule::of(contract),
            keeps_undecodable: !contract.has_sensitive(),
            salt: hash_salt.to_vec(),
        })
    }

    /// Columns of the table.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Short hash of the schema and of whether keys are hashed.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// One row per record, in order.
    #[must_use]
    pub fn rows(&mut self, batch: &MicroBatch) -> RecordBatch {
        let read: Vec<Result<Label, String>> = (0..batch.len())
            .map(|row| {
                let label = self.label(batch.value(row), batch.records()[row].timestamp_ms);
                label.map_err(bounded)
            })
            .collect();
        let labels = || read.iter().map(|label| label.as_ref().ok());
        let texts = |of: fn(&Label) -> &Option<String>| -> ArrayRef {
            Arc::new(
                labels().map(|it| it.and_then(|it| of(it).as_deref())).collect::<StringArray>(),
            )
        };
        let times: TimestampMicrosecondArray =
            labels().map(|it| it.and_then(|it| it.micros)).collect();
        let kept = |row| batch.value(row).filter(|_| self.keeps_undecodable);
        let undecodable =
            read.iter().enumerate().map(|(row, it)| it.is_err().then(|| kept(row)).flatten());
        let mut columns = Vec::from(coordinates(batch));
        columns.extend([
            self.kafka_keys(batch),
            texts(|label| &label.key),
            texts(|label| &label.text),
            Arc::new(labels().map(|it| it.and_then(|it| it.number)).collect::<Float64Array>()),
            Arc::new(times.with_timezone("UTC")),
            bytes(undecodable),
            Arc::new(read.iter().map(|it| it.as_ref().err()).collect::<StringArray>()),
        ]);
        let rows =
            RecordBatch::try_new(self.schema(), columns).expect("columns as the schema has them");
        assert_eq!(rows.num_rows(), batch.len(), "one row per record");
        rows
    }

    fn kafka_keys(&self, batch: &MicroBatch) -> ArrayRef {
        let keys = (0..batch.len()).map(|row| batch.key(row));
        match self.kafka_key {
            KeyRule::Keep => bytes(keys),
            KeyRule::Omit => arrow::array::new_null_array(&DataType::Binary, batch.len()),
            KeyRule::Hash => {
                let hashes: Vec<_> =
                    keys.map(|key| key.map(|key| hash_once(&self.salt, key))).collect();
                bytes(hashes.iter().map(|hash| hash.as_ref().map(String::as_bytes)))
            }
        }
    }

    fn label(&self, value: Option<&[u8]>, timestamp_ms: i64) -> Result<Label, String> {
        let value = value.ok_or("the record has no value")?;
        let object: Map<String, Value> = serde_json::from_slice(value)
            // Its own message may quote what it read.
            .map_err(|error| format!("no JSON object (line {})", error.line()))?;
        let member = |name: &String| {
            object.get(name).ok_or_else(|| format!("member {name:?} (the label's) is missing"))
        };
        let key = match member(&self.members.key)? {
            Value::String(text) => text.clone(),
            Value::Number(number) if !number.is_f64() => number.to_string(),
            other => return Err(self.wrong(&self.members.key, "a string or an integer", other)),
        };
        self.fits(&self.members.key, &key)?;
        let (text, number) = match member(&self.members.label)? {
            Value::Null => (None, None),
            Value::String(text) => (Some(text.clone()), text.trim().parse().ok()),
            Value::Bool(truth) => (Some(truth.to_string()), None),
            Value::Number(number) => (Some(number.to_string()), number.as_f64()),
            other @ (Value::Array(_) | Value::Object(_)) => {
                let wanted = "a string, a number, a bool or null";
                return Err(self.wrong(&self.members.label, wanted, other));
            }
        };
        self.fits(&self.members.label, text.as_deref().unwrap_or_default())?;
        let micros = match &self.members.time {
            None if timestamp_ms < 0 => return Err("the record has no time".into()),
            None => timestamp_ms.checked_mul(1_000),
            Some(name) => match member(name)? {
                Value::String(text) => rfc3339_micros(text.as_bytes()),
                Value::Number(millis) => millis.as_i64().and_then(|ms| ms.checked_mul(1_000)),
                _ => None,
            },
        };
        if micros.is_none() {
            let name = self.members.time.as_deref().unwrap_or("timestamp");
            return Err(format!("{name:?} is no instant: RFC 3339 or milliseconds since 1970"));
        }
        let key = if self.hashes_key { hash_once(&self.salt, key.as_bytes()) } else { key };
        Ok(Label { key: Some(key), text, number: number.filter(|it: &f64| it.is_finite()), micros })
    }

    fn fits(&self, name: &str, text: &str) -> Result<(), String> {
        if text.len() <= MAX_LABEL_BYTES {
            return Ok(());
        }
        Err(format!("{name:?} has {} bytes, at most {MAX_LABEL_BYTES} are kept", text.len()))
    }

    /// Says the kind only: the value may be what must not be shown.
    fn wrong(&self, name: &str, wanted: &str, found: &Value) -> String {
        let kind = match found {
            Value::Null => "null",
            Value::Bool(_) => "a bool",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        format!("{name:?} is {kind} where {wanted} is expected")
    }
}

//! One field of an event: its type, its roles and what is documented about it.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};

/// Length of a field's name in bytes; Kafka and Parquet take more, people do not.
pub const MAX_NAME_BYTES: usize = 128;

/// Items of a fixed-size list: embeddings have a few thousand.
pub const MAX_FIXED_LIST: usize = 65_536;

/// A named, typed member of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Name of the JSON member and of the column.
    pub name: String,
    /// What the member may hold.
    pub kind: FieldType,
    /// Whether the member may be missing or null.
    pub nullable: bool,
    /// Documented smallest and largest value, in the field's unit; never rejects.
    pub range: Option<(f64, f64)>,
    /// Documented distinct values; never rejects. Empty where none are documented.
    pub categories: Vec<Category>,
    /// What the field is to the pipeline.
    pub role: Option<Role>,
    /// How the field is kept out of results, archive, dead letters, logs and alerts.
    pub sensitive: Option<Sensitive>,
    /// For people.
    pub description: Option<String>,
}

/// What a member may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// `true` or `false`.
    Bool,
    /// A JSON number.
    Number(NumberType),
    /// A JSON string.
    String,
    /// A JSON string holding base64 (standard alphabet, padding required).
    Bytes,
    /// An instant in one of the allowed forms; microseconds since the epoch, UTC, as a column.
    Timestamp(TimestampForms),
    /// A JSON array of exactly this many numbers, none null.
    FixedList(NumberType, u32),
    /// A JSON array of any number of numbers, none null.
    List(NumberType),
}

/// A numeric type.
///
/// Integers accept JSON integers in range only: `1.0` and `1e0` are not integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum NumberType {
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float16,
    Float32,
    Float64,
}

/// The forms a timestamp may take; at least one is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimestampForms {
    /// A string such as `2013-01-01T05:15:00Z`, with an offset; finer than microseconds is cut off.
    pub rfc3339: bool,
    /// A number of these units since 1970-01-01T00:00:00Z. One unit at most: two could not be told apart.
    pub epoch: Option<EpochUnit>,
}

/// Unit of a timestamp written as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EpochUnit {
    /// Seconds; a fraction is accepted and rounded to microseconds.
    Seconds,
    /// Milliseconds, an integer.
    Millis,
    /// Microseconds, an integer.
    Micros,
}

/// What a field is to the pipeline; each role is held by one field at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Identifies what the event is about; labels are joined on it.
    Key,
    /// When the event happened.
    EventTime,
    /// The truth, where it comes with the event.
    Label,
}

/// How a sensitive field is kept out of results, archive, dead letters, logs and alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sensitive {
    /// It is not there.
    Drop,
    /// A salted hash stands in its place.
    Hash,
}

/// A documented value of a string or integer field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// Of a string field.
    Text(String),
    /// Of an integer field.
    Integer(i64),
}

impl Field {
    /// A required field without roles or documentation.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: FieldType) -> Self {
        Self {
            name: name.into(),
            kind,
            nullable: false,
            range: None,
            categories: Vec::new(),
            role: None,
            sensitive: None,
            description: None,
        }
    }

    /// The field's column.
    #[must_use]
    pub fn arrow_field(&self) -> arrow::datatypes::Field {
        arrow::datatypes::Field::new(&self.name, self.kind.data_type(), self.nullable)
    }
}

impl FieldType {
    /// The column's type.
    #[must_use]
    pub fn data_type(self) -> DataType {
        let item = |number: NumberType| {
            Arc::new(arrow::datatypes::Field::new("item", number.data_type(), false))
        };
        match self {
            Self::Bool => DataType::Boolean,
            Self::Number(number) => number.data_type(),
            Self::String => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Timestamp(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::FixedList(number, len) => DataType::FixedSizeList(item(number), len as i32),
            Self::List(number) => DataType::List(item(number)),
        }
    }

    /// The type written as `text`: `int32`, `string`, `list<float32>`, `float32[16]`, ...
    /// A timestamp is read with its default form, RFC 3339.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(item) = text.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')) {
            return NumberType::parse(item).map(Self::List);
        }
        if let Some((item, len)) = text.strip_suffix(']').and_then(|rest| rest.split_once('[')) {
            let len =
                len.parse().ok().filter(|len| (1..=MAX_FIXED_LIST).contains(&(*len as usize)))?;
            return NumberType::parse(item).map(|item| Self::FixedList(item, len));
        }
        match text {
            "bool" => Some(Self::Bool),
            "string" => Some(Self::String),
            "bytes" => Some(Self::Bytes),
            "timestamp" => Some(Self::Timestamp(TimestampForms::RFC3339)),
            _ => NumberType::parse(text).map(Self::Number),
        }
    }

    /// The forms allowed, where it is a timestamp.
    #[must_use]
    pub fn timestamp_forms(self) -> Option<TimestampForms> {
        match self {
            Self::Timestamp(forms) => Some(forms),
            Self::Bool
            | Self::Number(_)
            | Self::String
            | Self::Bytes
            | Self::FixedList(..)
            | Self::List(_) => None,
        }
    }

    /// The numeric type of the value or of its items.
    #[must_use]
    pub fn number(self) -> Option<NumberType> {
        match self {
            Self::Number(number) | Self::FixedList(number, _) | Self::List(number) => Some(number),
            Self::Bool | Self::String | Self::Bytes | Self::Timestamp(_) => None,
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => out.write_str("bool"),
            Self::Number(number) => out.write_str(number.name()),
            Self::String => out.write_str("string"),
            Self::Bytes => out.write_str("bytes"),
            Self::Timestamp(_) => out.write_str("timestamp"),
            Self::FixedList(number, len) => write!(out, "{}[{len}]", number.name()),
            Self::List(number) => write!(out, "list<{}>", number.name()),
        }
    }
}

impl NumberType {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::UInt8,
        Self::UInt16,
        Self::UInt32,
        Self::UInt64,
        Self::Float16,
        Self::Float32,
        Self::Float64,
    ];

    /// The type's name in a contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::UInt8 => "uint8",
            Self::UInt16 => "uint16",
            Self::UInt32 => "uint32",
            Self::UInt64 => "uint64",
            Self::Float16 => "float16",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
        }
    }

    /// The type of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|number| number.name() == name)
    }

    /// The column's type.
    #[must_use]
    pub fn data_type(self) -> DataType {
        match self {
            Self::Int8 => DataType::Int8,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::UInt8 => DataType::UInt8,
            Self::UInt16 => DataType::UInt16,
            Self::UInt32 => DataType::UInt32,
            Self::UInt64 => DataType::UInt64,
            Self::Float16 => DataType::Float16,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
        }
    }

    /// Smallest and largest integer; `None` for floats.
    #[must_use]
    pub fn integer_range(self) -> Option<(i64, u64)> {
        match self {
            Self::Int8 => Some((i64::from(i8::MIN), i8::MAX as u64)),
            Self::Int16 => Some((i64::from(i16::MIN), i16::MAX as u64)),
            Self::Int32 => Some((i64::from(i32::MIN), i32::MAX as u64)),
            Self::Int64 => Some((i64::MIN, i64::MAX as u64)),
            Self::UInt8 => Some((0, u64::from(u8::MAX))),
            Self::UInt16 => Some((0, u64::from(u16::MAX))),
            Self::UInt32 => Some((0, u64::from(u32::MAX))),
            Self::UInt64 => Some((0, u64::MAX)),
            Self::Float16 | Self::Float32 | Self::Float64 => None,
        }
    }
}

impl TimestampForms {
    /// RFC 3339 alone: what a timestamp without `formats` accepts.
    pub const RFC3339: Self = Self { rfc3339: true, epoch: None };

    /// The forms' names, as written in `formats`.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        self.rfc3339
            .then_some("rfc3339")
            .into_iter()
            .chain(self.epoch.map(EpochUnit::name))
            .collect()
    }
}

impl EpochUnit {
    /// The form's name in `formats`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "epoch_seconds",
            Self::Millis => "epoch_millis",
            Self::Micros => "epoch_micros",
        }
    }

    /// Microseconds in one unit.
    #[must_use]
    pub fn micros(self) -> i64 {
        match self {
            Self::Seconds => 1_000_000,
            Self::Millis => 1_000,
            Self::Micros => 1,
        }
    }
}

impl Role {
    /// The role's name in a contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::EventTime => "event_time",
            Self::Label => "label",
        }
    }
}

impl Sensitive {
    /// The word for it in a contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Hash => "hash",
        }
    }
}

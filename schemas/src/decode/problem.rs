//! Why a record is not an event, in words that never hold a value of it.

use super::lookup::Layout;
use crate::{FieldType, TimestampForms};

/// Length of a reject's reason in bytes; it travels as a record header.
pub const MAX_REASON_BYTES: usize = 400;

/// What is wrong with a record or with one of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Kafka's null.
    Tombstone,
    /// No bytes.
    Empty,
    /// More bytes than the limit.
    Size { bytes: usize, limit: usize },
    /// Not UTF-8.
    Utf8,
    /// Not JSON.
    Syntax { what: &'static str, at: usize },
    /// Deeper than the limit.
    Depth,
    /// Something other than an object where the event or a named object was expected.
    NotAnObject { found: &'static str },
    /// A member that appears twice.
    Duplicate,
    /// A required member that is not there.
    Missing,
    /// A value of another kind.
    Kind { found: &'static str },
    /// An item of another kind in a list of numbers.
    Item { found: &'static str },
    /// A number the type cannot hold.
    OutOfRange,
    /// A number with a fraction or an exponent for an integer.
    NotAnInteger,
    /// A list of another length.
    Length { found: usize },
    /// A string that is not base64.
    Base64,
    /// A string that is not an instant.
    Instant,
    /// More text in one column of one batch than a column can index.
    BatchText,
}

/// A problem and what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) problem: Problem,
    pub(super) place: Place,
}

/// What a problem is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The event as a whole, or a member that no column wants (and whose name is not repeated).
    Event,
    /// The member of this column.
    Column(usize),
    /// This object that holds columns.
    Object(usize),
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self { problem, place: Place::Event }
    }
}

impl Fault {
    /// The reason for people: member, what was found, what is accepted.
    pub(super) fn reason(self, layout: &Layout) -> String {
        let (member, kind) = match self.place {
            Place::Event => (None, None),
            Place::Column(column) => {
                let column = &layout.columns[column];
                (Some(column.path.join(".")), Some(column.kind))
            }
            Place::Object(object) => (Some(layout.objects[object].0.clone()), None),
        };
        let problem = self.problem.text(kind);
        bounded(match member {
            Some(member) => format!("member \"{member}\": {problem}"),
            None => problem,
        })
    }
}

/// Cuts `reason` to [`MAX_REASON_BYTES`] at a character.
pub(crate) fn bounded(mut reason: String) -> String {
    if reason.len() > MAX_REASON_BYTES {
        let end = (0..=MAX_REASON_BYTES - 3).rev().find(|end| reason.is_char_boundary(*end));
        reason.truncate(end.unwrap_or(0));
        reason.push('…');
    }
    reason
}

impl Problem {
    pub(super) fn text(self, kind: Option<FieldType>) -> String {
        let kind_text = kind.map_or_else(String::new, |kind| kind.to_string());
        match self {
            Self::Tombstone => "the value is null (a tombstone): a JSON object was expected".into(),
            Self::Empty => "the value is empty: a JSON object was expected".into(),
            Self::Size { bytes, limit } => {
                format!("the value has {bytes} bytes: at most {limit} are accepted")
            }
            Self::Utf8 => "the value is not UTF-8".into(),
            Self::Syntax { what, at } => format!("not JSON at byte {at}: {what}"),
            Self::Depth => {
                format!("nested deeper than {} levels", super::MAX_DEPTH)
            }
            Self::NotAnObject { found } => format!("{found} was found: an object was expected"),
            Self::Duplicate => "a member appears twice in one object".into(),
            Self::Missing => "it is missing and required".into(),
            Self::Kind { found } => format!("{found} was found: {} was expected", expected(kind)),
            Self::Item { found } => {
                format!("{found} was found in a list: {kind_text} holds numbers only")
            }
            Self::OutOfRange => match kind
                .and_then(FieldType::number)
                .and_then(|n| n.integer_range())
            {
                Some((low, high)) => format!("the number is outside {kind_text} ({low} to {high})"),
                None => format!("the number is outside {kind_text}"),
            },
            Self::NotAnInteger => {
                format!(
                    "a fraction or exponent was found: {kind_text} takes integers only (1.0 is not one)"
                )
            }
            Self::Length { found } => {
                format!("a list of {found} items was found: {kind_text} was expected")
            }
            Self::Base64 => "the string is not base64 (standard alphabet, padded)".into(),
            Self::Instant => "the string is not an RFC 3339 instant with its offset".into(),
            Self::BatchText => {
                "the batch holds more than 2 GiB of this member: cut smaller batches".into()
            }
        }
    }
}

fn expected(kind: Option<FieldType>) -> String {
    match kind {
        Some(FieldType::Bytes) => "a base64 string".into(),
        Some(FieldType::Timestamp(TimestampForms { rfc3339, epoch })) => match (rfc3339, epoch) {
            (true, None) => "an RFC 3339 string".into(),
            (false, Some(unit)) => format!("a number of {}", unit.name()),
            (_, unit) => {
                format!("an RFC 3339 string or a number of {}", unit.map_or("", |u| u.name()))
            }
        },
        Some(kind) => kind.to_string(),
        None => "an object".into(),
    }
}

/// The kind of value that starts with `byte`, with its article.
pub(super) fn kind_at(byte: Option<u8>) -> Option<&'static str> {
    match byte {
        Some(b'"') => Some("a string"),
        Some(b'{') => Some("an object"),
        Some(b'[') => Some("an array"),
        Some(b't' | b'f') => Some("a boolean"),
        Some(b'n') => Some("null"),
        Some(b'-' | b'0'..=b'9') => Some("a number"),
        _ => None,
    }
}

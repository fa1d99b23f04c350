//! One column under construction: values go in from either decoder, and a row can be taken back.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeListArray, ListArray, StringArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::cursor::{Cursor, Number, Text, plain_prefix};
use super::numbers::Numbers;
use super::problem::{Problem, kind_at};
use super::{number, plain, time};
use crate::{EpochUnit, FieldType, TimestampForms};

/// A column under construction.
///
/// Invariant between records: every vector holds exactly the rows accepted so far.
pub(super) struct Builder {
    kind: FieldType,
    nullable: bool,
    /// Rows that are null, ascending: nothing to do where there are none.
    nulls: Vec<u32>,
    store: Store,
    /// Unescaped or decoded text of the value at hand.
    scratch: Vec<u8>,
    /// Bytes of text in the last batch, and a little more.
    usual_text: usize,
}

enum Store {
    Bool(Vec<bool>),
    Number(Numbers),
    /// String and bytes: where each value ends, behind a leading 0, and all of them back to back.
    Text(Vec<i32>, Vec<u8>),
    Instant(TimestampForms, Vec<i64>),
    FixedList(u32, Numbers),
    List(Vec<i32>, Numbers),
}

impl Builder {
    pub(super) fn new(kind: FieldType, nullable: bool) -> Self {
        let store = match kind {
            FieldType::Bool => Store::Bool(Vec::new()),
            FieldType::Number(number) => Store::Number(Numbers::new(number)),
            FieldType::String | FieldType::Bytes => Store::Text(vec![0], Vec::new()),
            FieldType::Timestamp(forms) => Store::Instant(forms, Vec::new()),
            FieldType::FixedList(number, len) => Store::FixedList(len, Numbers::new(number)),
            FieldType::List(number) => Store::List(vec![0], Numbers::new(number)),
        };
        Self { kind, nullable, nulls: Vec::new(), store, scratch: Vec::new(), usual_text: 0 }
    }

    /// Makes room for `rows` values.
    pub(super) fn reserve(&mut self, rows: usize) {
        match &mut self.store {
            Store::Bool(values) => values.reserve(rows),
            Store::Number(numbers) => numbers.reserve(rows),
            Store::Text(ends, bytes) => {
                ends.reserve(rows);
                bytes.reserve(self.usual_text);
            }
            Store::Instant(_, values) => values.reserve(rows),
            Store::FixedList(len, numbers) => numbers.reserve(rows * *len as usize),
            Store::List(ends, _) => ends.reserve(rows),
        }
    }

    /// Takes a plain short value at `at` and returns where it ends; `None`, and nothing taken, where
    /// [`Builder::push`] must look.
    ///
    /// The character behind the value is the caller's to check.
    #[inline(always)]
    pub(super) fn push_plain(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        match &mut self.store {
            Store::Number(numbers) => numbers.push_plain(bytes, at),
            Store::Text(ends, text) if self.kind == FieldType::String => {
                let content = plain_string(bytes, at)?;
                ends.push(i32::try_from(text.len() + content.len()).ok()?);
                append_short(text, bytes, at + 1, content.len());
                Some(at + content.len() + 2)
            }
            Store::Instant(TimestampForms { rfc3339: true, .. }, values)
                if bytes.get(at) == Some(&b'"') =>
            {
                let content = plain_string(bytes, at)?;
                values.push(time::rfc3339_micros(content)?);
                Some(at + content.len() + 2)
            }
            Store::Instant(TimestampForms { epoch: Some(unit), .. }, values) => {
                let (value, end) = plain::integer(bytes, at)?;
                values.push(value.checked_mul(unit.micros())?);
                Some(end)
            }
            Store::Bool(values) => {
                let value = bytes[at..].starts_with(b"true");
                if !value && !bytes[at..].starts_with(b"false") {
                    return None;
                }
                values.push(value);
                Some(at + if value { 4 } else { 5 })
            }
            Store::Text(..) | Store::Instant(..) | Store::FixedList(..) | Store::List(..) => None,
        }
    }

    /// Takes the value at the cursor as row `row`, or says why it cannot be one. A list that fails
    /// may leave items behind: the row must be taken back by [`Builder::truncate`].
    pub(super) fn push(&mut self, cursor: &mut Cursor<'_>, row: u32) -> Result<(), Problem> {
        let byte = cursor.peek();
        let kind = kind_at(byte).ok_or(cursor.syntax(match byte {
            Some(_) => "not a JSON value (NaN and Infinity are not JSON)",
            None => "the record ends where a value was expected",
        }))?;
        if byte == Some(b'n') {
            cursor.word(b"null")?;
            if !self.nullable {
                return Err(Problem::Kind { found: kind });
            }
            self.push_null(row);
            return Ok(());
        }
        match (&mut self.store, byte) {
            (Store::Bool(values), Some(b't')) => {
                cursor.word(b"true")?;
                values.push(true);
            }
            (Store::Bool(values), Some(b'f')) => {
                cursor.word(b"false")?;
                values.push(false);
            }
            (Store::Number(numbers), Some(b'-' | b'0'..=b'9')) => numbers.push(cursor.number()?)?,
            (Store::Text(ends, bytes), Some(b'"')) => {
                let content = content(cursor.string()?, &mut self.scratch);
                let before = bytes.len();
                if self.kind == FieldType::Bytes {
                    if STANDARD.decode_vec(content, bytes).is_err() {
                        bytes.truncate(before);
                        return Err(Problem::Base64);
                    }
                } else {
                    bytes.extend_from_slice(content);
                }
                let Ok(end) = i32::try_from(bytes.len()) else {
                    bytes.truncate(before);
                    return Err(Problem::BatchText);
                };
                ends.push(end);
            }
            (Store::Instant(TimestampForms { rfc3339: true, .. }, values), Some(b'"')) => {
                let content = content(cursor.string()?, &mut self.scratch);
                values.push(time::rfc3339_micros(content).ok_or(Problem::Instant)?);
            }
            (
                Store::Instant(TimestampForms { epoch: Some(unit), .. }, values),
                Some(b'-' | b'0'..=b'9'),
            ) => values.push(epoch_micros(cursor.number()?, *unit)?),
            (Store::FixedList(len, numbers), Some(b'[')) => {
                let found = numbers.push_items(cursor)?;
                if found != *len as usize {
                    return Err(Problem::Length { found });
                }
            }
            (Store::List(ends, numbers), Some(b'[')) => {
                numbers.push_items(cursor)?;
                ends.push(i32::try_from(numbers.len()).map_err(|_| Problem::BatchText)?);
            }
            _ => return Err(Problem::Kind { found: kind }),
        }
        Ok(())
    }

    /// Takes a null as row `row`.
    pub(super) fn push_null(&mut self, row: u32) {
        self.nulls.push(row);
        match &mut self.store {
            Store::Bool(values) => values.push(false),
            Store::Number(numbers) => numbers.push_zeros(1),
            Store::Text(ends, _) | Store::List(ends, _) => {
                ends.push(ends[ends.len() - 1]);
            }
            Store::Instant(_, values) => values.push(0),
            Store::FixedList(len, numbers) => numbers.push_zeros(*len as usize),
        }
    }

    /// Whether a missing member is a null.
    pub(super) fn nullable(&self) -> bool {
        self.nullable
    }

    /// Takes back everything behind the first `rows` rows.
    pub(super) fn truncate(&mut self, rows: usize) {
        while self.nulls.last().is_some_and(|row| *row as usize >= rows) {
            self.nulls.pop();
        }
        let end = |ends: &mut Vec<i32>| {
            ends.truncate(rows + 1);
            ends[rows] as usize
        };
        match &mut self.store {
            Store::Bool(values) => values.truncate(rows),
            Store::Number(numbers) => numbers.truncate(rows),
            Store::Text(ends, bytes) => bytes.truncate(end(ends)),
            Store::Instant(_, values) => values.truncate(rows),
            Store::FixedList(len, numbers) => numbers.truncate(rows * *len as usize),
            Store::List(ends, numbers) => numbers.truncate(end(ends)),
        }
    }

    /// The column of all `rows` rows; the builder is empty again.
    pub(super) fn finish(&mut self, rows: usize) -> ArrayRef {
        let nulls = null_buffer(&self.nulls, rows);
        self.nulls.clear();
        let item = |numbers: &Numbers| {
            Arc::new(arrow::datatypes::Field::new("item", numbers.number().data_type(), false))
        };
        match &mut self.store {
            Store::Bool(values) => {
                let bits = BooleanBuffer::from(std::mem::take(values));
                Arc::new(BooleanArray::new(bits, nulls))
            }
            Store::Number(numbers) => numbers.finish(nulls),
            Store::Text(ends, bytes) => {
                self.usual_text = bytes.len() + bytes.len() / 8 + 16;
                let (ends, bytes) = (offsets(ends), std::mem::take(bytes).into());
                match self.kind {
                    FieldType::Bytes => Arc::new(BinaryArray::new(ends, bytes, nulls)),
                    _ => Arc::new(StringArray::new(ends, bytes, nulls)),
                }
            }
            Store::Instant(_, values) => Arc::new(
                TimestampMicrosecondArray::new(std::mem::take(values).into(), nulls)
                    .with_timezone("UTC"),
            ),
            Store::FixedList(len, numbers) => {
                let item = item(numbers);
                Arc::new(FixedSizeListArray::new(item, *len as i32, numbers.finish(None), nulls))
            }
            Store::List(ends, numbers) => {
                Arc::new(ListArray::new(item(numbers), offsets(ends), numbers.finish(None), nulls))
            }
        }
    }
}

/// The content of a string at `at` that has no escape and ends within the bytes.
#[inline(always)]
fn plain_string(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let content = bytes.get(at..)?.strip_prefix(b"\"")?;
    let len = plain_prefix(content);
    (content.get(len) == Some(&b'"')).then(|| &content[..len])
}

/// Appends `bytes[start..start + len]`: short ones as 16 bytes of which the rest is dropped, which
/// spares a call.
#[inline(always)]
fn append_short(text: &mut Vec<u8>, bytes: &[u8], start: usize, len: usize) {
    let window = bytes.get(start..start + 16).filter(|_| len <= 16);
    match window.and_then(|window| <&[u8; 16]>::try_from(window).ok()) {
        Some(window) => {
            let end = text.len() + len;
            text.extend_from_slice(window);
            text.truncate(end);
        }
        None => text.extend_from_slice(&bytes[start..start + len]),
    }
}

/// The characters of `text`, unescaped into `scratch` where they have to be.
fn content<'a>(text: Text<'a>, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if !text.escaped {
        return text.raw;
    }
    scratch.clear();
    text.unescape(scratch);
    scratch
}

/// An integer of any unit; seconds may have a fraction, rounded to the nearest microsecond.
fn epoch_micros(number: Number<'_>, unit: EpochUnit) -> Result<i64, Problem> {
    if number.integer {
        let value =
            number::integer(number).and_then(|value| value.checked_mul(unit.micros().into()));
        return value.and_then(|micros| i64::try_from(micros).ok()).ok_or(Problem::OutOfRange);
    }
    if unit != EpochUnit::Seconds {
        return Err(Problem::NotAnInteger);
    }
    // i64::MAX microseconds; beyond 2^53 they are not exact, which is the year 2255.
    const LIMIT: f64 = 9.2e18;
    let micros = (number::float64(number).ok_or(Problem::OutOfRange)? * 1e6).round();
    if micros.abs() < LIMIT { Ok(micros as i64) } else { Err(Problem::OutOfRange) }
}

fn offsets(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(std::mem::replace(ends, vec![0]).into())
}

fn null_buffer(nulls: &[u32], rows: usize) -> Option<NullBuffer> {
    if nulls.is_empty() {
        return None;
    }
    let mut valid = vec![true; rows];
    nulls.iter().for_each(|row| valid[*row as usize] = false);
    Some(NullBuffer::from(valid))
}

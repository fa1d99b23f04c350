//! A column with its type resolved once, so that writing a value is one `match`.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, FixedSizeListArray, ListArray,
    PrimitiveArray, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use half::f16;

use super::json;
use crate::{EpochUnit, TimestampForms};

/// A column's values, ready to be written as JSON.
pub(crate) struct Values<'a> {
    nulls: Option<&'a NullBuffer>,
    store: Store<'a>,
}

enum Store<'a> {
    Bool(&'a BooleanArray),
    Numbers(Numbers<'a>),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Instant(&'a TimestampMicrosecondArray, TimestampForms),
    List(&'a ListArray, Numbers<'a>),
    FixedList(&'a FixedSizeListArray, Numbers<'a>),
}

/// Numbers without their nulls.
enum Numbers<'a> {
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    U64(&'a [u64]),
    F16(&'a [f16]),
    F32(&'a [f32]),
    F64(&'a [f64]),
}

/// Whether a model output of this type has a JSON form.
pub(super) fn is_output_type(kind: &DataType) -> bool {
    match kind {
        DataType::Boolean | DataType::Utf8 => true,
        DataType::List(item) | DataType::FixedSizeList(item, _) => is_number(item.data_type()),
        kind => is_number(kind),
    }
}

fn is_number(kind: &DataType) -> bool {
    kind.is_integer() || kind.is_floating()
}

impl<'a> Values<'a> {
    /// The values of `column`; instants are written in the preferred one of `forms`.
    ///
    /// # Panics
    /// When the type is neither one of a contract's nor one that [`is_output_type`] accepts.
    pub(crate) fn new(column: &'a ArrayRef, forms: TimestampForms) -> Self {
        let store = match column.data_type() {
            DataType::Boolean => Store::Bool(column.as_boolean()),
            DataType::Utf8 => Store::Text(column.as_string()),
            DataType::Binary => Store::Bytes(column.as_binary()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Store::Instant(column.as_primitive::<TimestampMicrosecondType>(), forms)
            }
            DataType::List(_) => {
                let list = column.as_list();
                Store::List(list, Numbers::new(list.values()))
            }
            DataType::FixedSizeList(..) => {
                let list = column.as_fixed_size_list();
                Store::FixedList(list, Numbers::new(list.values()))
            }
            _ => Store::Numbers(Numbers::new(column)),
        };
        Self { nulls: column.nulls(), store }
    }

    /// Appends the value of `row` as JSON.
    #[inline]
    pub(super) fn write(&self, out: &mut Vec<u8>, row: usize) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.store {
            Store::Numbers(numbers) => numbers.write(out, row),
            Store::Bool(values) => {
                out.extend_from_slice(if values.value(row) { b"true" } else { b"false" });
            }
            Store::Text(values) => json::string(out, values.value(row)),
            Store::Bytes(values) => {
                out.push(b'"');
                out.extend_from_slice(STANDARD.encode(values.value(row)).as_bytes());
                out.push(b'"');
            }
            Store::Instant(values, forms) => instant(out, values.value(row), *forms),
            Store::List(list, items) => {
                let ends = list.value_offsets();
                items.write_list(out, ends[row] as usize..ends[row + 1] as usize);
            }
            Store::FixedList(list, items) => {
                let start = list.value_offset(row) as usize;
                items.write_list(out, start..start + list.value_length() as usize);
            }
        }
    }

    /// Appends the value's own text: a string or bytes as they are, an instant as RFC 3339 without
    /// quotes, the rest as in JSON. False, and nothing appended, where it is null.
    pub(crate) fn write_bare(&self, out: &mut Vec<u8>, row: usize) -> bool {
        if self.is_null(row) {
            return false;
        }
        match &self.store {
            Store::Text(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Store::Bytes(values) => out.extend_from_slice(values.value(row)),
            Store::Instant(values, _) => {
                let micros = values.value(row);
                if !json::instant(out, micros, fraction_digits(micros)) {
                    json::integer(out, micros);
                }
            }
            Store::Bool(_) | Store::Numbers(_) | Store::List(..) | Store::FixedList(..) => {
                self.write(out, row);
            }
        }
        true
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }
}

impl<'a> Numbers<'a> {
    fn new(column: &'a ArrayRef) -> Self {
        macro_rules! slice {
            ($kind:ty) => {{
                let array: &PrimitiveArray<$kind> = column.as_primitive();
                array.values()
            }};
        }
        match column.data_type() {
            DataType::Int8 => Self::I8(slice!(Int8Type)),
            DataType::Int16 => Self::I16(slice!(Int16Type)),
            DataType::Int32 => Self::I32(slice!(Int32Type)),
            DataType::Int64 => Self::I64(slice!(Int64Type)),
            DataType::UInt8 => Self::U8(slice!(UInt8Type)),
            DataType::UInt16 => Self::U16(slice!(UInt16Type)),
            DataType::UInt32 => Self::U32(slice!(UInt32Type)),
            DataType::UInt64 => Self::U64(slice!(UInt64Type)),
            DataType::Float16 => Self::F16(slice!(Float16Type)),
            DataType::Float32 => Self::F32(slice!(Float32Type)),
            DataType::Float64 => Self::F64(slice!(Float64Type)),
            kind => panic!("a column of {kind} is neither a contract's nor an accepted output"),
        }
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>, at: usize) {
        match self {
            Self::I8(values) => json::integer(out, values[at]),
            Self::I16(values) => json::integer(out, values[at]),
            Self::I32(values) => json::integer(out, values[at]),
            Self::I64(values) => json::integer(out, values[at]),
            Self::U8(values) => json::integer(out, values[at]),
            Self::U16(values) => json::integer(out, values[at]),
            Self::U32(values) => json::integer(out, values[at]),
            Self::U64(values) => json::integer(out, values[at]),
            Self::F16(values) => json::float(out, f32::from(values[at])),
            Self::F32(values) => json::float(out, values[at]),
            Self::F64(values) => json::float(out, values[at]),
        }
    }

    /// A list with an item that has no JSON number is null: readers expect numbers in it.
    fn write_list(&self, out: &mut Vec<u8>, range: std::ops::Range<usize>) {
        if !range.clone().all(|at| self.is_finite(at)) {
            out.extend_from_slice(b"null");
            return;
        }
        out.push(b'[');
        for at in range.clone() {
            if at > range.start {
                out.push(b',');
            }
            self.write(out, at);
        }
        out.push(b']');
    }

    fn is_finite(&self, at: usize) -> bool {
        match self {
            Self::F16(values) => values[at].is_finite(),
            Self::F32(values) => values[at].is_finite(),
            Self::F64(values) => values[at].is_finite(),
            Self::I8(_) | Self::I16(_) | Self::I32(_) | Self::I64(_) => true,
            Self::U8(_) | Self::U16(_) | Self::U32(_) | Self::U64(_) => true,
        }
    }
}

/// Digits that the fraction of a second needs.
fn fraction_digits(micros: i64) -> u32 {
    match micros {
        _ if micros % 1_000_000 == 0 => 0,
        _ if micros % 1_000 == 0 => 3,
        _ => 6,
    }
}

fn instant(out: &mut Vec<u8>, micros: i64, forms: TimestampForms) {
    if forms.rfc3339 {
        out.push(b'"');
        if json::instant(out, micros, fraction_digits(micros)) {
            out.push(b'"');
            return;
        }
        out.pop();
    }
    match forms.epoch {
        // Only an instant within a day of the years 0 and 9999, by its offset, has no RFC 3339 in UTC.
        None => out.extend_from_slice(b"null"),
        Some(EpochUnit::Micros) => json::integer(out, micros),
        Some(EpochUnit::Millis) => json::integer(out, micros.div_euclid(1_000)),
        Some(EpochUnit::Seconds) => {
            if micros < 0 {
                out.push(b'-');
            }
            let micros = micros.unsigned_abs();
            json::integer(out, micros / 1_000_000);
            let fraction = micros % 1_000_000;
            if fraction != 0 {
                out.push(b'.');
                (0..6).rev().for_each(|place| {
                    out.push(b'0' + (fraction / 10_u64.pow(place) % 10) as u8);
                });
                while out.last() == Some(&b'0') {
                    out.pop();
                }
            }
        }
    }
}

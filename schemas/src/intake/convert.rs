//! One column to the type of a field: null where a value does not fit.
//!
//! Which pairs of types there are is decided once per table; the numbers are Arrow's own casts, held
//! to what they lose.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, PrimitiveArray, TimestampMicrosecondArray,
};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{can_cast_types, cast, nullif};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Float16Type, Float32Type, Float64Type, Int64Type, TimeUnit,
};

use super::same;
use crate::decode::rfc3339_micros;
use crate::{FieldType, NumberType, TimestampForms};

/// What is done to a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conversion {
    /// It has the type.
    AsIs,
    /// A cast that gives null where a value does not fit.
    Cast,
    /// The same, of a number with a fraction to an integer: a fraction does not fit.
    Whole,
    /// A count of so many microseconds each since the epoch.
    Epoch(i64),
    /// RFC 3339 text.
    Text,
}

/// The column of a field: the contract's type, but that a list's items may say that they are nullable.
pub(super) fn target(kind: FieldType) -> DataType {
    let item = |number: NumberType| Arc::new(Field::new("item", number.data_type(), true));
    match kind {
        FieldType::List(number) => DataType::List(item(number)),
        FieldType::FixedList(number, len) => DataType::FixedSizeList(item(number), len as i32),
        FieldType::Bool
        | FieldType::Number(_)
        | FieldType::String
        | FieldType::Bytes
        | FieldType::Timestamp(_) => kind.data_type(),
    }
}

impl Conversion {
    /// How a column of type `from` becomes a field of `kind`; `None` where it cannot.
    pub(super) fn of(kind: FieldType, from: &DataType) -> Option<Self> {
        if *from == target(kind) {
            return Some(Self::AsIs);
        }
        let from = match from {
            DataType::Dictionary(_, values) => values,
            DataType::Null => return Some(Self::Cast),
            from => from,
        };
        let text = matches!(from, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        match kind {
            FieldType::Bool => (*from == DataType::Boolean).then_some(Self::Cast),
            FieldType::String => text.then_some(Self::Cast),
            FieldType::Bytes => matches!(
                from,
                DataType::Binary
                    | DataType::LargeBinary
                    | DataType::BinaryView
                    | DataType::FixedSizeBinary(_)
            )
            .then_some(Self::Cast),
            FieldType::Number(number) => Self::number(number, from),
            FieldType::Timestamp(forms) => Self::instant(forms, from, text),
            FieldType::List(number) | FieldType::FixedList(number, _) => match from {
                DataType::List(item)
                | DataType::LargeList(item)
                | DataType::FixedSizeList(item, _) => {
                    // Items are cast where that loses nothing: a fraction in a list cannot be told apart.
                    Self::number(number, item.data_type())
                        .filter(|how| *how != Self::Whole)
                        .filter(|_| {
                            can_cast_types(from, &target(kind)) || same(from, &target(kind))
                        })
                        .map(|_| Self::Cast)
                }
                _ => None,
            },
        }
    }

    fn number(number: NumberType, from: &DataType) -> Option<Self> {
        let to = number.data_type();
        let whole = number.integer_range().is_some();
        let fits = from.is_numeric() && can_cast_types(from, &to);
        let how = if whole && !from.is_integer() { Self::Whole } else { Self::Cast };
        fits.then_some(how)
    }

    fn instant(forms: TimestampForms, from: &DataType, text: bool) -> Option<Self> {
        match from {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Some(Self::Cast),
            _ if text && forms.rfc3339 => Some(Self::Text),
            from if from.is_integer() => forms.epoch.map(|unit| Self::Epoch(unit.micros())),
            _ => None,
        }
    }

    /// The column as [`target`] of `kind`, as long as it was, null where a value does not fit.
    ///
    /// # Panics
    /// When the column is not of the type that the conversion was made for.
    pub(super) fn convert(self, column: &ArrayRef, kind: FieldType) -> ArrayRef {
        let to = target(kind);
        let cast = |column: &ArrayRef, to: &DataType| cast(column, to).expect("a cast that exists");
        match self {
            Self::AsIs => Arc::clone(column),
            Self::Cast if matches!(kind, FieldType::FixedList(..)) => {
                // By way of a list, so that a length that does not fit is one row's.
                let DataType::FixedSizeList(item, _) = &to else { unreachable!("a fixed list") };
                cast(&cast(column, &DataType::List(Arc::clone(item))), &to)
            }
            Self::Cast => cast(column, &to),
            Self::Whole => {
                let made = cast(column, &to);
                nullif(&made, &fractions(column, &made)).expect("as many rows")
            }
            Self::Epoch(micros) => {
                let counts = cast(column, &DataType::Int64);
                let counts: &Int64Array = counts.as_primitive::<Int64Type>();
                let made = counts.iter().map(|count| count?.checked_mul(micros));
                Arc::new(made.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
            }
            Self::Text => {
                let texts = cast(column, &DataType::Utf8);
                let made =
                    texts.as_string::<i32>().iter().map(|text| rfc3339_micros(text?.as_bytes()));
                let made: TimestampMicrosecondArray = made.collect();
                debug_assert_eq!(
                    to,
                    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
                );
                Arc::new(made.with_timezone("UTC"))
            }
        }
    }
}

/// Where `column` has a fraction that `made`, the same as integers, has not.
fn fractions(column: &ArrayRef, made: &ArrayRef) -> BooleanArray {
    if column.data_type().is_floating() {
        let wide = cast(column, &DataType::Float64).expect("a float is a double");
        let values = wide.as_primitive::<Float64Type>().iter();
        return values.map(|value| value.map(|value| value.fract() != 0.0)).collect();
    }
    let back = cast(made, column.data_type()).expect("an integer is a decimal");
    let same = eq(&back, column).expect("one type");
    same.iter().map(|same| same.map(|same| !same)).collect()
}

/// A prediction as the output topic says it: null where it is not finite, or a list that holds such a
/// number.
#[must_use]
pub fn finite_or_null(column: &ArrayRef) -> ArrayRef {
    let bad = not_numbers(column);
    if bad.is_empty() {
        return Arc::clone(column);
    }
    let mut mask = vec![false; column.len()];
    bad.into_iter().for_each(|row| mask[row] = true);
    nullif(column, &BooleanArray::from(mask)).expect("a mask of as many rows")
}

/// Rows that hold a float that is not finite, or a list with one or with a null.
pub(super) fn not_numbers(column: &ArrayRef) -> Vec<usize> {
    match column.data_type() {
        DataType::List(_) => {
            let (list, items) =
                (column.as_list::<i32>(), bad_items(column.as_list::<i32>().values()));
            let ends = list.value_offsets();
            let of = |row: &usize| ends[*row] as usize..ends[row + 1] as usize;
            rows_with(&items, list.len(), of)
        }
        DataType::FixedSizeList(..) => {
            let list = column.as_fixed_size_list();
            let (items, len) = (bad_items(list.values()), list.value_length() as usize);
            let of = |row: &usize| {
                let start = list.value_offset(*row) as usize;
                start..start + len
            };
            rows_with(&items, list.len(), of)
        }
        _ => not_finite(column),
    }
}

fn rows_with(
    items: &[usize],
    rows: usize,
    of: impl Fn(&usize) -> std::ops::Range<usize>,
) -> Vec<usize> {
    if items.is_empty() {
        return Vec::new();
    }
    let holds = |row: &usize| {
        let range = of(row);
        let first = items.partition_point(|item| *item < range.start);
        items.get(first).is_some_and(|item| *item < range.end)
    };
    (0..rows).filter(holds).collect()
}

/// Items that are null or not finite, ascending.
fn bad_items(items: &ArrayRef) -> Vec<usize> {
    let mut bad = not_finite(items);
    if items.null_count() > 0 {
        bad.extend((0..items.len()).filter(|item| items.is_null(*item)));
        bad.sort_unstable();
        bad.dedup();
    }
    bad
}

fn not_finite(column: &ArrayRef) -> Vec<usize> {
    fn of<T: ArrowPrimitiveType>(
        column: &ArrayRef,
        finite: impl Fn(T::Native) -> bool,
    ) -> Vec<usize> {
        let values: &PrimitiveArray<T> = column.as_primitive();
        // What lies beneath a null may be anything.
        let bad = |row: &usize| values.is_valid(*row) && !finite(values.values()[*row]);
        if values.values().iter().all(|value| finite(*value)) {
            return Vec::new();
        }
        (0..values.len()).filter(bad).collect()
    }
    match column.data_type() {
        DataType::Float16 => of::<Float16Type>(column, |value| value.is_finite()),
        DataType::Float32 => of::<Float32Type>(column, f32::is_finite),
        DataType::Float64 => of::<Float64Type>(column, f64::is_finite),
        _ => Vec::new(),
    }
}

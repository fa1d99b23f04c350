//! Columns to numbers in rows: conversion, null rules, categories and lists.

use std::fmt::Display;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::DataType;
use num_traits::{AsPrimitive, NumCast, One, Zero};
use schemas::PredictError;

use super::super::columns::InputColumns;
use crate::descriptor::{Literal, UnknownCategory};
use crate::plan::{Categories, InputPlan, Source, SourceShape};

/// Runs `$body` with a column downcast to its numeric type; timestamps are their microseconds.
macro_rules! numeric_column {
    ($column:expr, $array:ident => $body:expr, else $other:expr) => {{
        use arrow::datatypes as a;
        macro_rules! as_type {
            ($type:ty) => {{
                let $array = arrow::array::AsArray::as_primitive::<$type>($column);
                $body
            }};
        }
        match arrow::array::Array::data_type($column) {
            a::DataType::Int8 => as_type!(a::Int8Type),
            a::DataType::Int16 => as_type!(a::Int16Type),
            a::DataType::Int32 => as_type!(a::Int32Type),
            a::DataType::Int64 => as_type!(a::Int64Type),
            a::DataType::UInt8 => as_type!(a::UInt8Type),
            a::DataType::UInt16 => as_type!(a::UInt16Type),
            a::DataType::UInt32 => as_type!(a::UInt32Type),
            a::DataType::UInt64 => as_type!(a::UInt64Type),
            a::DataType::Float16 => as_type!(a::Float16Type),
            a::DataType::Float32 => as_type!(a::Float32Type),
            a::DataType::Float64 => as_type!(a::Float64Type),
            a::DataType::Timestamp(a::TimeUnit::Microsecond, _) => {
                as_type!(a::TimestampMicrosecondType)
            }
            _ => $other,
        }
    }};
}

/// Runs `$body` with the memory of a numeric column.
macro_rules! native_slice {
    ($column:expr, $elements:ident => $body:expr, else $other:expr) => {
        fill::numeric_column!($column, array => { let $elements = array.values(); $body }, else $other)
    };
}

pub(super) use {native_slice, numeric_column};

/// A number that tensors are made of.
pub(super) trait Number: Copy + Default + Zero + One + NumCast + Display + 'static {}

impl<T: Copy + Default + Zero + One + NumCast + Display + 'static> Number for T {}

/// Every source's elements, at its offset in rows of `width`.
pub(super) fn numbers<T: Number>(
    plan: &InputPlan,
    columns: InputColumns<'_>,
    rows: Range<usize>,
    width: usize,
    out: &mut [T],
) -> Result<(), PredictError>
where
    i8: AsPrimitive<T>,
    i16: AsPrimitive<T>,
    i32: AsPrimitive<T>,
    i64: AsPrimitive<T>,
    u8: AsPrimitive<T>,
    u16: AsPrimitive<T>,
    u32: AsPrimitive<T>,
    u64: AsPrimitive<T>,
    half::f16: AsPrimitive<T>,
    f32: AsPrimitive<T>,
    f64: AsPrimitive<T>,
{
    for (index, source) in plan.sources.iter().enumerate() {
        let column = columns.get(index);
        let offset = source.offset;
        match &source.shape {
            SourceShape::Scalar if *column.data_type() == DataType::Boolean => {
                let column = column.as_boolean();
                for (row, out) in rows.clone().zip(out.chunks_exact_mut(width)) {
                    out[offset] = if column.value(row) { T::one() } else { T::zero() };
                }
            }
            SourceShape::Scalar => numeric_column!(column, array => {
                if source.checked {
                    checked(source, array, rows.clone(), out.iter_mut().skip(offset).step_by(width), plan)?;
                } else {
                    let values = &array.values()[rows.clone()];
                    for (value, out) in values.iter().zip(out.chunks_exact_mut(width)) {
                        out[offset] = value.as_();
                    }
                }
            }, else return Err(no_number(source, column))),
            SourceShape::List(_) => {
                let len = source_len(source, width);
                for (row, out) in rows.clone().zip(out.chunks_exact_mut(width)) {
                    let Some((items, range)) = items(source, column, row, len)? else { continue };
                    let out = &mut out[offset..offset + len];
                    numeric_column!(items, array => {
                        if source.checked {
                            checked(source, array, range, out.iter_mut(), plan)?;
                        } else {
                            for (value, out) in array.values()[range].iter().zip(out) {
                                *out = value.as_();
                            }
                        }
                    }, else return Err(no_number(source, items)));
                }
            }
            SourceShape::Index(categories) => {
                for (row, out) in rows.clone().zip(out.chunks_exact_mut(width)) {
                    let place = category(source, categories, column, row)?;
                    out[offset] = match place {
                        Place::At(place) => T::from(place).unwrap_or_default(),
                        Place::Unknown => T::from(-1).unwrap_or_default(),
                        Place::Nan => T::from(f64::NAN).unwrap_or_default(),
                    };
                }
            }
            SourceShape::OneHot(categories) => {
                let len = categories.places.len();
                for (row, out) in rows.clone().zip(out.chunks_exact_mut(width)) {
                    let out = &mut out[offset..offset + len];
                    out.fill(T::zero());
                    if let Place::At(place) = category(source, categories, column, row)? {
                        out[place] = T::one();
                    }
                }
            }
        }
        if matches!(source.shape, SourceShape::Scalar | SourceShape::List(_)) {
            fill_nulls(source, column, rows.clone(), width, out)?;
        }
    }
    Ok(())
}

/// Bool columns to a bool tensor.
pub(super) fn bools(
    plan: &InputPlan,
    columns: InputColumns<'_>,
    rows: Range<usize>,
    width: usize,
    out: &mut [bool],
) -> Result<(), PredictError> {
    for (index, source) in plan.sources.iter().enumerate() {
        let column = columns.get(index).as_boolean();
        let null = matches!(source.null, Some(Literal::Bool(true)));
        for (row, out) in rows.clone().zip(out.chunks_exact_mut(width)) {
            out[source.offset] = match column.is_null(row) {
                false => column.value(row),
                true if source.null.is_some() => null,
                true => return Err(null_row(source)),
            };
        }
    }
    Ok(())
}

/// Integers that may not fit, one by one; what lies under a null is not looked at.
fn checked<'o, S: ArrowPrimitiveType, T: Number>(
    source: &Source,
    array: &PrimitiveArray<S>,
    rows: Range<usize>,
    out: impl Iterator<Item = &'o mut T>,
    plan: &InputPlan,
) -> Result<(), PredictError>
where
    S::Native: num_traits::ToPrimitive + Display,
{
    for (row, out) in rows.zip(out) {
        let value = array.value(row);
        *out = match T::from(value) {
            Some(value) => value,
            None if array.is_null(row) => T::zero(),
            None => {
                let shown =
                    if source.sensitive { "its value".to_owned() } else { value.to_string() };
                return Err(PredictError::Rows(format!(
                    "feature `{}`: {shown} does not fit in input `{}`, which is {}",
                    source.feature, plan.tensor, plan.element
                )));
            }
        };
    }
    Ok(())
}

fn fill_nulls<T: Number>(
    source: &Source,
    column: &ArrayRef,
    rows: Range<usize>,
    width: usize,
    out: &mut [T],
) -> Result<(), PredictError> {
    let Some(nulls) = column.nulls().filter(|nulls| nulls.null_count() > 0) else { return Ok(()) };
    let len = source_len(source, width);
    for (_, out) in rows.zip(out.chunks_exact_mut(width)).filter(|(row, _)| nulls.is_null(*row)) {
        let value = match source.null.as_ref().ok_or_else(|| null_row(source))? {
            Literal::Float(value) => T::from(*value),
            Literal::Integer(value) => T::from(*value),
            Literal::Bool(value) => Some(if *value { T::one() } else { T::zero() }),
            Literal::Text(_) => None,
        };
        out[source.offset..source.offset + len].fill(value.unwrap_or_default());
    }
    Ok(())
}

/// Fails where a row of `rows` is null and no rule says what a null becomes.
pub(super) fn no_null(
    plan: &InputPlan,
    columns: InputColumns<'_>,
    rows: Range<usize>,
) -> Result<(), PredictError> {
    for (index, source) in plan.sources.iter().enumerate() {
        let column = columns.get(index);
        if source.null.is_none() && rows.clone().any(|row| column.is_null(row)) {
            return Err(null_row(source));
        }
    }
    Ok(())
}

/// The items of a list and which of them are the row's; `None` for a null.
fn items<'a>(
    source: &Source,
    column: &'a ArrayRef,
    row: usize,
    len: usize,
) -> Result<Option<(&'a ArrayRef, Range<usize>)>, PredictError> {
    if column.is_null(row) {
        return Ok(None);
    }
    let (items, range) = match column.as_fixed_size_list_opt() {
        Some(lists) => {
            let start = lists.value_offset(row) as usize;
            (lists.values(), start..start + lists.value_length() as usize)
        }
        None => {
            let lists = column.as_list::<i32>();
            let offsets = lists.value_offsets();
            (lists.values(), offsets[row] as usize..offsets[row + 1] as usize)
        }
    };
    if range.len() != len {
        return Err(PredictError::Rows(format!(
            "feature `{}` has {} items, {len} were expected",
            source.feature,
            range.len()
        )));
    }
    if items.null_count() > 0 && range.clone().any(|item| items.is_null(item)) {
        return Err(PredictError::Rows(format!(
            "feature `{}` has a null among its items",
            source.feature
        )));
    }
    Ok(Some((items, range)))
}

enum Place {
    At(usize),
    Unknown,
    Nan,
}

fn category(
    source: &Source,
    categories: &Categories,
    column: &ArrayRef,
    row: usize,
) -> Result<Place, PredictError> {
    let column = column.as_string::<i32>();
    let value = match (column.is_null(row), &source.null) {
        (false, _) => column.value(row),
        (true, Some(Literal::Text(value))) => value,
        (true, Some(Literal::Float(_))) => return Ok(Place::Nan),
        (true, _) => return Err(null_row(source)),
    };
    match (categories.places.get(value), categories.unknown) {
        (Some(place), _) => Ok(Place::At(*place)),
        (None, UnknownCategory::Ignore) => Ok(Place::Unknown),
        (None, UnknownCategory::Reject) => {
            let shown =
                if source.sensitive { "its value".to_owned() } else { format!("{value:?}") };
            Err(PredictError::Rows(format!(
                "feature `{}`: {shown} is not among its {} categories",
                source.feature,
                categories.places.len()
            )))
        }
    }
}

fn source_len(source: &Source, width: usize) -> usize {
    match &source.shape {
        SourceShape::List(len) => len.unwrap_or(width),
        SourceShape::OneHot(categories) => categories.places.len(),
        SourceShape::Scalar | SourceShape::Index(_) => 1,
    }
}

pub(super) fn null_row(source: &Source) -> PredictError {
    PredictError::Rows(format!(
        "feature `{}` is null, and its null rule is \"reject\"",
        source.feature
    ))
}

fn no_number(source: &Source, column: &ArrayRef) -> PredictError {
    PredictError::Model(format!(
        "feature `{}` is {}, not a number",
        source.feature,
        column.data_type()
    ))
}

//! The numbers of one column under construction, in the column's own type.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use half::f16;

use super::cursor::{Cursor, Number};
use super::problem::{Problem, kind_at};
use super::{number, plain};
use crate::NumberType;

/// One vector of the column's type.
pub(super) enum Numbers {
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    UInt8(Vec<u8>),
    UInt16(Vec<u16>),
    UInt32(Vec<u32>),
    UInt64(Vec<u64>),
    Float16(Vec<f16>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
}

/// The same expression for every numeric vector.
macro_rules! each {
    ($numbers:expr, $values:ident => $body:expr) => {
        match $numbers {
            Numbers::Int8($values) => $body,
            Numbers::Int16($values) => $body,
            Numbers::Int32($values) => $body,
            Numbers::Int64($values) => $body,
            Numbers::UInt8($values) => $body,
            Numbers::UInt16($values) => $body,
            Numbers::UInt32($values) => $body,
            Numbers::UInt64($values) => $body,
            Numbers::Float16($values) => $body,
            Numbers::Float32($values) => $body,
            Numbers::Float64($values) => $body,
        }
    };
}

impl Numbers {
    pub(super) fn new(number: NumberType) -> Self {
        match number {
            NumberType::Int8 => Self::Int8(Vec::new()),
            NumberType::Int16 => Self::Int16(Vec::new()),
            NumberType::Int32 => Self::Int32(Vec::new()),
            NumberType::Int64 => Self::Int64(Vec::new()),
            NumberType::UInt8 => Self::UInt8(Vec::new()),
            NumberType::UInt16 => Self::UInt16(Vec::new()),
            NumberType::UInt32 => Self::UInt32(Vec::new()),
            NumberType::UInt64 => Self::UInt64(Vec::new()),
            NumberType::Float16 => Self::Float16(Vec::new()),
            NumberType::Float32 => Self::Float32(Vec::new()),
            NumberType::Float64 => Self::Float64(Vec::new()),
        }
    }

    pub(super) fn number(&self) -> NumberType {
        match self {
            Self::Int8(_) => NumberType::Int8,
            Self::Int16(_) => NumberType::Int16,
            Self::Int32(_) => NumberType::Int32,
            Self::Int64(_) => NumberType::Int64,
            Self::UInt8(_) => NumberType::UInt8,
            Self::UInt16(_) => NumberType::UInt16,
            Self::UInt32(_) => NumberType::UInt32,
            Self::UInt64(_) => NumberType::UInt64,
            Self::Float16(_) => NumberType::Float16,
            Self::Float32(_) => NumberType::Float32,
            Self::Float64(_) => NumberType::Float64,
        }
    }

    pub(super) fn reserve(&mut self, count: usize) {
        each!(self, values => values.reserve(count));
    }

    pub(super) fn truncate(&mut self, count: usize) {
        each!(self, values => values.truncate(count));
    }

    pub(super) fn len(&self) -> usize {
        each!(self, values => values.len())
    }

    /// Takes a short number at `at` and returns where it ends; `None`, and nothing taken, otherwise.
    #[inline(always)]
    pub(super) fn push_plain(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        #[inline(always)]
        fn integer<T: TryFrom<i64>>(values: &mut Vec<T>, bytes: &[u8], at: usize) -> Option<usize> {
            let (value, end) = plain::integer(bytes, at)?;
            values.push(T::try_from(value).ok()?);
            Some(end)
        }
        match self {
            Self::Int8(values) => integer(values, bytes, at),
            Self::Int16(values) => integer(values, bytes, at),
            Self::Int32(values) => integer(values, bytes, at),
            Self::Int64(values) => integer(values, bytes, at),
            Self::UInt8(values) => integer(values, bytes, at),
            Self::UInt16(values) => integer(values, bytes, at),
            Self::UInt32(values) => integer(values, bytes, at),
            Self::UInt64(values) => integer(values, bytes, at),
            Self::Float16(values) => {
                let (value, end) = plain::decimal(bytes, at)?;
                values.push(number::narrow16(value)?);
                Some(end)
            }
            Self::Float32(values) => {
                let (value, end) = plain::decimal(bytes, at)?;
                values.push(plain::narrow(value)?);
                Some(end)
            }
            Self::Float64(values) => {
                let (value, end) = plain::decimal(bytes, at)?;
                values.push(value);
                Some(end)
            }
        }
    }

    pub(super) fn push(&mut self, number: Number<'_>) -> Result<(), Problem> {
        fn integer<T: TryFrom<i128>>(
            values: &mut Vec<T>,
            number: Number<'_>,
        ) -> Result<(), Problem> {
            if !number.integer {
                return Err(Problem::NotAnInteger);
            }
            let value = number::integer(number).and_then(|value| T::try_from(value).ok());
            values.push(value.ok_or(Problem::OutOfRange)?);
            Ok(())
        }
        match self {
            Self::Int8(values) => integer(values, number)?,
            Self::Int16(values) => integer(values, number)?,
            Self::Int32(values) => integer(values, number)?,
            Self::Int64(values) => integer(values, number)?,
            Self::UInt8(values) => integer(values, number)?,
            Self::UInt16(values) => integer(values, number)?,
            Self::UInt32(values) => integer(values, number)?,
            Self::UInt64(values) => integer(values, number)?,
            Self::Float16(values) => {
                values.push(number::float16(number).ok_or(Problem::OutOfRange)?)
            }
            Self::Float32(values) => {
                values.push(number::float32(number).ok_or(Problem::OutOfRange)?)
            }
            Self::Float64(values) => {
                values.push(number::float64(number).ok_or(Problem::OutOfRange)?)
            }
        }
        Ok(())
    }

    /// Takes the items of the array at the cursor and returns how many there are.
    pub(super) fn push_items(&mut self, cursor: &mut Cursor<'_>) -> Result<usize, Problem> {
        let before = self.len();
        cursor.take(b'[');
        cursor.whitespace();
        if cursor.take(b']') {
            return Ok(0);
        }
        loop {
            match cursor.peek() {
                Some(b'-' | b'0'..=b'9') => self.push(cursor.number()?)?,
                byte => {
                    let found =
                        kind_at(byte).ok_or(cursor.syntax("a number was expected in a list"))?;
                    return Err(Problem::Item { found });
                }
            }
            cursor.whitespace();
            if cursor.take(b']') {
                return Ok(self.len() - before);
            }
            if !cursor.take(b',') {
                return Err(cursor.syntax("a comma or the end of a list was expected"));
            }
            cursor.whitespace();
        }
    }

    pub(super) fn push_zeros(&mut self, count: usize) {
        each!(self, values => values.resize_with(values.len() + count, Default::default));
    }

    pub(super) fn finish(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        fn array<T: ArrowPrimitiveType>(
            values: &mut Vec<T::Native>,
            nulls: Option<NullBuffer>,
        ) -> ArrayRef {
            Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(std::mem::take(values)), nulls))
        }
        match self {
            Self::Int8(values) => array::<Int8Type>(values, nulls),
            Self::Int16(values) => array::<Int16Type>(values, nulls),
            Self::Int32(values) => array::<Int32Type>(values, nulls),
            Self::Int64(values) => array::<Int64Type>(values, nulls),
            Self::UInt8(values) => array::<UInt8Type>(values, nulls),
            Self::UInt16(values) => array::<UInt16Type>(values, nulls),
            Self::UInt32(values) => array::<UInt32Type>(values, nulls),
            Self::UInt64(values) => array::<UInt64Type>(values, nulls),
            Self::Float16(values) => array::<Float16Type>(values, nulls),
            Self::Float32(values) => array::<Float32Type>(values, nulls),
            Self::Float64(values) => array::<Float64Type>(values, nulls),
        }
    }
}

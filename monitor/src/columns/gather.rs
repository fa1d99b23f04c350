//! Values of one column, batch by batch, in their order.
//!
//! 8 bytes a number, 4 bytes a category's row beside the distinct values, which have a limit.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray};
use arrow::compute::{can_cast_types, cast};
use arrow::datatypes::{DataType, Float64Type, TimeUnit};
use arrow::error::ArrowError;

use super::plan::{Hashing, Treatment};

/// Most distinct values that are told apart; a column with more is an identifier, or free text.
pub const MAX_DISTINCT: usize = 1 << 20;
/// Most bytes of distinct values of one column.
pub const MAX_TEXT_BYTES: usize = 256 << 20;

/// A null among [`Texts::codes`].
const NULL: u32 = u32::MAX;
/// Microseconds in a second, the unit in which instants are compared.
const MICROS: f64 = 1e6;

/// What was gathered of a column.
#[derive(Debug)]
pub enum Gathered {
    /// Values in order; NaN is a null.
    Numbers(Vec<f64>),
    /// Values in order.
    Texts(Texts),
}

/// Values of a categorical column, each distinct one kept once.
#[derive(Debug, Default)]
pub struct Texts {
    codes: Vec<u32>,
    names: Vec<String>,
    places: HashMap<String, u32>,
    bytes: usize,
    overflow: bool,
    rows: u64,
    nulls: u64,
}

impl Gathered {
    /// Room for `rows` values; `None` for a column that is left out.
    pub fn new(treatment: &Treatment, rows: u64) -> Option<Self> {
        match treatment {
            Treatment::Numeric => Some(Self::Numbers(Vec::with_capacity(rows as usize))),
            Treatment::Categorical(_) => Some(Self::Texts(Texts::default())),
            Treatment::LeftOut(_) | Treatment::Dropped => None,
        }
    }

    /// Appends a batch's values; `salt` is for those that are hashed.
    pub fn push(
        &mut self,
        column: &ArrayRef,
        treatment: &Treatment,
        salt: &[u8],
    ) -> Result<(), ArrowError> {
        match self {
            Self::Numbers(values) => append(values, &numbers(column)?),
            Self::Texts(values) => {
                let hashing = match treatment {
                    Treatment::Categorical(hashing) => *hashing,
                    Treatment::Numeric | Treatment::LeftOut(_) | Treatment::Dropped => Hashing::No,
                };
                values.push(&texts(column, hashing, salt)?);
            }
        }
        Ok(())
    }
}

fn append(values: &mut Vec<f64>, column: &Float64Array) {
    if column.null_count() == 0 {
        values.extend_from_slice(column.values());
    } else {
        values.extend(column.iter().map(|value| value.unwrap_or(f64::NAN)));
    }
}

/// Whether [`numbers`] takes this type.
pub fn is_number_like(kind: &DataType) -> bool {
    is_instant(kind) || can_cast_types(kind, &DataType::Float64)
}

/// Whether [`texts`] takes this type.
pub fn is_text_like(kind: &DataType) -> bool {
    can_cast_types(kind, &DataType::Utf8)
}

fn is_instant(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64)
}

/// A column as doubles: integers beyond 2^53 are rounded, instants are seconds since 1970, and what
/// is no number is null.
pub fn numbers(column: &ArrayRef) -> Result<Float64Array, ArrowError> {
    if is_instant(column.data_type()) {
        let instants = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
        let micros = cast(&cast(&instants, &DataType::Int64)?, &DataType::Float64)?;
        return Ok(micros.as_primitive::<Float64Type>().unary(|micros| micros / MICROS));
    }
    let numbers = cast(column, &DataType::Float64)?;
    Ok(numbers.as_primitive::<Float64Type>().clone())
}

/// A column as text, or as the hashes that the archive would hold in its place.
pub fn texts(column: &ArrayRef, hashing: Hashing, salt: &[u8]) -> Result<StringArray, ArrowError> {
    let column = match hashing {
        Hashing::No | Hashing::Done => cast(column, &DataType::Utf8)?,
        Hashing::Wanted(kind) => schemas::hashed(&cast(column, &kind.data_type())?, salt),
    };
    Ok(column.as_string::<i32>().clone())
}

impl Texts {
    fn push(&mut self, values: &StringArray) {
        self.rows += values.len() as u64;
        self.nulls += values.null_count() as u64;
        if self.overflow {
            return;
        }
        self.codes.reserve(values.len());
        for value in values {
            let code = value.map_or(NULL, |value| self.code(value));
            self.codes.push(code);
        }
        if self.overflow {
            // What was kept says nothing any more; the memory is wanted for other columns.
            let (rows, nulls) = (self.rows, self.nulls);
            *self = Self { overflow: true, rows, nulls, ..Self::default() };
        }
    }

    fn code(&mut self, value: &str) -> u32 {
        if let Some(code) = self.places.get(value) {
            return *code;
        }
        self.bytes += value.len();
        if self.names.len() == MAX_DISTINCT || self.bytes > MAX_TEXT_BYTES {
            self.overflow = true;
            return NULL;
        }
        let code = self.names.len() as u32;
        self.names.push(value.to_owned());
        self.places.insert(value.to_owned(), code);
        code
    }

    /// Every row, null or not.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows that are null.
    pub fn nulls(&self) -> u64 {
        self.nulls
    }

    /// Distinct values; `None` when there are too many to keep.
    pub fn distinct(&self) -> Option<u64> {
        (!self.overflow).then_some(self.names.len() as u64)
    }

    /// Each distinct value with its rows, in the order of their first rows.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        let mut counts = vec![0_u64; self.names.len()];
        for code in self.codes.iter().filter(|code| **code != NULL) {
            counts[*code as usize] += 1;
        }
        self.names.iter().map(String::as_str).zip(counts)
    }

    /// The distinct values; a code of [`Texts::codes`] is a place here.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The rows in order: places of their values, `None` for nulls.
    pub fn codes(&self) -> impl ExactSizeIterator<Item = Option<usize>> {
        self.codes.iter().map(|code| (*code != NULL).then_some(*code as usize))
    }
}

//! Two columns of answers: how far apart numbers are, and how many other values differ.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

/// How two columns of the same rows differ.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Difference {
    /// Largest error of a number: absolute below 1, relative above.
    pub(super) error: f64,
    /// Rows whose text, bool or label differs.
    pub(super) flips: usize,
}

impl Difference {
    /// The larger of both.
    pub(super) fn or(self, other: Self) -> Self {
        Self { error: self.error.max(other.error), flips: self.flips.max(other.flips) }
    }
}

/// Compares `have` with `expected`; with `exact`, numbers too are equal or not.
pub(super) fn compare(
    have: &ArrayRef,
    expected: &ArrayRef,
    exact: bool,
) -> Result<Difference, String> {
    if have.len() != expected.len() {
        return Err(format!("{} rows, {} were expected", have.len(), expected.len()));
    }
    if let (DataType::List(_), Some(wanted)) = (have.data_type(), as_list(expected)) {
        let (have, wanted) = (have.as_list::<i32>(), wanted.as_list::<i32>());
        let differ = (0..have.len())
            .filter(|row| have.value_length(*row) != wanted.value_length(*row))
            .count();
        if differ > 0 {
            return Err(format!("{differ} lists are of another length than expected"));
        }
        let items = |list: &arrow::array::ListArray| {
            let offsets = list.value_offsets();
            let start = offsets[0] as usize;
            list.values().slice(start, offsets[list.len()] as usize - start)
        };
        return compare(&items(have), &items(wanted), exact);
    }
    if exact || !have.data_type().is_numeric() {
        let (have, expected) = (to(have, &DataType::Utf8)?, to(expected, &DataType::Utf8)?);
        let (have, expected) = (have.as_string::<i32>(), expected.as_string::<i32>());
        let flips = have.iter().zip(expected).filter(|(have, expected)| have != expected).count();
        return Ok(Difference { error: 0.0, flips });
    }
    let (have, expected) = (to(have, &DataType::Float64)?, to(expected, &DataType::Float64)?);
    let (have, expected) =
        (have.as_primitive::<Float64Type>(), expected.as_primitive::<Float64Type>());
    let error = have.iter().zip(expected).fold(0.0, |worst: f64, pair| worst.max(distance(pair)));
    Ok(Difference { error, flips: 0 })
}

/// Absolute below 1, relative above; infinite where only one of them is a finite number.
fn distance(pair: (Option<f64>, Option<f64>)) -> f64 {
    match pair {
        (Some(have), Some(expected)) if have.is_finite() && expected.is_finite() => {
            (have - expected).abs() / expected.abs().max(1.0)
        }
        (Some(have), Some(expected))
            if have == expected || (have.is_nan() && expected.is_nan()) =>
        {
            0.0
        }
        (None, None) => 0.0,
        (Some(value), None) | (None, Some(value)) if value.is_nan() => 0.0,
        _ => f64::INFINITY,
    }
}

fn as_list(column: &ArrayRef) -> Option<ArrayRef> {
    let item = match column.data_type() {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => item,
        _ => return None,
    };
    cast(column, &DataType::List(item.clone())).ok()
}

fn to(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, String> {
    cast(column, data_type)
        .map_err(|error| format!("{} is not comparable: {error}", column.data_type()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float32Array, Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn numbers_labels_and_gaps() {
        let floats = |values: Vec<f64>| Arc::new(Float64Array::from(values)) as ArrayRef;
        let text = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
        let nan = f64::NAN;
        for (have, expected, exact, error, flips) in [
            (floats(vec![0.5, 200.0]), floats(vec![0.25, 100.0]), false, 1.0, 0),
            (floats(vec![nan, 1.0]), floats(vec![nan, 1.0]), false, 0.0, 0),
            (floats(vec![nan]), floats(vec![0.0]), false, f64::INFINITY, 0),
            (Arc::new(Float32Array::from(vec![0.5])), floats(vec![0.5]), false, 0.0, 0),
            (text(vec!["a", "b"]), text(vec!["a", "c"]), false, 0.0, 1),
            (Arc::new(Int64Array::from(vec![1, 2])), text(vec!["1", "3"]), true, 0.0, 1),
        ] {
            assert_eq!(compare(&have, &expected, exact).unwrap(), Difference { error, flips });
        }
        assert!(compare(&text(vec!["a"]), &text(vec![]), false).is_err());
    }
}

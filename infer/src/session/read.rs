//! From the model's answers to columns: values, probabilities, labels and lists.
//!
//! Numbers go on as they are; whoever writes them makes a null of one that is not finite. A label that
//! would have to be decided from scores that hold a NaN is null here: no class is named in its stead.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float32Array, ListArray, PrimitiveArray, StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use half::f16;
use ort::value::{DynMapValueType, DynValue, TensorElementType, ValueType};
use schemas::PredictError;

use crate::ElementType;
use crate::descriptor::{Output, OutputKind};

/// The column of `output` for the first `rows` of `padded` rows in `value`.
pub(super) fn column(
    output: &Output,
    value: &DynValue,
    rows: usize,
    padded: usize,
) -> Result<ArrayRef, PredictError> {
    let made = match value.dtype() {
        ValueType::Sequence(_) => from_maps(output, value, rows, padded),
        ValueType::Tensor { .. } => from_tensor(output, value, rows, padded),
        other => Err(format!("is {other}, which no column can hold")),
    };
    made.map_err(|message| PredictError::Model(format!("output {:?} {message}", output.tensor)))
}

fn from_tensor(
    output: &Output,
    value: &DynValue,
    rows: usize,
    padded: usize,
) -> Result<ArrayRef, String> {
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        unreachable!("matched by the caller")
    };
    if shape.first() != Some(&(padded as i64)) {
        return Err(format!("has shape {shape}, {padded} rows were expected"));
    }
    let width = shape.num_elements() / padded.max(1);
    output.check_width(width)?;
    let wrong = |_| format!("is a tensor of {ty}, the descriptor says {}", output.dtype);
    macro_rules! integers {
        ($type:ty) => {
            integers::<$type>(output, value.try_extract_tensor().map_err(wrong)?.1, width, rows)
        };
    }
    match output.dtype {
        ElementType::Float16 => {
            let (_, data) = value.try_extract_tensor::<f16>().map_err(wrong)?;
            let wide: Vec<f32> = data.iter().map(|value| value.to_f32()).collect();
            floats::<Float32Type>(output, &wide, width, rows)
        }
        ElementType::Float32 => floats::<Float32Type>(
            output,
            value.try_extract_tensor::<f32>().map_err(wrong)?.1,
            width,
            rows,
        ),
        ElementType::Float64 => floats::<Float64Type>(
            output,
            value.try_extract_tensor::<f64>().map_err(wrong)?.1,
            width,
            rows,
        ),
        ElementType::String => {
            let (_, data) = value.try_extract_strings().map_err(wrong)?;
            let text = |row: usize, place: usize| data[row * width + place].as_str();
            Ok(picked(output, width, rows, text, StringArray::from_iter_values))
        }
        ElementType::Bool => {
            let (_, data) = value.try_extract_tensor::<bool>().map_err(wrong)?;
            let make = |values: Values<'_, bool>| BooleanArray::from(values.collect::<Vec<_>>());
            Ok(picked(output, width, rows, |row, place| data[row * width + place], make))
        }
        ElementType::Int8 => integers!(Int8Type),
        ElementType::Int16 => integers!(Int16Type),
        ElementType::Int32 => integers!(Int32Type),
        ElementType::Int64 => integers!(Int64Type),
        ElementType::UInt8 => integers!(UInt8Type),
        ElementType::UInt16 => integers!(UInt16Type),
        ElementType::UInt32 => integers!(UInt32Type),
        ElementType::UInt64 => integers!(UInt64Type),
    }
}

type Values<'a, T> = Box<dyn Iterator<Item = T> + 'a>;

/// A column of one element per row, or of all of them as lists.
fn picked<'a, T: 'a, A: Array + 'static>(
    output: &Output,
    width: usize,
    rows: usize,
    at: impl Fn(usize, usize) -> T + Copy + 'a,
    make: impl FnOnce(Values<'a, T>) -> A,
) -> ArrayRef {
    if output.kind == OutputKind::List {
        let all = (0..rows).flat_map(move |row| (0..width).map(move |place| at(row, place)));
        return lists(Arc::new(make(Box::new(all))), width, rows);
    }
    let place = output.place(width).unwrap_or(0);
    Arc::new(make(Box::new((0..rows).map(move |row| at(row, place)))))
}

fn lists(items: ArrayRef, width: usize, rows: usize) -> ArrayRef {
    let field = Arc::new(Field::new("item", items.data_type().clone(), false));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(width, rows));
    Arc::new(ListArray::new(field, offsets, items, None))
}

fn numbers<T: ArrowPrimitiveType>(
    output: &Output,
    data: &[T::Native],
    width: usize,
    rows: usize,
) -> ArrayRef {
    if output.kind == OutputKind::List {
        return lists(
            Arc::new(PrimitiveArray::<T>::from_iter_values(data[..rows * width].iter().copied())),
            width,
            rows,
        );
    }
    let place = output.place(width).unwrap_or(0);
    if width == 1 {
        return Arc::new(PrimitiveArray::<T>::from_iter_values(data[..rows].iter().copied()));
    }
    Arc::new(PrimitiveArray::<T>::from_iter_values(
        data.iter().skip(place).step_by(width).take(rows).copied(),
    ))
}

fn floats<T: ArrowPrimitiveType>(
    output: &Output,
    data: &[T::Native],
    width: usize,
    rows: usize,
) -> Result<ArrayRef, String>
where
    T::Native: Into<f64>,
{
    if !output.decides() {
        return Ok(numbers::<T>(output, data, width, rows));
    }
    let decide = |row: usize| {
        let row = data[row * width..(row + 1) * width].iter();
        let class = decide(row.map(|value| (*value).into()), output.threshold)?;
        Some(output.classes[class].as_str())
    };
    Ok(Arc::new(StringArray::from_iter((0..rows).map(decide))))
}

/// The class that probabilities decide for: the first of the largest, or by the threshold of the
/// second of two. A single probability is that of the second class. None where one is NaN.
fn decide(
    probabilities: impl ExactSizeIterator<Item = f64> + Clone,
    threshold: Option<f64>,
) -> Option<usize> {
    if probabilities.clone().any(f64::is_nan) {
        return None;
    }
    if probabilities.len() <= 2 && (threshold.is_some() || probabilities.len() == 1) {
        return probabilities.last().map(|second| usize::from(second >= threshold.unwrap_or(0.5)));
    }
    let mut best = (0, f64::NEG_INFINITY);
    for (class, probability) in probabilities.enumerate() {
        if probability > best.1 {
            best = (class, probability);
        }
    }
    Some(best.0)
}

fn integers<T: ArrowPrimitiveType>(
    output: &Output,
    data: &[T::Native],
    width: usize,
    rows: usize,
) -> Result<ArrayRef, String>
where
    T::Native: TryInto<usize> + std::fmt::Display,
{
    if output.kind != OutputKind::Label || output.classes.is_empty() {
        return Ok(numbers::<T>(output, data, width, rows));
    }
    let name = |value: &T::Native| {
        let place: Option<usize> = (*value).try_into().ok();
        place.and_then(|place| output.classes.get(place)).map(String::as_str).ok_or_else(|| {
            format!(
                "holds label {value}, the descriptor names {} classes, from 0",
                output.classes.len()
            )
        })
    };
    let names: Vec<&str> = data[..rows].iter().map(name).collect::<Result<_, _>>()?;
    Ok(Arc::new(StringArray::from_iter_values(names)))
}

/// One map per row, from class to probability: what scikit-learn's ZipMap makes.
fn from_maps(
    output: &Output,
    value: &DynValue,
    rows: usize,
    padded: usize,
) -> Result<ArrayRef, String> {
    let said = |error: ort::Error| format!("cannot be read: {error}");
    let maps = value.try_extract_sequence::<DynMapValueType>().map_err(said)?;
    if maps.len() != padded {
        return Err(format!("holds {} maps, {padded} rows were expected", maps.len()));
    }
    let wanted: Vec<&str> = match output.kind {
        OutputKind::Probability => output.class.iter().map(String::as_str).collect(),
        _ => output.classes.iter().map(String::as_str).collect(),
    };
    let mut found = vec![f32::NAN; rows * wanted.len()];
    for (map, row) in maps.iter().zip(found.chunks_exact_mut(wanted.len().max(1))) {
        let text = matches!(map.dtype(), ValueType::Map { key: TensorElementType::String, .. });
        let entries: Vec<(String, f32)> = if text {
            map.try_extract_key_values::<String, f32>().map_err(said)?
        } else {
            let entries = map.try_extract_key_values::<i64, f32>().map_err(said)?;
            entries.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
        };
        for (class, probability) in wanted.iter().zip(row) {
            let entry = entries.iter().find(|(key, _)| key == class);
            *probability = entry.ok_or_else(|| format!("has no class {class:?} in its maps"))?.1;
        }
    }
    if output.kind == OutputKind::Probability {
        return Ok(Arc::new(Float32Array::from(found)));
    }
    floats::<Float32Type>(output, &found, wanted.len(), rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_decide_for_a_class_and_nan_for_none() {
        let nan = f64::NAN;
        let cases: [(&[f64], Option<f64>, Option<usize>); 11] = [
            (&[0.2, 0.5, 0.3], None, Some(1)),
            (&[0.4, 0.4, 0.2], None, Some(0)),
            (&[f64::NEG_INFINITY, 3.0], None, Some(1)),
            (&[0.6, 0.4], Some(0.3), Some(1)),
            (&[0.4], None, Some(0)),
            (&[0.4], Some(0.3), Some(1)),
            (&[nan, nan, nan], None, None),
            (&[0.9, nan, 0.1], None, None),
            (&[nan, 0.9], Some(0.3), None),
            (&[0.9, nan], Some(0.3), None),
            (&[nan], None, None),
        ];
        for (scores, threshold, expected) in cases {
            let decided = decide(scores.iter().copied(), threshold);
            assert_eq!(decided, expected, "{scores:?} {threshold:?}");
        }
    }
}

//! A window's results, each with its label where there is one, into the tallies.
//!
//! What the join carries of a result is its group, its answer and its score, packed; of a label what it
//! says. A result without a key has no label and is counted at once.

use std::ops::Range;

use arrow::array::{
    Array, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use batch::StoreError;

use super::join::{Join, Known, Reach};
use super::tally::{Answered, Right, Tallies};
use super::{Kind, Settings, question};
use crate::count::MICROS;

/// See the module.
pub(super) fn window(
    settings: &Settings,
    kind: Kind,
    extent: &Range<i64>,
    tallies: &mut Tallies<'_>,
) -> Result<(), StoreError> {
    let ttl = i64::from(settings.ttl_seconds) * MICROS;
    let reach = match kind {
        Kind::Estimated => return results(settings, kind, extent, tallies, None),
        Kind::Realised => Reach { after: None, upto: ttl },
        Kind::Late => Reach { after: Some(ttl), upto: 2 * ttl },
    };
    let mut join = Join::new(reach, settings.memory_bytes);
    results(settings, kind, extent, tallies, Some(&mut join))?;
    let from = extent.start.saturating_add(reach.after.unwrap_or(0));
    labels(settings, from..extent.end.saturating_add(reach.upto), &mut join)?;
    let is_late = kind == Kind::Late;
    join.finish(&mut |result, label| {
        let result = Packed::new(result);
        if is_late {
            tallies.add_late(result.place, label.is_some());
        } else {
            let right = label.map(Packed::new);
            let right = right.as_ref().and_then(Packed::right);
            tallies.add(result.place, result.answered(settings.answer.is_number()), right);
        }
        Ok(())
    })
}

fn results(
    settings: &Settings,
    kind: Kind,
    extent: &Range<i64>,
    tallies: &mut Tallies<'_>,
    mut join: Option<&mut Join>,
) -> Result<(), StoreError> {
    let (sql, is_number) = (question::results(settings, extent), settings.answer.is_number());
    let mut packed = Vec::new();
    each(settings, &settings.results, &sql, &mut |batch| {
        let names = [text(batch, "model")?, text(batch, "version")?, text(batch, "arm")?];
        let (keys, times) = (text(batch, "k")?, whole(batch, "t")?);
        let scores = number(batch, "score")?;
        let (texts, numbers) = if is_number {
            (None, Some(number(batch, "answer")?))
        } else {
            (Some(text(batch, "answer")?), None)
        };
        for row in 0..batch.num_rows() {
            let name = |of: &StringArray| at(of, row).map(str::to_owned);
            let place = tallies.place([name(&names[0]), name(&names[1]), name(&names[2])]);
            let answered = Answered {
                text: texts.as_ref().and_then(|texts| at(texts, row)),
                number: numbers.as_ref().and_then(|numbers| float(numbers, row)),
                score: float(&scores, row),
            };
            match (&mut join, at(&keys, row)) {
                (Some(join), Some(key)) => {
                    let value = if is_number { answered.number } else { answered.score };
                    pack(&mut packed, place, value, answered.text);
                    join.result(key, times.value(row), &packed)?;
                }
                (Some(_), None) if kind == Kind::Late => tallies.add_late(place, false),
                (Some(_) | None, _) => tallies.add(place, answered, None),
            }
        }
        Ok(())
    })
}

fn labels(settings: &Settings, extent: Range<i64>, join: &mut Join) -> Result<(), StoreError> {
    let mut packed = Vec::new();
    each(settings, &settings.labels, &question::labels(extent), &mut |batch| {
        let (keys, labels) = (text(batch, "k")?, text(batch, "label")?);
        let (times, offsets) = (whole(batch, "t")?, whole(batch, "o")?);
        let (partitions, numbers) = (small(batch, "p")?, number(batch, "label_number")?);
        for row in 0..batch.num_rows() {
            let Some(key) = at(&keys, row) else { continue };
            let of = Known {
                time: times.value(row),
                partition: partitions.value(row),
                offset: offsets.value(row),
            };
            pack(&mut packed, 0, float(&numbers, row), at(&labels, row));
            join.label(key, of, &packed)?;
        }
        Ok(())
    })
}

fn each(
    settings: &Settings,
    table: &batch::sql::SqlTable,
    sql: &str,
    each: &mut dyn FnMut(&RecordBatch) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    batch::sql::read(std::slice::from_ref(table), sql, settings.memory_bytes, each)
}

/// What the join carries: a place, a number and a text, each of which may be missing.
#[derive(Debug, PartialEq)]
struct Packed<'a> {
    place: u32,
    number: Option<f64>,
    text: Option<&'a str>,
}

const HAS_NUMBER: u8 = 1;
const HAS_TEXT: u8 = 2;

fn pack(into: &mut Vec<u8>, place: u32, number: Option<f64>, text: Option<&str>) {
    into.clear();
    into.extend_from_slice(&place.to_le_bytes());
    let has = [(number.is_some(), HAS_NUMBER), (text.is_some(), HAS_TEXT)];
    into.push(has.iter().filter(|(has, _)| *has).map(|(_, bit)| bit).sum());
    into.extend_from_slice(&number.unwrap_or_default().to_le_bytes());
    into.extend_from_slice(text.unwrap_or_default().as_bytes());
}

impl<'a> Packed<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let (head, text) = bytes.split_at(13);
        let has = head[4];
        let number = f64::from_le_bytes(head[5..].try_into().expect("eight bytes"));
        Self {
            place: u32::from_le_bytes(head[..4].try_into().expect("four bytes")),
            number: (has & HAS_NUMBER != 0).then_some(number),
            text: (has & HAS_TEXT != 0)
                .then(|| std::str::from_utf8(text).expect("a text was packed")),
        }
    }

    fn answered(&self, is_number: bool) -> Answered<'a> {
        let (number, score) = if is_number { (self.number, None) } else { (None, self.number) };
        Answered { text: self.text, number, score }
    }

    /// None where a label takes an earlier one back.
    fn right(&self) -> Option<Right<'a>> {
        Some(Right { text: self.text?, number: self.number })
    }
}

fn column(
    batch: &RecordBatch,
    name: &str,
    kind: &DataType,
) -> Result<arrow::array::ArrayRef, StoreError> {
    cast(&batch[name], kind).map_err(|error| {
        StoreError::Query(format!("column {name} of the join cannot be read: {error}"))
    })
}

fn text(batch: &RecordBatch, name: &str) -> Result<StringArray, StoreError> {
    Ok(column(batch, name, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn number(batch: &RecordBatch, name: &str) -> Result<Float64Array, StoreError> {
    Ok(column(batch, name, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

fn whole(batch: &RecordBatch, name: &str) -> Result<Int64Array, StoreError> {
    Ok(column(batch, name, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

fn small(batch: &RecordBatch, name: &str) -> Result<Int32Array, StoreError> {
    Ok(column(batch, name, &DataType::Int32)?.as_primitive::<Int32Type>().clone())
}

fn at(column: &StringArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}

fn float(column: &Float64Array, row: usize) -> Option<f64> {
    column.is_valid(row).then(|| column.value(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out() {
        let mut bytes = Vec::new();
        for number in [None, Some(0.0), Some(-1.5), Some(f64::INFINITY)] {
            for text in [None, Some(""), Some("late"), Some("ü")] {
                for place in [0, u32::MAX] {
                    pack(&mut bytes, place, number, text);
                    assert_eq!(Packed::new(&bytes), Packed { place, number, text });
                }
            }
        }
    }
}

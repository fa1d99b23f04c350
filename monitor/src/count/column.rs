//! One column of a stretch of rows, counted into every cell.

use std::collections::HashMap;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int32Type};
use batch::StoreError;
use batch::source::Columns;

use super::cells::{Cells, damaged};
use super::settings::{CountedColumn, Kind};
use super::table::{Rows, Tally};
use crate::columns::{Hashing, is_number_like, is_text_like, numbers, texts};
use crate::stats::Categories;

/// Bins of every row, and the values where they are numbers.
struct Read {
    bins: Vec<u16>,
    values: Vec<f64>,
}

/// Counts `column` of `rows` into `to`, one row a cell. `push` is told of every row written.
pub(super) fn count(
    file: &Columns,
    column: &CountedColumn,
    cells: &Cells,
    rows: Range<usize>,
    to: &mut Rows,
    push: &mut dyn FnMut(&mut Rows) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let Some(read) = read(file, column, rows)? else { return Ok(()) };
    let mut histogram = vec![0_u32; column.kind.cells()];
    for (cell, key) in cells.keys.iter().enumerate() {
        let of = cells.rows(cell);
        let mut tally = match &column.kind {
            Kind::Numeric(binner) => {
                let finite = binner.cells() as u16 - 2;
                numeric(&read, of, finite, column.range, &mut histogram)
            }
            Kind::Categorical(_) => {
                of.iter().for_each(|row| histogram[usize::from(read.bins[*row as usize])] += 1);
                Tally::default()
            }
        };
        tally.rows = of.len() as u64;
        tally.nulls = histogram[column.kind.null_cell()].into();
        to.push(key, &cells.groups[key.group as usize], Some(&column.name), &tally, &mut histogram);
        push(to)?;
    }
    Ok(())
}

fn numeric(
    read: &Read,
    rows: &[u32],
    finite: u16,
    range: Option<(f64, f64)>,
    histogram: &mut [u32],
) -> Tally {
    let (mut sum, mut min, mut max) = (0.0, f64::INFINITY, f64::NEG_INFINITY);
    let (low, high) = range.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
    let mut outside = 0;
    for row in rows {
        let (bin, value) = (read.bins[*row as usize], read.values[*row as usize]);
        histogram[usize::from(bin)] += 1;
        outside += u64::from(value < low || value > high);
        if bin < finite {
            sum += value;
            min = f64::min(min, value);
            max = f64::max(max, value);
        }
    }
    // -0.0 is 0.0 in every profile.
    let numbers = (min <= max).then_some((sum, min + 0.0, max + 0.0));
    Tally { out_of_range: outside, numbers, ..Tally::default() }
}

/// `None` where the file has no such column, or one of another kind.
fn read(
    file: &Columns,
    column: &CountedColumn,
    rows: Range<usize>,
) -> Result<Option<Read>, StoreError> {
    let Ok(field) = file.schema().field_with_name(&column.column) else { return Ok(None) };
    let fits = match &column.kind {
        Kind::Numeric(_) => is_number_like(field.data_type()),
        Kind::Categorical(_) => is_text_like(field.data_type()),
    };
    if !fits {
        return Ok(None);
    }
    let mut read = Read { bins: Vec::with_capacity(rows.len()), values: Vec::new() };
    for batch in file.read(&[&column.column], rows)? {
        let batch = batch?;
        let array = batch.column(0);
        match &column.kind {
            Kind::Numeric(binner) => {
                let from = read.values.len();
                append(array, &mut read.values)?;
                binner.append(&read.values[from..], &mut read.bins);
            }
            Kind::Categorical(shape) => named(array, &shape.categories, &mut read.bins)?,
        }
    }
    Ok(Some(read))
}

fn append(array: &ArrayRef, values: &mut Vec<f64>) -> Result<(), StoreError> {
    let numbers = numbers(array).map_err(|error| damaged(&error))?;
    if numbers.null_count() == 0 {
        values.extend_from_slice(numbers.values());
    } else {
        values.extend(numbers.iter().map(|value| value.unwrap_or(f64::NAN)));
    }
    Ok(())
}

fn named(array: &ArrayRef, categories: &Categories, to: &mut Vec<u16>) -> Result<(), StoreError> {
    let null = categories.bin(None) as u16;
    if let Some(coded) = array.as_dictionary_opt::<Int32Type>()
        && *coded.values().data_type() == DataType::Utf8
    {
        let values = coded.values().as_string::<i32>();
        let known: Vec<u16> = values.iter().map(|value| categories.bin(value) as u16).collect();
        to.extend(coded.keys().iter().map(|key| key.map_or(null, |key| known[key as usize])));
        return Ok(());
    }
    let texts = texts(array, Hashing::No, &[]).map_err(|error| damaged(&error))?;
    let mut known: HashMap<&str, u16> = HashMap::new();
    to.extend(texts.iter().map(|text| match text {
        None => null,
        Some(text) => *known.entry(text).or_insert_with(|| categories.bin(Some(text)) as u16),
    }));
    Ok(())
}

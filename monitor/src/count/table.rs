//! The layout of count files.
//!
//! One row a column, group and pane, with its bins packed into one value: a day of minutes of a hundred
//! columns is 144,000 rows, where a row a bin would be 74 million. Rows of the same column, group and
//! pane are to be summed, within a file too. The row without a `column_name` counts the pane's rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::cells::{CellKey, Group, Pane};
use super::codec::pack;

/// What a row takes beside its cells.
const ROW_BYTES: usize = 150;

/// Names of the columns.
#[allow(missing_docs, reason = "the names say it")]
pub mod names {
    pub const PANE: &str = "pane";
    pub const PANE_START: &str = "pane_start";
    pub const MODEL: &str = "model_name";
    pub const VERSION: &str = "model_version";
    pub const ARM: &str = "arm";
    pub const SEGMENT: &str = "segment";
    pub const SEGMENT_VALUE: &str = "segment_value";
    pub const COLUMN: &str = "column_name";
    pub const ROWS: &str = "rows";
    pub const NULLS: &str = "nulls";
    pub const OUT_OF_RANGE: &str = "out_of_range";
    pub const SUM: &str = "sum";
    pub const MIN: &str = "min";
    pub const MAX: &str = "max";
    pub const CELLS: &str = "cells";
}

/// What is known of one column in one cell.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) rows: u64,
    pub(super) nulls: u64,
    pub(super) out_of_range: u64,
    /// Of the finite values: sum, smallest, largest.
    pub(super) numbers: Option<(f64, f64, f64)>,
}

/// Columns of a count file.
#[must_use]
pub fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    let integer = |name| Field::new(name, DataType::Int64, true);
    let number = |name| Field::new(name, DataType::Float64, true);
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        text(names::PANE),
        Field::new(names::PANE_START, instant, true),
        text(names::MODEL),
        text(names::VERSION),
        text(names::ARM),
        text(names::SEGMENT),
        text(names::SEGMENT_VALUE),
        text(names::COLUMN),
        integer(names::ROWS),
        integer(names::NULLS),
        integer(names::OUT_OF_RANGE),
        number(names::SUM),
        number(names::MIN),
        number(names::MAX),
        Field::new(names::CELLS, DataType::Binary, true),
    ]))
}

/// Rows being collected.
pub(super) struct Rows {
    pane: StringBuilder,
    pane_start: TimestampMicrosecondBuilder,
    group: [StringBuilder; 5],
    column: StringBuilder,
    counts: [Int64Builder; 3],
    numbers: [Float64Builder; 3],
    cells: BinaryBuilder,
    packed: Vec<u8>,
    /// Bytes held, about.
    pub(super) bytes: usize,
}

impl Rows {
    pub(super) fn new() -> Self {
        Self {
            pane: StringBuilder::new(),
            pane_start: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            group: std::array::from_fn(|_| StringBuilder::new()),
            column: StringBuilder::new(),
            counts: std::array::from_fn(|_| Int64Builder::new()),
            numbers: std::array::from_fn(|_| Float64Builder::new()),
            cells: BinaryBuilder::new(),
            packed: Vec::new(),
            bytes: 0,
        }
    }

    /// A row; `histogram` is emptied.
    pub(super) fn push(
        &mut self,
        key: &CellKey,
        group: &Group,
        column: Option<&str>,
        tally: &Tally,
        histogram: &mut [u32],
    ) {
        let (name, start) = match key.pane {
            Pane::At(start) => ("time", Some(start)),
            Pane::Early => ("<early>", None),
            Pane::Late => ("<late>", None),
            Pane::Untimed => ("<untimed>", None),
        };
        self.pane.append_value(name);
        self.pane_start.append_option(start);
        let values = [&group.model, &group.version, &group.arm];
        for (builder, value) in self.group.iter_mut().zip(values) {
            builder.append_option(value.as_deref());
        }
        let (segment, value) = group.segment.as_ref().map(|(a, b)| (a, b)).unzip();
        self.group[3].append_option(segment);
        self.group[4].append_option(value);
        self.column.append_option(column);
        let counts = [tally.rows, tally.nulls, tally.out_of_range];
        for (builder, count) in self.counts.iter_mut().zip(counts) {
            builder.append_value(count.cast_signed());
        }
        let (sum, min, max) = tally.numbers.map_or((None, None, None), |(sum, min, max)| {
            (Some(sum.clamp(f64::MIN, f64::MAX)), Some(min), Some(max))
        });
        for (builder, number) in self.numbers.iter_mut().zip([sum, min, max]) {
            builder.append_option(number);
        }
        self.packed.clear();
        pack(histogram, &mut self.packed);
        self.cells.append_option(column.map(|_| self.packed.as_slice()));
        self.bytes += self.packed.len() + ROW_BYTES;
    }

    pub(super) fn finish(&mut self) -> RecordBatch {
        self.bytes = 0;
        let mut arrays: Vec<ArrayRef> =
            vec![Arc::new(self.pane.finish()), Arc::new(self.pane_start.finish())];
        arrays.extend(self.group.iter_mut().map(|part| Arc::new(part.finish()) as ArrayRef));
        arrays.push(Arc::new(self.column.finish()));
        arrays.extend(self.counts.iter_mut().map(|part| Arc::new(part.finish()) as ArrayRef));
        arrays.extend(self.numbers.iter_mut().map(|part| Arc::new(part.finish()) as ArrayRef));
        arrays.push(Arc::new(self.cells.finish()));
        RecordBatch::try_new(schema(), arrays).expect("columns as the schema has them")
    }
}

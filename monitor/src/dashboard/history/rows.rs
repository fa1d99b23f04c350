//! A batch of a report file, row by row. Refuses to say which rows are kept.

use arrow::array::{Array, AsArray, DictionaryArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};

use super::{GroupKey, Point, SeriesKey, VALUES};
use crate::evaluate::{Reference, State};
use crate::policy::clean;

/// Bytes kept of why a row has its state.
pub(super) const REASON_BYTES: usize = 200;

/// Names of columns with texts.
pub(super) const TEXTS: [&str; 8] = [
    "model_name",
    "model_version",
    "arm",
    "column_name",
    "reference",
    "state",
    "reason",
    "segment",
];

/// Microseconds since 1970.
type Instants = arrow::array::TimestampMicrosecondArray;

/// A batch of a report file.
pub(super) struct Rows {
    pub(super) start: Instants,
    pub(super) end: Instants,
    counts: [Int64Array; 2],
    texts: [Option<DictionaryArray<Int32Type>>; TEXTS.len()],
    values: [Option<Float64Array>; VALUES.len()],
}

impl Rows {
    /// `None` when it is not laid out as a report file is.
    pub(super) fn of(batch: &RecordBatch) -> Option<Self> {
        let column = |name: &str| batch.column_by_name(name);
        let instant =
            |name: &str| column(name)?.as_primitive_opt::<TimestampMicrosecondType>().cloned();
        let count = |name: &str| column(name)?.as_primitive_opt::<Int64Type>().cloned();
        let text = |name: &str| {
            let coded = column(name)?.as_dictionary_opt::<Int32Type>()?;
            coded.values().as_string_opt::<i32>().map(|_| coded.clone())
        };
        Some(Self {
            start: instant("window_start")?,
            end: instant("window_end")?,
            counts: [count("n")?, count("reference_n")?],
            texts: TEXTS.map(text),
            values: VALUES.map(|name| column(name)?.as_primitive_opt::<Float64Type>().cloned()),
        })
    }

    fn text(&self, place: usize, row: usize) -> Option<&str> {
        let coded = self.texts[place].as_ref()?;
        Some(coded.values().as_string::<i32>().value(coded.key(row)?))
    }

    pub(super) fn is_segment(&self, row: usize) -> bool {
        self.text(7, row).is_some()
    }

    pub(super) fn series_key(&self, row: usize) -> [Option<usize>; 5] {
        std::array::from_fn(|place| self.texts[place].as_ref()?.key(row))
    }

    /// `None` for a reference that this build does not know.
    pub(super) fn series(&self, row: usize) -> Option<SeriesKey> {
        let own = |place| self.text(place, row).unwrap_or_default().to_owned();
        let named = self.text(4, row);
        let reference = [Reference::Training, Reference::Previous]
            .into_iter()
            .find(|reference| named == Some(reference.name()))?;
        let group = GroupKey { model: own(0), version: own(1), arm: own(2) };
        Some(SeriesKey { group, reference, column: self.text(3, row).map(str::to_owned) })
    }

    pub(super) fn point(&self, row: usize, series: u32) -> Point {
        let state = self.text(5, row).and_then(State::named).unwrap_or(State::NotCompared);
        let reason = self.text(6, row).filter(|text| state != State::Stable && !text.is_empty());
        let value = |column: &Option<Float64Array>| match column {
            Some(column) if column.is_valid(row) => column.value(row),
            Some(_) | None => f64::NAN,
        };
        Point {
            series,
            state,
            n: self.counts[0].value(row).unsigned_abs(),
            reference_n: self.counts[1].value(row).unsigned_abs(),
            values: std::array::from_fn(|place| value(&self.values[place])),
            reason: reason.map(|text| clean(text, REASON_BYTES).into()),
        }
    }
}

//! Judged windows as the report files hold them, the newest first up to a bound of memory.
//!
//! Published files never change, so each is read once; beside the monitor that writes them, in this
//! process or another. Segments stay out: they are for SQL, and there may be thousands.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use arrow::array::{Array, AsArray, DictionaryArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use batch::StoreError;
use batch::source::Columns;

use crate::evaluate::{Reference, Reports, State};
use crate::policy::clean;

/// Rows kept for the pages: 150 bytes each, and a reason where there is one.
pub(super) const MOST_ROWS: usize = 150_000;
/// Different series kept. Names of models come from a topic: whoever writes there must not fill memory.
const MOST_SERIES: usize = 20_000;
/// Rows read of one file: a back-fill of a year is one file.
const MOST_FILE_ROWS: usize = 1_000_000;
/// Bytes kept of why a row has its state.
const REASON_BYTES: usize = 200;

/// Statistics kept, by their names in the reports table.
pub(super) const VALUES: [&str; 13] = [
    "psi_corrected",
    "ks_d",
    "q",
    "ks_q",
    "jensen_shannon",
    "wasserstein",
    "null_share",
    "reference_null_share",
    "new_share",
    "out_of_range_share",
    "mean",
    "min",
    "max",
];

const TEXTS: [&str; 8] = [
    "model_name",
    "model_version",
    "arm",
    "column_name",
    "reference",
    "state",
    "reason",
    "segment",
];

/// Whose rows; what is null in the table is empty here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct GroupKey {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) arm: String,
}

/// What is followed over time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SeriesKey {
    pub(super) group: GroupKey,
    pub(super) reference: Reference,
    /// None for the group's rows as a whole.
    pub(super) column: Option<String>,
}

/// One series in one window.
#[derive(Debug, Clone)]
pub(super) struct Point {
    series: u32,
    pub(super) state: State,
    pub(super) n: u64,
    pub(super) reference_n: u64,
    /// In the order of [`VALUES`]; NaN where there is none.
    values: [f64; VALUES.len()],
    pub(super) reason: Option<Box<str>>,
}

impl Point {
    /// The statistic of this name.
    pub(super) fn value(&self, name: &str) -> Option<f64> {
        let place = VALUES.iter().position(|known| *known == name)?;
        Some(self.values[place]).filter(|value| value.is_finite())
    }
}

/// One judged window.
#[derive(Debug, Default)]
pub(super) struct Window {
    pub(super) end_us: i64,
    pub(super) points: Vec<Point>,
}

/// See the module.
pub(crate) struct History {
    reports: Reports,
    most_rows: usize,
    /// First windows of the files that were read.
    read: BTreeSet<i64>,
    series: Vec<SeriesKey>,
    places: HashMap<SeriesKey, u32>,
    /// By their starts in microseconds.
    windows: BTreeMap<i64, Window>,
    rows: usize,
    left_out: u64,
}

impl History {
    /// Keeps about `most_rows` rows of the newest windows, and one window at least.
    pub(crate) fn new(reports: Reports, most_rows: usize) -> Self {
        Self {
            reports,
            most_rows,
            read: BTreeSet::new(),
            series: Vec::new(),
            places: HashMap::new(),
            windows: BTreeMap::new(),
            rows: 0,
            left_out: 0,
        }
    }

    /// Reads what was published since the last time.
    pub(crate) fn refresh(&mut self) -> Result<(), StoreError> {
        let files = self.reports.files()?;
        let there: BTreeSet<i64> = files.iter().map(|(start, _)| *start).collect();
        if !self.read.is_subset(&there) {
            // Somebody had the windows judged anew.
            self.forget();
        }
        let newest = self.read.last().copied();
        for (start, path) in files.iter().rev() {
            let is_known = newest.is_some_and(|newest| *start <= newest);
            if is_known || (newest.is_none() && self.rows >= self.most_rows) {
                break;
            }
            if let Err(error) = self.load(path) {
                // Half of a file must not stay, or it would be read twice.
                self.forget();
                return Err(error);
            }
            self.read.insert(*start);
        }
        while self.rows > self.most_rows && self.windows.len() > 1 {
            if let Some((_, gone)) = self.windows.pop_first() {
                self.rows -= gone.points.len();
            }
        }
        Ok(())
    }

    /// The windows that are kept, by their starts.
    pub(super) fn windows(&self) -> &BTreeMap<i64, Window> {
        &self.windows
    }

    /// What a point is of.
    pub(super) fn key(&self, point: &Point) -> &SeriesKey {
        &self.series[point.series as usize]
    }

    /// The number of a series, by which its points are found.
    pub(super) fn place(&self, key: &SeriesKey) -> Option<u32> {
        self.places.get(key).copied()
    }

    /// Rows that were not kept, because there are too many different names.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// As if nothing had been read.
    pub(super) fn forget(&mut self) {
        self.read.clear();
        self.series.clear();
        self.places.clear();
        self.windows.clear();
        (self.rows, self.left_out) = (0, 0);
    }

    fn load(&mut self, path: &Path) -> Result<(), StoreError> {
        let file = Columns::open(path)?;
        let from = file.rows().saturating_sub(MOST_FILE_ROWS);
        let wanted: Vec<&str> = ["window_start", "window_end", "n", "reference_n"]
            .into_iter()
            .chain(TEXTS)
            .chain(VALUES)
            .collect();
        let mut first = None;
        for batch in file.read(&wanted, from..file.rows())? {
            let batch = batch?;
            let rows = Rows::of(&batch).ok_or_else(|| StoreError::Foreign {
                path: path.to_path_buf(),
                reason: "it is no report file of this build".into(),
            })?;
            first = first.or_else(|| (batch.num_rows() > 0).then(|| rows.start.value(0)));
            self.take(&rows, batch.num_rows());
        }
        if from > 0
            && let Some(cut) = first.and_then(|first| self.windows.remove(&first))
        {
            // Its first rows were not read.
            self.rows -= cut.points.len();
        }
        Ok(())
    }

    fn take(&mut self, rows: &Rows, count: usize) {
        let mut known: HashMap<[Option<usize>; 5], Option<u32>> = HashMap::new();
        for row in (0..count).filter(|row| !rows.is_segment(*row)) {
            let key = rows.series_key(row);
            let place = match known.get(&key) {
                Some(place) => *place,
                None => {
                    let place = rows.series(row).and_then(|series| self.number(series));
                    known.insert(key, place);
                    place
                }
            };
            let Some(series) = place else {
                self.left_out += 1;
                continue;
            };
            let window = self.windows.entry(rows.start.value(row)).or_default();
            window.end_us = rows.end.value(row);
            window.points.push(rows.point(row, series));
            self.rows += 1;
        }
    }

    fn number(&mut self, key: SeriesKey) -> Option<u32> {
        if let Some(place) = self.places.get(&key) {
            return Some(*place);
        }
        if self.series.len() >= MOST_SERIES {
            return None;
        }
        let place = self.series.len() as u32;
        self.series.push(key.clone());
        self.places.insert(key, place);
        Some(place)
    }
}

impl Window {
    /// The point of a series.
    pub(super) fn point(&self, series: u32) -> Option<&Point> {
        self.points.iter().find(|point| point.series == series)
    }
}

impl Point {
    /// The number of its series.
    pub(super) fn series(&self) -> u32 {
        self.series
    }
}

type Instants = arrow::array::TimestampMicrosecondArray;

/// A batch of a report file.
struct Rows {
    start: Instants,
    end: Instants,
    counts: [Int64Array; 2],
    texts: [Option<DictionaryArray<Int32Type>>; TEXTS.len()],
    values: [Option<Float64Array>; VALUES.len()],
}

impl Rows {
    /// `None` when it is not laid out as a report file is.
    fn of(batch: &RecordBatch) -> Option<Self> {
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

    fn is_segment(&self, row: usize) -> bool {
        self.text(7, row).is_some()
    }

    fn series_key(&self, row: usize) -> [Option<usize>; 5] {
        std::array::from_fn(|place| self.texts[place].as_ref()?.key(row))
    }

    /// `None` for a reference that this build does not know.
    fn series(&self, row: usize) -> Option<SeriesKey> {
        let own = |place| self.text(place, row).unwrap_or_default().to_owned();
        let named = self.text(4, row);
        let reference = [Reference::Training, Reference::Previous]
            .into_iter()
            .find(|reference| named == Some(reference.name()))?;
        let group = GroupKey { model: own(0), version: own(1), arm: own(2) };
        Some(SeriesKey { group, reference, column: self.text(3, row).map(str::to_owned) })
    }

    fn point(&self, row: usize, series: u32) -> Point {
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

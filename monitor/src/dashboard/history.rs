//! Judged windows as the report files hold them, the newest first up to a bound of memory.
//!
//! Published files never change, so each is read once; beside the monitor that writes them, in this
//! process or another. Segments stay out: they are for SQL, and there may be thousands.

mod rows;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use batch::StoreError;
use batch::source::Columns;

use crate::evaluate::{Reference, Reports, State};
use rows::{Rows, TEXTS};

/// Rows kept for the pages.
pub(super) const MOST_ROWS: usize = 150_000;
/// Bytes of a row: 150, and a reason where there is one.
pub(super) const MOST_ROW_BYTES: usize = 150 + rows::REASON_BYTES;
/// Different series kept. Names of models come from a topic: whoever writes there must not fill memory.
const MOST_SERIES: usize = 20_000;
/// Part of the series that makes room at once where there are too many: rows are looked through for it.
const MAKE_ROOM: usize = 16;
/// Rows read of one file: a back-fill of a year is one file.
const MOST_FILE_ROWS: usize = 1_000_000;

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

/// A series that is kept.
struct Series {
    key: SeriesKey,
    /// Start of the newest window that it was judged in.
    newest: i64,
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
    pub(super) most_series: usize,
    /// First windows of the files that were read.
    read: BTreeSet<i64>,
    series: Vec<Series>,
    places: HashMap<SeriesKey, u32>,
    /// Places of series that made room.
    free: Vec<u32>,
    /// No series was last judged in a window that starts before.
    oldest: i64,
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
            most_series: MOST_SERIES,
            read: BTreeSet::new(),
            series: Vec::new(),
            places: HashMap::new(),
            free: Vec::new(),
            oldest: i64::MIN,
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
        &self.series[point.series as usize].key
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
        self.free.clear();
        self.windows.clear();
        (self.rows, self.left_out, self.oldest) = (0, 0, i64::MIN);
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
        let mut known: HashMap<[Option<usize>; 5], u32> = HashMap::new();
        for row in (0..count).filter(|row| !rows.is_segment(*row)) {
            let (key, start) = (rows.series_key(row), rows.start.value(row));
            let place = known.get(&key).copied().or_else(|| {
                let series = rows.series(row)?;
                if !self.places.contains_key(&series) && self.is_full() {
                    // What is known of this batch may be what makes room.
                    known.clear();
                    self.make_room(start);
                }
                let place = self.number(series)?;
                known.insert(key, place);
                Some(place)
            });
            let Some(place) = place else {
                self.left_out += 1;
                continue;
            };
            let series = &mut self.series[place as usize];
            if series.newest == i64::MIN {
                self.oldest = self.oldest.min(start);
            }
            series.newest = series.newest.max(start);
            let window = self.windows.entry(start).or_default();
            window.end_us = rows.end.value(row);
            window.points.push(rows.point(row, place));
            self.rows += 1;
        }
    }

    fn is_full(&self) -> bool {
        self.free.is_empty() && self.series.len() >= self.most_series
    }

    /// `None` when there are too many.
    fn number(&mut self, key: SeriesKey) -> Option<u32> {
        if let Some(place) = self.places.get(&key) {
            return Some(*place);
        }
        if self.is_full() {
            return None;
        }
        let series = Series { key: key.clone(), newest: i64::MIN };
        let place = match self.free.pop() {
            Some(place) => {
                self.series[place as usize] = series;
                place
            }
            None => {
                self.series.push(series);
                (self.series.len() - 1) as u32
            }
        };
        self.places.insert(key, place);
        Some(place)
    }

    /// Lets go of series that were judged longest ago, and before the window that starts at `start`.
    fn make_room(&mut self, start: i64) {
        if start <= self.oldest {
            return;
        }
        let mut old: Vec<(i64, u32)> =
            self.series.iter().zip(0..).map(|(series, place)| (series.newest, place)).collect();
        old.sort_unstable();
        self.oldest = old.first().map_or(i64::MIN, |(newest, _)| *newest);
        old.truncate((self.most_series / MAKE_ROOM).max(1));
        old.retain(|(newest, _)| *newest < start);
        let gone: HashSet<u32> = old.into_iter().map(|(_, place)| place).collect();
        if gone.is_empty() {
            return;
        }
        for place in &gone {
            self.places.remove(&self.series[*place as usize].key);
        }
        for window in self.windows.values_mut() {
            let before = window.points.len();
            window.points.retain(|point| !gone.contains(&point.series));
            self.left_out += (before - window.points.len()) as u64;
            self.rows -= before - window.points.len();
        }
        self.windows.retain(|_, window| !window.points.is_empty());
        self.free.extend(gone);
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

//! Which rows belong together: those of one pane, model, version, arm and segment.
//!
//! Found once for a stretch of rows and used for every column of it.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit};
use arrow::error::ArrowError;
use batch::StoreError;
use batch::source::Columns;

use super::settings::{Segment, Settings};
use super::{MAX_AHEAD_SECONDS, MAX_BEHIND_SECONDS, MICROS};
use crate::stats::{NULL_BIN, OTHER_BIN};

/// Whose rows they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Group {
    /// The model; none for a record that could not be decoded.
    pub model: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The arm.
    pub arm: Option<String>,
    /// A segment column and its value; none for all rows of the three above.
    pub segment: Option<(String, String)>,
}

/// A stretch of event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Pane {
    /// Starts here, in microseconds.
    At(i64),
    /// Older than is believed.
    Early,
    /// Ahead of its scoring.
    Late,
    /// No time at all.
    Untimed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CellKey {
    pub(super) pane: Pane,
    /// Place in [`Cells::groups`].
    pub(super) group: u32,
}

/// The cells of a stretch of rows.
pub(super) struct Cells {
    pub(super) keys: Vec<CellKey>,
    pub(super) groups: Vec<Group>,
    /// Where each cell's rows begin in `rows`; one more than there are cells.
    starts: Vec<u32>,
    rows: Vec<u32>,
}

impl Cells {
    /// Places of a cell's rows, ascending.
    pub(super) fn rows(&self, cell: usize) -> &[u32] {
        &self.rows[self.starts[cell] as usize..self.starts[cell + 1] as usize]
    }
}

/// Times of a whole file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    /// The newest event time; of an event that is ahead of its scoring, when it was scored.
    pub(super) newest_event: Option<i64>,
    /// The newest time in Kafka.
    pub(super) newest_record: Option<i64>,
}

const TIMES: [&str; 4] = ["event_time", "input_timestamp", "timestamp", "scored_at"];
const GROUPS: [&str; 3] = ["model_name", "model_version", "arm"];

/// What cannot be read.
pub(super) fn damaged(error: &ArrowError) -> StoreError {
    StoreError::Query(format!("a column of the archive cannot be counted: {error}"))
}

/// Reads the times of every row.
pub(super) fn times(file: &Columns) -> Result<Times, StoreError> {
    let mut times = Times::default();
    for batch in file.read(&TIMES, 0..file.rows())? {
        let columns = TimeColumns::of(&batch?)?;
        for row in 0..columns.rows {
            // One that is ahead of its scoring says that much: a partition of which all are must not hold
            // every window back.
            let time = columns.time(row).map(|time| match columns.is_ahead(row, time) {
                true => columns.at(3, row).unwrap_or(time),
                false => time,
            });
            times.newest_event = times.newest_event.max(time);
            times.newest_record = times.newest_record.max(columns.at(2, row));
        }
    }
    Ok(times)
}

struct TimeColumns {
    columns: [Option<Int64Array>; 4],
    rows: usize,
}

impl TimeColumns {
    fn of(batch: &RecordBatch) -> Result<Self, StoreError> {
        let mut columns = [None, None, None, None];
        for (place, name) in TIMES.into_iter().enumerate() {
            columns[place] = batch.column_by_name(name).map(micros).transpose()?;
        }
        Ok(Self { columns, rows: batch.num_rows() })
    }

    fn at(&self, place: usize, row: usize) -> Option<i64> {
        let column = self.columns[place].as_ref()?;
        column.is_valid(row).then(|| column.value(row))
    }

    /// The event's own time, else the input record's, else the output record's.
    fn time(&self, row: usize) -> Option<i64> {
        self.at(0, row).or_else(|| self.at(1, row)).or_else(|| self.at(2, row))
    }

    fn is_ahead(&self, row: usize, time: i64) -> bool {
        let scored = self.at(3, row).or_else(|| self.at(2, row));
        scored.is_some_and(|scored| time > scored.saturating_add(MAX_AHEAD_SECONDS * MICROS))
    }

    fn pane(&self, row: usize, newest: Option<i64>, settings: &Settings) -> Pane {
        let Some(time) = self.time(row) else { return Pane::Untimed };
        if self.is_ahead(row, time) {
            return Pane::Late;
        }
        let oldest = newest.map_or(i64::MIN, |n| n.saturating_sub(MAX_BEHIND_SECONDS * MICROS));
        if time < oldest { Pane::Early } else { Pane::At(settings.pane_of(time)) }
    }
}

fn micros(column: &ArrayRef) -> Result<Int64Array, StoreError> {
    let instants = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None));
    let numbers = instants.and_then(|instants| cast(&instants, &DataType::Int64));
    Ok(numbers.map_err(|error| damaged(&error))?.as_primitive::<Int64Type>().clone())
}

/// Distinct texts by number; 0 is null.
#[derive(Default)]
struct Interner {
    numbers: HashMap<String, u32>,
    names: Vec<String>,
}

impl Interner {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        self.names.push(text.to_owned());
        let number = self.names.len() as u32;
        self.numbers.insert(text.to_owned(), number);
        number
    }

    fn name(&self, number: u32) -> Option<String> {
        let place = (number as usize).checked_sub(1)?;
        Some(self.names[place].clone())
    }

    /// The number of each row's text.
    fn numbers(&mut self, column: Option<&ArrayRef>, rows: usize) -> Result<Vec<u32>, StoreError> {
        let Some(column) = column else { return Ok(vec![0; rows]) };
        if let Some(coded) = column.as_dictionary_opt::<Int32Type>()
            && let Some(values) = coded.values().as_string_opt::<i32>()
        {
            let known: Vec<u32> =
                values.iter().map(|value| value.map_or(0, |value| self.number(value))).collect();
            return Ok(coded
                .keys()
                .iter()
                .map(|key| key.map_or(0, |k| known[k as usize]))
                .collect());
        }
        let texts = cast(column, &DataType::Utf8).map_err(|error| damaged(&error))?;
        let texts = texts.as_string::<i32>();
        Ok(texts.iter().map(|text| text.map_or(0, |text| self.number(text))).collect())
    }
}

/// Finds the cells of `rows` of the file; `newest` is of the whole file.
pub(super) fn cells(
    file: &Columns,
    settings: &Settings,
    rows: std::ops::Range<usize>,
    newest: Option<i64>,
) -> Result<Cells, StoreError> {
    let mut finder = Finder::default();
    let mut names: Vec<&str> = TIMES.into_iter().chain(GROUPS).collect();
    names.extend(settings.segments.iter().map(|segment| segment.column.as_str()));
    for batch in file.read(&names, rows)? {
        finder.take(&batch?, settings, newest)?;
    }
    Ok(finder.finish())
}

/// Model, version, arm, and a segment's place and value in one number; 0 is none.
type Codes = ([u32; 3], u64);

#[derive(Default)]
struct Finder {
    texts: Interner,
    groups: HashMap<Codes, u32>,
    group_names: Vec<Group>,
    cells: HashMap<CellKey, u32>,
    keys: Vec<CellKey>,
    sizes: Vec<u32>,
    /// Cell and row of each membership.
    members: Vec<(u32, u32)>,
    rows: u32,
}

impl Finder {
    fn take(
        &mut self,
        batch: &RecordBatch,
        settings: &Settings,
        newest: Option<i64>,
    ) -> Result<(), StoreError> {
        let times = TimeColumns::of(batch)?;
        let rows = batch.num_rows();
        let mut codes = Vec::new();
        for name in GROUPS {
            codes.push(self.texts.numbers(batch.column_by_name(name), rows)?);
        }
        let mut segments = Vec::new();
        for segment in &settings.segments {
            segments.push(self.texts.numbers(batch.column_by_name(&segment.column), rows)?);
        }
        self.members.reserve(rows * (1 + segments.len()));
        for row in 0..rows {
            let pane = times.pane(row, newest, settings);
            let of = [codes[0][row], codes[1][row], codes[2][row]];
            self.add(pane, (of, 0), None);
            for (place, segment) in settings.segments.iter().enumerate() {
                // Columns may share a value's text: the place tells them apart.
                let value = segments[place][row];
                let code = (u64::from(value) << 8) + place as u64 + 1;
                self.add(pane, (of, code), Some((segment, value)));
            }
            self.rows += 1;
        }
        Ok(())
    }

    fn add(&mut self, pane: Pane, codes: Codes, segment: Option<(&Segment, u32)>) {
        let group = match self.groups.get(&codes) {
            Some(group) => *group,
            None => self.new_group(codes, segment),
        };
        let key = CellKey { pane, group };
        // Neighbours are mostly of one cell.
        let cell = match self.members.last() {
            Some((cell, _)) if self.keys[*cell as usize] == key => *cell,
            Some(_) | None => self.cell(key),
        };
        self.sizes[cell as usize] += 1;
        self.members.push((cell, self.rows));
    }

    fn cell(&mut self, key: CellKey) -> u32 {
        let new = self.keys.len() as u32;
        let cell = *self.cells.entry(key).or_insert(new);
        if cell == new {
            self.keys.push(key);
            self.sizes.push(0);
        }
        cell
    }

    fn new_group(&mut self, codes: Codes, segment: Option<(&Segment, u32)>) -> u32 {
        let segment = segment.map(|(segment, value)| {
            let value = self.texts.name(value);
            let known = value.clone().filter(|value| segment.values.contains(value));
            let rest = if value.is_some() { OTHER_BIN } else { NULL_BIN };
            (segment.name.clone(), known.unwrap_or_else(|| rest.to_owned()))
        });
        let [model, version, arm] = codes.0.map(|code| self.texts.name(code));
        let group = Group { model, version, arm, segment };
        // Values that have no group of their own share one.
        let place = self.group_names.iter().position(|known| *known == group);
        let place = place.unwrap_or_else(|| {
            self.group_names.push(group);
            self.group_names.len() - 1
        });
        self.groups.insert(codes, place as u32);
        place as u32
    }

    fn finish(self) -> Cells {
        let mut starts = Vec::with_capacity(self.sizes.len() + 1);
        let mut at = 0;
        for size in &self.sizes {
            starts.push(at);
            at += size;
        }
        starts.push(at);
        let (mut next, mut rows) = (starts.clone(), vec![0; self.members.len()]);
        for (cell, row) in self.members {
            let place = &mut next[cell as usize];
            rows[*place as usize] = row;
            *place += 1;
        }
        Cells { keys: self.keys, groups: self.group_names, starts, rows }
    }
}

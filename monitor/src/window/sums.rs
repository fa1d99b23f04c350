//! Count files summed into windows: the panes of each, per group and column.
//!
//! Every file is read once for all windows that are asked for together; [`bytes_of`] says what those
//! take, and the caller asks for no more than it has memory for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use arrow::array::{
    Array, AsArray, BinaryArray, DictionaryArray, Float64Array, Int64Array, RecordBatch,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use batch::StoreError;
use batch::source::Columns;

use super::Windows;
use crate::count::{Counted, Group, Settings, add_packed, names};

/// What was counted of one column in one window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ColumnSums {
    /// Rows of files that have the column.
    pub rows: u64,
    /// Values outside of the documented range.
    pub out_of_range: u64,
    /// Of the finite values: sum, smallest, largest.
    pub numbers: Option<(f64, f64, f64)>,
    /// Rows of each cell, in the order of `with_special`; empty while there is no row.
    pub cells: Vec<u64>,
}

/// What was counted of one group in one window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GroupSums {
    /// All rows.
    pub rows: u64,
    /// In the order of the settings' columns.
    pub columns: Vec<ColumnSums>,
}

/// Windows by number, each with its groups.
pub type WindowSums = BTreeMap<i64, HashMap<Group, GroupSums>>;

/// Bytes that a group takes in a window at most.
pub(crate) fn bytes_of(settings: &Settings) -> usize {
    settings.columns.iter().map(|column| 8 * column.kind.cells() + 96).sum()
}

/// Sums the panes of `wanted` windows out of the count files, on `threads` threads.
pub fn sums<'a>(
    counted: impl Iterator<Item = &'a Counted>,
    settings: &Settings,
    windows: Windows,
    wanted: &[i64],
    threads: usize,
) -> Result<WindowSums, StoreError> {
    let wanted: Vec<i64> = {
        let mut sorted = wanted.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        sorted
    };
    let touches = |counted: &&Counted| {
        let (Some(first), Some(last)) = (counted.footer.first_pane_us, counted.footer.last_pane_us)
        else {
            return false;
        };
        let from = windows.of(first).start;
        let at = wanted.partition_point(|window| *window < from);
        wanted.get(at).is_some_and(|window| *window < windows.of(last).end)
    };
    let files: Vec<&Counted> = counted.filter(touches).collect();
    // Few files are cut, so that no thread waits for another that has one more.
    let threads = threads.max(1);
    let pieces = if files.len() < 4 * threads { threads } else { 1 };
    let each = files.iter().flat_map(|counted| (0..pieces).map(move |piece| (*counted, piece)));
    let work = Mutex::new(each);
    let one = || -> Result<Summing, StoreError> {
        let mut summing = Summing::new(settings, windows, &wanted);
        loop {
            let next = work.lock().expect("nobody panics with it").next();
            let Some((counted, piece)) = next else { return Ok(summing) };
            let file = Columns::open(&counted.path)?;
            let at = |piece: usize| file.rows() * piece / pieces;
            for batch in file.read(&READ, at(piece)..at(piece + 1))? {
                let batch = batch?;
                summing.take(&batch).ok_or_else(|| StoreError::Foreign {
                    path: counted.path.clone(),
                    reason: "it is no count file of this build: remove it, it is made again".into(),
                })?;
            }
        }
    };
    let parts: Vec<Result<Summing, StoreError>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
        let mut parts = vec![one()];
        parts.extend(workers.into_iter().map(|worker| worker.join().expect("no panic")));
        parts
    });
    let mut whole: WindowSums = wanted.iter().map(|window| (*window, HashMap::new())).collect();
    for part in parts {
        part?.add_to(&mut whole);
    }
    Ok(whole)
}

const READ: [&str; 13] = [
    names::PANE_START,
    names::MODEL,
    names::VERSION,
    names::ARM,
    names::SEGMENT,
    names::SEGMENT_VALUE,
    names::COLUMN,
    names::ROWS,
    names::OUT_OF_RANGE,
    names::SUM,
    names::MIN,
    names::MAX,
    names::CELLS,
];

struct Summing<'a> {
    settings: &'a Settings,
    windows: Windows,
    wanted: &'a [i64],
    columns: HashMap<&'a str, usize>,
    sums: HashMap<(i64, usize), GroupSums>,
    groups: Vec<Group>,
    places: HashMap<Group, usize>,
}

impl<'a> Summing<'a> {
    fn new(settings: &'a Settings, windows: Windows, wanted: &'a [i64]) -> Self {
        let names = settings.columns.iter().map(|column| column.name.as_str());
        Self {
            settings,
            windows,
            wanted,
            columns: names.zip(0..).collect(),
            sums: HashMap::new(),
            groups: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// `None` when the batch is not laid out as a count file is.
    fn take(&mut self, batch: &RecordBatch) -> Option<()> {
        let rows = Rows::of(batch)?;
        let mut known: HashMap<[Option<i32>; 5], usize> = HashMap::new();
        let names: Vec<Option<usize>> = {
            let values = rows.column.values().as_string_opt::<i32>()?;
            values.iter().map(|name| self.columns.get(name?).copied()).collect()
        };
        for row in 0..batch.num_rows() {
            let Some(pane) = rows.pane(row) else { continue };
            let of = self.windows.of(pane);
            let from = self.wanted.partition_point(|window| *window < of.start);
            if self.wanted.get(from).is_none_or(|window| *window >= of.end) {
                continue;
            }
            let key = rows.group_key(row);
            let group = match known.get(&key) {
                Some(group) => *group,
                None => {
                    let group = self.group(rows.group(row)?);
                    known.insert(key, group);
                    group
                }
            };
            let column = match rows.column.key(row) {
                None => None,
                Some(key) => match names[key] {
                    Some(column) => Some(column),
                    // A column that is no longer asked for.
                    None => continue,
                },
            };
            let (wanted, settings) = (self.wanted, self.settings);
            for window in wanted[from..].iter().take_while(|window| **window < of.end) {
                let sums = self.sums.entry((*window, group)).or_insert_with(|| GroupSums {
                    rows: 0,
                    columns: vec![ColumnSums::default(); settings.columns.len()],
                });
                match column {
                    None => sums.rows += rows.rows.value(row).unsigned_abs(),
                    Some(at) => {
                        let cells = settings.columns[at].kind.cells();
                        rows.add(row, &mut sums.columns[at], cells)?;
                    }
                }
            }
        }
        Some(())
    }

    fn group(&mut self, group: Group) -> usize {
        if let Some(place) = self.places.get(&group) {
            return *place;
        }
        self.groups.push(group.clone());
        self.places.insert(group, self.groups.len() - 1);
        self.groups.len() - 1
    }

    fn add_to(self, whole: &mut WindowSums) {
        for ((window, group), sums) in self.sums {
            let groups = whole.entry(window).or_default();
            match groups.entry(self.groups[group].clone()) {
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert(sums);
                }
                std::collections::hash_map::Entry::Occupied(mut entry) => {
                    entry.get_mut().add(&sums)
                }
            }
        }
    }
}

impl GroupSums {
    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        for (into, from) in self.columns.iter_mut().zip(&other.columns) {
            into.rows += from.rows;
            into.out_of_range += from.out_of_range;
            into.numbers = joined(into.numbers, from.numbers);
            into.cells.resize(into.cells.len().max(from.cells.len()), 0);
            into.cells.iter_mut().zip(&from.cells).for_each(|(into, from)| *into += from);
        }
    }
}

fn joined(a: Option<(f64, f64, f64)>, b: Option<(f64, f64, f64)>) -> Option<(f64, f64, f64)> {
    match (a, b) {
        (Some(a), Some(b)) => {
            Some(((a.0 + b.0).clamp(f64::MIN, f64::MAX), a.1.min(b.1), a.2.max(b.2)))
        }
        (a, b) => a.or(b),
    }
}

type Text = DictionaryArray<Int32Type>;

/// A batch of a count file.
struct Rows {
    pane: TimestampMicrosecondArray,
    group: [Text; 5],
    column: Text,
    rows: Int64Array,
    out_of_range: Int64Array,
    numbers: [Float64Array; 3],
    cells: BinaryArray,
}

impl Rows {
    fn of(batch: &RecordBatch) -> Option<Self> {
        let column = |name: &str| batch.column_by_name(name);
        let text = |name: &str| column(name)?.as_dictionary_opt::<Int32Type>().cloned();
        let integer = |name: &str| column(name)?.as_primitive_opt::<Int64Type>().cloned();
        let number = |name: &str| column(name)?.as_primitive_opt::<Float64Type>().cloned();
        Some(Self {
            pane: column(names::PANE_START)?
                .as_primitive_opt::<TimestampMicrosecondType>()?
                .clone(),
            group: [
                text(names::MODEL)?,
                text(names::VERSION)?,
                text(names::ARM)?,
                text(names::SEGMENT)?,
                text(names::SEGMENT_VALUE)?,
            ],
            column: text(names::COLUMN)?,
            rows: integer(names::ROWS)?,
            out_of_range: integer(names::OUT_OF_RANGE)?,
            numbers: [number(names::SUM)?, number(names::MIN)?, number(names::MAX)?],
            cells: column(names::CELLS)?.as_binary_opt::<i32>()?.clone(),
        })
    }

    fn pane(&self, row: usize) -> Option<i64> {
        self.pane.is_valid(row).then(|| self.pane.value(row))
    }

    fn group_key(&self, row: usize) -> [Option<i32>; 5] {
        std::array::from_fn(|part| self.group[part].key(row).map(|key| key as i32))
    }

    fn group(&self, row: usize) -> Option<Group> {
        let [model, version, arm, segment, value] = self.group.each_ref().map(|part| {
            let values = part.values().as_string_opt::<i32>()?;
            Some(values.value(part.key(row)?).to_owned())
        });
        let segment = match (segment, value) {
            (Some(segment), Some(value)) => Some((segment, value)),
            (None, None) => None,
            _ => return None,
        };
        Some(Group { model, version, arm, segment })
    }

    /// `None` when a bin is not one of the profile's.
    fn add(&self, row: usize, to: &mut ColumnSums, cells: usize) -> Option<()> {
        to.rows += self.rows.value(row).unsigned_abs();
        to.out_of_range += self.out_of_range.value(row).unsigned_abs();
        let numbers = self.numbers[0].is_valid(row).then(|| {
            (self.numbers[0].value(row), self.numbers[1].value(row), self.numbers[2].value(row))
        });
        to.numbers = joined(to.numbers, numbers);
        if to.cells.is_empty() {
            to.cells.resize(cells, 0);
        }
        add_packed(self.cells.value(row), &mut to.cells)
    }
}

//! The report files: a chain like the archive's, of windows instead of offsets.
//!
//! The end in the footer of the newest file is the next window to judge; there is no other record of
//! it. Of two monitors one publishes a window, and the other goes on from there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use batch::StoreError;
use batch::derived::Derived;
use batch::source::Columns;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::row::ReportRow;
use super::table::{report_schema, table};
use super::{Clock, Round};

/// Key of the footer's JSON.
pub const REPORTS_KEY: &str = "tidegate.reports";

/// What a report file covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportFooter {
    /// First window.
    pub start: i64,
    /// Behind the last window.
    pub end: i64,
    /// Length of a window.
    pub length_seconds: u32,
    /// From one window to the next.
    pub slide_seconds: u32,
    /// Up to where each partition was counted: what lies behind came after the windows were judged. None in files of
    /// an older Tidegate.
    #[serde(default)]
    pub counted: BTreeMap<i32, i64>,
}

/// Reports of one topic with windows of one kind.
pub struct Reports {
    derived: Derived,
    position: Option<i64>,
    counted: BTreeMap<i32, i64>,
    groups: usize,
}

/// Windows before 1970 would have no name.
const PARTITION: i32 = 0;

impl Reports {
    /// Opens the reports below `root`; windows of another length or slide have a folder of their own.
    pub fn open(
        root: &Path,
        topic: &str,
        clock: Clock,
        instance: &str,
    ) -> Result<Self, StoreError> {
        let derived = Derived::open(root, "reports", topic, &kind(clock), instance)?;
        let mut reports = Self { derived, position: None, counted: BTreeMap::new(), groups: 0 };
        reports.load(clock)?;
        Ok(reports)
    }

    /// The folder that readers take as one table.
    pub fn folder(&self) -> &Path {
        self.derived.folder()
    }

    /// The next window to judge; none before the first.
    pub fn position(&self) -> Option<i64> {
        self.position
    }

    /// Up to where each partition was counted when the newest windows were judged; empty where that is not known.
    pub fn counted(&self) -> &BTreeMap<i32, i64> {
        &self.counted
    }

    /// The report files in order of their first windows, for readers.
    pub(crate) fn files(&self) -> Result<Vec<(i64, PathBuf)>, StoreError> {
        self.derived.files(PARTITION)
    }

    /// The windows that are judged; none before the first.
    pub fn judged(&self) -> Result<Option<Range<i64>>, StoreError> {
        let files = self.derived.files(PARTITION)?;
        let first = files.first().map(|(start, _)| *start);
        Ok(first.zip(self.position).map(|(first, end)| first..end))
    }

    /// Most groups that a window had so far.
    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    /// Takes over what the newest file says.
    fn load(&mut self, clock: Clock) -> Result<(), StoreError> {
        let extent = |of: &ReportFooter| (of.start..of.end, of.length_seconds, of.slide_seconds);
        let newest = newest::<ReportFooter>(&self.derived, PARTITION, REPORTS_KEY, clock, extent)?;
        let (end, counted) = newest.map(|footer| (footer.end, footer.counted)).unzip();
        (self.position, self.counted) = (end, counted.unwrap_or_default());
        Ok(())
    }

    /// Publishes the rows of these windows; answers whether nobody else had.
    pub(super) fn publish(&mut self, round: &Round, clock: Clock) -> Result<bool, StoreError> {
        let Round { rows, windows, counted, .. } = round;
        let schema = report_schema();
        let mut new = self.derived.create(PARTITION, windows.start, &schema)?;
        for rows in rows.chunks(8192) {
            new.write(&table(rows))?;
        }
        let footer = ReportFooter {
            start: windows.start,
            end: windows.end,
            length_seconds: clock.windows.length_seconds,
            slide_seconds: clock.windows.slide_seconds,
            counted: counted.clone(),
        };
        let text = serde_json::to_string(&footer).expect("a footer is plain data");
        let first = new.publish(REPORTS_KEY, text)?;
        if first {
            (self.position, self.counted) = (Some(windows.end), counted.clone());
        } else {
            self.load(clock)?;
        }
        self.groups = self.groups.max(most_groups(rows));
        Ok(first)
    }
}

/// Most groups of a window in these rows.
pub(super) fn most_groups(rows: &[ReportRow]) -> usize {
    let mut seen = BTreeMap::new();
    let whole = rows.iter().filter(|row| row.column.is_none());
    whole.for_each(|row| *seen.entry(row.window).or_insert(0) += 1);
    seen.into_values().max().unwrap_or(0)
}

/// The end of the newest file of a chain of windows, by its footer; `extent` are the windows that a
/// footer covers, their length and their slide.
pub(crate) fn newest_end<F: DeserializeOwned>(
    derived: &Derived,
    partition: i32,
    key: &str,
    clock: Clock,
    extent: impl Fn(&F) -> (Range<i64>, u32, u32),
) -> Result<Option<i64>, StoreError> {
    let newest = newest::<F>(derived, partition, key, clock, &extent)?;
    Ok(newest.map(|footer| extent(&footer).0.end))
}

/// The footer of the newest file of a chain of windows.
fn newest<F: DeserializeOwned>(
    derived: &Derived,
    partition: i32,
    key: &str,
    clock: Clock,
    extent: impl Fn(&F) -> (Range<i64>, u32, u32),
) -> Result<Option<F>, StoreError> {
    let Some((start, path)) = derived.files(partition)?.pop() else { return Ok(None) };
    let file = Columns::open(&path)?;
    let footer: Option<F> = file.text(key).and_then(|text| serde_json::from_str(text).ok());
    let fits = |footer: &F| {
        let (windows, length, slide) = extent(footer);
        windows.start == start
            && windows.end > start
            && length == clock.windows.length_seconds
            && slide == clock.windows.slide_seconds
    };
    match footer.filter(fits) {
        Some(footer) => Ok(Some(footer)),
        None => Err(StoreError::Foreign {
            path,
            reason: "it does not say which windows it covers".into(),
        }),
    }
}

/// Name of the folder of windows of one kind.
pub(crate) fn kind(clock: Clock) -> String {
    format!("{}s-every-{}s", clock.windows.length_seconds, clock.windows.slide_seconds)
}

//! Windows judged: every column of every model version, arm and segment against two references.
//!
//! *training* is the profile, *previous* the same hours before. A window is judged once: its rows are
//! published in a report file whose footer holds the windows it covers, and the next one begins there. It also says up to
//! where rows were counted: what came later is in no report.
//! Nothing here alarms: [`Finding`]s say what crossed which threshold, a policy decides.

mod finding;
mod judge;
mod quality;
mod reports;
mod row;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use batch::StoreError;

use crate::count::{Counter, Group, Settings};
use crate::report::Rule;
use crate::window::{GroupSums, Lagging, PartitionTimes, Windows, bytes_of, ends, sums, watermark};

pub use finding::{Finding, FindingRule};
pub(crate) use judge::counts;
pub use judge::judge;
use reports::most_groups;
pub use reports::{REPORTS_KEY, ReportFooter, Reports};
pub(crate) use reports::{kind as kind_of, newest_end};
pub use row::{GroupNames, Reference, ReportRow, State, Statistics};
pub use table::report_schema;

/// Memory for windows that are judged together: their sums, and what is said of them.
const WINDOWS_BYTES: usize = 256 << 20;
/// A row of the reports with its texts, about.
const ROW_BYTES: usize = 1 << 10;

/// What counts as a finding.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Rules {
    /// Effect and significance of a drift.
    pub drift: Rule,
    /// Fewest rows of a window that is judged.
    pub min_rows: u64,
    /// Rise of the share of nulls over the reference.
    pub null_rise: f64,
    /// Share of rows with a category that the reference does not have.
    pub new_share: f64,
    /// Share of rows outside of the documented range.
    pub out_of_range_share: f64,
    /// Rows below this part of the previous window's are too few; 0 never.
    pub volume_low: f64,
    /// Rows above this multiple of the previous window's are too many; 0 never.
    pub volume_high: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            drift: Rule::default(),
            min_rows: 100,
            null_rise: 0.02,
            new_share: 0.01,
            out_of_range_share: 0.01,
            volume_low: 0.5,
            volume_high: 2.0,
        }
    }
}

/// Which versions a profile is the reference of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    /// This one.
    Only(String),
    /// Every one that has no profile of its own.
    AllBut(Vec<String>),
}

impl Versions {
    /// Whether this version is one of them.
    pub fn contains(&self, version: &str) -> bool {
        match self {
            Self::Only(only) => only == version,
            Self::AllBut(others) => !others.iter().any(|other| other == version),
        }
    }

    pub(crate) fn has(&self, group: &Group) -> bool {
        self.contains(group.version.as_deref().unwrap_or_default())
    }
}

/// A reference and the counts made with it.
pub struct Watched {
    /// Its counts.
    pub counter: Counter,
    /// Whose reference it is.
    pub versions: Versions,
}

/// When windows are complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Clock {
    /// Which windows there are.
    pub windows: Windows,
    /// How far before a window the *previous* reference lies.
    pub previous_seconds: u32,
    /// How late an event may be and still be in its window's judgement.
    pub lateness_seconds: u32,
    /// A partition that is silent for so long is not waited for.
    pub idle_seconds: u32,
}

/// What one round found.
#[derive(Debug, Default)]
pub struct Round {
    /// Rows of the windows that were judged, in order.
    pub rows: Vec<ReportRow>,
    /// Windows that were judged: start and end of their numbers.
    pub windows: std::ops::Range<i64>,
    /// Whether more are complete.
    pub more: bool,
    /// Up to where each partition was counted then.
    pub counted: BTreeMap<i32, i64>,
    /// Up to when event time is complete, in microseconds.
    pub watermark: Option<i64>,
}

/// Judges the next complete windows, as many as memory allows. Nothing is published, and the same
/// windows come again until [`publish`] has. Every archive file must be counted by every watched
/// reference: the caller counts first.
///
/// `now` in microseconds; `lagging` partitions have records that are not archived yet.
pub fn complete(
    watched: &[Watched],
    reports: &Reports,
    clock: Clock,
    rules: Rules,
    now: i64,
    lagging: &Lagging,
    threads: usize,
) -> Result<Round, StoreError> {
    let Some(first) = watched.first() else { return Ok(Round::default()) };
    let partitions = PartitionTimes::of(first.counter.counted());
    let Clock { lateness_seconds: lateness, idle_seconds: idle, .. } = clock;
    let Some(mark) = watermark(&partitions, lagging, now, idle, lateness) else {
        return Ok(Round::default());
    };
    let firsts = first.counter.counted().filter_map(|counted| counted.footer.first_pane_us);
    let Some(oldest) = firsts.min() else { return Ok(Round::default()) };
    // Times before 1970 are somebody's way to say that there is none.
    let earliest = || (clock.windows.of(oldest).end - 1).max(0);
    let from = reports.position().unwrap_or_else(earliest);
    let complete = clock.windows.complete_before(mark);
    if from >= complete {
        return Ok(Round { windows: from..from, watermark: Some(mark), ..Round::default() });
    }
    let upto = complete.min(from.saturating_add(together(watched, reports.groups(), threads)));
    let rows = rows_of(watched, clock, rules, from..upto, threads)?;
    let (more, counted) = (upto < complete, ends(first.counter.counted()));
    Ok(Round { rows, windows: from..upto, more, counted, watermark: Some(mark) })
}

/// Judges windows once more that have a report, the newest `seconds` of them; `take` gets the rows of some of
/// them at a time, as many as memory allows, oldest first, and answers whether to go on. As [`complete`], the
/// caller counts first. Answers whether all were taken.
pub fn again(
    watched: &[Watched],
    reports: &Reports,
    (clock, rules, threads): (Clock, Rules, usize),
    seconds: i64,
    mut take: impl FnMut(&[ReportRow]) -> bool,
) -> Result<bool, StoreError> {
    let Some(judged) = reports.judged()? else { return Ok(true) };
    let windows = seconds / i64::from(clock.windows.slide_seconds);
    let mut from = judged.start.max(judged.end - windows);
    // How many groups there are is known behind the first.
    let (mut groups, mut some) = (0, 1);
    while from < judged.end {
        let upto = judged.end.min(from.saturating_add(some));
        let rows = rows_of(watched, clock, rules, from..upto, threads)?;
        if !take(&rows) {
            return Ok(false);
        }
        groups = groups.max(most_groups(&rows));
        some = together(watched, groups, threads).min(2 * some);
        from = upto;
    }
    Ok(true)
}

/// Publishes the rows of `round` as one file: its windows are judged.
pub fn publish(reports: &mut Reports, clock: Clock, round: &Round) -> Result<(), StoreError> {
    if round.windows.is_empty() {
        return Ok(());
    }
    reports.publish(round, clock).map(drop)
}

/// Windows that fit into memory together, the previous ones included.
fn together(watched: &[Watched], groups: usize, threads: usize) -> i64 {
    let settings = || watched.iter().map(|one| one.counter.settings());
    let bytes = settings().map(|of| group_bytes(of, threads)).max().unwrap_or(1);
    let groups = settings().map(fewest_groups).max().unwrap_or(0).max(groups).max(1);
    (WINDOWS_BYTES / (bytes * groups)).clamp(1, 10_000) as i64
}

/// Groups of a window before any was judged.
fn fewest_groups(settings: &Settings) -> usize {
    settings.groups().max(4)
}

/// Bytes of a group in a window and the one before it: each thread has its own sums, and every column a row
/// beside each reference.
fn group_bytes(settings: &Settings, threads: usize) -> usize {
    2 * bytes_of(settings) * threads.max(1) + (1 + 2 * settings.columns.len()) * ROW_BYTES
}

/// Bytes that judging takes: one window is judged whatever it takes.
pub(crate) fn judge_bytes(settings: &Settings, threads: usize) -> usize {
    WINDOWS_BYTES.max(group_bytes(settings, threads) * fewest_groups(settings))
}

/// Rows of these windows beside every reference, by window.
fn rows_of(
    watched: &[Watched],
    clock: Clock,
    rules: Rules,
    windows: std::ops::Range<i64>,
    threads: usize,
) -> Result<Vec<ReportRow>, StoreError> {
    let mut rows = Vec::new();
    for reference in watched {
        rows.extend(judged(reference, clock, rules, windows.clone(), threads)?);
    }
    rows.sort_by_key(|row| row.window);
    Ok(rows)
}

fn judged(
    watched: &Watched,
    clock: Clock,
    rules: Rules,
    range: std::ops::Range<i64>,
    threads: usize,
) -> Result<Vec<ReportRow>, StoreError> {
    let settings = watched.counter.settings();
    let back = i64::from(clock.previous_seconds / clock.windows.slide_seconds);
    let wanted: Vec<i64> = range.clone().chain(range.clone().map(|window| window - back)).collect();
    let summed = sums(watched.counter.counted(), settings, clock.windows, &wanted, threads)?;
    let mut rows = Vec::new();
    for window in range {
        let (now, before) = (&summed[&window], &summed[&(window - back)]);
        let groups: BTreeSet<&Group> = now.keys().chain(before.keys()).collect();
        for group in groups.into_iter().filter(|group| watched.versions.has(group)) {
            let of = |sums: &'_ HashMap<Group, GroupSums>| sums.get(group).cloned();
            let (now, before) = (of(now).unwrap_or_default(), of(before).unwrap_or_default());
            let extent = clock.windows.extent(window);
            rows.extend(judge(settings, window, extent, group, &now, &before, rules));
        }
    }
    Ok(rows)
}

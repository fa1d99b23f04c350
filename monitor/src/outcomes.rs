//! Labels joined to what was answered, window by window: realised performance, and what was
//! expected of it before the labels came.
//!
//! A window is *estimated* as soon as it is judged, from the scores alone, and *realised* once: when
//! the labels' watermark has passed its end by the time-to-live, so that no label that still counts
//! can be missing. A label that is archived later changes nothing; when the watermark has passed
//! another time-to-live, it is *counted* how many came late. All are rows of the table `performance`,
//! in files published like the reports: the end in the newest footer is the next window.
//!
//! A result's label is the last one of its key, by (time, partition, offset), that was known at or
//! after the event and no later than the time-to-live after it.

mod calibrations;
mod chain;
mod join;
pub(crate) mod published;
mod question;
mod read;
mod row;
mod sorter;
mod tally;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::{Path, PathBuf};

use batch::StoreError;
use batch::sql::SqlTable;

use crate::count::MICROS;
use crate::evaluate::Clock;
use crate::window::{Lagging, TableTimes, watermark};
use calibrations::{Calibrations, Diagrams, MOST_WINDOWS};
use chain::Chain;
use tally::Tallies;

pub use chain::{OutcomesFooter, PERFORMANCE_KEY, PerformanceFiles};
pub use published::newest;
pub use row::{Figures, Kind, OutcomeRow, performance_schema};
pub use tally::{Answer, MAX_GROUPS, Score};

/// Windows in one file at most: between two files a stop is seen.
const WINDOWS_A_FILE: i64 = 24;

/// What is joined with what.
pub struct Settings {
    /// The table of results.
    pub results: SqlTable,
    /// The table of labels.
    pub labels: SqlTable,
    /// The folder of its files.
    pub labels_folder: PathBuf,
    /// Column of the results that labels are joined on.
    pub key_column: String,
    /// What the model answers.
    pub answer: Answer,
    /// How long after its event a label counts.
    pub ttl_seconds: u32,
    /// Memory of a join; what is more goes to the temporary folder.
    pub memory_bytes: usize,
}

/// The outcomes of one pipeline.
pub struct Outcomes {
    settings: Settings,
    clock: Clock,
    estimated: Chain,
    realised: Chain,
    late: Chain,
    times: TableTimes,
}

/// Some windows with their rows, not published yet.
#[derive(Debug)]
pub struct Outcome {
    /// Estimated or realised.
    pub kind: Kind,
    /// Which windows.
    pub windows: Range<i64>,
    /// One row for each window, version and arm that has results.
    pub rows: Vec<OutcomeRow>,
}

impl Outcomes {
    /// Opens the table below `root`; windows of another length or slide have a folder of their own.
    pub fn open(
        root: &Path,
        topic: &str,
        clock: Clock,
        instance: &str,
        settings: Settings,
    ) -> Result<Self, StoreError> {
        let chain = |kind| Chain::open(root, topic, clock, instance, kind);
        Ok(Self {
            estimated: chain(Kind::Estimated)?,
            realised: chain(Kind::Realised)?,
            late: chain(Kind::Late)?,
            times: TableTimes::of_labels(),
            clock,
            settings,
        })
    }

    /// The folder that readers take as one table.
    pub fn folder(&self) -> &Path {
        self.realised.files().folder()
    }

    /// Up to when windows are done with, in microseconds: results from there on are still to be joined.
    /// `None` before the first one.
    pub fn joined_until(&self) -> Option<i64> {
        let next = self.realised.position()?.min(self.late.position()?);
        Some(self.clock.windows.extent(next).start)
    }

    /// The next windows that are due, of the `judged` ones; `None` when none are. Nothing is
    /// published, and the same come again until [`Outcomes::publish`] has. `now` in microseconds;
    /// `lagging` partitions have labels that are not archived yet.
    pub fn next(
        &mut self,
        judged: Range<i64>,
        now: i64,
        lagging: &Lagging,
    ) -> Result<Option<Outcome>, StoreError> {
        let complete = self.labels_complete(now, lagging)?;
        let ttl = i64::from(self.settings.ttl_seconds) * MICROS;
        let since = |age: i64| {
            complete.map_or(judged.start, |mark| {
                self.clock.windows.complete_before(mark.saturating_sub(age)).min(judged.end)
            })
        };
        for (kind, upto) in [
            (Kind::Realised, since(ttl)),
            (Kind::Late, since(2 * ttl)),
            // Without a score nothing can be expected.
            (Kind::Estimated, if self.settings.answer.has_score() { judged.end } else { i64::MIN }),
        ] {
            let from = self.chain(kind).position().unwrap_or(judged.start);
            if from < upto {
                let windows = from..upto.min(from + WINDOWS_A_FILE);
                let mut diagrams = self.diagrams(kind, &windows)?;
                let mut rows = Vec::new();
                for window in windows.clone() {
                    let began = self.clock.windows.extent(window).start;
                    let known = diagrams.as_ref().map(|it| it.when(began)).unwrap_or_default();
                    let found = self.rows(kind, window, complete, &known)?;
                    diagrams.iter_mut().for_each(|it| found.iter().for_each(|row| it.take(row)));
                    rows.extend(found);
                }
                return Ok(Some(Outcome { kind, windows, rows }));
            }
        }
        Ok(None)
    }

    /// Publishes these rows as one file: their windows are done.
    pub fn publish(&mut self, outcome: &Outcome) -> Result<(), StoreError> {
        let (clock, ttl) = (self.clock, self.settings.ttl_seconds);
        let chain = match outcome.kind {
            Kind::Estimated => &mut self.estimated,
            Kind::Realised => &mut self.realised,
            Kind::Late => &mut self.late,
        };
        chain.publish(outcome.windows.clone(), clock, ttl, &outcome.rows)
    }

    fn chain(&self, kind: Kind) -> &Chain {
        match kind {
            Kind::Estimated => &self.estimated,
            Kind::Realised => &self.realised,
            Kind::Late => &self.late,
        }
    }

    /// Up to when no label is missing, as far as anybody can know.
    fn labels_complete(&mut self, now: i64, lagging: &Lagging) -> Result<Option<i64>, StoreError> {
        let partitions = self.times.look(&self.settings.labels_folder)?;
        let Clock { idle_seconds, lateness_seconds, .. } = self.clock;
        Ok(watermark(partitions, lagging, now, idle_seconds, lateness_seconds))
    }

    /// What estimates of these windows are calibrated by; none where nothing is estimated.
    fn diagrams(&self, kind: Kind, windows: &Range<i64>) -> Result<Option<Diagrams>, StoreError> {
        if kind == Kind::Late || !self.settings.answer.has_score() {
            return Ok(None);
        }
        let extent = |window| self.clock.windows.extent(window);
        let (first, last) = (extent(windows.start), extent(windows.end - 1));
        let ttl = i64::from(self.settings.ttl_seconds) * MICROS;
        let oldest = first.start - ttl - MOST_WINDOWS * (first.end - first.start);
        let files = self.realised.files().of(Kind::Realised)?.into_iter().rev();
        let known = files.filter(|(first, _)| extent(*first).end <= last.start - ttl);
        Diagrams::read(known.map(|(_, path)| path), oldest, ttl).map(Some)
    }

    fn rows(
        &self,
        kind: Kind,
        window: i64,
        complete: Option<i64>,
        calibrations: &Calibrations,
    ) -> Result<Vec<OutcomeRow>, StoreError> {
        let extent = self.clock.windows.extent(window);
        let settings = &self.settings;
        let mut tallies = Tallies::new(&settings.answer, calibrations);
        read::window(settings, kind, &extent, &mut tallies)?;
        let groups = tallies.into_groups();
        let row = |(group, tally)| {
            OutcomeRow::new(kind, window, extent.clone(), group, &tally, complete, &settings.answer)
        };
        Ok(groups.into_iter().map(row).collect())
    }
}

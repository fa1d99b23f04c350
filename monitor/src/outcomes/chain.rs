//! The performance files: three chains of windows, of estimates, of what was realised, and of what came late.

use std::ops::Range;
use std::path::{Path, PathBuf};

use batch::StoreError;
use batch::derived::Derived;
use serde::{Deserialize, Serialize};

use super::row::{Kind, OutcomeRow, performance_schema, table};
use crate::evaluate::{Clock, kind_of, newest_end};

/// Key of the footer's JSON.
pub const PERFORMANCE_KEY: &str = "tidegate.performance";

/// What a performance file covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomesFooter {
    /// First window.
    pub start: i64,
    /// Behind the last window.
    pub end: i64,
    /// Length of a window.
    pub length_seconds: u32,
    /// From one window to the next.
    pub slide_seconds: u32,
    /// How long after its event a label counted.
    pub ttl_seconds: u32,
}

/// The published files, for readers beside whoever joins.
pub struct PerformanceFiles(Derived);

impl PerformanceFiles {
    /// Names the files below `root`; windows of another length or slide have a folder of their own.
    pub fn open(
        root: &Path,
        topic: &str,
        clock: Clock,
        instance: &str,
    ) -> Result<Self, StoreError> {
        Derived::open(root, "performance", topic, &kind_of(clock), instance).map(Self)
    }

    /// The folder that readers take as one table.
    pub fn folder(&self) -> &Path {
        self.0.folder()
    }

    /// Those of one kind in order of their first windows.
    pub(crate) fn of(&self, kind: Kind) -> Result<Vec<(i64, PathBuf)>, StoreError> {
        self.0.files(partition(kind))
    }
}

fn partition(kind: Kind) -> i32 {
    match kind {
        Kind::Estimated => 0,
        Kind::Realised => 1,
        Kind::Late => 2,
    }
}

/// Files of one kind of rows.
pub(super) struct Chain {
    files: PerformanceFiles,
    partition: i32,
    position: Option<i64>,
}

impl Chain {
    pub(super) fn open(
        root: &Path,
        topic: &str,
        clock: Clock,
        instance: &str,
        kind: Kind,
    ) -> Result<Self, StoreError> {
        let files = PerformanceFiles::open(root, topic, clock, instance)?;
        let mut chain = Self { files, partition: partition(kind), position: None };
        chain.position = chain.load(clock)?;
        Ok(chain)
    }

    /// The files of all kinds.
    pub(super) fn files(&self) -> &PerformanceFiles {
        &self.files
    }

    /// The next window; none before the first.
    pub(super) fn position(&self) -> Option<i64> {
        self.position
    }

    fn load(&self, clock: Clock) -> Result<Option<i64>, StoreError> {
        let extent = |of: &OutcomesFooter| (of.start..of.end, of.length_seconds, of.slide_seconds);
        newest_end(&self.files.0, self.partition, PERFORMANCE_KEY, clock, extent)
    }

    /// Publishes the rows of these windows, unless another process was faster: then its rows stand.
    pub(super) fn publish(
        &mut self,
        windows: Range<i64>,
        clock: Clock,
        ttl_seconds: u32,
        rows: &[OutcomeRow],
    ) -> Result<(), StoreError> {
        let mut new = self.files.0.create(self.partition, windows.start, &performance_schema())?;
        new.write(&table(rows))?;
        let footer = OutcomesFooter {
            start: windows.start,
            end: windows.end,
            length_seconds: clock.windows.length_seconds,
            slide_seconds: clock.windows.slide_seconds,
            ttl_seconds,
        };
        let text = serde_json::to_string(&footer).expect("a footer is plain data");
        let first = new.publish(PERFORMANCE_KEY, text)?;
        self.position = if first { Some(windows.end) } else { self.load(clock)? };
        Ok(())
    }
}

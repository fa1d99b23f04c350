//! How far each partition of an archived table has got: from the files' statistics, each read once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use batch::StoreError;
use batch::source::{Columns, files};

use super::PartitionTimes;
use crate::count::{MAX_AHEAD_SECONDS, MICROS};

/// Newest times, and the files that they are from.
#[derive(Debug)]
pub struct TableTimes {
    column: &'static str,
    seen: BTreeSet<PathBuf>,
    partitions: BTreeMap<i32, PartitionTimes>,
}

impl TableTimes {
    /// Of the results: when events happened.
    #[must_use]
    pub fn of_events() -> Self {
        Self::of_column("event_time")
    }

    /// Of the labels: when they were known.
    pub(crate) fn of_labels() -> Self {
        Self::of_column("label_time")
    }

    fn of_column(column: &'static str) -> Self {
        Self { column, seen: BTreeSet::new(), partitions: BTreeMap::new() }
    }

    /// The newest times of each partition of the table below `folder`.
    pub fn look(&mut self, folder: &Path) -> Result<&BTreeMap<i32, PartitionTimes>, StoreError> {
        for (partition, files) in files(folder)? {
            for (_, path) in files {
                if self.seen.contains(&path) {
                    continue;
                }
                let file = Columns::open(&path)?;
                let record = file.greatest("timestamp");
                // A row that names the year 2100 must not complete every window.
                let bound = record.map(|at| at.saturating_add(MAX_AHEAD_SECONDS * MICROS));
                let event = match (file.greatest(self.column), bound) {
                    (Some(time), Some(bound)) => Some(time.min(bound)),
                    (time, _) => time,
                };
                let times = self.partitions.entry(partition).or_default();
                times.event = times.event.max(event);
                times.record = times.record.max(record);
                self.seen.insert(path);
            }
        }
        Ok(&self.partitions)
    }
}

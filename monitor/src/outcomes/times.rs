//! Up to when the labels of each partition are known: from the files' statistics, each read once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use batch::StoreError;
use batch::source::{Columns, files};

use crate::count::MICROS;
use crate::window::PartitionTimes;

/// A label that says to be known later than this after its record is believed no further: one that
/// names the year 2100 must not complete every window.
const MAX_AHEAD_SECONDS: i64 = 3_600;

/// Newest times, and the files that they are from.
#[derive(Debug, Default)]
pub(super) struct LabelTimes {
    seen: BTreeSet<PathBuf>,
    partitions: BTreeMap<i32, PartitionTimes>,
}

impl LabelTimes {
    /// The newest times of each partition of the labels below `folder`.
    pub(super) fn of(
        &mut self,
        folder: &Path,
    ) -> Result<&BTreeMap<i32, PartitionTimes>, StoreError> {
        for (partition, files) in files(folder)? {
            for (_, path) in files {
                if self.seen.contains(&path) {
                    continue;
                }
                let file = Columns::open(&path)?;
                let record = file.greatest("timestamp");
                let bound = record.map(|at| at.saturating_add(MAX_AHEAD_SECONDS * MICROS));
                let event = match (file.greatest("label_time"), bound) {
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

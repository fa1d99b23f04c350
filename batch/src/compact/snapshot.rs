//! The compacted table as a reader sees it: one record, and what lies behind it in the archive.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::record::Record;
use super::{Folders, commit};
use crate::error::StoreError;
use crate::files;
use crate::positions::{self, Coordinates};
use crate::source;

/// See the module; a later record changes nothing in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    record: Record,
    folders: Folders,
}

impl Snapshot {
    /// What of a table of a topic is compacted; `None` when nothing ever was.
    pub fn read(root: &Path, table: &str, topic: &str) -> Result<Option<Self>, StoreError> {
        let folders = Folders::of(root, table, topic);
        let record = Record::read(&*files::of(root)?, &folders.records)?;
        Ok(record.map(|record| Self { record, folders }))
    }

    /// Files of the compacted table; the newest has all columns of those before.
    pub fn compacted(&self) -> impl ExactSizeIterator<Item = PathBuf> + '_ {
        self.record.files.iter().map(|file| self.folders.data.join(&file.path))
    }

    /// Files of the archive whose rows are not in the compacted table.
    pub fn rest(&self) -> Result<Vec<PathBuf>, StoreError> {
        let files = source::files(&self.folders.source)?.into_iter();
        let behind = |(partition, files): (i32, Vec<(i64, PathBuf)>)| {
            let upto = self.record.upto.get(&partition).copied().unwrap_or(0);
            files.into_iter().filter(move |(start, _)| *start >= upto).map(|(_, path)| path)
        };
        Ok(files.flat_map(behind).collect())
    }

    /// First position of each partition that expiry left in the archive.
    #[must_use]
    pub fn expired(&self) -> &BTreeMap<i32, i64> {
        &self.record.expired
    }

    /// Rows that expiry took from archive and compacted table, at most.
    #[must_use]
    pub fn rows_expired(&self) -> u64 {
        self.record.rows_expired
    }

    /// Shows the coordinates of every compacted row, in no order.
    pub fn scan(&self, each: &mut dyn FnMut(&Coordinates)) -> Result<(), StoreError> {
        for path in self.compacted() {
            positions::coordinates(commit::open(&path)?, &path, each)?;
        }
        Ok(())
    }
}

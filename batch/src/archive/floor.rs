//! What expiry took from the front of a partition: names that are free again, and nobody's.
//!
//! A file's name is given away once, so that of two writers one is refused. Expiry frees names, and a
//! writer that was away meanwhile (frozen, cut off) could take one. Expiry's record is durable before
//! it removes anything, so who looks at the record after it has won a name sees whether the name was free
//! because nobody had had it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::config::ArchiveConfig;
use crate::compact::{Folders, record::Record};
use crate::error::StoreError;
use crate::files::{Files, is_object};

/// Per partition the first position that expiry left, as its newest record says.
pub(super) struct Floors {
    /// `None` in an object store, where nothing expires.
    records: Option<PathBuf>,
    generation: u64,
    expired: BTreeMap<i32, i64>,
}

impl Floors {
    pub(super) fn new(config: &ArchiveConfig, topic: &str) -> Self {
        let records = Folders::of(&config.root, &config.table, topic).records;
        let records = (!is_object(&config.root)).then_some(records);
        Self { records, generation: 0, expired: BTreeMap::new() }
    }

    /// The first position of `partition` that expiry has left by now.
    pub(super) fn of(&mut self, files: &dyn Files, partition: i32) -> Result<i64, StoreError> {
        if let Some(folder) = &self.records
            && let Some(record) = Record::newer(files, folder, self.generation)?
        {
            (self.generation, self.expired) = (record.generation, record.expired);
        }
        Ok(self.expired.get(&partition).copied().unwrap_or(0))
    }
}

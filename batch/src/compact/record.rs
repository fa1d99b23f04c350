//! What is compacted: the one truth about the compacted table, a new file each time it changes.
//!
//! A record is published under its generation's number, without replacing, like everything else: of
//! two writers whom the lock did not keep apart, one fails. The greatest number counts; the one before
//! it stays for readers that are just opening it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemas::{FooterPosition, failpoint};
use serde::{Deserialize, Serialize};

use super::Folders;
use crate::error::StoreError;
use crate::files::{Files, sync_up_to};

/// Form of the record; another one is refused.
const FORMAT: u32 = 1;
const EXTENSION: &str = ".json";
const DIGITS: usize = 20;
/// Largest record: some 500,000 files.
const MAX_BYTES: u64 = 256 << 20;
/// Looks at the folder while records are taken away under the reader.
const LOOKS: usize = 10;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    format: u32,
    /// One more than the record before.
    pub(crate) generation: u64,
    pub(crate) table: String,
    pub(crate) topic: String,
    cluster_id: String,
    topic_id: String,
    /// First position of each partition whose row is not in `files`.
    pub(crate) upto: BTreeMap<i32, i64>,
    /// First position of each partition that expiry left in the archive.
    pub(crate) expired: BTreeMap<i32, i64>,
    /// Rows that expiry took from both tables, at most.
    pub(crate) rows_expired: u64,
    /// The compacted table.
    pub(crate) files: Vec<CompactedFile>,
}

/// A file of the compacted table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompactedFile {
    /// Below the table's folder.
    pub(crate) path: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Ids of the tables that its rows were archived as.
    pub(crate) contract_ids: Vec<String>,
    /// Times of the earliest and the latest event, in microseconds; none where no row has a time.
    pub(crate) first_us: Option<i64>,
    pub(crate) last_us: Option<i64>,
    /// Time of the newest record.
    pub(crate) newest_record_us: Option<i64>,
}

impl Record {
    /// The record of a table of which nothing is compacted.
    pub(super) fn nothing(table: &str, topic: &str) -> Self {
        let (table, topic) = (table.to_owned(), topic.to_owned());
        Self { format: FORMAT, table, topic, ..Self::default() }
    }

    /// The newest record in `folder`; `None` where nothing was ever compacted.
    pub(crate) fn read(files: &dyn Files, folder: &Path) -> Result<Option<Self>, StoreError> {
        Self::newer(files, folder, 0)
    }

    /// The newest record in `folder`; `None` where there is none after `generation`.
    pub(crate) fn newer(
        files: &dyn Files,
        folder: &Path,
        generation: u64,
    ) -> Result<Option<Self>, StoreError> {
        for _ in 0..LOOKS {
            let newest = lying(files, folder)?.pop();
            let Some((_, path)) = newest.filter(|(found, _)| *found > generation) else {
                return Ok(None);
            };
            match read(files, &path) {
                // Two more were published since the look.
                Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                other => return other.map(Some),
            }
        }
        let folder = folder.display();
        Err(StoreError::Query(format!("the records in {folder} change faster than they are read")))
    }

    /// Refuses a file of another topic than the rows that are compacted already; takes its identity
    /// over where none is known.
    pub(super) fn belongs(
        &mut self,
        footer: &FooterPosition,
        path: &Path,
    ) -> Result<(), StoreError> {
        let pairs = [
            ("topic", &mut self.topic, &footer.topic),
            ("cluster id", &mut self.cluster_id, &footer.cluster_id),
            ("topic id", &mut self.topic_id, &footer.topic_id),
        ];
        for (what, known, found) in pairs {
            if known.is_empty() {
                known.clone_from(found);
            } else if !found.is_empty() && found != known {
                let (found, expected) = (found.clone(), known.clone());
                let path = path.to_path_buf();
                return Err(StoreError::Identity { path, what, found, expected });
            }
        }
        Ok(())
    }

    /// Publishes this record as the next one, durably.
    pub(super) fn publish(
        &mut self,
        files: &Arc<dyn Files>,
        folders: &Folders,
    ) -> Result<(), StoreError> {
        self.generation += 1;
        let to = folders.records.join(name(self.generation));
        let temporary = folders.temporaries.join(name(self.generation));
        let text = serde_json::to_vec_pretty(self).expect("a record is plain data");
        let failed = |action| {
            let path = temporary.clone();
            move |e| StoreError::io(action, &path, e)
        };
        let mut file = files.create(&temporary).map_err(failed("create"))?;
        file.write_all(&text).map_err(failed("write"))?;
        file.sync().map_err(failed("sync"))?;
        drop(file);
        failpoint::pass("compact.before_record");
        match files.publish(&temporary, &to) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(StoreError::Query(format!(
                    "{} was published by another process meanwhile: compact again",
                    to.display()
                )));
            }
            other => other.map_err(|e| StoreError::io("publish", &to, e))?,
        }
        let dir = &folders.records;
        sync_up_to(&**files, &folders.root, dir).map_err(|e| StoreError::io("sync", dir, e))?;
        failpoint::pass("compact.recorded");
        Ok(())
    }
}

/// Removes records that no reader can be opening any more.
pub(super) fn sweep(files: &dyn Files, folder: &Path) -> Result<(), StoreError> {
    let records = lying(files, folder)?;
    for (_, path) in records.iter().rev().skip(2) {
        files.remove(path).map_err(|e| StoreError::io("remove", path, e))?;
    }
    Ok(())
}

fn name(generation: u64) -> String {
    format!("{generation:0DIGITS$}{EXTENSION}")
}

/// Records in order of their generations.
fn lying(files: &dyn Files, folder: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let entries = match files.list(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(StoreError::io("list", folder, error)),
    };
    let generation = |found: &str| {
        let number = found.strip_suffix(EXTENSION)?.parse().ok()?;
        (name(number) == found).then_some(number)
    };
    let found =
        entries.iter().filter_map(|it| Some((generation(&it.name)?, folder.join(&it.name))));
    let mut found: Vec<_> = found.collect();
    found.sort_unstable();
    Ok(found)
}

fn read(files: &dyn Files, path: &Path) -> Result<Record, StoreError> {
    let damaged = |reason: String| {
        let path = path.display();
        StoreError::Query(format!(
            "{path}: {reason}; put it back from a copy: it says which rows the compacted table holds"
        ))
    };
    let failed = |e| StoreError::io("read", path, e);
    let len = files.stat(path).map_err(failed)?.bytes;
    if len > MAX_BYTES {
        return Err(damaged(format!("{len} bytes are no record")));
    }
    let text = files.read(path, 0, len as usize).map_err(failed)?;
    let record: Record =
        serde_json::from_slice(&text).map_err(|e| damaged(format!("it is damaged ({e})")))?;
    if record.format != FORMAT {
        let format = record.format;
        return Err(damaged(format!("it is of format {format}, this build reads {FORMAT}")));
    }
    Ok(record)
}

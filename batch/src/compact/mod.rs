//! Compaction: the archive's rows once more, by day and in order of their times, in large files.
//!
//! ```text
//! results/<topic>/source_partition=<p>/*.parquet              what hop 2 writes, and goes on adding to
//! results_compacted/<topic>/event_date=<d>/*.parquet          the same rows up to a position a partition
//! compactions/results/<topic>/<generation, 20 digits>.json    which files and positions these are
//! ```
//!
//! The newest record is the only truth: a file that it does not name is what a killed run left,
//! ignored by readers of the record and removed by the next run. Work goes in rounds, each of whole
//! archive files; a round's files are published before the record that names them, and never
//! rewritten after, so that a reader never loses a file beneath it except to [expiry](Expiry). A round
//! whose files do not hold exactly the positions of its input is refused.

mod commit;
mod expire;
mod names;
mod plan;
#[cfg(test)]
mod property_tests;
pub(crate) mod record;
mod snapshot;
mod sorted;
mod sums;
mod sweep;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use serde::Serialize;

pub use expire::{Expired, Expiry, Kept};
pub(crate) use plan::columns;
pub use snapshot::Snapshot;

use crate::archive::{layout, topic_folder};
use crate::error::{CREATE_FOLDER, StoreError};
use crate::files::{Files, LocalFiles, ensure_dir, is_object, lock, sync_up_to};
use crate::parquet_io::ParquetRows;
use crate::positions::{self, Seen};
use plan::Input;
use record::Record;
use sorted::Sorted;
use sums::Positions;
use write::Writer;

const TIMESTAMP: &str = "timestamp";
const EVENT_TIME: &str = "event_time";
const LABEL_TIME: &str = "label_time";

/// Bytes of archive files in a round, in files of the compacted table: what a kill can cost, and what
/// the sort may spill, a few times over since it is not compressed.
const FILES_A_ROUND: u64 = 4;

/// Bytes of a compacted file unless told otherwise: few requests to read it, and many to a round.
pub const FILE_BYTES: u64 = 256 << 20;

/// Memory of the sort before it spills unless told otherwise.
pub const MEMORY_BYTES: usize = 1 << 30;

/// What is to be compacted.
#[derive(Clone, Debug)]
pub struct CompactConfig {
    /// Folder that holds the tables.
    pub root: PathBuf,
    /// Table of the archive.
    pub table: String,
    /// Its topic.
    pub topic: String,
    /// A file is closed at this many bytes; a day has one that is smaller.
    pub file_bytes: u64,
    /// Memory of the sort before it spills, in the archive's folder.
    pub memory_bytes: usize,
}

/// Some files, their rows and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Files.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, rows: u64, bytes: u64) {
        self.files += 1;
        self.rows += rows;
        self.bytes += bytes;
    }
}

/// What one run compacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// Files of the archive.
    pub read: Amount,
    /// Files of the compacted table.
    pub written: Amount,
    /// Rounds, each of which is kept whatever becomes of the next.
    pub rounds: u64,
}

/// The compaction of one table of one topic; others are kept out until it is dropped.
pub struct Compaction {
    files: Arc<dyn Files>,
    config: CompactConfig,
    folders: Folders,
    record: Record,
    _lock: File,
}

/// Where the files of a compaction lie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Folders {
    root: PathBuf,
    source: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) records: PathBuf,
    temporaries: PathBuf,
}

impl Folders {
    pub(crate) fn of(root: &Path, table: &str, topic: &str) -> Self {
        let compacted = format!("{table}_compacted");
        Self {
            root: root.to_path_buf(),
            source: topic_folder(root, table, topic),
            data: topic_folder(root, &compacted, topic),
            records: topic_folder(&root.join("compactions"), table, topic),
            temporaries: layout::temporary_folder(root, &compacted, topic),
        }
    }

    /// Where sorts spill: on the archive's disk, since the system's temporary folder may be memory.
    fn spill(&self) -> PathBuf {
        self.temporaries.join("spill")
    }

    fn make(&self, files: &dyn Files) -> Result<(), StoreError> {
        for dir in [&self.records, &self.temporaries] {
            ensure_dir(files, dir).map_err(|e| StoreError::io(CREATE_FOLDER, dir, e))?;
        }
        Ok(())
    }
}

impl Compaction {
    /// Takes the table's lock and reads what is compacted. Nothing is changed.
    pub fn open(config: CompactConfig) -> Result<Self, StoreError> {
        layout::check_name("archive table", &config.table)?;
        layout::check_name("topic", &config.topic)?;
        if is_object(&config.root) {
            let reason = "compaction needs a local folder: it takes a lock, sorts on the archive's disk and \
                          rereads what it wrote before it gives it a name"
                .into();
            return Err(StoreError::Place { path: config.root, reason });
        }
        let files: Arc<dyn Files> = Arc::new(LocalFiles);
        let folders = Folders::of(&config.root, &config.table, &config.topic);
        folders.make(&*files)?;
        let Some(lock) = lock(&folders.records)? else {
            return Err(StoreError::Query(format!(
                "{} is being compacted by another process: wait for it",
                folders.source.display()
            )));
        };
        let record = opened(&*files, &folders, &config)?;
        Ok(Self { files, config, folders, record, _lock: lock })
    }

    /// What is archived and not compacted.
    pub fn pending(&mut self) -> Result<Amount, StoreError> {
        let pending = plan::pending(&self.folders, &mut self.record)?;
        let mut amount = Amount::default();
        pending.values().flatten().for_each(|input| amount.add(input.footer.rows, input.bytes));
        Ok(amount)
    }

    /// What lies in the compacted table.
    #[must_use]
    pub fn compacted(&self) -> Amount {
        let mut amount = Amount::default();
        self.record.files.iter().for_each(|file| amount.add(file.rows, file.bytes));
        amount
    }

    /// The folder of the compacted table.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folders.data
    }

    /// Compacts all that is archived; `progress` hears of rows as they are written. The first error
    /// ends it; the rounds before stay. Blocks.
    pub fn run(&mut self, progress: &mut dyn FnMut(u64)) -> Result<Compacted, StoreError> {
        let mut pending = plan::pending(&self.folders, &mut self.record)?;
        self.begin()?;
        let mut done = Compacted::default();
        loop {
            let bytes = self.config.file_bytes.saturating_mul(FILES_A_ROUND);
            let inputs = plan::round(&mut pending, bytes);
            if inputs.is_empty() {
                return Ok(done);
            }
            let before = self.record.files.len();
            self.round(&inputs, progress)?;
            inputs.iter().for_each(|input| done.read.add(input.footer.rows, input.bytes));
            let written = &self.record.files[before..];
            written.iter().for_each(|file| done.written.add(file.rows, file.bytes));
            done.rounds += 1;
        }
    }

    /// Removes what a killed run left. Before the first file there is a record: a file without one is
    /// never taken for something left behind.
    fn begin(&mut self) -> Result<(), StoreError> {
        sweep::leftovers(&*self.files, &self.folders, &self.record)?;
        if self.record.generation == 0 {
            self.record.publish(&self.files, &self.folders)?;
        }
        Ok(())
    }

    fn round(&mut self, inputs: &[Input], progress: &mut dyn FnMut(u64)) -> Result<(), StoreError> {
        let mut before = Positions::default();
        for input in inputs {
            positions::scan_file(&input.path, &input.footer, &mut |seen| match seen {
                Seen::Rows(rows) => before.add(rows),
                Seen::File(..) => {}
            })?;
        }
        let mut written = Vec::new();
        if before.rows() > 0 {
            let columns = self.columns(inputs)?;
            let ids: BTreeSet<&String> =
                inputs.iter().map(|input| &input.footer.contract_id).collect();
            let ids = ids.into_iter().cloned().collect();
            let (next, file_bytes) = (self.record.generation + 1, self.config.file_bytes);
            let mut writer =
                Writer::new(&self.files, &self.folders, next, columns.clone(), ids, file_bytes);
            let memory_bytes = self.config.memory_bytes;
            let spill = self.folders.spill();
            ensure_dir(&*self.files, &spill)
                .map_err(|e| StoreError::io(CREATE_FOLDER, &spill, e))?;
            for batch in Sorted::open(inputs, &columns, memory_bytes, &spill)? {
                let batch = batch?;
                writer.write(&batch)?;
                progress(batch.num_rows() as u64);
            }
            written = writer.finish()?;
        }
        let mut next = self.record.clone();
        for input in inputs {
            next.upto.insert(input.footer.partition, input.footer.end);
        }
        commit::commit(&self.files, &self.folders, &mut next, written, &before, &commit::of_file)?;
        self.record = next;
        record::sweep(&*self.files, &self.folders.records)
    }

    /// The columns of the inputs and of what is compacted already, so that the newest file always has
    /// those of all before it.
    fn columns(&self, inputs: &[Input]) -> Result<SchemaRef, StoreError> {
        let newest = self.record.files.last().map(|file| self.folders.data.join(&file.path));
        let newest = newest.map(|path| ParquetRows::open(&path, 1)).transpose()?;
        let mut distinct: BTreeMap<&str, SchemaRef> = BTreeMap::new();
        for input in inputs {
            distinct.insert(&input.footer.contract_id, input.schema.clone());
        }
        let before = newest.map(|file| file.schema().clone());
        columns(&before.into_iter().chain(distinct.into_values()).collect::<Vec<_>>())
    }
}

/// The newest record, durable: what is removed because of it must not come back into force.
fn opened(
    files: &dyn Files,
    folders: &Folders,
    config: &CompactConfig,
) -> Result<Record, StoreError> {
    let record = Record::read(files, &folders.records)?;
    let dir = &folders.records;
    sync_up_to(files, &folders.root, dir).map_err(|e| StoreError::io("sync", dir, e))?;
    Ok(record.unwrap_or_else(|| Record::nothing(&config.table, &config.topic)))
}

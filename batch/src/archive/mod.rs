//! The archive of a topic: every record one row, every position in exactly one published file.
//!
//! The end in the footer of a partition's newest file *is* its position; there is no other record
//! of it. A file is written under a temporary name, synced, and published under the name
//! `<root>/<table>/<topic>/source_partition=<p>/<start, 20 digits>.parquet`, which is never
//! replaced: of two writers one wins, and the other reads the winner's end and goes on from there.
//! A partition without a file begins at 0, whatever comes first of it. [`Archive`] only adds files: it refuses
//! to delete or rewrite what was published. Expiry alone removes, whole files from the front.

mod chain;
mod config;
mod floor;
mod footer;
pub(crate) mod layout;
mod open_file;
mod partition;
mod properties;
#[cfg(test)]
mod property_tests;
mod roll;
mod split;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use schemas::{FooterPosition, MicroBatch};

pub(crate) use chain::{follow, partition_files};
pub use config::{ArchiveConfig, OBJECT_BYTES, Table, TopicIdentity};
use floor::Floors;
pub(crate) use footer::read_footer;
pub(crate) use layout::parse_partition;
pub use layout::topic_folder;
pub(crate) use open_file::{ClosedFile, OpenFile};
use partition::{Partition, Shared};
pub use properties::Compression;
pub(crate) use properties::{scanned_properties, writer_properties};

use crate::error::{CREATE_FOLDER, StoreError};
use crate::files::{self, Files, ensure_dir, sync_up_to};

/// Writer of one table from one topic: any number of partitions, one thread.
///
/// The caller asks for the [`position`](Archive::position) of each partition it was assigned and
/// appends what it reads from there on. After an error other than a lost partition the archive is
/// dropped and opened anew; nothing that was reported published is ever lost by that.
pub struct Archive {
    shared: Shared,
    partitions: BTreeMap<i32, Partition>,
}

/// What a call made durable, and what it lost to other writers.
#[derive(Debug, Default)]
#[must_use = "a lost partition must be read again from its new position"]
pub struct Outcome {
    /// Files that are durable under their final names.
    pub published: Vec<Published>,
    /// Partitions that another writer moved on; they are closed here.
    pub lost: Vec<Lost>,
}

/// A file that is durable under its final name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The file.
    pub path: PathBuf,
    /// What it covers.
    pub footer: FooterPosition,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A partition whose next file another writer published first.
///
/// The rows held here were discarded. Call [`Archive::position`] again and read from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The partition.
    pub partition: i32,
    /// Where the winner's newest file ends.
    pub position: i64,
}

impl Archive {
    /// Opens the archive of `topic`, in a local directory or an object store, and sweeps stale
    /// temporaries: those of this instance, and anybody's that are older than `config.stale_after` at
    /// `now`.
    pub fn open(
        config: ArchiveConfig,
        topic: TopicIdentity,
        table: Table,
        now: SystemTime,
    ) -> Result<Self, StoreError> {
        Self::open_on(files::of(&config.root)?, config, topic, table, now)
    }

    pub(crate) fn open_on(
        files: Arc<dyn Files>,
        config: ArchiveConfig,
        topic: TopicIdentity,
        table: Table,
        now: SystemTime,
    ) -> Result<Self, StoreError> {
        config.check()?;
        layout::check_name("archive table", &config.table)?;
        layout::check_name("topic", &topic.topic)?;
        files.prove(&config.root).map_err(|e| StoreError::io("publish to", &config.root, e))?;
        let folder = topic_folder(&config.root, &config.table, &topic.topic);
        let temporaries = layout::temporary_folder(&config.root, &config.table, &topic.topic);
        for dir in [&folder, &temporaries] {
            ensure_dir(&*files, dir).map_err(|e| StoreError::io(CREATE_FOLDER, dir, e))?;
        }
        chain::refuse_stray_files(&*files, &folder)?;
        layout::sweep(&*files, &temporaries, &config.instance, config.stale_after, now)?;
        let properties =
            writer_properties(&table.schema, config.row_group_rows, config.compression);
        let floors = Floors::new(&config, &topic.topic);
        Ok(Self {
            shared: Shared { files, config, topic, table, folder, temporaries, properties, floors },
            partitions: BTreeMap::new(),
        })
    }

    /// Opens `partition` for appending and returns the first position that is not archived;
    /// `None` when it has no file yet. Then its first file covers everything from position 0 on, also
    /// what the log has lost by now, so that all who would write it contend for one name.
    ///
    /// The newest 64 files of the partition are checked: whole, ours, of the same topic, with a schema
    /// that reads together with this table's, and each starting where its predecessor ends. Rows held of
    /// an earlier opening are discarded.
    pub fn position(&mut self, partition: i32) -> Result<Option<i64>, StoreError> {
        self.partitions.remove(&partition);
        let dir = layout::partition_folder(&self.shared.folder, partition);
        ensure_dir(&*self.shared.files, &dir)
            .map_err(|e| StoreError::io(CREATE_FOLDER, &dir, e))?;
        let end = self.shared.load(partition)?;
        let Shared { files, config, .. } = &self.shared;
        sync_up_to(&**files, &config.root, &dir).map_err(|e| StoreError::io("sync", &dir, e))?;
        self.partitions.insert(partition, Partition::at(partition, end.unwrap_or(0)));
        Ok(end)
    }

    /// Appends every record of `batch` as one row, at `now`, and publishes what is due by rows
    /// or bytes.
    pub fn append(&mut self, batch: &MicroBatch, now: Instant) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome::default();
        if batch.is_empty() {
            return Ok(outcome);
        }
        for (partition, extent) in batch.offsets().iter() {
            let open = self.partitions.get(&partition);
            open.ok_or(StoreError::NotOpen { partition })?.check_ahead(extent.start)?;
        }
        let rows = (self.shared.table.rows)(batch);
        assert_eq!(rows.num_rows(), batch.len(), "every record is exactly one row");
        for part in split::by_partition(batch.records(), &rows) {
            if let Err(error) = self.append_part(&part, now, &mut outcome) {
                // Rows of this batch are missing in some of its partitions: none may go on.
                batch.offsets().iter().for_each(|(partition, _)| self.discard(&[partition]));
                return Err(error);
            }
        }
        Ok(outcome)
    }

    /// Says that the reader of `partition` has reached `position`, whether or not rows lay before
    /// it: aborted and control records advance a log too.
    pub fn advance(
        &mut self,
        partition: i32,
        position: i64,
        now: Instant,
    ) -> Result<(), StoreError> {
        let open = self.partitions.get_mut(&partition).ok_or(StoreError::NotOpen { partition })?;
        open.advance(position, now);
        Ok(())
    }

    /// Publishes what is due by age at `now`; call it about once a second.
    pub fn tick(&mut self, now: Instant) -> Result<Outcome, StoreError> {
        let due = self.partitions.values().filter(|open| open.due(&self.shared, now).is_some());
        self.publish_all(due.map(|open| open.number).collect())
    }

    /// When [`Archive::tick`] next has something to do.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.partitions.values().filter_map(|open| open.due_at(&self.shared.config)).min()
    }

    /// Gives partitions up after publishing what they hold, so that the next owner does not read
    /// it again. Losing the race here is no news: the partition is leaving anyway.
    pub fn revoke(&mut self, partitions: &[i32]) -> Result<Outcome, StoreError> {
        let outcome = self.publish_all(partitions.to_vec());
        self.discard(partitions);
        outcome
    }

    /// Forgets partitions that were *lost*, not revoked: their next owner is reading already, and
    /// publishing now would only make it lose the race and start over.
    pub fn discard(&mut self, partitions: &[i32]) {
        for partition in partitions {
            self.partitions.remove(partition);
        }
    }

    /// Publishes what every partition holds and closes them all.
    pub fn finish(&mut self) -> Result<Outcome, StoreError> {
        let all: Vec<i32> = self.partitions.keys().copied().collect();
        self.revoke(&all)
    }

    /// Records that the positions up to `to` are gone from the log and accepts the hole.
    ///
    /// For the named command only, on a partition just opened: it publishes a file without rows
    /// that covers the hole and holds `reason` under the key `tidegate.gap`.
    pub fn accept_gap(
        &mut self,
        partition: i32,
        to: i64,
        reason: &str,
    ) -> Result<Outcome, StoreError> {
        let open = self.partitions.get_mut(&partition).ok_or(StoreError::NotOpen { partition })?;
        open.skip(to, reason)?;
        self.publish_all(vec![partition])
    }

    /// Bytes held in memory by open files now, as the Parquet writer accounts for them.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.partitions.values().map(|open| open.memory_bytes).sum()
    }

    /// Rows appended and not yet published, over all partitions.
    #[must_use]
    pub fn unpublished_rows(&self) -> u64 {
        self.partitions.values().map(Partition::rows).sum()
    }

    /// Partitions with rows that are not published yet.
    pub fn unpublished(&self) -> impl Iterator<Item = i32> {
        self.partitions.iter().filter(|(_, of)| of.rows() > 0).map(|(partition, _)| *partition)
    }

    /// The folder that readers take as one table.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    fn append_part(
        &mut self,
        part: &split::Part,
        now: Instant,
        outcome: &mut Outcome,
    ) -> Result<(), StoreError> {
        let open = self.partitions.get_mut(&part.partition).expect("open until its one part is in");
        open.append(&mut self.shared, part, now)?;
        if open.due(&self.shared, now).is_some() {
            self.publish(part.partition, outcome)?;
        }
        self.bound_memory()
    }

    fn publish_all(&mut self, partitions: Vec<i32>) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome::default();
        for partition in partitions {
            self.publish(partition, &mut outcome)?;
        }
        Ok(outcome)
    }

    fn publish(&mut self, partition: i32, outcome: &mut Outcome) -> Result<(), StoreError> {
        let Some(open) = self.partitions.remove(&partition) else { return Ok(()) };
        match open.publish(&mut self.shared)? {
            partition::Step::Nothing(open) => {
                self.partitions.insert(partition, open);
            }
            partition::Step::Published(open, file) => {
                self.partitions.insert(partition, open);
                outcome.published.push(file);
            }
            partition::Step::Lost(position) => outcome.lost.push(Lost { partition, position }),
        }
        Ok(())
    }

    /// Writes out the largest open row group until all of them fit.
    fn bound_memory(&mut self) -> Result<(), StoreError> {
        while self.memory_bytes() > self.shared.config.open_bytes {
            let largest = self.partitions.values_mut().max_by_key(|open| open.memory_bytes);
            let largest = largest.expect("something holds the memory");
            if let Err(error) = largest.flush() {
                let number = largest.number;
                self.discard(&[number]);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// When a position that advanced without rows is published: after an hour, or a quarter of the
/// topic's retention where that is shorter, or an idle topic would look as if retention had
/// overtaken the archive.
#[must_use]
pub fn carry_after(retention: Option<Duration>) -> Duration {
    const HOUR: Duration = Duration::from_secs(3600);
    retention.map_or(HOUR, |retention| HOUR.min(retention / 4))
}

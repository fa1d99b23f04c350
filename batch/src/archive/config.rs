//! What an archive is told: where, under which name, when to roll, how much memory.

use std::path::PathBuf;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use schemas::{DeadLetterTable, FooterPosition, LabelTable, MicroBatch, ResultsTable};

use super::properties::Compression;
use super::roll::RollAt;
use crate::error::StoreError;
use crate::files::is_object;

/// Settings of an archive.
#[derive(Clone, Debug)]
pub struct ArchiveConfig {
    /// Folder that holds the tables; on one file system.
    pub root: PathBuf,
    /// Name of the table, a folder below `root`.
    pub table: String,
    /// Name of this process among those that write here.
    pub instance: String,
    /// A file is published at this many rows (a micro-batch more at most).
    pub roll_rows: u64,
    /// A file is published at this many bytes as encoded.
    pub roll_bytes: u64,
    /// A file is published this long after its first row.
    pub roll_age: Duration,
    /// A position that advanced without rows is published after this long (see
    /// [`carry_after`](super::carry_after)).
    pub carry_after: Duration,
    /// How pages are compressed.
    pub compression: Compression,
    /// Rows of a row group.
    pub row_group_rows: usize,
    /// Bytes that one partition's open row group may hold in memory.
    pub row_group_bytes: usize,
    /// Bytes that all open row groups may hold in memory together; past it the largest is
    /// written out early.
    pub open_bytes: usize,
    /// Age after which another instance's temporary file counts as left behind.
    pub stale_after: Duration,
}

impl ArchiveConfig {
    /// Settings for `table` under `root`, with the defaults: 1 M rows, 128 MiB or 60 s a file;
    /// LZ4, row groups of 128 Ki rows and at most 32 MiB, 256 MiB together; stale after a day.
    #[must_use]
    pub fn new(root: PathBuf, table: &str, instance: &str) -> Self {
        Self {
            root,
            table: table.to_owned(),
            instance: instance.to_owned(),
            roll_rows: 1_000_000,
            roll_bytes: 128 << 20,
            roll_age: Duration::from_secs(60),
            carry_after: super::carry_after(None),
            compression: Compression::Lz4,
            row_group_rows: 128 << 10,
            row_group_bytes: 32 << 20,
            open_bytes: 256 << 20,
            stale_after: Duration::from_secs(24 * 3600),
        }
    }

    /// Most bytes that open files of `partitions` partitions hold in memory, for a table of
    /// `columns` columns.
    ///
    /// Row groups by their accounted size, plus what the Parquet writer does not account for.
    #[must_use]
    pub fn memory_bound_bytes(&self, partitions: usize, columns: usize) -> usize {
        let row_groups = self.open_bytes.min(partitions.saturating_mul(self.row_group_bytes));
        // One file at a time is sent; what it holds of a micro-batch more goes with the row groups.
        let sent = if is_object(&self.root) { self.roll_bytes as usize } else { 0 };
        row_groups + partitions * columns * self.compression.context_bytes() + sent
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        let positive = [
            ("roll_rows", self.roll_rows),
            ("roll_bytes", self.roll_bytes),
            ("row_group_rows", self.row_group_rows as u64),
            ("row_group_bytes", self.row_group_bytes as u64),
            ("open_bytes", self.open_bytes as u64),
            ("roll_age (ms)", self.roll_age.as_millis() as u64),
            ("carry_after (ms)", self.carry_after.as_millis() as u64),
        ];
        for (key, value) in positive {
            if value == 0 {
                return Err(StoreError::Config { key, value: "0".into(), expected: "at least 1" });
            }
        }
        if is_object(&self.root) && self.roll_bytes > OBJECT_BYTES {
            return Err(StoreError::Config {
                key: "roll_bytes",
                value: self.roll_bytes.to_string(),
                expected: "at most 536870912 in an object store, where a file is one request",
            });
        }
        if self.stale_after < self.roll_age * 4 {
            return Err(StoreError::Config {
                key: "stale_after",
                value: format!("{} s", self.stale_after.as_secs()),
                expected: "at least four times roll_age, or a live writer's file could be swept",
            });
        }
        Ok(())
    }

    pub(super) fn roll_at(&self) -> RollAt {
        RollAt {
            rows: self.roll_rows,
            bytes: self.roll_bytes,
            age: self.roll_age,
            carry_after: self.carry_after,
        }
    }
}

/// Largest `roll_bytes` in an object store: a file is held in memory while it is sent, and may be a
/// micro-batch larger.
pub const OBJECT_BYTES: u64 = 512 << 20;

/// The topic an archive is read from, as the broker names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicIdentity {
    /// Kafka's cluster id; empty when the broker tells none.
    pub cluster_id: String,
    /// Topic name.
    pub topic: String,
    /// Kafka's topic id; empty when the broker tells none.
    pub topic_id: String,
}

impl TopicIdentity {
    /// The first of the three that is not the same in `other`: its name, ours and theirs. What one side does not
    /// tell is no difference.
    #[must_use]
    pub fn difference<'a>(&'a self, other: &'a Self) -> Option<(&'static str, &'a str, &'a str)> {
        let pairs = [
            ("topic", &self.topic, &other.topic),
            ("cluster id", &self.cluster_id, &other.cluster_id),
            ("topic id", &self.topic_id, &other.topic_id),
        ];
        let differ = |(_, ours, theirs): &(&str, &String, &String)| {
            !ours.is_empty() && !theirs.is_empty() && ours != theirs
        };
        let found = pairs.into_iter().find(differ);
        found.map(|(what, ours, theirs)| (what, ours.as_str(), theirs.as_str()))
    }
}

impl From<&FooterPosition> for TopicIdentity {
    fn from(footer: &FooterPosition) -> Self {
        Self {
            cluster_id: footer.cluster_id.clone(),
            topic: footer.topic.clone(),
            topic_id: footer.topic_id.clone(),
        }
    }
}

/// How records become rows: a schema, its id, and the function.
///
/// The function answers one row per record, in record order, with exactly this schema.
pub struct Table {
    pub(super) schema: SchemaRef,
    pub(super) id: String,
    pub(super) rows: Box<dyn FnMut(&MicroBatch) -> RecordBatch + Send>,
}

impl Table {
    /// A table of `schema`, whose `id` goes into every footer.
    pub fn new(
        schema: SchemaRef,
        id: impl Into<String>,
        rows: impl FnMut(&MicroBatch) -> RecordBatch + Send + 'static,
    ) -> Self {
        Self { schema, id: id.into(), rows: Box::new(rows) }
    }
}

impl From<ResultsTable> for Table {
    fn from(mut table: ResultsTable) -> Self {
        Self::new(table.schema(), table.id().to_owned(), move |batch| table.rows(batch))
    }
}

impl From<LabelTable> for Table {
    fn from(mut table: LabelTable) -> Self {
        Self::new(table.schema(), table.id().to_owned(), move |batch| table.rows(batch))
    }
}

impl From<DeadLetterTable> for Table {
    fn from(mut table: DeadLetterTable) -> Self {
        Self::new(table.schema(), table.id().to_owned(), move |batch| table.rows(batch))
    }
}

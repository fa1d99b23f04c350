//! One partition's way through its files: hold, roll, publish, or lose the race.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use schemas::{CHECKSUM_SEED, FOOTER_FORMAT, FOOTER_POSITION_KEY, FooterPosition, failpoint};

use super::config::{ArchiveConfig, Table, TopicIdentity};
use super::floor::Floors;
use super::open_file::OpenFile;
use super::roll::{Due, Held};
use super::split::Part;
use super::{Published, chain, layout};
use crate::error::StoreError;
use crate::files::Files;

/// Footer key that says why a file without rows covers positions that were in the log.
const GAP_KEY: &str = "tidegate.gap";

/// What the partitions of an archive have in common.
pub(super) struct Shared {
    pub(super) files: Arc<dyn Files>,
    pub(super) config: ArchiveConfig,
    pub(super) topic: TopicIdentity,
    pub(super) table: Table,
    pub(super) folder: PathBuf,
    pub(super) temporaries: PathBuf,
    pub(super) properties: WriterProperties,
    pub(super) floors: Floors,
}

impl Shared {
    pub(super) fn load(&mut self, partition: i32) -> Result<Option<i64>, StoreError> {
        let dir = layout::partition_folder(&self.folder, partition);
        let floor = self.floors.of(&*self.files, partition)?;
        chain::load(&*self.files, &dir, partition, floor, &self.topic, &self.table.schema)
    }

    /// Gives a file that starts here its name `path`, durably; answers its bytes, `None` when another had the
    /// name, even if that one has expired since.
    fn publish(
        &mut self,
        file: OpenFile,
        metadata: Vec<KeyValue>,
        path: &Path,
        (partition, start): (i32, i64),
    ) -> Result<Option<u64>, StoreError> {
        let files = Arc::clone(&self.files);
        if start < self.floors.of(&*files, partition)? {
            return Ok(None);
        }
        let Some(bytes) = file.publish(metadata, path)? else { return Ok(None) };
        // Expiry may have come between the look and the name.
        let has_expired = start < self.floors.of(&*files, partition)?;
        if has_expired {
            files.remove(path).map_err(|e| StoreError::io("remove", path, e))?;
        }
        let dir = path.parent().expect("a file lies in a folder");
        files.sync_dir(dir).map_err(|e| StoreError::io("sync", dir, e))?;
        failpoint::pass("archive.dir_synced");
        Ok((!has_expired).then_some(bytes))
    }

    fn create(&self, partition: i32, start: i64) -> Result<OpenFile, StoreError> {
        let name = layout::temporary_name(partition, start, &self.config.instance);
        let path = self.temporaries.join(name);
        OpenFile::create(&self.files, path, &self.table.schema, &self.properties)
    }
}

/// A partition open for appending. Invariant: `start` is the end of its newest published file, or 0
/// where there is none, and the file being written holds every row of `start..end`.
///
/// Two writers of a new partition may hear of different records first; as both begin at 0, their first
/// files have the same name, and one of them is refused.
pub(super) struct Partition {
    pub(super) number: i32,
    covered: Covered,
    file: Option<OpenFile>,
    gap: Option<String>,
    pub(super) memory_bytes: usize,
}

#[derive(Clone, Copy)]
struct Covered {
    start: i64,
    end: i64,
    /// When `end` first moved past `start`.
    since: Option<Instant>,
}

/// What publishing came to.
pub(super) enum Step {
    Nothing(Partition),
    Published(Partition, Published),
    /// Another writer's files reach to this position.
    Lost(i64),
}

impl Partition {
    pub(super) fn at(number: i32, end: i64) -> Self {
        let covered = Covered { start: end, end, since: None };
        Self { number, covered, file: None, gap: None, memory_bytes: 0 }
    }

    pub(super) fn rows(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.rows)
    }

    pub(super) fn check_ahead(&self, offset: i64) -> Result<(), StoreError> {
        let Covered { end, .. } = self.covered;
        if offset < end {
            return Err(StoreError::Behind { partition: self.number, offset, end });
        }
        Ok(())
    }

    pub(super) fn advance(&mut self, position: i64, now: Instant) {
        if position > self.covered.end {
            self.covered.end = position;
            self.covered.since.get_or_insert(now);
        }
    }

    pub(super) fn append(
        &mut self,
        shared: &mut Shared,
        part: &Part,
        now: Instant,
    ) -> Result<(), StoreError> {
        let (first, last) = (part.offsets[0], part.offsets[part.offsets.len() - 1]);
        self.check_ahead(first)?;
        if self.file.is_none() {
            self.file = Some(shared.create(self.number, self.covered.start)?);
        }
        let file = self.file.as_mut().expect("just created");
        file.write(&part.rows, &part.offsets)?;
        self.memory_bytes = file.memory_bytes();
        // A file without rows may have waited long; its age as a file with rows begins here.
        if self.rows() == part.offsets.len() as u64 {
            self.covered.since = Some(now);
        }
        self.advance(last + 1, now);
        if self.memory_bytes > shared.config.row_group_bytes {
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        if let Some(file) = &mut self.file {
            file.flush()?;
            self.memory_bytes = file.memory_bytes();
        }
        Ok(())
    }

    /// Covers a hole in the log up to `to`; only on a partition that holds nothing.
    pub(super) fn skip(&mut self, to: i64, reason: &str) -> Result<(), StoreError> {
        if to <= self.covered.end || self.file.is_some() {
            return Err(StoreError::Config {
                key: "accepted gap",
                value: format!("{}..{to}", self.covered.end),
                expected: "positions past the archived end",
            });
        }
        self.covered.end = to;
        self.gap = Some(reason.to_owned());
        Ok(())
    }

    pub(super) fn due(&self, shared: &Shared, now: Instant) -> Option<Due> {
        shared.config.roll_at().due(Held {
            rows: self.rows(),
            bytes: self.file.as_ref().map_or(0, OpenFile::encoded_bytes),
            age: self.covered.since.map(|since| now.saturating_duration_since(since)),
        })
    }

    pub(super) fn due_at(&self, config: &ArchiveConfig) -> Option<Instant> {
        Some(self.covered.since? + config.roll_at().limit(self.rows()))
    }

    /// Publishes what is held. An error leaves the partition closed: what became of its file is
    /// found out by opening it again.
    pub(super) fn publish(mut self, shared: &mut Shared) -> Result<Step, StoreError> {
        let Covered { start, end, .. } = self.covered;
        if start == end {
            return Ok(Step::Nothing(self));
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => shared.create(self.number, start)?,
        };
        let footer = footer(shared, self.number, start..end, &file);
        let path =
            layout::partition_folder(&shared.folder, self.number).join(layout::file_name(start));
        let mut metadata = vec![KeyValue::new(FOOTER_POSITION_KEY.to_owned(), footer.to_json())];
        metadata.extend(self.gap.map(|reason| KeyValue::new(GAP_KEY.to_owned(), reason)));
        let Some(bytes) = shared.publish(file, metadata, &path, (self.number, start))? else {
            // A listing may lag behind the name that was refused.
            let position = shared.load(self.number)?.ok_or_else(|| {
                let unlisted = "another writer published it, and it is not listed yet";
                StoreError::io("find", &path, io::Error::new(io::ErrorKind::NotFound, unlisted))
            })?;
            tracing::info!(partition = self.number, start, position, "another writer was first");
            return Ok(Step::Lost(position));
        };
        let next = Self::at(self.number, end);
        Ok(Step::Published(next, Published { path, footer, bytes }))
    }
}

fn footer(
    shared: &Shared,
    partition: i32,
    extent: std::ops::Range<i64>,
    file: &OpenFile,
) -> FooterPosition {
    assert!(file.rows > 0 || file.checksum == CHECKSUM_SEED, "a checksum without rows");
    FooterPosition {
        format: FOOTER_FORMAT,
        cluster_id: shared.topic.cluster_id.clone(),
        topic: shared.topic.topic.clone(),
        topic_id: shared.topic.topic_id.clone(),
        partition,
        start: extent.start,
        end: extent.end,
        rows: file.rows,
        checksum: file.checksum,
        contract_id: shared.table.id.clone(),
    }
}

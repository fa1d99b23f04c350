//! Expiry: whole files whose newest record is old leave the archive and the compacted table.
//!
//! By the records' timestamps in the topic: times of events may lie anywhere. Of a partition
//! files go from the front, one after the other, each removal durable before the next, so that what
//! stays is a chain at every instant; its newest file, which holds the position, never goes. The record
//! says so first: whoever counts positions knows what is gone from what is lost. Any archived table
//! can expire, compacted or not.

use std::path::PathBuf;

use schemas::{FooterPosition, failpoint};
use serde::Serialize;

use super::record::CompactedFile;
use super::{Amount, Compaction, EVENT_TIME, LABEL_TIME, TIMESTAMP, sweep};
use crate::archive::read_footer;
use crate::error::StoreError;
use crate::files::LocalFiles;
use crate::source::{self, Columns};

/// What may go. Times in microseconds.
pub struct Expiry<'a> {
    /// Rows go from both tables whose records are older, where a whole file is.
    pub older_than_us: Option<i64>,
    /// Files of the archive go that are compacted and older; their rows stay in the compacted table.
    pub originals_older_than_us: Option<i64>,
    /// Rows of events, and labels, from here on stay in one of both tables whatever their age.
    pub keep_events_from_us: Option<i64>,
    /// Whether a file of the archive is not needed any more by whoever derives from it.
    pub may_go: &'a dyn Fn(&FooterPosition) -> Result<bool, StoreError>,
    /// Says what would go.
    pub dry_run: bool,
}

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Expired {
    /// Files of the archive.
    pub archive: Amount,
    /// Files of the compacted table.
    pub compacted: Amount,
    /// Files that are old enough and stayed.
    pub kept: Kept,
}

/// Why files stayed; of a partition the first is counted that did, and those behind it stay with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Not counted by hop 3 yet.
    pub uncounted: u64,
    /// Their events wait for labels.
    pub unlabelled: u64,
}

/// What is decided to go.
#[derive(Default)]
struct Going {
    archive: Vec<PathBuf>,
    compacted: Vec<CompactedFile>,
    expired: Expired,
}

/// A file of the archive as expiry looks at it.
struct Aged {
    footer: FooterPosition,
    /// Time of the newest record; none where there are rows and no record has a time.
    newest_us: Option<i64>,
    newest_event_us: Option<i64>,
}

impl Compaction {
    /// Removes what is old; the compacted files first from the record, then from the disk.
    pub fn expire(&mut self, expiry: &Expiry<'_>) -> Result<Expired, StoreError> {
        let mut next = self.record.clone();
        let mut going = Going::default();
        for (partition, files) in source::files(&self.folders.source)? {
            let upto = next.upto.get(&partition).copied().unwrap_or(0);
            let floor = next.expired.get(&partition).copied().unwrap_or(0);
            // The newest stays: its end is where hop 2 goes on.
            for (start, path) in files.iter().take(files.len().saturating_sub(1)) {
                let file = Aged::open(path)?;
                // Below it: left by an expiry that was killed, or by a writer that had been away.
                if *start >= floor {
                    let is_compacted = file.footer.end <= upto;
                    if !file.goes(expiry, is_compacted, &mut going.expired.kept)? {
                        break;
                    }
                    if !is_compacted {
                        next.rows_expired += file.footer.rows;
                        next.upto.insert(partition, file.footer.end);
                    }
                    next.expired.insert(partition, file.footer.end);
                }
                let bytes = std::fs::metadata(path).map_err(|e| StoreError::io("read", path, e))?;
                going.expired.archive.add(file.footer.rows, bytes.len());
                going.archive.push(path.clone());
            }
        }
        next.files.retain(|file| !old_compacted(file, expiry, &mut going));
        next.rows_expired += going.expired.compacted.rows;
        let Going { archive, compacted, expired } = going;
        if expiry.dry_run || (archive.is_empty() && compacted.is_empty()) {
            return Ok(expired);
        }
        self.begin()?;
        next.generation = self.record.generation;
        next.publish(&self.files, &self.folders)?;
        self.record = next;
        for path in &archive {
            self.remove(path)?;
            failpoint::pass("compact.expired");
        }
        for file in &compacted {
            self.remove(&self.folders.data.join(&file.path))?;
        }
        Ok(expired)
    }

    fn remove(&self, path: &std::path::Path) -> Result<(), StoreError> {
        sweep::remove(&*self.files, path)?;
        let dir = path.parent().expect("a file lies in a folder");
        self.files.sync_dir(dir).map_err(|e| StoreError::io("sync", dir, e))
    }
}

impl Aged {
    fn open(path: &std::path::Path) -> Result<Self, StoreError> {
        let footer = read_footer(&LocalFiles, path)?.position;
        let columns = Columns::open(path)?;
        let newest_us = match footer.rows {
            // Nothing in it can be young.
            0 => Some(i64::MIN),
            _ => columns.greatest(TIMESTAMP),
        };
        let newest_event_us = columns.greatest(EVENT_TIME).or_else(|| columns.greatest(LABEL_TIME));
        Ok(Self { footer, newest_us, newest_event_us })
    }

    fn goes(
        &self,
        expiry: &Expiry<'_>,
        is_compacted: bool,
        kept: &mut Kept,
    ) -> Result<bool, StoreError> {
        let older = |than: Option<i64>| matches!((self.newest_us, than), (Some(newest), Some(than)) if newest < than);
        let is_double = is_compacted && older(expiry.originals_older_than_us);
        if !(is_double || older(expiry.older_than_us)) {
            return Ok(false);
        }
        if !is_compacted && waits(self.newest_event_us.or(self.newest_us), expiry) {
            kept.unlabelled += 1;
            return Ok(false);
        }
        let may_go = (expiry.may_go)(&self.footer)?;
        kept.uncounted += u64::from(!may_go);
        Ok(may_go)
    }
}

/// Whether a compacted file goes, which is then noted.
fn old_compacted(file: &CompactedFile, expiry: &Expiry<'_>, going: &mut Going) -> bool {
    let is_old = match (file.newest_record_us, expiry.older_than_us) {
        (Some(newest), Some(than)) => newest < than,
        (None, _) | (_, None) => false,
    };
    if is_old && waits(file.last_us, expiry) {
        going.expired.kept.unlabelled += 1;
        return false;
    }
    if is_old {
        going.expired.compacted.add(file.rows, file.bytes);
        going.compacted.push(file.clone());
    }
    is_old
}

/// Whether events of this time are to stay.
fn waits(newest_event_us: Option<i64>, expiry: &Expiry<'_>) -> bool {
    match (newest_event_us, expiry.keep_events_from_us) {
        (Some(newest), Some(from)) => newest >= from,
        (None, Some(_)) => true,
        (_, None) => false,
    }
}

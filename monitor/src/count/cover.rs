//! Which archive files are counted, which are not, and which counts make up the whole.
//!
//! A disjoint cover: for each partition every position in at most one count file. Counts outlive the
//! files they were made of, being thousands of times smaller; a count whose file is there and differs
//! is removed and made again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use batch::StoreError;
use batch::derived::Derived;
use batch::source::{Columns, exists, files, position};
use schemas::FooterPosition;

use super::file::count_file;
use super::footer::{COUNTS_KEY, CountFooter};
use super::settings::Settings;
use super::{MAX_AHEAD_SECONDS, MICROS};

/// Count files whose footers a reader looks at for one window.
const MOST_LOOKED_AT: usize = 20_000;

/// A count file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says of itself.
    pub footer: CountFooter,
}

/// An archive file that is not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Where it lies.
    pub path: PathBuf,
    /// Its partition.
    pub partition: i32,
    /// Its start.
    pub start: i64,
}

/// The counts of one table of one topic with one profile.
pub struct Counter {
    settings: Settings,
    archive: PathBuf,
    derived: Derived,
    known: BTreeMap<(i32, i64), Counted>,
}

impl Counter {
    /// Opens the counts below `root` of the archive's `table` and `topic`; nothing is read yet.
    pub fn open(
        settings: Settings,
        root: &Path,
        table: &str,
        topic: &str,
        instance: &str,
    ) -> Result<Self, StoreError> {
        let counts = format!("counts/{}", settings.profile_id);
        let derived = Derived::open(root, &counts, topic, "", instance)?;
        let archive = batch::topic_folder(root, table, topic);
        Ok(Self { settings, archive, derived, known: BTreeMap::new() })
    }

    /// Removes what writers that are gone left behind.
    pub fn sweep(&self, now: SystemTime) -> Result<(), StoreError> {
        self.derived.sweep(now)
    }

    /// What counts are made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The folder of the count files.
    pub fn folder(&self) -> &Path {
        self.derived.folder()
    }

    /// Count files that make up the whole, in order of partition and start.
    pub fn counted(&self) -> impl Iterator<Item = &Counted> {
        self.known.values()
    }

    /// Looks at both folders and answers what is not counted. Counts that do not fit are removed.
    ///
    /// Footers are read once: what was seen stays as it is, since published files do not change.
    pub fn refresh(&mut self) -> Result<Vec<Job>, StoreError> {
        let archived = files(&self.archive)?;
        let counted = files(self.derived.folder())?;
        let mut jobs = Vec::new();
        for (partition, files) in &archived {
            for (start, path) in files {
                if self.known.contains_key(&(*partition, *start)) {
                    continue;
                }
                let source = position(path)?;
                match self.read(*partition, *start)? {
                    Some(count) if count.footer.source == source => {
                        self.known.insert((*partition, *start), count);
                    }
                    Some(_) | None => {
                        let (partition, start) = (*partition, *start);
                        let stale = self.derived.path(partition, start);
                        if exists(&stale)? {
                            tracing::info!(path = %stale.display(), "removing a count of something else");
                            self.derived.remove(&stale)?;
                        }
                        jobs.push(Job { path: path.clone(), partition, start });
                    }
                }
            }
        }
        for (partition, files) in &counted {
            let first = archived.get(partition).and_then(|files| Some(files.first()?.0));
            for (start, _) in files {
                let key = (*partition, *start);
                let is_old = first.is_none_or(|first| *start < first);
                if self.known.contains_key(&key) || !is_old {
                    continue;
                }
                let count = self.read(*partition, *start)?;
                // What reaches into a file that is there was made of something else.
                if let Some(count) = count
                    && first.is_none_or(|first| count.footer.source.end <= first)
                {
                    self.known.insert(key, count);
                }
            }
        }
        self.check_disjoint()?;
        Ok(jobs)
    }

    /// Counts one file; several threads may, each with its own.
    pub fn count(&self, job: &Job) -> Result<Option<Counted>, StoreError> {
        let path = self.derived.path(job.partition, job.start);
        let footer = count_file(&job.path, &self.settings, &self.derived)?;
        // Who lost the race takes the winner's at the next look.
        Ok(footer.map(|footer| Counted { path, footer }))
    }

    /// Whether the rows of this archive file are counted, as the counts lie.
    pub fn is_counted(&self, source: &FooterPosition) -> Result<bool, StoreError> {
        let count = self.read(source.partition, source.start)?;
        Ok(count.is_some_and(|count| count.footer.source == *source))
    }

    /// Takes over what [`Counter::count`] answered.
    pub fn add(&mut self, counted: Counted) {
        let source = &counted.footer.source;
        self.known.insert((source.partition, source.start), counted);
    }

    /// The count file of this start, where there is one that was made with these settings.
    fn read(&self, partition: i32, start: i64) -> Result<Option<Counted>, StoreError> {
        let path = self.derived.path(partition, start);
        if !exists(&path)? {
            return Ok(None);
        }
        let said = match Columns::open(&path) {
            Ok(file) => Some(file),
            // A store that fails for a moment says nothing of the file.
            Err(error @ (StoreError::Io { .. } | StoreError::Place { .. })) => return Err(error),
            Err(_) => None,
        };
        let said = said.as_ref().and_then(|file| file.text(COUNTS_KEY));
        let footer = said.and_then(|text| serde_json::from_str::<CountFooter>(text).ok());
        Ok(footer
            .filter(|footer| footer.settings == self.settings.id)
            .map(|footer| Counted { path, footer }))
    }

    /// Count files that may hold panes of `extent` (microseconds), the newest looked at first, as they
    /// lie: for a reader beside whoever counts, that removes nothing and makes nothing. `None` when
    /// more than 20 000 would have to be looked at.
    ///
    /// A counter that is read so is for nothing else: it knows what is counted, not what is archived.
    pub fn covering(&mut self, extent: Range<i64>) -> Result<Option<Vec<Counted>>, StoreError> {
        let lying = files(self.derived.folder())?;
        self.known.retain(|(partition, start), _| {
            let there = lying.get(partition).map(Vec::as_slice).unwrap_or_default();
            there.binary_search_by_key(start, |(start, _)| *start).is_ok()
        });
        let (mut found, mut looked) = (Vec::new(), 0);
        for (partition, files) in &lying {
            let mut upto = i64::MAX;
            for (start, _) in files.iter().rev() {
                looked += 1;
                if looked > MOST_LOOKED_AT {
                    return Ok(None);
                }
                let Some(counted) = self.seen(*partition, *start)? else { continue };
                let CountFooter { source, first_pane_us, last_pane_us, newest_record_us, .. } =
                    &counted.footer;
                // No event is believed that lies further ahead of its scoring, and so of its record.
                let ahead = MAX_AHEAD_SECONDS * MICROS;
                let is_before =
                    |record: i64| record.saturating_add(ahead) < extent.start && source.rows > 0;
                let is_over = newest_record_us.is_some_and(is_before);
                let touches = first_pane_us.is_some_and(|first| first < extent.end)
                    && last_pane_us.is_some_and(|last| last >= extent.start);
                // What reaches into the file behind it was made of something else.
                if source.end <= upto {
                    upto = source.start;
                    if touches {
                        found.push(counted.clone());
                    }
                }
                if is_over {
                    break;
                }
            }
        }
        Ok(Some(found))
    }

    fn seen(&mut self, partition: i32, start: i64) -> Result<Option<&Counted>, StoreError> {
        let key = (partition, start);
        if !self.known.contains_key(&key)
            && let Some(counted) = self.read(partition, start)?
        {
            self.known.insert(key, counted);
        }
        Ok(self.known.get(&key))
    }

    fn check_disjoint(&self) -> Result<(), StoreError> {
        let mut before: Option<&FooterPosition> = None;
        for counted in self.known.values() {
            let source = &counted.footer.source;
            if let Some(before) = before
                && before.partition == source.partition
                && source.start < before.end
            {
                return Err(StoreError::Chain {
                    path: counted.path.clone(),
                    start: source.start,
                    previous_end: before.end,
                });
            }
            before = Some(source);
        }
        Ok(())
    }
}

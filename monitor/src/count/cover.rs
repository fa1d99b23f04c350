//! Which archive files are counted, which are not, and which counts make up the whole.
//!
//! A disjoint cover: for each partition every position in at most one count file. Counts outlive the
//! files they were made of, being thousands of times smaller; a count whose file is there and differs
//! is removed and made again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use batch::StoreError;
use batch::derived::Derived;
use batch::source::{Columns, files, position};
use schemas::FooterPosition;

use super::file::count_file;
use super::footer::{COUNTS_KEY, CountFooter};
use super::settings::Settings;

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
                        if stale.exists() {
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

    /// Takes over what [`Counter::count`] answered.
    pub fn add(&mut self, counted: Counted) {
        let source = &counted.footer.source;
        self.known.insert((source.partition, source.start), counted);
    }

    /// The count file of this start, where there is one that was made with these settings.
    fn read(&self, partition: i32, start: i64) -> Result<Option<Counted>, StoreError> {
        let path = self.derived.path(partition, start);
        if !path.exists() {
            return Ok(None);
        }
        let said = Columns::open(&path).ok();
        let said = said.as_ref().and_then(|file| file.text(COUNTS_KEY));
        let footer = said.and_then(|text| serde_json::from_str::<CountFooter>(text).ok());
        Ok(footer
            .filter(|footer| footer.settings == self.settings.id)
            .map(|footer| Counted { path, footer }))
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

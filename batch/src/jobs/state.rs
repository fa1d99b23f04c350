//! The state of jobs: a folder that survives kill -9.
//!
//! ```text
//! .lock                                   held by the process that starts runs
//! <job>/.lock                             held while a run of the job is made, by whoever makes it
//! <job>/schedule.json                     since when the job is looked after, with which schedule
//! <job>/runs/2026-01-31T02-30-00Z.json    one run
//! ```
//!
//! Files are written beside and renamed, and made durable before anybody goes on.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rustix::fs::FlockOperation;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Run;
use crate::error::{CREATE_FOLDER, StoreError};
use crate::files::{Files as _, LocalFiles, ensure_dir, take};

/// Runs of a job that are kept; the oldest that are over go first.
pub(super) const KEPT_RUNS: usize = 1_000;
/// Largest file of the state: a run is a few hundred bytes and an error.
const MAX_BYTES: u64 = 1 << 20;
/// A folder that changed so lately may change again without its time showing it.
const FRESH: Duration = Duration::from_secs(2);
const LOCK: &str = ".lock";
const RUNS: &str = "runs";

/// Runs of a job by the time at which each was to start.
pub type Runs = BTreeMap<Timestamp, Run>;

/// The folder.
#[derive(Clone, Debug)]
pub struct State {
    folder: PathBuf,
}

/// A lock, until it is dropped or its process ends.
#[derive(Debug)]
pub struct Held {
    _lock: File,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Another process has it.
    #[error("{} is held by {holder}", path.display())]
    Held {
        /// What it locks.
        path: PathBuf,
        /// Who has it, in its own words.
        holder: String,
    },
    /// The folder fails, or the system refuses the lock.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Serialize, Deserialize)]
struct Schedule {
    schedule: String,
    since: Timestamp,
}

impl State {
    /// The state in `folder`, which is made when something is written.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    /// Takes the right to start runs when they are due; `who` is for whoever is refused.
    ///
    /// # Errors
    /// [`HoldError::Held`] when another process has it.
    pub fn hold(&self, who: &str) -> Result<Held, HoldError> {
        lock(&self.folder, who)
    }

    /// Takes a job, for one run.
    ///
    /// # Errors
    /// [`HoldError::Held`] when a run of it is being made.
    pub fn hold_job(&self, job: &str, who: &str) -> Result<Held, HoldError> {
        lock(&self.folder.join(job), who)
    }

    /// Whether a run of the job is being made. A look, not a promise.
    #[must_use]
    pub fn is_held(&self, job: &str) -> bool {
        let file = File::open(self.folder.join(job).join(LOCK));
        let free = file.map(|file| take(&file, FlockOperation::NonBlockingLockShared));
        matches!(free, Ok(Ok(false)))
    }

    /// The runs of a job that are known.
    pub fn runs(&self, job: &str) -> Result<Runs, StoreError> {
        let folder = self.runs_folder(job);
        let entries = match LocalFiles.list(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Runs::new()),
            Err(error) => return Err(StoreError::io("list", &folder, error)),
        };
        let named = entries.iter().filter(|entry| is_run(&entry.name));
        let runs = named.filter_map(|entry| read::<Run>(&folder.join(&entry.name)).transpose());
        runs.map(|run| run.map(|run| (run.scheduled, run))).collect()
    }

    /// Writes a run down, in place of what was written of it. The job must be held.
    pub fn write(&self, run: &Run) -> Result<(), StoreError> {
        let folder = self.runs_folder(&run.job);
        let path = folder.join(name(run.scheduled));
        if !path.exists() {
            self.prune(&run.job)?;
        }
        replace(&folder, &path, run)
    }

    /// Since when the job is looked after: `now`, unless it had this schedule before.
    pub fn since(
        &self,
        job: &str,
        schedule: &str,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let folder = self.folder.join(job);
        let path = folder.join("schedule.json");
        if let Some(found) = read::<Schedule>(&path)?
            && found.schedule == schedule
            // A clock that was ahead once must not keep runs from being made.
            && found.since <= now
        {
            return Ok(found.since);
        }
        let new = Schedule { schedule: schedule.to_owned(), since: now };
        replace(&folder, &path, &new)?;
        Ok(now)
    }

    fn runs_folder(&self, job: &str) -> PathBuf {
        self.folder.join(job).join(RUNS)
    }

    /// Makes room for one more.
    fn prune(&self, job: &str) -> Result<(), StoreError> {
        let runs = self.runs(job)?;
        let surplus = (runs.len() + 1).saturating_sub(KEPT_RUNS);
        for run in runs.values().filter(|run| run.is_over()).take(surplus) {
            let path = self.runs_folder(job).join(name(run.scheduled));
            LocalFiles.remove(&path).map_err(|e| StoreError::io("remove", &path, e))?;
        }
        Ok(())
    }
}

/// Runs of a job, read again only when their folder changed.
#[derive(Debug)]
pub struct Ledger {
    state: State,
    job: String,
    runs: Runs,
    seen: Option<SystemTime>,
}

impl Ledger {
    /// The runs of `job`.
    #[must_use]
    pub fn of(state: &State, job: &str) -> Self {
        Self { state: state.clone(), job: job.to_owned(), runs: Runs::new(), seen: None }
    }

    /// Whose runs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.job
    }

    /// The runs as they are now.
    pub fn look(&mut self) -> Result<&Runs, StoreError> {
        let changed = fs::metadata(self.state.runs_folder(&self.job)).and_then(|it| it.modified());
        let changed = changed.ok();
        let fresh = |at: SystemTime| at.elapsed().is_ok_and(|age| age < FRESH);
        if changed.is_some_and(|at| self.seen != Some(at) || fresh(at)) {
            self.runs = self.state.runs(&self.job)?;
            self.seen = changed;
        }
        Ok(&self.runs)
    }

    /// The runs as they were at the last look.
    #[must_use]
    pub fn runs(&self) -> &Runs {
        &self.runs
    }
}

/// Gives a finished folder its name, which must be free: readers see all of it or nothing.
pub fn publish_folder(from: &Path, to: &Path) -> Result<(), StoreError> {
    LocalFiles.publish(from, to).map_err(|e| StoreError::io("publish", to, e))?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    LocalFiles.sync_dir(parent).map_err(|e| StoreError::io("sync", parent, e))
}

fn lock(folder: &Path, who: &str) -> Result<Held, HoldError> {
    make(folder)?;
    let path = folder.join(LOCK);
    let failed = |e| StoreError::io("lock", &path, e);
    let open = File::options().create(true).truncate(false).read(true).write(true).open(&path);
    let mut file = open.map_err(|e| StoreError::io("create", &path, e))?;
    if !take(&file, FlockOperation::NonBlockingLockExclusive).map_err(failed)? {
        let mut holder = String::new();
        let told = file.read_to_string(&mut holder).is_ok() && !holder.is_empty();
        let holder = if told { holder } else { "another process".into() };
        return Err(HoldError::Held { path: folder.to_path_buf(), holder });
    }
    // For whoever is refused; the lock does not need it.
    let _ = file.set_len(0).and_then(|()| file.write_all(who.as_bytes()));
    Ok(Held { _lock: file })
}

fn make(folder: &Path) -> Result<(), StoreError> {
    ensure_dir(&LocalFiles, folder).map_err(|e| StoreError::io(CREATE_FOLDER, folder, e))
}

fn name(scheduled: Timestamp) -> String {
    format!("{}.json", scheduled.strftime("%Y-%m-%dT%H-%M-%SZ"))
}

fn is_run(name: &str) -> bool {
    name.ends_with(".json") && !name.starts_with('.')
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let damaged = |reason: String| {
        let path = path.display();
        StoreError::Query(format!("{path} is not of the state of jobs ({reason}): move it away"))
    };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) => {}
        // Pruned meanwhile, or never there.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            return Err(damaged(error.to_string()));
        }
        Err(error) => return Err(StoreError::io("read", path, error)),
    }
    serde_json::from_str(&text).map(Some).map_err(|error| damaged(error.to_string()))
}

/// Writes `value` beside `path`, durably, and gives it that name.
fn replace(folder: &Path, path: &Path, value: &impl Serialize) -> Result<(), StoreError> {
    make(folder)?;
    let text = serde_json::to_vec_pretty(value).expect("a record is JSON");
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{file_name}.tmp"));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        LocalFiles.sync_dir(folder)
    };
    write().map_err(|e| StoreError::io("write", path, e))
}

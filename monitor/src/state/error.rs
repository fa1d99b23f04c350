//! What can be wrong with the state file, and what to do about it.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// A state file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another monitor has it.
    #[error(
        "the alert state {} is held by {holder}: one monitor alerts at a time; stop that one, or \
         give this one another alerts.state",
        path.display()
    )]
    Held {
        /// The file.
        path: PathBuf,
        /// Who has it, and since or until when.
        holder: String,
    },
    /// This monitor had it, and no longer has.
    #[error(
        "the lease on the alert state {} went to {holder} (was this machine asleep?); this monitor \
         stops alerting",
        path.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
        /// Who has it now.
        holder: String,
    },
    /// There is no file.
    #[error(
        "there is no alert state at {}: name the configuration of a pipeline whose monitor has run",
        .0.display()
    )]
    Missing(PathBuf),
    /// It is damaged.
    #[error(
        "the alert state {} is damaged ({found}): move it away (with its -wal and -shm) and start \
         again; alarms begin with the next windows, silences are lost, and what was open has to be \
         resolved by hand where alerts go",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        found: String,
    },
    /// It is something else.
    #[error("{} is not an alert state of Tidegate ({found}): give alerts.state another path", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
    },
    /// It was written by a newer version.
    #[error(
        "the alert state {} has schema {found}, this Tidegate knows {known}: run the version that \
         wrote it, or a newer one",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It was written by an older version, and a command must not change it.
    #[error(
        "the alert state {} has schema {found}, this Tidegate knows {known}: start the monitor of \
         this version once, it brings the file up to date",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The disk is full.
    #[error("the disk of the alert state {} is full: free some space; nothing decided was lost", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// No such thing.
    #[error("{0}")]
    NotFound(String),
    /// The file system refuses.
    #[error("{}: {error}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What it says.
        error: std::io::Error,
    },
    /// Anything else that SQLite says.
    #[error("the alert state {}: {error}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it says.
        error: rusqlite::Error,
    },
}

impl StateError {
    pub(super) fn of(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { path, found: error.to_string() },
            Some(ErrorCode::NotADatabase) => Self::Foreign { path, found: "not SQLite".into() },
            Some(ErrorCode::DiskFull) => Self::Full { path },
            _ => Self::Sqlite { path, error },
        }
    }
}

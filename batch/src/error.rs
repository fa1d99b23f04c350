//! What can go wrong with data at rest, each with the path, the limit and what to do about it.
//!
//! A message prints only itself; the operating system's words are the source of the error.

use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

use crate::files::is_object;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused a call.
    #[error("cannot {action} {}: {}", path.display(), fix_of(action, path, source))]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said, with its errno.
        source: io::Error,
    },
    /// A place that cannot be opened at all.
    #[error("{}: {reason}", path.display())]
    Place {
        /// Where.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A file in the archive that tidegate did not publish, or that was damaged since.
    #[error(
        "{}: {reason}; move the file out of the archive (its rows are read from the topic again \
         if it was the newest), nothing else there may be changed",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Two neighbouring files do not touch: rows are missing, or the same positions lie in both.
    #[error(
        "{}: starts at {start}, but the file before it ends at {previous_end}: {}; \
         put the file in between back, or name a new table in the configuration",
        path.display(),
        if start > previous_end { "a file is missing" } else { "they overlap" }
    )]
    Chain {
        /// The later file.
        path: PathBuf,
        /// Where it starts.
        start: i64,
        /// Where its predecessor ends.
        previous_end: i64,
    },
    /// The archive was written from another cluster, or from a topic since deleted and made anew.
    #[error(
        "{}: was archived from {what} `{found}`, and now it is `{expected}`: positions of one mean \
         nothing in the other; name a new table in the configuration",
        path.display()
    )]
    Identity {
        /// File that says so.
        path: PathBuf,
        /// Which identity differs.
        what: &'static str,
        /// What the file holds.
        found: String,
        /// What the broker says now.
        expected: String,
    },
    /// A column changed in a way that would not read together with the files already there.
    #[error("beside {}: {reason}", path.display())]
    Schema {
        /// A file with the old columns.
        path: PathBuf,
        /// Which columns, what changed, and the fix.
        reason: String,
    },
    /// A row of a partition whose position was not asked for, or was lost to another writer.
    #[error("partition {partition} is not open here: ask for its position and read from there")]
    NotOpen {
        /// The partition.
        partition: i32,
    },
    /// A position that is covered already.
    #[error("partition {partition}: record {offset} lies before the archived end {end}")]
    Behind {
        /// The partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
        /// First position not covered.
        end: i64,
    },
    /// A setting that cannot hold.
    #[error("{key} = {value}: {expected}")]
    Config {
        /// Which setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// A Parquet file could not be written or read.
    #[error("{}: {reason}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the library said.
        reason: String,
    },
    /// A cluster did not answer as it should; asked again, it may.
    #[error("cluster {url}: {reason}")]
    Cluster {
        /// Its scheduler.
        url: String,
        /// What went wrong, and what to look at.
        reason: String,
    },
    /// A query failed; the message is for the person who wrote it.
    #[error("{0}")]
    Query(String),
}

/// What the caller can do about a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The world may heal: start the hop over, with back-off.
    Retry,
    /// A person must change something first.
    Stop,
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }

    pub(crate) fn parquet(action: &'static str, path: &Path, error: ParquetError) -> Self {
        match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(source) => Self::io(action, path, *source),
                Err(other) => Self::Parquet { path: path.to_path_buf(), reason: other.to_string() },
            },
            other => Self::Parquet { path: path.to_path_buf(), reason: other.to_string() },
        }
    }

    /// The system's error number, where there is one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// Whether starting over can help without a person.
    ///
    /// A full or failing disk is retried: it heals when somebody frees space. A folder that may
    /// not be written or cannot be there, and anything wrong with the files or the settings, is not.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        use io::ErrorKind::{
            CrossesDevices, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem,
            Unsupported,
        };
        match self {
            Self::Io { action, source, .. } => match source.kind() {
                PermissionDenied | ReadOnlyFilesystem | CrossesDevices | NotADirectory
                | Unsupported => Remedy::Stop,
                NotFound if *action == CREATE_FOLDER => Remedy::Stop,
                _ => Remedy::Retry,
            },
            Self::NotOpen { .. } | Self::Behind { .. } | Self::Cluster { .. } => Remedy::Retry,
            Self::Place { .. }
            | Self::Foreign { .. }
            | Self::Chain { .. }
            | Self::Identity { .. }
            | Self::Schema { .. }
            | Self::Config { .. }
            | Self::Parquet { .. }
            | Self::Query(_) => Remedy::Stop,
        }
    }
}

/// Creating a folder makes what is missing above it, so that "not found" means that the file system
/// takes none there (`/proc`, say).
pub(crate) const CREATE_FOLDER: &str = "create the folder";

fn fix_of(action: &str, path: &Path, error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded if is_object(path) => {
            "a file waits in the temporary folder (TMPDIR) until it is sent, and that is full; free \
             space, nothing is lost"
        }
        Kind::PermissionDenied if is_object(path) => {
            "the store refuses these credentials; they need to list, get, put and delete there"
        }
        Kind::NotADirectory if is_object(path) => "create the bucket, or name another",
        Kind::NotFound if is_object(path) => {
            "the object is gone; leave what is below the prefix to tidegate"
        }
        Kind::Unsupported if is_object(path) => "use a store that honours conditional writes",
        _ if is_object(path) => {
            "the object store failed, or cannot be reached; nothing is lost and it is tried again"
        }
        Kind::NotFound if action == CREATE_FOLDER => {
            "this file system takes no folder there; set archive.directory to one that can be written"
        }
        Kind::StorageFull | Kind::QuotaExceeded => {
            "the disk or quota is full; free space, nothing is lost and archiving goes on by itself"
        }
        Kind::PermissionDenied if matches!(action, "list" | "read") => {
            "give this user permission to read it"
        }
        Kind::PermissionDenied => "give this user write permission on the folder",
        Kind::ReadOnlyFilesystem => "the file system is read-only; mount it writable",
        Kind::CrossesDevices => "keep the whole archive folder on one file system",
        Kind::NotFound => "the file or folder is gone; leave the archive folder to tidegate",
        Kind::NotADirectory => {
            "a file lies where a folder is needed; move it away or change archive.directory"
        }
        _ if action == "lock" => {
            "this file system refuses locks (flock); put the folder on one that takes them"
        }
        _ => "the file system failed; see its log",
    }
}

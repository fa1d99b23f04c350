//! What lies beside a job's parts: reports of it, and the mark that it is whole.
//!
//! An object store has no rename, so an output grows there where it will be read. Its last object is
//! `_SUCCESS`, as Hadoop and Spark have it: who waits for that reads a whole output. In a folder of this
//! machine it is there, too.

use std::io::ErrorKind;
use std::path::Path;

use super::output::Folders;
use super::{Job, manifest, names, sweep};
use crate::error::StoreError;

/// Marks an output to which nothing comes any more.
const WHOLE: &str = "_SUCCESS";

/// How far an output is, as far as its folder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nobody began it.
    Nothing,
    /// Begun, and not marked as whole.
    Begun,
    /// All is there.
    Whole,
}

/// How far the output in `folder` is.
pub fn found(folder: &Path) -> Result<Found, StoreError> {
    let folders = Folders::below(folder)?;
    Ok(match (has(&folders, WHOLE)?, has(&folders, manifest::NAME)?) {
        (true, _) => Found::Whole,
        (false, true) => Found::Begun,
        (false, false) => Found::Nothing,
    })
}

/// Whether the output in `folder` has a file `name` beside its parts.
pub fn holds(folder: &Path, name: &str) -> Result<bool, StoreError> {
    has(&Folders::below(folder)?, name)
}

/// Removes what was begun in `folder`; the manifest last, so that what is left after a crash is still
/// known for what it is.
pub fn clear(folder: &Path) -> Result<(), StoreError> {
    let folders = Folders::below(folder)?;
    for of_parts in [&folders.results, &folders.rejects] {
        if there(&folders, of_parts)? {
            sweep(&folders, of_parts, &|name| name.ends_with(".parquet"))?;
        }
    }
    let below = |name: &str| !name.starts_with('.') && !["results", "rejects"].contains(&name);
    let remove = |name: &str| {
        let path = folder.join(name);
        match folders.files.remove(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(StoreError::io("remove", &path, error))
            }
            _ => Ok(()),
        }
    };
    for name in names(&folders, folder)?.iter().filter(|name| below(name)) {
        if name != manifest::NAME {
            remove(name)?;
        }
    }
    remove(manifest::NAME)
}

impl Job {
    /// A file beside the parts; `None` where there is none of that name.
    pub fn beside(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let (files, path) = (&self.folders.files, self.folders.root.join(name));
        let bytes = match files.stat(&path) {
            Ok(stat) => files.read(&path, 0, stat.bytes as usize),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        };
        bytes.map(Some).map_err(|error| StoreError::io("read", &path, error))
    }

    /// Puts a file beside the parts, durably and whole; one that is there already stays.
    pub fn put_beside(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        match self.folders.put(name, bytes) {
            Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {
                Ok(())
            }
            other => other,
        }
    }

    /// Marks the output as whole.
    pub fn mark_whole(&self) -> Result<(), StoreError> {
        let state = self.state();
        assert_eq!(state.parts_done, state.parts, "a part is missing from a whole output");
        if has(&self.folders, WHOLE)? { Ok(()) } else { self.put_beside(WHOLE, b"") }
    }
}

fn has(folders: &Folders, name: &str) -> Result<bool, StoreError> {
    let path = folders.root.join(name);
    match folders.files.stat(&path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io("read", &path, error)),
    }
}

/// Whether there is such a folder; a store has those in which something lies.
fn there(folders: &Folders, folder: &Path) -> Result<bool, StoreError> {
    match folders.files.list(folder) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io("list", folder, error)),
    }
}

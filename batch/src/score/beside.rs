//! What lies beside a job's parts: reports of it, and the mark that it is whole.
//!
//! An object store has no rename, so an output grows there where it will be read. Its last object is
//! `_SUCCESS`, as Hadoop and Spark have it: who waits for that reads a whole output. In a folder of this
//! machine it is there, too.

use std::io::ErrorKind;
use std::path::Path;

use super::folders::{Folders, part};
use super::{Job, manifest};
use crate::error::StoreError;

/// Marks an output to which nothing comes any more.
const WHOLE: &str = "_SUCCESS";
/// Reports of the input beside the results.
pub const REPORTS: [&str; 2] = ["report.json", "report.html"];
/// All names beside the parts.
pub(super) const BESIDE: [&str; 4] = [WHOLE, REPORTS[0], REPORTS[1], manifest::NAME];

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

/// Removes what was begun in `folder`; the manifest last, so that what is left after a crash is still
/// known for what it is. Refuses a folder that holds anything that the job did not write, and removes
/// nothing then.
pub fn clear(folder: &Path) -> Result<(), StoreError> {
    let folders = Folders::below(folder)?;
    let _lock = manifest::lock(folder)?;
    folders.check_own(manifest::parts(&folders))?;
    // What loses parts is not whole.
    folders.sweep(folder, &|name| name == WHOLE)?;
    for of_parts in [&folders.results, &folders.rejects] {
        folders.sweep(of_parts, &|name| part(name).is_some())?;
    }
    folders.sweep(folder, &|name| BESIDE.contains(&name) && name != manifest::NAME)?;
    folders.sweep(folder, &|name| name == manifest::NAME)
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
    ///
    /// # Panics
    /// When the name is not one of those that [`clear`] takes for a job's.
    pub fn put_beside(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        assert!(BESIDE.contains(&name), "{name:?} is not known as a job's own");
        self.folders.put(name, bytes).map(|_| ())
    }

    /// Marks the output as whole.
    pub fn mark_whole(&self) -> Result<(), StoreError> {
        let state = self.state();
        assert_eq!(state.parts_done, state.parts, "a part is missing from a whole output");
        if has(&self.folders, WHOLE)? { Ok(()) } else { self.put_beside(WHOLE, b"") }
    }
}

fn has(folders: &Folders, name: &str) -> Result<bool, StoreError> {
    folders.has(&folders.root.join(name))
}

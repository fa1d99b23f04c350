//! What a killed run left, removed: temporaries, spilled sorts, files that no record names.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::Path;

use super::record::{self, Record};
use super::{Folders, names};
use crate::error::StoreError;
use crate::files::{Entry, Files};

/// Removes everything that `record` does not know; the lock is held, so nobody is at work.
pub(super) fn leftovers(
    files: &dyn Files,
    folders: &Folders,
    record: &Record,
) -> Result<(), StoreError> {
    let spill = folders.spill();
    // DataFusion's own folders, on this machine's disk.
    match std::fs::remove_dir_all(&spill) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(StoreError::io("remove", &spill, error));
        }
        _ => {}
    }
    for entry in list(files, &folders.temporaries)? {
        remove(files, &folders.temporaries.join(&entry.name))?;
    }
    record::sweep(files, &folders.records)?;
    let known: HashSet<&str> = record.files.iter().map(|file| file.path.as_str()).collect();
    for entry in list(files, &folders.data)? {
        if names::is_day_folder(&entry.name) {
            of_day(files, folders, record, &known, &entry.name)?;
        }
    }
    Ok(())
}

fn of_day(
    files: &dyn Files,
    folders: &Folders,
    record: &Record,
    known: &HashSet<&str>,
    day: &str,
) -> Result<(), StoreError> {
    let dir = folders.data.join(day);
    let mut removed = false;
    for entry in list(files, &dir)? {
        let path = dir.join(&entry.name);
        if known.contains(format!("{day}/{}", entry.name).as_str()) {
            continue;
        }
        let Some(generation) = names::generation(&entry.name) else {
            if entry.name.ends_with(".parquet") {
                let reason = "compaction did not publish a file of this name".into();
                return Err(StoreError::Foreign { path, reason });
            }
            continue;
        };
        // A record is there before the first file, and a file is at most one generation ahead of it.
        if record.generation == 0 || generation > record.generation + 1 {
            let (path, records) = (path.display(), folders.records.display());
            return Err(StoreError::Query(format!(
                "{path} is of a record that is missing in {records}: put it back from a copy; its rows \
                 may lie nowhere else"
            )));
        }
        tracing::info!(path = %path.display(), "removing a file that no record names");
        remove(files, &path)?;
        removed = true;
    }
    if removed {
        // Or a name may come back and be taken when it is needed again.
        files.sync_dir(&dir).map_err(|e| StoreError::io("sync", &dir, e))?;
    }
    Ok(())
}

fn list(files: &dyn Files, dir: &Path) -> Result<Vec<Entry>, StoreError> {
    match files.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(vec![]),
        other => other.map_err(|e| StoreError::io("list", dir, e)),
    }
}

/// Removes a file that may be gone.
pub(super) fn remove(files: &dyn Files, path: &Path) -> Result<(), StoreError> {
    match files.remove(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(StoreError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

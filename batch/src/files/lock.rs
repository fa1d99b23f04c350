//! One process at a time in a folder: a lock on a hidden file, which ends with its holder.
//!
//! A lock that the system refuses is not taken for one that another process has.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};

use crate::error::StoreError;

const NAME: &str = ".lock";

/// Takes the lock of `folder` until the answer is dropped or its process ends; `None` when another
/// process has it.
pub(crate) fn lock(folder: &Path) -> Result<Option<File>, StoreError> {
    let path = folder.join(NAME);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| StoreError::io("create", &path, e))?;
    let taken = take(&file, FlockOperation::NonBlockingLockExclusive);
    Ok(taken.map_err(|e| StoreError::io("lock", &path, e))?.then_some(file))
}

/// Takes a lock without waiting; `false` when somebody else has one that excludes it.
pub(crate) fn take(file: &File, operation: FlockOperation) -> io::Result<bool> {
    answer(retry_on_intr(|| flock(file, operation)))
}

fn answer(locked: Result<(), Errno>) -> io::Result<bool> {
    match locked {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lock_that_would_block_is_somebody_elses() {
        assert!(answer(Ok(())).unwrap());
        assert!(!answer(Err(Errno::WOULDBLOCK)).unwrap());
        for errno in [Errno::NOLCK, Errno::INTR, Errno::OPNOTSUPP, Errno::BADF] {
            let error = answer(Err(errno)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()), "{errno:?}");
        }
    }

    #[test]
    fn a_folder_is_one_holders() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();
        assert!(held.is_some() && lock(folder.path()).unwrap().is_none());
        drop(held);
        assert!(lock(folder.path()).unwrap().is_some());
        assert!(lock(&folder.path().join("gone")).is_err());
    }
}

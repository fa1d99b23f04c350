//! One process at a time in a folder: a lock on a hidden file, which ends with its holder.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::error::StoreError;

const NAME: &str = ".lock";

/// Takes the lock of `folder` until the answer is dropped or its process ends; `None` when another
/// process has it.
pub(crate) fn lock(folder: &Path) -> Result<Option<File>, StoreError> {
    let path = folder.join(NAME);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| StoreError::io("create", &path, e))?;
    Ok(flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(file))
}

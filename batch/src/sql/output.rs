//! A file of answers: written beside its name, which it gets when it is whole.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::files::{Files as _, LocalFiles, NewFile};
use crate::parquet_io::{beside, taken};

/// See the module; what is dropped before it is published is removed.
pub(super) struct Output {
    file: Box<dyn NewFile>,
    temporary: PathBuf,
    to: PathBuf,
}

impl Output {
    /// Starts a file that will be called `to`, which must be free.
    pub(super) fn create(to: &Path) -> Result<Self, StoreError> {
        if to.exists() {
            return Err(taken(to));
        }
        let temporary = beside(to);
        let file = LocalFiles
            .create(&temporary)
            .map_err(|error| StoreError::io("create", &temporary, error))?;
        Ok(Self { file, temporary, to: to.to_path_buf() })
    }

    /// Makes it durable and gives it its name.
    pub(super) fn publish(mut self) -> Result<(), StoreError> {
        self.file.sync().map_err(|error| StoreError::io("sync", &self.temporary, error))?;
        LocalFiles.publish(&self.temporary, &self.to).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => taken(&self.to),
            _ => StoreError::io("publish", &self.to, error),
        })
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Published, it has this name no more.
        let _ = LocalFiles.remove(&self.temporary);
    }
}

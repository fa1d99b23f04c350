//! The file system as the archive needs it: a private seam, so that an object store, or a model, can
//! stand in for it.
//!
//! The contract is POSIX at its weakest: what is written is lost until the file is synced, a name
//! is lost until its directory is synced, any call may fail, and a failed call may have taken
//! effect. [`Files::publish`] never replaces. Which file system it is follows from the path: see [`of`].

mod local;
pub mod location;
mod lock;
#[cfg(test)]
pub(crate) mod model;
mod object;
mod source;
mod stores;
mod url;

use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

pub(crate) use local::LocalFiles;
pub(crate) use location::{absolute, is_object};
pub(crate) use lock::{lock, take};
pub(crate) use source::open;
#[cfg(test)]
pub(crate) use stores::put_for_tests;
pub(crate) use stores::{bucket, of, register};
pub(crate) use url::{url_of_file, url_of_folder, url_of_store};

/// A file system.
pub(crate) trait Files: Send + Sync {
    /// Creates a file that must not exist.
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>>;
    /// Gives `from` the name `to`; `AlreadyExists` when that name is taken.
    fn publish(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives `from` the name `to`, whoever had that; for what may be made again only.
    fn replace(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Creates one directory; `AlreadyExists` and `NotFound` (of the parent) are errors.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// Files and folders in `dir`, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// What a file is like.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    /// Exactly `len` bytes from `start`.
    fn read(&self, path: &Path, start: u64, len: usize) -> io::Result<Vec<u8>>;
    /// Length of a file, and its last bytes, `most` of them at most.
    fn tail(&self, path: &Path, most: usize) -> io::Result<(u64, Vec<u8>)> {
        let bytes = self.stat(path)?.bytes;
        let len = bytes.min(most as u64);
        Ok((bytes, self.read(path, bytes - len, len as usize)?))
    }
    /// Makes sure that publishing below `root` refuses a name that is taken; `Unsupported` where it
    /// does not.
    fn prove(&self, _root: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// Length and age of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    pub(crate) bytes: u64,
    /// When its content last changed.
    pub(crate) modified: SystemTime,
}

/// A file being written.
pub(crate) trait NewFile: Write + Send {
    /// Makes the content durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// One name in a directory.
pub(crate) struct Entry {
    /// Its name; names that are not UTF-8 are not ours and come with replacement characters.
    pub(crate) name: String,
    /// When its content last changed.
    pub(crate) modified: SystemTime,
}

/// Creates `dir` and what is missing above it, each name made durable in its parent.
pub(crate) fn ensure_dir(files: &dyn Files, dir: &Path) -> io::Result<()> {
    match files.make_dir(dir) {
        Ok(()) => sync_parent(files, dir),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = dir.parent() else { return Err(error) };
            ensure_dir(files, parent)?;
            match files.make_dir(dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => sync_parent(files, dir),
            }
        }
        Err(error) => Err(error),
    }
}

/// Makes `dir`, what is in it and its own name, with those of all folders above it, durable.
///
/// Whoever builds on a name that another process published calls this first: that process may
/// have died before its own sync, and the name could still vanish beneath what follows it.
pub(crate) fn sync_up_to(files: &dyn Files, root: &Path, dir: &Path) -> io::Result<()> {
    for at in dir.ancestors() {
        files.sync_dir(at)?;
        if at == root {
            break;
        }
    }
    // A folder above may be of an earlier start of ours that could not sync it: all of them, then.
    for above in root.ancestors().skip(1) {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match files.sync_dir(above) {
            // They are not ours; they need not even be readable.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            other => other?,
        }
    }
    Ok(())
}

fn sync_parent(files: &dyn Files, dir: &Path) -> io::Result<()> {
    match dir.parent() {
        None => Ok(()),
        Some(parent) if parent.as_os_str().is_empty() => files.sync_dir(Path::new(".")),
        Some(parent) => files.sync_dir(parent),
    }
}

//! The real file system of this machine.
//!
//! `publish` is `renameat2(RENAME_NOREPLACE)`; where the file system lacks it (NFS, some FUSE),
//! `link` then `unlink`, which refuses a taken name just as well.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::{Entry, Files, NewFile, Stat};

/// See the module.
pub(crate) struct LocalFiles;

struct LocalFile(File);

impl Files for LocalFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Box::new(LocalFile(file)))
    }

    fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => publish_by_link(from, to),
            other => Ok(other?),
        }
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let modified = match entry.metadata() {
                Ok(metadata) => metadata.modified()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(Entry { name, modified });
        }
        Ok(entries)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let found = fs::metadata(path)?;
        Ok(Stat { bytes: found.len(), modified: found.modified()? })
    }

    fn read(&self, path: &Path, start: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        File::open(path)?.read_exact_at(&mut bytes, start)?;
        Ok(bytes)
    }
}

fn publish_by_link(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        // A folder has no second name, and takes the place of an empty one at most.
        return fs::rename(from, to);
    }
    fs::hard_link(from, to)?;
    // The name is taken; a temporary left behind is swept at the next start.
    let _ = fs::remove_file(from);
    Ok(())
}

impl Write for LocalFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl NewFile for LocalFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Publish = fn(&Path, &Path) -> io::Result<()>;

    #[test]
    fn a_taken_name_is_refused_by_both_ways_of_publishing() {
        let ways: [Publish; 2] = [|from, to| LocalFiles.publish(from, to), publish_by_link];
        for publish in ways {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            for (name, text) in [("a", "first"), ("b", "second")] {
                let mut file = LocalFiles.create(&path(name)).unwrap();
                file.write_all(text.as_bytes()).unwrap();
                file.sync().unwrap();
            }
            publish(&path("a"), &path("final")).unwrap();
            let refused = publish(&path("b"), &path("final")).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(LocalFiles.read(&path("final"), 0, 5).unwrap(), b"first");
            assert!(!path("a").exists() && path("b").exists());
        }
    }
}

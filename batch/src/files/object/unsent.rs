//! A file on its way to an object store: nameless, on this machine, bounded.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use crate::files::NewFile;

/// Largest file: one `PUT` takes it from memory. S3's own limit is 5 GiB.
pub(super) const MAX_BYTES: u64 = 1 << 30;

/// A file of which only this process knows, and which ends with it.
pub(super) fn unnamed() -> io::Result<File> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let name = format!(".tidegate-{:016x}.tmp", u64::from_le_bytes(random));
    let path = std::env::temp_dir().join(name);
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// A file that no request has taken yet.
pub(super) struct Unsent {
    file: File,
    bytes: u64,
}

impl Unsent {
    pub(super) fn new(file: File) -> Self {
        Self { file, bytes: 0 }
    }
}

impl Write for Unsent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes + bytes.len() as u64 > MAX_BYTES {
            let large = format!(
                "more than {} MiB, which is the most that goes into an object: fewer rows or columns a \
                 file",
                MAX_BYTES >> 20
            );
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, large));
        }
        let taken = self.file.write(bytes)?;
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl NewFile for Unsent {
    /// Durable is what was published: nothing reads this file after this process.
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

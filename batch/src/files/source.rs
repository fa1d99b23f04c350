//! A published file as readers take it, from this machine or from an object store.
//!
//! An object is read in blocks, and the last few are kept: columns that are read side by side ask for
//! neighbouring pages again and again, and each request costs as much as a block.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use parquet::file::reader::{ChunkReader, Length};

use super::{Files, bucket};
use crate::error::StoreError;

/// Fetched by one request.
const BLOCK_BYTES: u64 = 1 << 20;
/// Blocks that a reader keeps: one for each of as many columns.
const KEPT_BLOCKS: usize = 16;

/// See the module.
pub(crate) enum Source {
    Local(File),
    Stored(Arc<Stored>),
}

/// An object, and the blocks of it that were read last.
pub(crate) struct Stored {
    files: Arc<dyn Files>,
    path: PathBuf,
    bytes: u64,
    /// The newest last.
    recent: Mutex<VecDeque<(u64, Bytes)>>,
}

/// Opens `path` for reading.
pub(crate) fn open(path: &Path) -> Result<Source, StoreError> {
    let failed = |e| StoreError::io("open", path, e);
    Ok(match bucket(path)? {
        None => Source::Local(File::open(path).map_err(failed)?),
        Some(files) => Source::Stored(Stored::open(files, path).map_err(failed)?),
    })
}

impl Source {
    /// Reads on from the byte `start`.
    pub(crate) fn from(&self, start: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Local(file) => {
                let mut file = file.try_clone()?;
                file.seek(SeekFrom::Start(start))?;
                Box::new(file)
            }
            Self::Stored(stored) => Box::new(Onward { stored: Arc::clone(stored), at: start }),
        })
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        match self {
            Self::Local(file) => Length::len(file),
            Self::Stored(stored) => stored.bytes,
        }
    }
}

impl ChunkReader for Source {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(Box::new(BufReader::new(self.from(start)?)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        match self {
            Self::Local(file) => file.get_bytes(start, length),
            Self::Stored(stored) => Ok(stored.read(start, length)?),
        }
    }
}

impl Stored {
    pub(super) fn open(files: Arc<dyn Files>, path: &Path) -> io::Result<Arc<Self>> {
        let bytes = files.stat(path)?.bytes;
        Ok(Arc::new(Self { files, path: path.to_path_buf(), bytes, recent: Mutex::default() }))
    }

    fn read(&self, start: u64, length: usize) -> io::Result<Bytes> {
        let end = start + length as u64;
        if end > self.bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (first, last) = (start / BLOCK_BYTES, end.saturating_sub(1) / BLOCK_BYTES);
        if length == 0 {
            return Ok(Bytes::new());
        }
        if first == last {
            let (block, at) = (self.block(first)?, (start % BLOCK_BYTES) as usize);
            return Ok(block.slice(at..at + length));
        }
        if length as u64 > 2 * BLOCK_BYTES {
            return Ok(self.files.read(&self.path, start, length)?.into());
        }
        let mut all = vec![0; length];
        Onward { stored: self, at: start }.read_exact(&mut all)?;
        Ok(all.into())
    }

    /// The block of this number; the file's last may be shorter.
    fn block(&self, number: u64) -> io::Result<Bytes> {
        // Not held while a block is fetched: of two readers who miss the same one both fetch it.
        let lock = || self.recent.lock().expect("nobody panics with it");
        {
            let mut recent = lock();
            if let Some(at) = recent.iter().position(|(have, _)| *have == number) {
                let found = recent.remove(at).expect("it was just found");
                recent.push_back(found.clone());
                return Ok(found.1);
            }
        }
        let start = number * BLOCK_BYTES;
        let length = BLOCK_BYTES.min(self.bytes - start) as usize;
        let block: Bytes = self.files.read(&self.path, start, length)?.into();
        let mut recent = lock();
        if recent.len() == KEPT_BLOCKS {
            recent.pop_front();
        }
        recent.push_back((number, block.clone()));
        Ok(block)
    }
}

/// An object read on from a byte.
struct Onward<S> {
    stored: S,
    at: u64,
}

impl<S: std::ops::Deref<Target = Stored>> Read for Onward<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.stored.bytes || into.is_empty() {
            return Ok(0);
        }
        let block = self.stored.block(self.at / BLOCK_BYTES)?;
        let rest = &block[(self.at % BLOCK_BYTES) as usize..];
        let taken = rest.len().min(into.len());
        into[..taken].copy_from_slice(&rest[..taken]);
        self.at += taken as u64;
        Ok(taken)
    }
}

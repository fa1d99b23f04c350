//! Byte strings in order, however many: sorted in memory as far as that goes, in runs on disk beyond.
//!
//! Memory is bounded by what was asked for, whatever is sorted: a quarter holds what is not written
//! yet (its growth takes as much again), another the buffers of the runs that are merged at once. More
//! runs than that are merged in several passes. Runs are files without a name in the temporary folder,
//! so that a kill leaves nothing; what goes there has a limit.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek as _, Write};

use batch::StoreError;

/// Bytes on disk at once. As much as DataFusion allows its own sorts.
const MAX_SPILLED_BYTES: u64 = 100 << 30;
/// Buffer of a run that is read or written.
const BUFFER_BYTES: usize = 64 << 10;
/// Most memory that is used: places in it are 32 bits.
const MAX_MEMORY_BYTES: usize = 8 << 30;

/// A string in memory: its first bytes decide most comparisons without looking at it.
struct Place {
    prefix: u64,
    at: u32,
    bytes: u32,
}

/// A sorted file, at its beginning.
struct Run {
    file: File,
    bytes: u64,
}

/// See the module.
pub(super) struct Sorter {
    held: Vec<u8>,
    places: Vec<Place>,
    runs: Vec<Run>,
    memory_bytes: usize,
}

impl Sorter {
    pub(super) fn new(memory_bytes: usize) -> Self {
        let memory_bytes = memory_bytes.min(MAX_MEMORY_BYTES);
        Self { held: Vec::new(), places: Vec::new(), runs: Vec::new(), memory_bytes }
    }

    /// Takes one string.
    pub(super) fn push(&mut self, string: &[u8]) -> Result<(), StoreError> {
        let wanted = self.held.len() + string.len();
        let places = (self.places.len() + 1) * size_of::<Place>();
        if wanted + places > self.memory_bytes / 4 && !self.places.is_empty() {
            self.spill()?;
        }
        let at = u32::try_from(self.held.len()).expect("a quarter of the most memory fits");
        let bytes = u32::try_from(string.len()).map_err(|_| {
            StoreError::Query(format!("a row of {} bytes cannot be sorted", string.len()))
        })?;
        self.held.extend_from_slice(string);
        self.places.push(Place { prefix: prefix(string), at, bytes });
        Ok(())
    }

    /// Bytes that lie on disk.
    #[cfg(test)]
    pub(super) fn spilled_bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.bytes).sum()
    }

    /// Gives every string to `each`, in order.
    pub(super) fn finish(
        mut self,
        each: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if self.runs.is_empty() {
            self.sort();
            return self.places.iter().try_for_each(|place| each(string(&self.held, place)));
        }
        self.spill()?;
        (self.held, self.places) = (Vec::new(), Vec::new());
        let together = (self.memory_bytes / 4 / BUFFER_BYTES).max(2);
        while self.runs.len() > together {
            let some = self.runs.drain(..together).collect();
            let mut out = Writer::new()?;
            merge(some, &mut |string| out.write(string))?;
            self.runs.push(out.finish()?);
        }
        merge(self.runs, each)
    }

    fn sort(&mut self) {
        let held = &self.held;
        self.places.sort_unstable_by(|a, b| {
            a.prefix.cmp(&b.prefix).then_with(|| string(held, a).cmp(string(held, b)))
        });
    }

    fn spill(&mut self) -> Result<(), StoreError> {
        self.sort();
        let mut out = Writer::new()?;
        for place in &self.places {
            out.write(string(&self.held, place))?;
        }
        let run = out.finish()?;
        let spilled = self.runs.iter().map(|run| run.bytes).sum::<u64>() + run.bytes;
        if spilled > MAX_SPILLED_BYTES {
            return Err(StoreError::Query(format!(
                "joining labels takes more than {MAX_SPILLED_BYTES} bytes in the temporary folder: \
                 choose shorter windows (monitor.window_seconds)"
            )));
        }
        self.runs.push(run);
        self.held.clear();
        self.places.clear();
        Ok(())
    }
}

/// The first eight bytes as a number of the same order.
fn prefix(string: &[u8]) -> u64 {
    let mut first = [0; 8];
    let bytes = string.len().min(8);
    first[..bytes].copy_from_slice(&string[..bytes]);
    u64::from_be_bytes(first)
}

fn string<'a>(held: &'a [u8], place: &Place) -> &'a [u8] {
    &held[place.at as usize..][..place.bytes as usize]
}

/// Several runs as one, in order; each is gone when it is read.
fn merge(
    runs: Vec<Run>,
    each: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut readers = runs.into_iter().map(Reader::new).collect::<Vec<_>>();
    let mut next = BinaryHeap::new();
    for (of, reader) in readers.iter_mut().enumerate() {
        let mut string = Vec::new();
        if reader.read(&mut string)? {
            next.push(Reverse((string, of)));
        }
    }
    while let Some(Reverse((mut string, of))) = next.pop() {
        each(&string)?;
        if readers[of].read(&mut string)? {
            next.push(Reverse((string, of)));
        }
    }
    Ok(())
}

struct Writer {
    file: BufWriter<File>,
    bytes: u64,
}

impl Writer {
    fn new() -> Result<Self, StoreError> {
        let file = tempfile::tempfile().map_err(|error| failed("make a file in", error))?;
        Ok(Self { file: BufWriter::with_capacity(BUFFER_BYTES, file), bytes: 0 })
    }

    fn write(&mut self, string: &[u8]) -> Result<(), StoreError> {
        let bytes = u32::try_from(string.len()).expect("what was pushed fits");
        let written = self.file.write_all(&bytes.to_le_bytes());
        written.and_then(|()| self.file.write_all(string)).map_err(|e| failed("write to", e))?;
        self.bytes += 4 + u64::from(bytes);
        Ok(())
    }

    fn finish(self) -> Result<Run, StoreError> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error);
        let mut file = file.map_err(|error| failed("write to", error))?;
        file.rewind().map_err(|error| failed("read", error))?;
        Ok(Run { file, bytes: self.bytes })
    }
}

struct Reader(BufReader<File>);

impl Reader {
    fn new(run: Run) -> Self {
        Self(BufReader::with_capacity(BUFFER_BYTES, run.file))
    }

    /// The next string, in place of what `into` holds; false at the end.
    fn read(&mut self, into: &mut Vec<u8>) -> Result<bool, StoreError> {
        let mut bytes = [0; 4];
        match self.0.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(failed("read", error)),
        }
        into.resize(u32::from_le_bytes(bytes) as usize, 0);
        self.0.read_exact(into).map_err(|error| failed("read", error))?;
        Ok(true)
    }
}

fn failed(action: &'static str, source: io::Error) -> StoreError {
    StoreError::Io { action, path: std::env::temp_dir(), source }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(strings: &[Vec<u8>], memory_bytes: usize) -> (Vec<Vec<u8>>, u64) {
        let mut sorter = Sorter::new(memory_bytes);
        strings.iter().for_each(|string| sorter.push(string).unwrap());
        let spilled = sorter.spilled_bytes();
        let mut out = Vec::new();
        sorter
            .finish(&mut |string| {
                out.push(string.to_vec());
                Ok(())
            })
            .unwrap();
        (out, spilled)
    }

    proptest! {
        #[test]
        fn any_limit_gives_the_same_order(
            strings in prop::collection::vec(prop::collection::vec(0_u8..3, 0..20), 0..300),
            memory_bytes in 1_usize..20_000,
        ) {
            let mut expected = strings.clone();
            expected.sort();
            prop_assert_eq!(sorted(&strings, memory_bytes).0, expected);
        }
    }

    #[test]
    fn more_runs_than_are_read_at_once_are_merged_in_passes() {
        // 64 KiB: two runs are read at once, and each holds 16 KiB.
        let strings: Vec<Vec<u8>> = (0..20_000_u64)
            .map(|at| at.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes().to_vec())
            .collect();
        let (out, spilled) = sorted(&strings, 64 << 10);
        assert!(spilled > 200_000, "{spilled} bytes were spilled");
        assert!(out.is_sorted() && out.len() == strings.len());
    }
}

//! Counting positions for `tidegate verify`: which were seen once, which never, which twice.
//!
//! Two bits a position (0, 1, 2 or more), in chunks made when first touched, and only for the
//! extents named at the start: the memory is known before the first record is read, whatever
//! coordinates the records claim. 100 million positions take 25 MB.

mod difference;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::Offsets;

pub use difference::{Difference, Finding};

/// Positions per chunk: 16 KiB, so that a partition with few records costs little.
const CHUNK_POSITIONS: u64 = 1 << 16;

/// Positions per word.
const WORD_POSITIONS: u64 = 32;

/// Words per chunk.
const CHUNK_WORDS: usize = (CHUNK_POSITIONS / WORD_POSITIONS) as usize;

/// The low bit of every counter of a word.
const LOW_BITS: u64 = 0x5555_5555_5555_5555;

/// How often each position of some extents was seen, saturating at two.
#[derive(Clone, Debug)]
pub struct Tally {
    partitions: BTreeMap<i32, Partition>,
    /// Records at positions outside the extents.
    outside: Finding,
}

/// Counters of `start..end`; a chunk that is `None` holds zeros.
#[derive(Clone, Debug)]
struct Partition {
    start: i64,
    end: i64,
    chunks: Vec<Option<Box<[u64; CHUNK_WORDS]>>>,
}

impl Tally {
    /// Zero counts for the positions of `extents`.
    #[must_use]
    pub fn new(extents: &Offsets) -> Self {
        let partitions = extents.iter().map(|(partition, extent)| {
            let chunks = chunks_of(extent.start, extent.end);
            let chunks = vec![None; chunks as usize];
            (partition, Partition { start: extent.start, end: extent.end, chunks })
        });
        Self { partitions: partitions.collect(), outside: Finding::default() }
    }

    /// Bytes that a tally of these extents takes when every chunk is touched.
    #[must_use]
    pub fn memory_bound(extents: &Offsets) -> u64 {
        let chunk = (CHUNK_WORDS * 8 + size_of::<Option<Box<[u64; CHUNK_WORDS]>>>()) as u64;
        extents.iter().map(|(_, extent)| chunks_of(extent.start, extent.end) * chunk).sum()
    }

    /// Counts one record at a position. Outside the extents it is counted as such, and remembered
    /// as an example while there is room.
    #[inline]
    pub fn add(&mut self, partition: i32, position: i64) {
        let Some(counters) = self
            .partitions
            .get_mut(&partition)
            .filter(|counters| counters.start <= position && position < counters.end)
        else {
            self.outside.add(partition, position);
            return;
        };
        let at = (position - counters.start) as u64;
        let chunk = counters.chunks[(at / CHUNK_POSITIONS) as usize]
            .get_or_insert_with(|| Box::new([0; CHUNK_WORDS]));
        let word = &mut chunk[(at % CHUNK_POSITIONS / WORD_POSITIONS) as usize];
        let shift = at % WORD_POSITIONS * 2;
        // 0 -> 1 -> 2 -> 2.
        let count = *word >> shift & 3;
        *word += u64::from(count < 2) << shift;
    }

    /// How often a position was seen: 0, 1, or 2 for more than once. 0 outside the extents.
    #[must_use]
    pub fn count(&self, partition: i32, position: i64) -> u8 {
        self.partitions
            .get(&partition)
            .filter(|counters| counters.start <= position && position < counters.end)
            .map_or(0, |counters| {
                let at = (position - counters.start) as u64;
                let word = counters.word((at / WORD_POSITIONS) as usize);
                (word >> (at % WORD_POSITIONS * 2) & 3) as u8
            })
    }

    /// Positions seen at least once.
    #[must_use]
    pub fn seen(&self) -> u64 {
        let words = self.partitions.values().flat_map(|counters| counters.chunks.iter().flatten());
        words
            .flat_map(|chunk| chunk.iter())
            .map(|word| u64::from(present(*word).count_ones()))
            .sum()
    }

    /// Records counted outside the extents.
    #[must_use]
    pub fn outside(&self) -> &Finding {
        &self.outside
    }

    /// Bytes of the counters as they are now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let touched =
            |counters: &Partition| counters.chunks.iter().flatten().count() * CHUNK_WORDS * 8;
        self.partitions
            .values()
            .map(|counters| (touched(counters) + size_of_val(&counters.chunks[..])) as u64)
            .sum()
    }

    /// What `self`, the positions seen, lacks and has too much of against `expected`, the positions
    /// that exist. What is unseen from the position reached in its partition on is waiting; without
    /// one it is missing.
    ///
    /// # Panics
    /// When the two tallies are of different extents.
    #[must_use]
    pub fn against(&self, expected: &Self, reached: &BTreeMap<i32, i64>) -> Difference {
        difference::difference(expected, self, reached)
    }
}

impl Partition {
    fn word(&self, index: usize) -> u64 {
        self.chunks[index / CHUNK_WORDS].as_ref().map_or(0, |chunk| chunk[index % CHUNK_WORDS])
    }
}

fn chunks_of(start: i64, end: i64) -> u64 {
    (end - start).unsigned_abs().div_ceil(CHUNK_POSITIONS)
}

/// One low bit per position that is not zero.
fn present(word: u64) -> u64 {
    (word | word >> 1) & LOW_BITS
}

/// One low bit per position that is two or more.
fn twice(word: u64) -> u64 {
    word >> 1 & LOW_BITS
}

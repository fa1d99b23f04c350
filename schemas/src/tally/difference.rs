//! Expected against seen, a word of 32 positions at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use super::{CHUNK_WORDS, Tally, WORD_POSITIONS, present, twice};

/// Ranges kept as examples of one finding: enough to look into the topic, few enough to print.
const MAX_EXAMPLES: usize = 16;

/// Positions with one fault: an exact count and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// How many.
    pub count: u64,
    /// The first ones in the order found, neighbours merged: partition and half-open range.
    pub examples: Vec<(i32, Range<i64>)>,
}

/// What differs between the positions that exist and those that were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Positions that exist.
    pub expected: u64,
    /// Of these, those seen at least once.
    pub found: u64,
    /// Positions that exist, come before those reached, and were not seen.
    pub missing: Finding,
    /// Positions that exist, were not seen, and were not reached either.
    pub waiting: Finding,
    /// Positions that exist and were seen more than once.
    pub doubled: Finding,
    /// Positions inside the extents that were seen and do not exist.
    pub unexpected: Finding,
    /// Records seen at positions outside the extents.
    pub outside: Finding,
}

impl Finding {
    pub(super) fn add(&mut self, partition: i32, position: i64) {
        self.count += 1;
        if let Some((have, range)) = self.examples.last_mut()
            && *have == partition
            && range.end == position
        {
            range.end = range.end.saturating_add(1);
        } else if self.examples.len() < MAX_EXAMPLES {
            self.examples.push((partition, position..position.saturating_add(1)));
        }
    }

    fn add_bits(&mut self, partition: i32, first: i64, mut bits: u64) {
        while bits != 0 {
            self.add(partition, first + i64::from(bits.trailing_zeros() / 2));
            bits &= bits - 1;
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.count)?;
        let shown: u64 =
            self.examples.iter().map(|(_, range)| (range.end - range.start) as u64).sum();
        for (index, (partition, range)) in self.examples.iter().enumerate() {
            let separator = if index == 0 { " (partition:offsets " } else { ", " };
            match range.end - range.start {
                1 => write!(out, "{separator}{partition}:{}", range.start)?,
                _ => write!(out, "{separator}{partition}:{}..{}", range.start, range.end)?,
            }
        }
        match self.examples.is_empty() {
            true => Ok(()),
            false if shown < self.count => out.write_str(", …)"),
            false => out.write_str(")"),
        }
    }
}

impl Difference {
    /// Whether every position that exists was seen exactly once and nothing else was.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        [&self.missing, &self.waiting, &self.doubled, &self.unexpected, &self.outside]
            .iter()
            .all(|finding| finding.count == 0)
    }
}

pub(super) fn difference(
    expected: &Tally,
    seen: &Tally,
    reached: &BTreeMap<i32, i64>,
) -> Difference {
    let extents = |tally: &Tally| {
        let each = tally.partitions.iter();
        each.map(|(id, counters)| (*id, counters.start, counters.end)).collect::<Vec<_>>()
    };
    assert_eq!(extents(expected), extents(seen), "tallies of the same extents are compared");
    let mut all = Difference { outside: seen.outside.clone(), ..Difference::default() };
    for ((&partition, want), have) in expected.partitions.iter().zip(seen.partitions.values()) {
        let reached = reached.get(&partition).copied().unwrap_or(i64::MAX);
        for index in 0..want.chunks.len() * CHUNK_WORDS {
            let (want, count) = (present(want.word(index)), have.word(index));
            if want == 0 && count == 0 {
                continue;
            }
            let (have, doubled) = (present(count), twice(count));
            all.expected += u64::from(want.count_ones());
            all.found += u64::from((want & have).count_ones());
            let first =
                expected.partitions[&partition].start + (index as u64 * WORD_POSITIONS) as i64;
            let (unseen, passed) = (want & !have, before(reached, first));
            all.missing.add_bits(partition, first, unseen & passed);
            all.waiting.add_bits(partition, first, unseen & !passed);
            all.doubled.add_bits(partition, first, want & doubled);
            all.unexpected.add_bits(partition, first, have & !want);
        }
    }
    assert_eq!(
        all.found + all.missing.count + all.waiting.count,
        all.expected,
        "each expected position is found, missing or waiting"
    );
    all
}

/// The bits of a word that begins at `first` whose positions come before `reached`.
fn before(reached: i64, first: i64) -> u64 {
    let positions = reached.saturating_sub(first).clamp(0, WORD_POSITIONS as i64) as u32;
    // A word that is passed as a whole cannot be shifted out in one step.
    u64::MAX.checked_shr(u64::BITS - 2 * positions).unwrap_or(0)
}

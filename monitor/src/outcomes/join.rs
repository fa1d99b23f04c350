//! Results and labels joined on the key, in memory that does not grow with either.
//!
//! Both are sorted together, by key and by the time up to which each looks: a label is at its own time,
//! a result at the end of its time-to-live, behind the labels of that instant. Read in that order, the
//! label before a result is the last one that it may have, so one label is all that is held. A first
//! look at the results' keys keeps most other labels out of the sort.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use batch::StoreError;

use super::sorter::Sorter;

/// Most memory of the look at the keys: with it, ten million results let 1 % of other labels through.
const MAX_SEEN_BYTES: usize = 16 << 20;

/// When a result's label must have been known, after its event, in microseconds: later than `after`,
/// and `upto` at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    /// None: at the event itself counts, too.
    pub(super) after: Option<i64>,
    pub(super) upto: i64,
}

/// A label: its time, and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Known {
    pub(super) time: i64,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// Takes what is said of a result, and what its label says.
type Each<'a> = &'a mut dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), StoreError>;

/// See the module. Results first, then labels.
pub(super) struct Join {
    reach: Reach,
    seen: Seen,
    sorter: Sorter,
    row: Vec<u8>,
}

/// Kinds of rows at the same instant: a label of that very instant counts.
const LABEL: u8 = 0;
const RESULT: u8 = 1;
/// Partition and offset of a label.
const PLACE_BYTES: usize = 16;

impl Join {
    pub(super) fn new(reach: Reach, memory_bytes: usize) -> Self {
        Self {
            reach,
            seen: Seen::new(memory_bytes / 8),
            sorter: Sorter::new(memory_bytes),
            row: Vec::new(),
        }
    }

    /// Takes a result of this key and time, with what is to be said of it.
    pub(super) fn result(&mut self, key: &str, time: i64, said: &[u8]) -> Result<(), StoreError> {
        let hash = hash(key);
        self.seen.add(hash);
        let upto = time.saturating_add(self.reach.upto);
        head(&mut self.row, hash, key, upto, RESULT);
        self.row.extend_from_slice(&time.to_be_bytes());
        self.row.extend_from_slice(said);
        self.sorter.push(&self.row)
    }

    /// Takes a label of this key, with what it says.
    pub(super) fn label(&mut self, key: &str, of: Known, said: &[u8]) -> Result<(), StoreError> {
        let hash = hash(key);
        if !self.seen.has(hash) {
            return Ok(());
        }
        head(&mut self.row, hash, key, of.time, LABEL);
        self.row.extend_from_slice(&ordered(of.partition.into()));
        self.row.extend_from_slice(&ordered(of.offset));
        self.row.extend_from_slice(said);
        self.sorter.push(&self.row)
    }

    /// Gives every result to `each`, with its last label that counts.
    pub(super) fn finish(self, each: Each<'_>) -> Result<(), StoreError> {
        let (mut key, mut last) = (Vec::<u8>::new(), None::<(i64, Vec<u8>)>);
        let after = self.reach.after;
        self.sorter.finish(&mut |row| {
            let mut rest = row;
            let hash = take(&mut rest, 8);
            let bytes = u32::from_be_bytes(four(take(&mut rest, 4))) as usize;
            let whose = take(&mut rest, bytes);
            let time = unordered(take(&mut rest, 8));
            let kind = take(&mut rest, 1)[0];
            let same = key.get(..8) == Some(hash) && key.get(8..) == Some(whose);
            if !same {
                last = None;
                key.clear();
                key.extend_from_slice(hash);
                key.extend_from_slice(whose);
            }
            if kind == LABEL {
                last = Some((time, rest[PLACE_BYTES..].to_vec()));
                return Ok(());
            }
            let event = i64::from_be_bytes(eight(take(&mut rest, 8)));
            let counts = |known: i64| match after {
                None => known >= event,
                Some(after) => known > event.saturating_add(after),
            };
            let label = last.as_ref().filter(|(known, _)| counts(*known));
            each(rest, label.map(|(_, said)| said.as_slice()))
        })
    }

    /// Whether anything went to disk.
    #[cfg(test)]
    pub(super) fn has_spilled(&self) -> bool {
        self.sorter.spilled_bytes() > 0
    }
}

/// What rows are sorted by: rows of a key lie together, in the order of their times.
fn head(row: &mut Vec<u8>, hash: u64, key: &str, time: i64, kind: u8) {
    row.clear();
    row.extend_from_slice(&hash.to_be_bytes());
    // Keys are bounded by the records that hold them.
    row.extend_from_slice(&(key.len() as u32).to_be_bytes());
    row.extend_from_slice(key.as_bytes());
    row.extend_from_slice(&ordered(time));
    row.push(kind);
}

/// Bytes in the order of the numbers.
fn ordered(number: i64) -> [u8; 8] {
    (number.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn unordered(bytes: &[u8]) -> i64 {
    (u64::from_be_bytes(eight(bytes)) ^ (1 << 63)).cast_signed()
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> &'a [u8] {
    let (first, behind) = rest.split_at(bytes);
    *rest = behind;
    first
}

fn eight(bytes: &[u8]) -> [u8; 8] {
    bytes.try_into().expect("eight bytes were written")
}

fn four(bytes: &[u8]) -> [u8; 4] {
    bytes.try_into().expect("four bytes were written")
}

fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// Keys that were seen: says of one that was that it was, and of few others.
struct Seen {
    bits: Vec<u64>,
}

impl Seen {
    fn new(bytes: usize) -> Self {
        let words = (bytes.clamp(64, MAX_SEEN_BYTES) / 8).next_power_of_two();
        Self { bits: vec![0; words.min(MAX_SEEN_BYTES / 8)] }
    }

    /// Two bits of a key: word and bit in it.
    fn places(&self, hash: u64) -> [(usize, u64); 2] {
        [hash, hash.rotate_left(32)].map(|hash| {
            let bit = (hash as usize) & (self.bits.len() * 64 - 1);
            (bit / 64, 1 << (bit % 64))
        })
    }

    fn add(&mut self, hash: u64) {
        for (word, bit) in self.places(hash) {
            self.bits[word] |= bit;
        }
    }

    fn has(&self, hash: u64) -> bool {
        self.places(hash).iter().all(|(word, bit)| self.bits[*word] & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Result = (String, i64);
    type Label = (String, i64, i32);

    /// Result after result (by its place) the place of its label.
    fn joined(
        results: &[Result],
        labels: &[Label],
        reach: Reach,
        memory: usize,
    ) -> Vec<Option<u32>> {
        let mut join = Join::new(reach, memory);
        for (place, (key, time)) in (0_u32..).zip(results) {
            join.result(key, *time, &place.to_be_bytes()).unwrap();
        }
        for (place, (key, time, partition)) in (0_u32..).zip(labels) {
            let of = Known { time: *time, partition: *partition, offset: place.into() };
            join.label(key, of, &place.to_be_bytes()).unwrap();
        }
        let mut found = vec![None; results.len()];
        let mut times = 0;
        join.finish(&mut |result, label| {
            times += 1;
            found[u32::from_be_bytes(four(result)) as usize] =
                label.map(|label| u32::from_be_bytes(four(label)));
            Ok(())
        })
        .unwrap();
        assert_eq!(times, results.len(), "each result once");
        found
    }

    fn by_hand(results: &[Result], labels: &[Label], reach: Reach) -> Vec<Option<u32>> {
        let of = |(key, event): &Result| {
            let counts = |(_, (of, known, _)): &(u32, &Label)| {
                of == key
                    && reach.after.map_or(known >= event, |after| *known > event + after)
                    && *known <= event + reach.upto
            };
            let mine = (0_u32..).zip(labels).filter(counts);
            mine.max_by_key(|(place, (_, known, partition))| (*known, *partition, *place))
                .map(|(place, _)| place)
        };
        results.iter().map(of).collect()
    }

    proptest! {
        #[test]
        fn any_limit_gives_what_a_join_by_hand_gives(
            results in prop::collection::vec(("[ab]{0,2}", -20_i64..20), 0..60),
            labels in prop::collection::vec(("[ab]{0,2}", -30_i64..40, 0_i32..3), 0..60),
            after in prop::option::of(0_i64..6),
            more in 0_i64..12,
            memory in 1_usize..40_000,
        ) {
            let reach = Reach { after, upto: after.unwrap_or(0) + more };
            prop_assert_eq!(
                joined(&results, &labels, reach, memory),
                by_hand(&results, &labels, reach)
            );
        }
    }

    #[test]
    fn long_keys_and_one_key_only_join_in_a_hundredth_of_their_size() {
        const ROWS: i64 = 200_000;
        let reach = Reach { after: None, upto: 5 };
        for same in [false, true] {
            let key = |at: i64| {
                format!("{:0>60}", if same { 0 } else { at.wrapping_mul(2_654_435_761) % 100_003 })
            };
            let mut join = Join::new(reach, 256 << 10);
            for at in 0..ROWS {
                join.result(&key(at), at, &at.to_be_bytes()).unwrap();
            }
            for at in 0..ROWS {
                let of = Known { time: at + 3, partition: 0, offset: at };
                join.label(&key(at), of, &at.to_be_bytes()).unwrap();
            }
            assert!(join.has_spilled());
            let mut right = 0;
            join.finish(&mut |result, label| {
                let at = i64::from_be_bytes(eight(result));
                // Of one key, the last label within five microseconds was that of the event two later.
                let expected = if same { (at + 2).min(ROWS - 1) } else { at };
                let label = label.map(|label| i64::from_be_bytes(eight(label)));
                right += i64::from(label == Some(expected));
                Ok(())
            })
            .unwrap();
            assert_eq!(right, ROWS, "one key only: {same}");
        }
    }
}

//! What failed before, over restarts of the hop: so that one bad record cannot hold the stream.
//!
//! A failure is noted with the records it may be due to. The second time they are handled one by
//! one; the third time a record stands alone and fails, it goes to the dead letters with the reason.

use std::collections::BTreeMap;
use std::ops::Range;

use schemas::Offsets;

/// Failures after which a record is handled alone.
const ALONE_AFTER: u32 = 2;
/// Failures after which a record that stands alone is given up.
const GIVE_UP_AFTER: u32 = 3;
/// Suspects kept per partition; beyond it the oldest is forgotten (it will be noted again).
const SUSPECTS_MAX: usize = 65_536;

/// Suspected records per partition. Lives as long as the process, outside the hop.
#[derive(Debug, Default)]
pub struct Memory {
    /// Partition → start of a suspicious range → the rest of it.
    suspects: BTreeMap<i32, BTreeMap<i64, Suspect>>,
    /// Whether the hop ran before: its topics existed then.
    pub(super) has_run: bool,
    /// Publishers that were left behind in a C call.
    pub(super) left_behind: u32,
}

#[derive(Clone, Debug)]
struct Suspect {
    end: i64,
    times: u32,
    reason: String,
}

impl Memory {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Handling `range` failed. A suspect that overlaps it is narrowed to what both have in common.
    pub(super) fn note(&mut self, partition: i32, range: Range<i64>, reason: &str) {
        let suspects = self.suspects.entry(partition).or_default();
        let known = suspects
            .range(..range.end)
            .next_back()
            .filter(|(_, suspect)| suspect.end > range.start);
        let known = known.map(|(start, suspect)| (*start, suspect.clone()));
        let (start, end, times) = match known {
            Some((start, suspect)) => {
                suspects.remove(&start);
                (start.max(range.start), suspect.end.min(range.end), suspect.times + 1)
            }
            None => (range.start, range.end, 1),
        };
        suspects.insert(start, Suspect { end, times, reason: reason.into() });
        if suspects.len() > SUSPECTS_MAX {
            suspects.pop_first();
        }
    }

    /// Whether nothing is suspected at all: the common case, asked once per batch.
    pub(super) fn is_clean(&self) -> bool {
        self.suspects.is_empty()
    }

    /// Whether this record has to be handled alone.
    pub(super) fn is_alone(&self, partition: i32, offset: i64) -> bool {
        self.find(partition, offset).is_some_and(|(_, suspect)| suspect.times >= ALONE_AFTER)
    }

    /// Why this record is given up; `None` while it is not.
    pub(super) fn given_up(&self, partition: i32, offset: i64) -> Option<&str> {
        let (start, suspect) = self.find(partition, offset)?;
        let single = suspect.end - start == 1;
        (single && suspect.times >= GIVE_UP_AFTER).then_some(suspect.reason.as_str())
    }

    /// Whether the dead letter of a record that is given up failed as well: nothing of the original
    /// goes into the next one. `sent` says whether a result was sent first, and failed before it.
    pub(super) fn is_hopeless(&self, partition: i32, offset: i64, sent: bool) -> bool {
        self.find(partition, offset).is_some_and(|(start, suspect)| {
            suspect.end - start == 1 && suspect.times >= GIVE_UP_AFTER + u32::from(sent)
        })
    }

    /// Everything before these ends was committed: its suspects are cleared.
    pub(super) fn committed(&mut self, ends: &Offsets) {
        if self.is_clean() {
            return;
        }
        for (partition, extent) in ends.iter() {
            if let Some(suspects) = self.suspects.get_mut(&partition) {
                suspects.retain(|_, suspect| suspect.end > extent.end);
                if suspects.is_empty() {
                    self.suspects.remove(&partition);
                }
            }
        }
    }

    fn find(&self, partition: i32, offset: i64) -> Option<(i64, &Suspect)> {
        let (start, suspect) = self.suspects.get(&partition)?.range(..=offset).next_back()?;
        (offset < suspect.end).then_some((*start, suspect))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_record_is_narrowed_down_and_given_up_and_its_neighbours_are_not() {
        let mut memory = Memory::new();
        memory.note(0, 0..100, "boom");
        assert!(!memory.is_alone(0, 42));
        memory.note(0, 40..90, "boom");
        assert!(memory.is_alone(0, 42) && memory.is_alone(0, 89));
        assert!(!memory.is_alone(0, 39) && !memory.is_alone(0, 90) && !memory.is_alone(1, 42));
        assert_eq!(memory.given_up(0, 42), None);
        memory.note(0, 42..43, "boom");
        assert_eq!(memory.given_up(0, 42), Some("boom"));
        assert_eq!(memory.given_up(0, 43), None);
        assert!(memory.is_hopeless(0, 42, false) && !memory.is_hopeless(0, 42, true));
        memory.note(0, 42..43, "boom");
        assert!(memory.is_hopeless(0, 42, true) && !memory.is_hopeless(0, 43, false));
        let mut ends = Offsets::new();
        ends.append(0, 42..43).unwrap();
        memory.committed(&ends);
        assert!(memory.is_clean());
    }

    #[test]
    fn unrelated_failures_do_not_add_up() {
        let mut memory = Memory::new();
        memory.note(0, 0..10, "a");
        memory.note(0, 10..20, "b");
        memory.note(0, 20..30, "c");
        assert!((0..30).all(|offset| !memory.is_alone(0, offset)));
    }
}

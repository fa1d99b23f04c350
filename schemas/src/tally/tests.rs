//! The tally against a map that counts.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::Tally;
use crate::Offsets;

fn extents(list: &[(i32, i64, i64)]) -> Offsets {
    let mut offsets = Offsets::new();
    list.iter().for_each(|&(partition, start, end)| offsets.append(partition, start..end).unwrap());
    offsets
}

proptest! {
    #[test]
    fn as_a_map_would_count(
        expected in proptest::collection::btree_set((0i32..3, 90i64..65_700), 0..120),
        extra in proptest::collection::vec((0i32..4, 80i64..65_720), 0..40),
        picks in proptest::collection::vec((any::<prop::sample::Index>(), 1usize..4), 0..120),
        reached in proptest::collection::btree_map(0i32..3, 80i64..65_720, 0..3),
    ) {
        let known = extents(&[(0, 100, 65_690), (1, 90, 95), (2, 100, 300)]);
        let inside = |(partition, position): (i32, i64)| {
            known.get(partition).is_some_and(|extent| extent.start <= position && position < extent.end)
        };
        let expected: Vec<_> = expected.into_iter().filter(|at| inside(*at)).collect();
        let mut seen = extra;
        for (index, times) in picks {
            if !expected.is_empty() {
                seen.extend(vec![*index.get(&expected); times]);
            }
        }
        let (mut want, mut have) = (Tally::new(&known), Tally::new(&known));
        let mut model: BTreeMap<(i32, i64), usize> = BTreeMap::new();
        expected.iter().for_each(|at| want.add(at.0, at.1));
        for at in &seen {
            have.add(at.0, at.1);
            *model.entry(*at).or_default() += 1;
        }
        let times = |at: &(i32, i64)| model.get(at).copied().unwrap_or(0);
        let difference = have.against(&want, &reached);
        let passed = |at: &(i32, i64)| reached.get(&at.0).is_none_or(|reached| at.1 < *reached);
        let count = |test: &dyn Fn(usize) -> bool| expected.iter().filter(|at| test(times(at))).count() as u64;
        prop_assert_eq!(difference.expected, expected.len() as u64);
        prop_assert_eq!(difference.found, count(&|times| times > 0));
        let unseen = expected.iter().filter(|at| times(at) == 0);
        let (missing, waiting): (Vec<_>, Vec<_>) = unseen.partition(|at| passed(at));
        prop_assert_eq!(difference.missing.count, missing.len() as u64);
        prop_assert_eq!(difference.waiting.count, waiting.len() as u64);
        prop_assert_eq!(difference.doubled.count, count(&|times| times > 1));
        let foreign = model.keys().filter(|at| inside(**at) && !expected.contains(at)).count();
        prop_assert_eq!(difference.unexpected.count, foreign as u64);
        prop_assert_eq!(difference.outside.count, seen.iter().filter(|at| !inside(**at)).count() as u64);
        prop_assert_eq!(have.seen(), model.keys().filter(|at| inside(**at)).count() as u64);
        for (at, times) in &model {
            let count = if inside(*at) { (*times).min(2) } else { 0 };
            prop_assert_eq!(usize::from(have.count(at.0, at.1)), count);
        }
        for (partition, range) in &difference.missing.examples {
            for position in range.clone() {
                prop_assert!(missing.contains(&&(*partition, position)));
            }
        }
    }
}

#[test]
fn examples_are_ranges_and_bounded() {
    let known = extents(&[(3, 0, 1_000)]);
    let mut want = Tally::new(&known);
    (0..1_000).for_each(|position| want.add(3, position));
    let mut have = Tally::new(&known);
    (0..1_000)
        .filter(|position| !(30..40).contains(position))
        .for_each(|position| have.add(3, position));
    assert!(want.against(&want, &BTreeMap::new()).is_clean());
    let difference = have.against(&want, &BTreeMap::new());
    assert!(!difference.is_clean());
    assert_eq!(difference.missing.to_string(), "10 (partition:offsets 3:30..40)");
    (0..100).for_each(|position| have.add(3, position * 3));
    (0..1_000).for_each(|position| have.add(9, i64::MAX - position * 2));
    let difference = have.against(&want, &BTreeMap::new());
    assert_eq!(difference.doubled.count, 100 - 4, "30..40 holds four of them, now seen once");
    assert_eq!((difference.outside.count, difference.outside.examples.len()), (1_000, 16));
    assert!(difference.doubled.to_string().ends_with("3:54, 3:57, …)"), "{}", difference.doubled);
}

#[test]
fn a_hundred_million_positions_fit_in_thirty_megabytes() {
    let known = extents(&[(0, 7, 50_000_007), (1, 0, 50_000_000)]);
    assert!(Tally::memory_bound(&known) < 26_000_000, "{}", Tally::memory_bound(&known));
    let mut tally = Tally::new(&known);
    assert!(tally.bytes() < 20_000, "nothing is touched yet");
    (0..50_000_000).step_by(1 << 12).for_each(|position| tally.add(1, position));
    (7..50_000_007).step_by(1 << 12).for_each(|position| tally.add(0, position));
    assert!(tally.bytes() <= Tally::memory_bound(&known));
}

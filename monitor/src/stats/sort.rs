//! Sorting of finite doubles, the cost of every exact statistic: by digits of their bits.
//!
//! A double's bits, its sign bit flipped (all of them where it is negative), are in its order. So a
//! column is sorted by their upper half in three passes of 11 bits without a comparison, and passes over
//! digits that are the same in every value are skipped. Values that differ in the lower half alone are
//! neighbours then, few as a rule, and are sorted among themselves.

/// Below this many values the counts of the digits cost more than comparisons.
const MIN_VALUES: usize = 4096;
const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 3;
/// Bits below the digits.
const LOW_BITS: u32 = u64::BITS - DIGITS as u32 * DIGIT_BITS;
const BUCKETS: usize = 1 << DIGIT_BITS;

/// Sorts values without NaN, ascending.
pub(super) fn sort(values: &mut Vec<f64>) {
    if values.len() < MIN_VALUES {
        values.sort_unstable_by(f64::total_cmp);
        return;
    }
    let mut keys: Vec<u64> = values.iter().map(|value| key(*value)).collect();
    let mut counts = vec![[0_usize; BUCKETS]; DIGITS];
    for &key in &keys {
        for (place, counts) in counts.iter_mut().enumerate() {
            counts[digit(key, place)] += 1;
        }
    }
    let mut spare = vec![0_u64; keys.len()];
    for (place, counts) in counts.iter_mut().enumerate() {
        if counts[digit(keys[0], place)] == keys.len() {
            continue;
        }
        let mut start = 0;
        for count in counts.iter_mut() {
            start += std::mem::replace(count, start);
        }
        for &key in &keys {
            let to = &mut counts[digit(key, place)];
            spare[*to] = key;
            *to += 1;
        }
        std::mem::swap(&mut keys, &mut spare);
    }
    sort_low_bits(&mut keys);
    values.clear();
    values.extend(keys.into_iter().map(value));
}

/// Each run of keys that have all digits in common, in the order of their lower bits.
fn sort_low_bits(keys: &mut [u64]) {
    let mut at = 1;
    while at < keys.len() {
        if keys[at - 1] <= keys[at] {
            at += 1;
            continue;
        }
        let high = keys[at] >> LOW_BITS;
        let in_run = |key: &&u64| **key >> LOW_BITS == high;
        let start = at - keys[..at].iter().rev().take_while(in_run).count();
        let end = at + keys[at..].iter().take_while(in_run).count();
        keys[start..end].sort_unstable();
        at = end;
    }
}

fn digit(key: u64, place: usize) -> usize {
    (key >> (LOW_BITS + place as u32 * DIGIT_BITS)) as usize % BUCKETS
}

fn key(value: f64) -> u64 {
    let bits = value.to_bits();
    bits ^ (((bits.cast_signed() >> 63).cast_unsigned()) | (1 << 63))
}

fn value(key: u64) -> f64 {
    let was_negative = (key >> 63) == 0;
    f64::from_bits(key ^ if was_negative { u64::MAX } else { 1 << 63 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn as_by_comparison(
            mut values in prop::collection::vec(prop_oneof![
                any::<f64>().prop_filter("a value", |value| !value.is_nan()),
                -1.0..1.0_f64,
                // In the lower half of their bits alone.
                (0..1_u64 << LOW_BITS).prop_map(|low| f64::from_bits(1.5_f64.to_bits() | low)),
                (0..1_u64 << LOW_BITS).prop_map(|low| -f64::from_bits(1.5_f64.to_bits() | low)),
            ], 0..64),
            copies in 1..200_usize,
        ) {
            values = values.iter().copied().cycle().take(values.len() * copies).collect();
            let mut expected = values.clone();
            expected.sort_unstable_by(f64::total_cmp);
            sort(&mut values);
            prop_assert!(values.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}

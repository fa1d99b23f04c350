//! Short plain numbers in a few instructions: what most members of most events are.
//!
//! Every function gives up (`None`) where it would not give exactly what [`super::number`] gives.
//! The character behind the number is the caller's to check.

/// An integer of 1 to 15 digits at `at`, and where it ends.
#[inline(always)]
pub(super) fn integer(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let negative = i64::from(*bytes.get(at)? == b'-');
    let start = at + negative as usize;
    let (magnitude, count) = whole(bytes, start)?;
    // Signs of data are random to the machine: no branch on them.
    Some(((magnitude as i64 ^ -negative) + negative, start + count))
}

/// A number without exponent at `at`, and where it ends: exact when its digits are below 2^53 and
/// its power of ten is itself a float64 (Clinger's fast path).
#[inline(always)]
pub(super) fn decimal(bytes: &[u8], at: usize) -> Option<(f64, usize)> {
    let negative = u64::from(*bytes.get(at)? == b'-');
    let start = at + negative as usize;
    let (mut digits, count) = whole(bytes, start)?;
    let (mut end, mut places) = (start + count, 0);
    if bytes.get(end) == Some(&b'.') {
        let (fraction, count) = run(bytes, end + 1)?;
        if count == 0 {
            return None;
        }
        // Both are below 10^15, so neither product nor sum can wrap unnoticed before the test.
        digits = digits.checked_mul(TEN[count])?.checked_add(fraction)?;
        if digits > 1 << 53 {
            return None;
        }
        (end, places) = (end + 1 + count, count);
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        return None;
    }
    let value = digits as f64 / POWERS[places];
    Some((f64::from_bits(value.to_bits() | negative << 63), end))
}

/// The float32 nearest to the number whose float64 is `value`, when that can be told from `value`.
///
/// A float64 exactly between two float32 may be a number that was rounded onto the middle.
/// [`decimal`] yields nothing near float32's subnormals or its infinity.
#[inline(always)]
pub(super) fn narrow(value: f64) -> Option<f32> {
    const BELOW: u64 = (1 << 29) - 1;
    let between = value.to_bits() & BELOW == 1 << 28;
    if between { None } else { Some(value as f32) }
}

/// The part before the point: no leading zero, 1 to 15 digits.
#[inline(always)]
fn whole(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let (value, count) = run(bytes, at)?;
    if count == 0 || (count > 1 && bytes[at] == b'0') {
        return None;
    }
    Some((value, count))
}

/// The value and number of the digits at `at`; `None` where there are 16 or more.
#[inline(always)]
fn run(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let (value, count) = eight(window(bytes, at));
    if count < 8 {
        return Some((value, count));
    }
    let (more, count) = eight(window(bytes, at + 8));
    if count == 8 { None } else { Some((value * TEN[count] + more, 8 + count)) }
}

#[inline(always)]
fn window(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..at + 8).and_then(|window| window.try_into().ok()) {
        Some(window) => u64::from_le_bytes(window),
        None => last_window(bytes, at),
    }
}

#[cold]
fn last_window(bytes: &[u8], at: usize) -> u64 {
    let mut window = [0; 8];
    let rest = bytes.get(at..).unwrap_or_default();
    let count = rest.len().min(8);
    window[..count].copy_from_slice(&rest[..count]);
    u64::from_le_bytes(window)
}

/// The value and number of the leading digits of eight characters, the first in the lowest byte.
#[inline(always)]
fn eight(window: u64) -> (u64, usize) {
    let digits = window ^ 0x3030_3030_3030_3030;
    // A byte above 9 gets its high bit; carries only reach bytes behind the first such byte.
    let beyond = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    let count = (beyond.trailing_zeros() / 8) as usize;
    if count == 0 {
        return (0, 0);
    }
    let aligned = digits << (64 - 8 * count);
    // Neighbours are joined three times: 8 digits, 4 pairs, 2 fours, 1 number.
    let pairs = aligned.wrapping_mul(10).wrapping_add(aligned >> 8);
    const MASK: u64 = 0x0000_00ff_0000_00ff;
    let high = (pairs & MASK).wrapping_mul(0x000f_4240_0000_0064);
    let low = (pairs >> 16 & MASK).wrapping_mul(0x0000_2710_0000_0001);
    (high.wrapping_add(low) >> 32, count)
}

const TEN: [u64; 16] = {
    let mut powers = [1; 16];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

//! Numbers as JSON writes them to Rust's types, correctly rounded; nothing is clamped.
//!
//! Floats round as `str::parse` does (float32 directly, not by way of float64). Float16 is the one
//! exception: it rounds the correctly rounded float64 once more, which can differ in the last place
//! for decimals of more than 17 digits.

use half::f16;

use super::cursor::Number;

/// An integer of any length; `None` where no integer type could hold it.
pub(super) fn integer(number: Number<'_>) -> Option<i128> {
    debug_assert!(number.integer);
    let (negative, digits) = match number.raw {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // u64::MAX has 20 digits, and JSON has no leading zeros.
    if digits.len() > 20 {
        return None;
    }
    let magnitude = digits.iter().fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    Some(if negative { -magnitude } else { magnitude })
}

/// A finite float64; `None` where it is too large.
pub(super) fn float64(number: Number<'_>) -> Option<f64> {
    text(number)?.parse().ok().filter(|value: &f64| value.is_finite())
}

/// A finite float32; `None` where it is too large.
pub(super) fn float32(number: Number<'_>) -> Option<f32> {
    text(number)?.parse().ok().filter(|value: &f32| value.is_finite())
}

/// A finite float16; `None` where it is too large.
pub(super) fn float16(number: Number<'_>) -> Option<f16> {
    narrow16(float64(number)?)
}

/// The software conversion: the hardware's goes by way of float32 on some machines, and every
/// machine must get the same number.
pub(super) fn narrow16(value: f64) -> Option<f16> {
    Some(f16::from_f64_const(value)).filter(|value| value.is_finite())
}

fn text(number: Number<'_>) -> Option<&str> {
    std::str::from_utf8(number.raw).ok()
}

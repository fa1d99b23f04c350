//! JSON text of single values, appended to a buffer.

/// Appends `text` quoted and escaped.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

/// Appends an integer.
#[inline]
pub(super) fn integer<I: itoa::Integer>(out: &mut Vec<u8>, value: I) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends the shortest text that reads back to this float; `null` where it is not finite.
#[inline]
pub(super) fn float<F: zmij::Float + Finite>(out: &mut Vec<u8>, value: F) {
    if value.finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Floats that may have no JSON text.
pub(super) trait Finite: Copy {
    fn finite(self) -> bool;
}

impl Finite for f32 {
    fn finite(self) -> bool {
        self.is_finite()
    }
}

impl Finite for f64 {
    fn finite(self) -> bool {
        self.is_finite()
    }
}

/// Appends an instant as RFC 3339 in UTC without quotes, with `digits` (0 to 6) of the second's
/// fraction; false, and nothing appended, where its year is not one of 0000 to 9999.
pub(super) fn instant(out: &mut Vec<u8>, micros: i64, digits: u32) -> bool {
    let (days, micros) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let (year, month, day) = date(days);
    if !(0..=9999).contains(&year) {
        return false;
    }
    let seconds = micros / 1_000_000;
    for (number, width, end) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (seconds / 3600, 2, b':'),
        (seconds / 60 % 60, 2, b':'),
        (seconds % 60, 2, if digits > 0 { b'.' } else { b'Z' }),
    ] {
        padded(out, number, width);
        out.push(end);
    }
    if digits > 0 {
        padded(out, micros % 1_000_000 / 10_i64.pow(6 - digits), digits);
        out.push(b'Z');
    }
    true
}

fn padded(out: &mut Vec<u8>, number: i64, width: u32) {
    (0..width).rev().for_each(|place| out.push(b'0' + (number / 10_i64.pow(place) % 10) as u8));
}

/// Year, month and day of a day since the epoch (Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(micros: i64, digits: u32) -> Option<String> {
        let mut out = Vec::new();
        instant(&mut out, micros, digits).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn instants() {
        for (micros, digits, expected) in [
            (0, 3, Some("1970-01-01T00:00:00.000Z")),
            (-1, 3, Some("1969-12-31T23:59:59.999Z")),
            (1_357_017_300_250_001, 6, Some("2013-01-01T05:15:00.250001Z")),
            (1_709_251_199_999_999, 0, Some("2024-02-29T23:59:59Z")),
            (-62_167_219_200_000_000, 0, Some("0000-01-01T00:00:00Z")),
            (-62_167_219_200_000_001, 0, None),
            (253_402_300_800_000_000, 0, None),
            (i64::MAX, 0, None),
        ] {
            assert_eq!(text(micros, digits).as_deref(), expected, "{micros}");
        }
    }

    proptest! {
        #[test]
        fn instants_as_jiff_writes_them(micros in -62_167_219_200_000_000i64..253_402_207_200_000_000) {
            let expected = jiff::Timestamp::from_microsecond(micros).unwrap();
            prop_assert_eq!(text(micros, 6).unwrap(), format!("{expected:.6}"));
        }

        #[test]
        fn strings_read_back(value in any::<String>()) {
            let mut out = Vec::new();
            string(&mut out, &value);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), value);
        }

        #[test]
        fn floats_read_back(value in any::<f64>(), narrow in any::<f32>()) {
            let mut out = Vec::new();
            float(&mut out, value);
            let back: Option<f64> = std::str::from_utf8(&out).unwrap().parse().ok();
            prop_assert_eq!(back.map(f64::to_bits), value.is_finite().then(|| value.to_bits()));
            out.clear();
            float(&mut out, narrow);
            let back: Option<f32> = std::str::from_utf8(&out).unwrap().parse().ok();
            prop_assert_eq!(back.map(f32::to_bits), narrow.is_finite().then(|| narrow.to_bits()));
        }
    }
}

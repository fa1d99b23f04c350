//! RFC 3339 instants to microseconds since the epoch.

/// `2013-01-01T05:15:00.25-05:00`; digits beyond microseconds are cut off, a leap second (`:60`)
/// is the second that follows it. `None` for anything else, dates that do not exist included.
pub(crate) fn rfc3339_micros(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_at_checked(19)?;
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        head[range].iter().try_fold(0, |sum, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
        })
    };
    let [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b't' | b' ', _, _, b':', _, _, b':', _, _] =
        head
    else {
        return None;
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (micros, zone) = fraction(tail)?;
    let seconds = ((days_from_epoch(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some((seconds - offset_seconds(zone)?) * 1_000_000 + micros)
}

/// Microseconds of `.123…`, and what follows.
fn fraction(tail: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = tail.strip_prefix(b".") else { return Some((0, tail)) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value =
        digits[..count.min(6)].iter().fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
    (count > 0).then(|| (value * 10_i64.pow(6_u32.saturating_sub(count as u32)), &digits[count..]))
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    let pair = |tens: u8, ones: u8| {
        (tens.is_ascii_digit() && ones.is_ascii_digit())
            .then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
    };
    match *zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h0, b':', m1, m0] => {
            let (hours, minutes) = (pair(h1, h0)?, pair(m1, m0)?);
            let seconds = (hours * 60 + minutes) * 60;
            (hours <= 23 && minutes <= 59).then_some(if sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a Gregorian date (Hinnant, "chrono-compatible low-level date algorithms").
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

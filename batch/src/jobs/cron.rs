//! A cron expression: five fields as crontab(5) has them, each a set of numbers.
//!
//! Refuses what never comes (`0 0 30 2 *`) and what programs read differently (`5/15`, seconds, `L`, `#`).

use jiff::civil::Date;

/// Longest expression: every number of every field, and more.
const MAX_BYTES: usize = 1_000;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// What is wrong with an expression, and what would be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CronError(String);

/// Minutes of days, by the clock of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// The field began with `*`: it leaves the choice of days to the other one.
    any_day: bool,
    any_weekday: bool,
    any_hour: bool,
}

/// Numbers that a field takes.
struct Field {
    name: &'static str,
    low: u8,
    high: u8,
    /// Names of the numbers from `low` on.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", low: 0, high: 59, names: &[] },
    Field { name: "hour", low: 0, high: 23, names: &[] },
    Field { name: "day of month", low: 1, high: 31, names: &[] },
    Field { name: "month", low: 1, high: 12, names: &MONTHS },
    // 7 is Sunday, too.
    Field { name: "day of week", low: 0, high: 7, names: &WEEKDAYS },
];

impl Cron {
    /// Reads `minute hour day-of-month month day-of-week`, or `@hourly`, `@daily`, `@weekly`, `@monthly`,
    /// `@yearly`.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        if text.len() > MAX_BYTES {
            return Err(CronError(format!("is longer than {MAX_BYTES} bytes")));
        }
        let fields: Vec<&str> = expanded(text.trim()).split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(CronError(format!(
                "has {} fields and must have five: minute hour day-of-month month day-of-week \
                 (30 2 * * 1-5), or be @hourly, @daily, @weekly, @monthly or @yearly",
                fields.len()
            )));
        };
        let [minutes, hours, days, months, weekdays] = [minute, hour, day, month, weekday];
        let weekdays = FIELDS[4].parse(weekdays)?;
        let cron = Self {
            minutes: FIELDS[0].parse(minutes)?,
            hours: FIELDS[1].parse(hours)?,
            days: FIELDS[2].parse(days)?,
            months: FIELDS[3].parse(months)?,
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            any_day: day.starts_with('*'),
            any_weekday: weekday.starts_with('*'),
            any_hour: hour.starts_with('*'),
        };
        if cron.never() {
            return Err(CronError("never comes: no month of it has such a day".into()));
        }
        Ok(cron)
    }

    /// Whether it comes on this day. Where both days are restricted either will do, as cron has it.
    pub(super) fn is_on(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        let chosen = if self.any_day || self.any_weekday { day && weekday } else { day || weekday };
        chosen && has(self.months, date.month())
    }

    /// Hours and minutes of a day, in order.
    pub(super) fn times(&self) -> impl Iterator<Item = (i8, i8)> {
        let minutes = move || (0..60).filter(|minute| has(self.minutes, *minute));
        let hours = (0..24).filter(|hour| has(self.hours, *hour));
        hours.flat_map(move |hour| minutes().map(move |minute| (hour, minute)))
    }

    /// Whether an hour that the clock shows twice is meant both times: the hours are "every", not named.
    pub(super) fn repeats(&self) -> bool {
        self.any_hour
    }

    /// How often it comes on a day on which it does.
    #[must_use]
    pub fn times_a_day(&self) -> u32 {
        self.minutes.count_ones() * self.hours.count_ones()
    }

    fn never(&self) -> bool {
        const LONGEST: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let first = self.days.trailing_zeros();
        let has_day = (1i8..)
            .zip(LONGEST)
            .any(|(month, days)| has(self.months, month) && first <= u32::from(days));
        // A day of the week alone is enough, unless the day of the month must hold as well.
        !has_day && (self.any_day || self.any_weekday)
    }
}

impl Field {
    fn parse(&self, text: &str) -> Result<u64, CronError> {
        text.split(',').try_fold(0, |set, part| Ok(set | self.part(text, part)?))
    }

    /// `*`, `a`, `a-b`, each range with `/step`.
    fn part(&self, text: &str, part: &str) -> Result<u64, CronError> {
        let wrong = || {
            let Self { name, low, high, .. } = self;
            let names = match self.names {
                [first, .., last] => format!(", or {first} to {last}"),
                _ => String::new(),
            };
            CronError(format!(
                "its {name} {text:?} is none: write *, numbers {low} to {high}{names}, ranges (1-5), \
                 steps of ranges (*/15, 8-18/2), or a list of these"
            ))
        };
        let (range, step) = part.split_once('/').map_or((part, None), |(a, b)| (a, Some(b)));
        let (low, high) = match range.split_once('-') {
            _ if range == "*" => (self.low, self.high),
            Some((low, high)) => {
                (self.number(low).ok_or_else(wrong)?, self.number(high).ok_or_else(wrong)?)
            }
            None if step.is_some() => return Err(wrong()),
            None => {
                let one = self.number(range).ok_or_else(wrong)?;
                (one, one)
            }
        };
        let step = step.map_or(Some(1), number).filter(|step| *step > 0).ok_or_else(wrong)?;
        if low > high {
            return Err(wrong());
        }
        Ok((low..=high).step_by(usize::from(step)).fold(0, |set, at| set | 1 << at))
    }

    fn number(&self, text: &str) -> Option<u8> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let value = match named {
            Some(at) => self.low + at as u8,
            None => number(text)?,
        };
        (self.low..=self.high).contains(&value).then_some(value)
    }
}

/// Digits only: `+5` is a number to Rust and none to cron.
fn number(text: &str) -> Option<u8> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn has(set: u64, at: i8) -> bool {
    set & (1 << at) != 0
}

fn expanded(text: &str) -> &str {
    match text {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn set(of: impl IntoIterator<Item = u8>) -> u64 {
        of.into_iter().fold(0, |set, at| set | 1 << at)
    }

    /// The examples of crontab(5), Debian's and FreeBSD's.
    #[test]
    fn published_examples() {
        for (text, minutes, hours, days, months, weekdays) in [
            ("5 0 * * *", set([5]), set([0]), set(1..=31), set(1..=12), set(0..=6)),
            ("15 14 1 * *", set([15]), set([14]), set([1]), set(1..=12), set(0..=6)),
            ("0 22 * * 1-5", set([0]), set([22]), set(1..=31), set(1..=12), set(1..=5)),
            (
                "23 0-23/2 * * *",
                set([23]),
                set((0..24).step_by(2)),
                set(1..=31),
                set(1..=12),
                set(0..=6),
            ),
            ("5 4 * * sun", set([5]), set([4]), set(1..=31), set(1..=12), set([0])),
            ("0 4 8-14 * *", set([0]), set([4]), set(8..=14), set(1..=12), set(0..=6)),
            ("30 4 1,15 * 5", set([30]), set([4]), set([1, 15]), set(1..=12), set([5])),
            ("17 * * JAN,Dec 7", set([17]), set(0..=23), set(1..=31), set([1, 12]), set([0])),
            (
                "*/20,59 8-18/5 * * 5-7",
                set([0, 20, 40, 59]),
                set([8, 13, 18]),
                set(1..=31),
                set(1..=12),
                set([0, 5, 6]),
            ),
            ("@weekly", set([0]), set([0]), set(1..=31), set(1..=12), set([0])),
            ("0 0 29 2 *", set([0]), set([0]), set([29]), set([2]), set(0..=6)),
        ] {
            let cron = Cron::parse(text).unwrap();
            let sets = (cron.minutes, cron.hours, cron.days, cron.months, cron.weekdays);
            assert_eq!(sets, (minutes, hours, days, months, weekdays), "{text}");
        }
    }

    #[test]
    fn what_is_refused_says_what_would_do() {
        for (text, said) in [
            ("", "five"),
            ("* * * *", "five"),
            ("0 0 0 * * *", "five"),
            ("@reboot", "five"),
            ("60 * * * *", "0 to 59"),
            ("* 24 * * *", "0 to 23"),
            ("* * 0 * *", "1 to 31"),
            ("* * * 13 *", "jan to dec"),
            ("* * * * 8", "sun to sat"),
            ("5/15 * * * *", "steps of ranges"),
            ("*/0 * * * *", "steps of ranges"),
            ("5-1 * * * *", "ranges"),
            ("+5 * * * *", "minute"),
            ("1,,2 * * * *", "minute"),
            ("* * L * *", "day of month"),
            ("* * * * fri#2", "day of week"),
            ("0 0 30 2 *", "never"),
            ("0 0 31 4,6,9,11 *", "never"),
        ] {
            let error = Cron::parse(text).expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        // The 30th of February is none, but a Friday is enough.
        assert!(Cron::parse("0 0 30 2 5").is_ok());
    }

    #[test]
    fn a_day_of_month_or_of_week() {
        let on = |text: &str, day| Cron::parse(text).unwrap().is_on(day);
        // crontab(5): on the 1st and 15th of each month, plus every Friday.
        for (day, expected) in [
            (date(2026, 5, 1), true),
            (date(2026, 5, 15), true),
            (date(2026, 5, 22), true),
            (date(2026, 5, 21), false),
        ] {
            assert_eq!(on("30 4 1,15 * 5", day), expected, "{day}");
        }
        // A field that begins with a star leaves the choice to the other one.
        assert!(!on("0 0 */2 * 1", date(2026, 5, 3)), "a Sunday");
        assert!(on("0 0 */2 * 1", date(2026, 5, 11)), "an odd Monday");
        assert!(!on("0 0 */2 * 1", date(2026, 5, 4)), "an even Monday");
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_is_written_panics(text in "[-0-9*/, a-z@#]{0,24}") {
            let _ = Cron::parse(&text);
        }
    }
}

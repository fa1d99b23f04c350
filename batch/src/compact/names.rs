//! Names in the compacted table: a folder a day of events, files numbered by their generation.

use jiff::Timestamp;
use jiff::tz::TimeZone;

const KEY: &str = "event_date=";
/// What hive calls the value that is null: rows without a time.
const NO_DAY: &str = "__HIVE_DEFAULT_PARTITION__";
const GENERATION_DIGITS: usize = 20;
const NUMBER_DIGITS: usize = 6;
const EXTENSION: &str = ".parquet";

const SECONDS_OF_DAY: i64 = 86_400;

/// The folder of a day, counted from 1970; years that take no four digits count as none.
pub(super) fn day_folder(day: Option<i64>) -> String {
    let date = |day: i64| {
        let instant = Timestamp::from_second(day.checked_mul(SECONDS_OF_DAY)?).ok()?;
        let date = TimeZone::UTC.to_datetime(instant).date();
        (date.year() >= 0).then(|| date.to_string())
    };
    let date = day.and_then(date).unwrap_or_else(|| NO_DAY.to_owned());
    format!("{KEY}{date}")
}

pub(super) fn is_day_folder(name: &str) -> bool {
    name.starts_with(KEY)
}

/// Name of the file of this place in its generation.
pub(super) fn file(generation: u64, number: usize) -> String {
    format!("{generation:0GENERATION_DIGITS$}-{number:0NUMBER_DIGITS$}{EXTENSION}")
}

/// The generation of a file of this name; `None` of one that compaction did not name.
pub(super) fn generation(name: &str) -> Option<u64> {
    let (generation, number) = name.strip_suffix(EXTENSION)?.split_once('-')?;
    let found = (generation.parse().ok()?, number.parse().ok()?);
    (file(found.0, found.1) == name).then_some(found.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates_and_no_day_is_null() {
        for (day, expected) in [
            (Some(0), "event_date=1970-01-01"),
            (Some(20_484), "event_date=2026-01-31"),
            (Some(-1), "event_date=1969-12-31"),
            (None, "event_date=__HIVE_DEFAULT_PARTITION__"),
            (Some(i64::MAX / 86_400_000_000), "event_date=__HIVE_DEFAULT_PARTITION__"),
            (Some(i64::MIN), "event_date=__HIVE_DEFAULT_PARTITION__"),
        ] {
            assert_eq!(day_folder(day), expected, "{day:?}");
        }
    }

    #[test]
    fn names_come_back_and_foreign_ones_do_not() {
        assert_eq!(generation(&file(7, 12)), Some(7));
        assert_eq!(generation(&file(u64::MAX, 9_999_999)), Some(u64::MAX));
        for foreign in ["7-12.parquet", "x.parquet", "00000000000000000007.parquet", ""] {
            assert_eq!(generation(foreign), None, "{foreign}");
        }
    }
}

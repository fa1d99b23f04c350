//! When a cron expression comes, in a place whose clock is moved twice a year.
//!
//! The expression names minutes of the clock on the wall. One that the clock skips comes as much later as
//! the clock skipped (02:30 at 03:30), one that it shows twice comes the first time; where the hour is "every"
//! (`*`, `*/2`), both times. No instant comes twice.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::Cron;

/// 29 February is at most eight years away.
const MAX_DAYS: u32 = 8 * 366 + 2;
/// A skipped minute comes at most so many days after its own (Samoa skipped a whole one).
const MAX_SHIFT_DAYS: i32 = 2;

/// A cron expression somewhere.
#[derive(Clone, Debug)]
pub struct Calendar {
    /// Minutes of the clock.
    pub cron: Cron,
    /// Whose clock.
    pub zone: TimeZone,
}

impl Calendar {
    /// The first time after `after`.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let mut day = self.date(after, -MAX_SHIFT_DAYS)?;
        for _ in 0..MAX_DAYS {
            if self.on(day).iter().any(|at| *at > after) {
                // What a later day was shifted to is not earlier than its own midnight.
                let days = day.series(jiff::Span::new().days(1)).take(1 + MAX_SHIFT_DAYS as usize);
                return days.flat_map(|day| self.on(day)).filter(|at| *at > after).min();
            }
            day = day.tomorrow().ok()?;
        }
        None
    }

    /// The last time up to `upto`, that instant included.
    #[must_use]
    pub fn latest(&self, upto: Timestamp) -> Option<Timestamp> {
        let mut day = self.date(upto, 1)?;
        for _ in 0..MAX_DAYS {
            if self.on(day).iter().any(|at| *at <= upto) {
                let days = day.series(jiff::Span::new().days(-1)).take(1 + MAX_SHIFT_DAYS as usize);
                return days.flat_map(|day| self.on(day)).filter(|at| *at <= upto).max();
            }
            day = day.yesterday().ok()?;
        }
        None
    }

    /// The times after `after` up to `upto`, in order; the newest `most` of them.
    #[must_use]
    pub fn between(&self, after: Timestamp, upto: Timestamp, most: usize) -> Vec<Timestamp> {
        let mut times = BTreeSet::new();
        let (Some(mut day), Some(first)) = (self.date(upto, 1), self.date(after, -MAX_SHIFT_DAYS))
        else {
            return Vec::new();
        };
        // Days whose times may still be newer than some that were found: skipped ones come later.
        let mut slack = 1 + MAX_SHIFT_DAYS;
        for _ in 0..MAX_DAYS {
            if day < first || slack == 0 {
                break;
            }
            times.extend(self.on(day).into_iter().filter(|at| (*at > after) && (*at <= upto)));
            slack -= i32::from(times.len() >= most);
            let Ok(before) = day.yesterday() else { break };
            day = before;
        }
        let surplus = times.len().saturating_sub(most);
        times.into_iter().skip(surplus).collect()
    }

    /// The times whose clock shows this day, in order.
    #[must_use]
    pub fn on(&self, day: Date) -> Vec<Timestamp> {
        if !self.cron.is_on(day) {
            return Vec::new();
        }
        let mut times: Vec<Timestamp> = Vec::new();
        for (hour, minute) in self.cron.times() {
            let shown = self.zone.to_ambiguous_timestamp(day.at(hour, minute, 0, 0));
            let both =
                self.cron.repeats() && matches!(shown.offset(), AmbiguousOffset::Fold { .. });
            times.extend(shown.compatible().ok());
            times.extend(both.then(|| shown.later().ok()).flatten());
        }
        times.sort_unstable();
        times.dedup();
        times
    }

    /// The day that the clock shows at `at`, and so many days on.
    fn date(&self, at: Timestamp, days: i32) -> Option<Date> {
        self.zone.to_datetime(at).date().checked_add(jiff::Span::new().days(days)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(cron: &str, zone: &str) -> Calendar {
        Calendar { cron: Cron::parse(cron).unwrap(), zone: TimeZone::get(zone).unwrap() }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The times after `from`, and the same backwards from the last of them.
    #[track_caller]
    fn check(cron: &str, zone: &str, from: &str, expected: &[&str]) {
        let calendar = calendar(cron, zone);
        let expected: Vec<Timestamp> = expected.iter().map(|text| at(text)).collect();
        let mut times = vec![calendar.next(at(from)).unwrap()];
        while times.len() < expected.len() {
            times.push(calendar.next(times[times.len() - 1]).unwrap());
        }
        assert_eq!(times, expected, "{cron} in {zone}");
        let mut back = vec![calendar.latest(times[times.len() - 1]).unwrap()];
        while back.len() < expected.len() {
            let before = back[back.len() - 1] - jiff::SignedDuration::from_nanos(1);
            back.push(calendar.latest(before).unwrap());
        }
        back.reverse();
        assert_eq!(back, expected, "{cron} in {zone}, backwards");
    }

    #[test]
    fn ordinary_days() {
        check(
            "30 2 * * *",
            "UTC",
            "2026-01-31T02:30:00Z",
            &["2026-02-01T02:30:00Z", "2026-02-02T02:30:00Z"],
        );
        check(
            "0 0 31 * *",
            "UTC",
            "2026-01-31T00:00:00Z",
            &["2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z"],
        );
        check("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", &["2104-02-29T00:00:00Z"]);
        check("0 9 * * 1-5", "Europe/Berlin", "2026-05-22T08:00:00Z", &["2026-05-25T07:00:00Z"]);
        check("59 23 31 12 *", "Asia/Kathmandu", "2026-01-01T00:00:00Z", &["2026-12-31T18:14:00Z"]);
    }

    #[test]
    fn what_the_clock_skips_comes_as_much_later() {
        // Berlin, 29 March 2026: 02:00 is 03:00.
        check(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T02:00:00Z",
            &["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"],
        );
        check(
            "0 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            &["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"],
        );
        // Half an hour on Lord Howe Island, 4 October 2026: 02:00 is 02:30.
        check(
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            &["2026-10-03T15:45:00Z"],
        );
        // Cairo, 24 April 2026: midnight is 01:00.
        check(
            "@daily",
            "Africa/Cairo",
            "2026-04-23T00:00:00Z",
            &["2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"],
        );
        // Samoa had no 30 December 2011; that day's run falls together with the next one's.
        check(
            "0 12 * * *",
            "Pacific/Apia",
            "2011-12-29T00:00:00Z",
            &["2011-12-29T22:00:00Z", "2011-12-30T22:00:00Z"],
        );
    }

    #[test]
    fn what_the_clock_shows_twice_comes_once_unless_hours_are_every() {
        // Berlin, 25 October 2026: 03:00 is 02:00.
        check(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        );
        check(
            "30 * * * *",
            "Europe/Berlin",
            "2026-10-25T00:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"],
        );
        check(
            "30 1,2,3 * * *",
            "Europe/Berlin",
            "2026-10-25T00:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z"],
        );
    }

    #[test]
    fn the_newest_between_two_times() {
        let check = |cron, zone, upto: &str, most, expected: &[&str]| {
            let expected: Vec<Timestamp> = expected.iter().map(|text| at(text)).collect();
            let found = calendar(cron, zone).between(at("2026-02-25T00:00:00Z"), at(upto), most);
            assert_eq!(found, expected, "{cron} in {zone}");
        };
        let days = ["2026-02-26T00:00:00Z", "2026-02-27T00:00:00Z", "2026-02-28T00:00:00Z"];
        check("@daily", "UTC", "2026-02-28T00:00:00Z", 100, &days);
        check("@daily", "UTC", "2026-02-28T23:59:59Z", 2, &days[1..]);
        check("@daily", "UTC", "2026-02-25T00:00:00Z", 2, &[]);
        check("@daily", "UTC", "2026-02-20T00:00:00Z", 2, &[]);
        check("0 0 31 * *", "UTC", "2026-06-15T00:00:00Z", 1, &["2026-05-31T00:00:00Z"]);
        // Berlin, 29 March 2026: 02:30 is 03:30, behind the 03:15 of the same day.
        let spring = ["2026-03-29T01:15:00Z", "2026-03-29T01:30:00Z"];
        check("15,30 2,3 29 3 *", "Europe/Berlin", "2026-03-30T00:00:00Z", 2, &spring);
    }

    proptest::proptest! {
        /// Steps forward are all steps: nothing lies between a time and its next one.
        #[test]
        fn next_and_latest_agree(
            seconds in 1_200_000_000_i64..2_000_000_000,
            cron in proptest::sample::select(vec!["*/7 * * * *", "30 2 * * *", "0 */5 * * *", "15 0,1,2,3 1-7 * *", "0 0 31 * *"]),
            zone in proptest::sample::select(vec!["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca"]),
        ) {
            let calendar = calendar(cron, zone);
            let from = Timestamp::from_second(seconds).unwrap();
            let next = calendar.next(from).unwrap();
            proptest::prop_assert!(next > from);
            proptest::prop_assert_eq!(calendar.latest(next), Some(next));
            let before = next - jiff::SignedDuration::from_nanos(1);
            proptest::prop_assert!(calendar.latest(before).unwrap() <= from);
            let second = calendar.next(next).unwrap();
            proptest::prop_assert_eq!(calendar.between(from, second, 9), vec![next, second]);
            proptest::prop_assert_eq!(calendar.between(from, second, 1), vec![second]);
        }
    }
}

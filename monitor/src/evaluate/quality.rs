//! Faults of the data rather than of the world: nulls, volume, silence.

use super::Rules;
use super::row::State;
use crate::stats::{normal_sf, runs_sf};

/// Fewer stretches of nulls in the reference are no habit: the next one is told.
const MIN_STRETCHES: f64 = 3.0;

/// Nulls of so many rows, which vary `phi` times as much as those of independent rows.
#[derive(Clone, Copy)]
pub(super) struct Nulls {
    pub(super) nulls: u64,
    pub(super) rows: u64,
    pub(super) phi: f64,
}

/// The chance of so many more nulls than `before`; `None` without rows. The φ is that of null or not: a wave of a day
/// in the values is nothing to hide a column behind that is all nulls.
///
/// Two proportions, pooled; half a row is added to the nulls so that a reference without any still has a variance. Of few
/// nulls, and of nulls that come in a few runs, that law's tail is far too thin, so the chance of runs counts where it is
/// larger: where the reference has enough of them to know, else that of independent rows.
pub(super) fn null_rise_p(now: Nulls, before: Nulls) -> Option<f64> {
    if now.rows == 0 || before.rows == 0 {
        return None;
    }
    let share = |of: Nulls| of.nulls as f64 / of.rows as f64;
    let rate = |of: Nulls| of.phi / of.rows as f64;
    let pooled = (now.nulls as f64 + before.nulls as f64 + 0.5)
        / (now.rows as f64 + before.rows as f64 + 1.0);
    let variance = pooled * (1.0 - pooled) * (rate(now) + rate(before));
    let pooled = normal_sf((share(now) - share(before)) / variance.sqrt());
    let usual = (before.nulls as f64 + 0.5) / (before.rows as f64 + 1.0);
    // φ is about the rows of a stretch where all are null, so nulls / φ is how many there were.
    let stretches = before.nulls as f64 / before.phi;
    let is_habit = stretches >= MIN_STRETCHES;
    // φ is learned from these few, whose lengths vary, too: what it has above 1 is taken a standard error larger.
    let excess = (now.phi - 1.0) * (1.0 + (3.0 / stretches).sqrt());
    let phi = if is_habit { 1.0 + excess } else { 1.0 };
    Some(pooled.max(runs_sf(now.nulls, now.rows, usual, phi)))
}

/// What the number of rows says, beside the same hours before. Segments come and go: only whole arms
/// are judged.
pub(super) fn volume(n: u64, before: u64, rules: Rules, is_segment: bool) -> (State, String) {
    if before < rules.min_rows || is_segment {
        return (State::Stable, String::new());
    }
    let ratio = n as f64 / before as f64;
    let said = format!("{n} rows, {before} in the same hours before");
    if n == 0 {
        (State::NoData, said)
    } else if ratio < rules.volume_low {
        (State::VolumeLow, said)
    } else if rules.volume_high > 0.0 && ratio > rules.volume_high {
        (State::VolumeHigh, said)
    } else {
        (State::Stable, String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(now: (u64, u64, f64), before: (u64, u64, f64)) -> f64 {
        let [now, before] = [now, before].map(|(nulls, rows, phi)| Nulls { nulls, rows, phi });
        null_rise_p(now, before).unwrap()
    }

    #[test]
    fn a_rise_of_nulls_needs_rows() {
        for (nulls, low, high) in [(0, 1.0, 1.0), (25, 1e-7, 1e-6)] {
            let p = p((nulls, 500, 1.0), (0, 500, 1.0));
            assert!((low..=high).contains(&p), "{nulls} of 500: {p}");
        }
        let none = Nulls { nulls: 0, rows: 0, phi: 1.0 };
        assert_eq!(null_rise_p(none, Nulls { rows: 10, ..none }), None);
    }

    #[test]
    fn few_nulls_are_chance_more_often_than_a_normal_law_says() {
        // 120 rows an hour, one in 200 null: five of them are 3.7e-4 by the binomial law, 9e-9 by the normal one.
        let five = p((5, 120, 1.0), (250, 50_000, 1.0));
        assert!((3e-4..1e-3).contains(&five), "{five}");
    }

    #[test]
    fn nulls_that_come_in_runs_need_a_larger_rise() {
        // Of 50 hours of 500 rows five are all nulls: another one is nothing new, though it would be if rows were
        // independent. Of 50 hours one: that alarms.
        let often = p((500, 500, 500.0), (2500, 25_000, 500.0));
        assert!(often > 1e-3 && p((500, 500, 1.0), (2500, 25_000, 1.0)) < 1e-100, "{often}");
        let once = p((500, 500, 500.0), (500, 25_000, 500.0));
        assert!(once < 1e-6, "{once}");
    }

    #[test]
    fn a_few_runs_of_nulls_in_a_window_are_chance_more_often_than_a_normal_law_says() {
        // One row in 100 null, in runs of ten: 50 of 500 are 5.8e-3, by the normal law 4.5e-6; 250 of 500 are news.
        let fifty = p((50, 500, 18.8), (480, 48_000, 18.8));
        assert!((5e-3..5e-2).contains(&fifty), "{fifty}");
        let half = p((250, 500, 18.8), (480, 48_000, 18.8));
        assert!(half < 1e-7, "{half}");
        // The more runs the reference has, the surer is how much they vary.
        let surer = p((50, 500, 18.8), (4_800, 480_000, 18.8));
        assert!((5e-3..fifty).contains(&surer), "{surer}");
    }

    #[test]
    fn volume_is_held_against_the_hours_before() {
        let of = |n, before| volume(n, before, Rules::default(), false).0;
        for (n, before, expected) in [
            (0, 1000, State::NoData),
            (400, 1000, State::VolumeLow),
            (500, 1000, State::Stable),
            (2100, 1000, State::VolumeHigh),
            (5000, 50, State::Stable),
        ] {
            assert_eq!(of(n, before), expected, "{n} after {before}");
        }
        assert_eq!(volume(0, 1000, Rules::default(), true).0, State::Stable);
    }
}

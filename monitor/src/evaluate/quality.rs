//! Faults of the data rather than of the world: nulls, volume, silence.

use super::Rules;
use super::row::State;
use crate::stats::normal_sf;

/// The chance of so many more nulls than the reference has, where nulls come in runs as the over-dispersion `phi` of
/// null or not says; `None` without rows. That of the values is not for this: a wave of a day in them would hide a
/// column that is all nulls.
///
/// Two proportions, pooled. Half a row is added to the nulls so that a reference without any still has
/// a variance.
pub(super) fn null_rise_p(
    nulls: u64,
    n: u64,
    reference_nulls: u64,
    reference_n: u64,
    phi: f64,
) -> Option<f64> {
    if n == 0 || reference_n == 0 {
        return None;
    }
    let (n, m) = (n as f64, reference_n as f64);
    let rise = nulls as f64 / n - reference_nulls as f64 / m;
    let pooled = (nulls as f64 + reference_nulls as f64 + 0.5) / (n + m + 1.0);
    let variance = phi.max(1.0) * pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m);
    Some(normal_sf(rise / variance.sqrt()))
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

    #[test]
    fn a_rise_of_nulls_needs_rows() {
        for (nulls, n, low, high) in [(0, 500, 0.4, 0.6), (25, 500, 1e-7, 1e-6)] {
            let p = null_rise_p(nulls, n, 0, 500, 1.0).unwrap();
            assert!((low..=high).contains(&p), "{nulls} of {n}: {p}");
        }
        assert_eq!(null_rise_p(0, 0, 0, 10, 1.0), None);
    }

    #[test]
    fn nulls_that_come_in_runs_need_a_larger_rise() {
        // In the reference one hour of fifty is half nulls, the others have none.
        let p = |nulls, phi| null_rise_p(nulls, 500, 250, 25_000, phi).unwrap();
        assert!(p(50, 1.0) < 1e-60 && p(50, 250.0) > 1e-6, "{} {}", p(50, 1.0), p(50, 250.0));
        assert!(p(500, 250.0) < 1e-12, "a column that is all nulls is seen: {}", p(500, 250.0));
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

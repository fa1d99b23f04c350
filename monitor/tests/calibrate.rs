//! The short form of `make calibrate`: twenty weeks without drift stay within the budget, and what
//! changes is found.

#[path = "../examples/calibrate/simulation.rs"]
mod simulation;

use simulation::{BUDGET, CHANGES, Change, STREAMS, delay, on_all_cores, week};

const WEEKS: usize = 20;
const COLUMNS: usize = 10;

#[test]
fn twenty_weeks_without_drift_stay_within_the_budget() {
    for (place, (name, stream)) in STREAMS.into_iter().enumerate() {
        let seen =
            on_all_cores(WEEKS, |at| week(stream, COLUMNS, (9000 + place * WEEKS + at) as u64));
        let alarms: u32 = seen.iter().map(|(alarms, _)| alarms).sum();
        assert!(f64::from(alarms) <= 2.0 * BUDGET * WEEKS as f64, "{name}: {alarms} alarms");
    }
}

#[test]
fn changes_are_found_and_an_outlier_is_not_one() {
    for (name, change) in CHANGES {
        let found = on_all_cores(4, |at| delay(change, 5, 12, 777 + at as u64));
        let found = found.into_iter().flatten().count();
        match change {
            Change::OneOutlier => assert_eq!(found, 0, "{name}"),
            // Below the effect that the thresholds ask for.
            Change::Shift(by) if by < 0.3 => {}
            _ => assert_eq!(found, 4, "{name}"),
        }
    }
}

//! The short form of `make calibrate`: twenty weeks without drift stay within the budget under the rules of
//! `default.toml`, and what changes is found.
#![allow(dead_code, unused_imports, reason = "the binary uses the rest of what is shared with it")]

#[path = "../src/config/mod.rs"]
mod config;
#[path = "../src/hops/findings.rs"]
mod findings;
#[path = "../examples/calibrate/simulation.rs"]
mod simulation;

use simulation::{CHANGES, Change, STREAMS, Told, configuration, delay, on_all_cores, quiet_weeks};

const WEEKS: usize = 20;
const COLUMNS: usize = 10;

#[test]
fn twenty_weeks_without_drift_stay_within_the_budget() {
    let config = configuration(&[]);
    let most = 2.0 * config.alerts.false_alarms_per_week * WEEKS as f64;
    for (place, (name, stream)) in STREAMS.into_iter().enumerate() {
        let seed = |at: usize| (9000 + place * WEEKS + at) as u64;
        let told = on_all_cores(WEEKS, |at| quiet_weeks(&config, stream, COLUMNS, 1, seed(at)));
        let told: Told = told.into_iter().sum();
        assert!(f64::from(told.all()) <= most, "{name}: {told:?}");
    }
}

#[test]
fn changes_are_found_and_an_outlier_is_not_one() {
    let config = configuration(&[]);
    for (name, change) in CHANGES {
        let found = on_all_cores(4, |at| delay(&config, change, 5, 24, 777 + at as u64));
        let found = found.into_iter().filter(|(word, _)| word.is_some()).count();
        let expected = if change == Change::OneOutlier { 0 } else { 4 };
        assert_eq!(found, expected, "{name}");
    }
}

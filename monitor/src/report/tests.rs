//! Reports on data with known answers, and what no report may do.

mod pages;

use proptest::prelude::*;

use super::*;
use crate::profile::tests::{categorical, numeric};
use crate::profile::{ColumnProfile, Moments, Shape};
use crate::stats::{Sample, SamplePair, ks_distance, wasserstein, wasserstein_scaled};

/// Values without two alike, in no order, about uniform on 0..1.
fn uniform(rows: usize, seed: usize) -> Vec<f64> {
    (0..rows).map(|n| ((n + seed) as f64 * 0.618_033_988_749_895).fract()).collect()
}

fn source(name: &str, rows: u64) -> Source {
    Source { name: name.into(), rows, profile: None }
}

pub(super) fn numbers(profile: &ColumnProfile, reference: &[f64], now: &[f64]) -> ColumnReport {
    let (reference, now) = (Sample::new(reference.to_vec()), Sample::new(now.to_vec()));
    let Shape::Numeric(shape) = &profile.shape else { panic!("numeric") };
    let counts = Counts::Numeric(shape.bins.count_sorted(&now));
    let moments = Moments::of(&now);
    compare(
        profile,
        &Current { counts, moments, samples: Some((&reference, &now)), reference_new: 0 },
        Rule::default(),
    )
}

pub(super) fn names(profile: &ColumnProfile, now: &[Option<&str>]) -> ColumnReport {
    let Shape::Categorical(shape) = &profile.shape else { panic!("categorical") };
    let counts = Counts::Categorical(shape.categories.count(now.iter().copied()));
    compare(
        profile,
        &Current { counts, moments: None, samples: None, reference_new: 0 },
        Rule::default(),
    )
}

pub(super) fn report(columns: Vec<ColumnReport>) -> Report {
    Report::new(source("then", 1), source("now", 1), Rule::default(), columns)
}

fn verdict_of(before: &[f64], now: &[f64]) -> (Verdict, String) {
    let column = report(vec![numbers(&numeric("x", before), before, now)]).columns.remove(0);
    (column.verdict, column.reason)
}

#[test]
fn verdicts_on_numbers() {
    let base = uniform(4000, 0);
    let moved = |by: f64| -> Vec<f64> { uniform(3000, 77).iter().map(|x| x + by).collect() };
    let mut nulls = moved(0.0);
    nulls.iter_mut().step_by(20).for_each(|x| *x = f64::NAN);
    let mut outlier = moved(0.0);
    outlier[7] = 1e6;
    let check = |now: &[f64], expected: Verdict| {
        let (verdict, reason) = verdict_of(&base, now);
        assert_eq!(verdict, expected, "{reason}");
        assert!(!reason.is_empty());
    };
    check(&base, Verdict::Stable);
    check(&moved(0.0), Verdict::Stable);
    check(&moved(0.01), Verdict::Stable);
    check(&moved(0.15), Verdict::Drift);
    check(&nulls, Verdict::Drift);
    check(&outlier, Verdict::Stable);
    check(&moved(5.0)[..40], Verdict::TooFewRows);
    check(&[], Verdict::NotCompared);
    check(&[f64::NAN; 3000], Verdict::Drift);
    check(&[f64::INFINITY; 3000], Verdict::Drift);
    assert_eq!(verdict_of(&[3.0; 2000], &[3.0; 2000]).0, Verdict::Stable);
    assert_eq!(verdict_of(&[3.0; 2000], &[4.0; 2000]).0, Verdict::Drift);
    assert_eq!(verdict_of(&[f64::NAN; 2000], &[f64::NAN; 2000]).0, Verdict::Stable);
    assert_eq!(verdict_of(&[f64::NAN; 2000], &base).0, Verdict::Drift);
    assert_eq!(verdict_of(&[], &base).0, Verdict::NotCompared);
}

#[test]
fn a_reference_that_varies_by_itself_needs_more() {
    // Rows come in runs of 200 alike: 20 values in 4000 rows say little.
    let runs = |seed: usize| -> Vec<f64> {
        (0..4000).map(|n| ((n / 200 + seed) as f64 * 0.618_033_988_749_895).fract()).collect()
    };
    let (before, now) = (runs(0), runs(1000));
    let (verdict, reason) = verdict_of(&before, &now);
    assert_eq!(verdict, Verdict::Stable, "{reason}");
    assert!(reason.contains("not significant") && reason.contains("chunks"), "{reason}");
    let profile = numeric("x", &before);
    let independent = Rule { independent: true, ..Rule::default() };
    let now = Sample::new(now);
    let Shape::Numeric(shape) = &profile.shape else { panic!("numeric") };
    let counts = Counts::Numeric(shape.bins.count_sorted(&now));
    let current = Current { counts, moments: None, samples: None, reference_new: 0 };
    let columns = vec![compare(&profile, &current, independent)];
    let all = Report::new(source("a", 1), source("b", 1), independent, columns);
    assert!(all.drift);
}

#[test]
fn verdicts_on_categories() {
    let rows = |cells: &[(Option<&'static str>, usize)]| -> Vec<Option<&'static str>> {
        // Mixed, so that the chunks of the reference look alike.
        let mut rows: Vec<_> =
            cells.iter().flat_map(|(name, rows)| std::iter::repeat_n(*name, *rows)).collect();
        let all = rows.len();
        let mixed: Vec<_> = (0..all).map(|n| rows[n * 7919 % all]).collect();
        rows.clone_from(&mixed);
        rows
    };
    let base = rows(&[(Some("a"), 2000), (Some("b"), 1500), (Some("c"), 500), (None, 100)]);
    let profile = categorical("c", &base);
    let check = |now: &[(Option<&'static str>, usize)], expected: Verdict| {
        let column = report(vec![names(&profile, &rows(now))]).columns.remove(0);
        assert_eq!(column.verdict, expected, "{}", column.reason);
        assert!(column.ks.is_none() && column.wasserstein.is_none());
    };
    check(&[(Some("a"), 1000), (Some("b"), 760), (Some("c"), 240), (None, 48)], Verdict::Stable);
    check(&[(Some("a"), 500), (Some("b"), 1500), (Some("c"), 300), (None, 50)], Verdict::Drift);
    check(
        &[(Some("a"), 1960), (Some("b"), 1470), (Some("c"), 490), (Some("z"), 100)],
        Verdict::Drift,
    );
    check(&[(None, 3000)], Verdict::Drift);
    check(&[(Some("c"), 10)], Verdict::TooFewRows);
    check(&[], Verdict::NotCompared);
}

#[test]
fn rare_categories_are_pooled() {
    let values: Vec<String> = (0..4000).map(|n| format!("v{}", n * 7919 % 4000 % 900)).collect();
    let base: Vec<Option<&str>> = values.iter().map(|value| Some(value.as_str())).collect();
    let now: Vec<Option<&str>> = base.iter().step_by(2).copied().collect();
    let column = report(vec![names(&categorical("c", &base), &now)]).columns.remove(0);
    assert_eq!(column.verdict, Verdict::Stable, "{}", column.reason);
    assert!(column.chi_square.unwrap().min_expected >= 1.0);
    assert_eq!(column.psi.unwrap().bins, 1, "all of them are rare");

    let values: Vec<String> =
        (0..40_000).map(|n| format!("v{}", n * 7919 % 40_000 % 400)).collect();
    let base: Vec<Option<&str>> = values.iter().map(|value| Some(value.as_str())).collect();
    let profile = categorical("c", &base);
    let column = report(vec![names(&profile, &base[..2000])]).columns.remove(0);
    assert_eq!((column.verdict, column.psi.unwrap().bins), (Verdict::Stable, 51));
    let column = report(vec![names(&profile, &[Some("elsewhere"); 2000])]).columns.remove(0);
    assert_eq!(column.verdict, Verdict::Drift, "{}", column.reason);
}

#[test]
fn columns_that_are_not_on_both_sides() {
    let profile = numeric("x", &uniform(500, 0));
    let all = report(vec![missing(&profile), new_column("y", "Int8"), left_out(&profile, "why")]);
    let verdicts: Vec<Verdict> = all.columns.iter().map(|column| column.verdict).collect();
    assert_eq!(verdicts, [Verdict::Missing, Verdict::New, Verdict::NotCompared]);
    assert!(all.drift, "a column that vanished is told");
    assert_eq!(all.ranked()[0].verdict, Verdict::Missing);
}

#[test]
fn q_values_are_over_the_columns() {
    let base = uniform(4000, 0);
    let column = |by: f64| {
        let now: Vec<f64> = uniform(3000, 5).iter().map(|x| x + by).collect();
        numbers(&numeric("x", &base), &base, &now)
    };
    let all = report(vec![column(0.3), column(0.02), column(0.0)]);
    for column in &all.columns {
        let (psi, ks) = (column.psi.unwrap(), column.best_ks().unwrap());
        assert!(psi.q >= psi.p && ks.q >= ks.p && ks.q <= 1.0);
    }
    assert!(all.columns[1].best_ks().unwrap().q > all.columns[1].best_ks().unwrap().p);
}

fn finite(value: &serde_json::Value, path: &str) {
    match value {
        serde_json::Value::Number(number) => {
            assert!(number.as_f64().is_some_and(f64::is_finite), "{path}: {number}");
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| finite(item, path)),
        serde_json::Value::Object(members) => {
            members.iter().for_each(|(name, value)| finite(value, &format!("{path}.{name}")));
        }
        _ => {}
    }
}

/// Members that are null where nothing can be said, and no others.
const ABSENT: [&str; 13] = [
    "reference",
    "current",
    "psi",
    "chi_square",
    "distances",
    "ks",
    "wasserstein",
    "exact",
    "effective_rows",
    "min_rows",
    "moments",
    "left_out",
    "profile",
];

fn nulls_are_meant(value: &serde_json::Value, name: &str) {
    match value {
        // serde_json writes NaN as null: it would show here.
        serde_json::Value::Null => assert!(ABSENT.contains(&name), "{name} is null"),
        serde_json::Value::Array(items) => {
            items.iter().for_each(|item| nulls_are_meant(item, name));
        }
        serde_json::Value::Object(members) => {
            members.iter().for_each(|(name, value)| nulls_are_meant(value, name));
        }
        _ => {}
    }
}

fn any_values() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![
        6 => -3.0..3.0_f64,
        2 => (0..5).prop_map(f64::from),
        1 => any::<f64>(),
        1 => Just(f64::NAN),
    ];
    prop::collection::vec(value, 0..400)
}

proptest! {
    #[test]
    fn the_same_data_never_drift(values in any_values()) {
        let column = report(vec![numbers(&numeric("x", &values), &values, &values)]).columns.remove(0);
        prop_assert!(!column.verdict.is_drift(), "{}", column.reason);
        if let (Some(psi), Some(distances)) = (column.psi, column.distances) {
            prop_assert!(psi.value < 1e-12 && psi.corrected == 0.0 && psi.p == 1.0);
            prop_assert_eq!(distances.jensen_shannon, 0.0);
        }
        if let Some(ks) = column.ks {
            prop_assert_eq!((ks.binned.d, ks.exact.map(|ks| ks.d)), (0.0, Some(0.0)));
        }
    }

    #[test]
    fn nothing_in_a_report_is_not_a_number(a in any_values(), b in any_values()) {
        let all = report(vec![numbers(&numeric("x", &a), &a, &b)]);
        let json = serde_json::to_value(&all).unwrap();
        finite(&json, "");
        nulls_are_meant(&json, "");
        prop_assert!(!all.to_string().contains("NaN") && !html::page(&all).contains("NaN"));
    }

    #[test]
    fn a_profile_says_what_raw_values_say(a in any_values(), b in any_values()) {
        let profile = numeric("x", &a);
        let raw = numbers(&profile, &a, &b);
        let now = Sample::new(b.clone());
        let Shape::Numeric(shape) = &profile.shape else { panic!("numeric") };
        let counts = Counts::Numeric(shape.bins.count(b.iter().copied()));
        let current = Current { counts, moments: Moments::of(&now), samples: None, reference_new: 0 };
        let counted = compare(&profile, &current, Rule::default());
        prop_assert_eq!((raw.psi, raw.chi_square), (counted.psi, counted.chi_square));
        prop_assert_eq!(raw.distances, counted.distances);
        prop_assert_eq!(raw.histogram, counted.histogram);
        let before = Sample::new(a);
        let exact = SamplePair::new(&before, &now);
        if let (Ok(pair), Some(ks), Some(w1)) = (exact, raw.ks, raw.wasserstein) {
            let d = ks.exact.unwrap().d;
            prop_assert_eq!(d, ks_distance(&pair).value());
            prop_assert!(ks.binned.d <= d + 1e-15);
            let (area, scaled) = (wasserstein(&pair), wasserstein_scaled(&pair).value);
            let found = w1.exact.unwrap();
            prop_assert!((found.value - area).abs() <= 1e-9 * area, "{} {area}", found.value);
            prop_assert!((found.scaled - scaled).abs() <= 1e-9 * scaled);
        }
    }

    #[test]
    fn bars_hold_all_rows(a in any_values(), b in any_values()) {
        let column = numbers(&numeric("x", &a), &a, &b);
        let sum = |of: fn(&Bar) -> f64| column.histogram.iter().map(of).sum::<f64>();
        if !column.histogram.is_empty() && column.histogram.len() < 30 {
            prop_assert!((sum(|bar| bar.reference) - 1.0).abs() < 1e-9);
            prop_assert!((sum(|bar| bar.current) - 1.0).abs() < 1e-9);
        }
    }
}

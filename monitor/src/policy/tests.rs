//! The policy on tables, and what holds for every sequence of windows.

mod false_alarms;
mod grouping;
mod late_labels;
mod properties;
mod texts;

use super::*;

const HOUR_MS: i64 = 3_600_000;

/// PSI ≥ 0.2 with q ≤ 0.01 in 2 of 3 windows; over when below 0.1 for 2 windows.
fn psi() -> Rule {
    Rule {
        name: "psi".into(),
        measure: Measure::Psi,
        reference: Reference::Training,
        severity: Severity::Warning,
        threshold: 0.2,
        resolve: 0.1,
        critical: Some(0.5),
        level: Some(0.01),
        min_rows: 100,
        breaches: 2,
        windows: 3,
        clear_windows: 2,
        cool_down_ms: 0,
        models: vec![],
        columns: vec![],
    }
}

fn nulls() -> Rule {
    Rule {
        name: "nulls".into(),
        measure: Measure::NullShare,
        threshold: 0.05,
        resolve: 0.02,
        critical: None,
        level: None,
        breaches: 1,
        windows: 1,
        clear_windows: 1,
        ..psi()
    }
}

fn about(rule: &str, column: &str) -> Subject {
    Subject {
        model: "m".into(),
        version: "1".into(),
        arm: "stable".into(),
        segment: String::new(),
        rule: rule.into(),
        subject: column.into(),
    }
}

fn finding(rule: &str, column: &str, value: f64) -> Finding {
    Finding { of: about(rule, column), value, q: Some(0.001), rows: 1_000, reason: "moved".into() }
}

/// The hour that ends at `hour`.
fn window(hour: i64, findings: Vec<Finding>) -> JudgedWindow {
    let end_ms = hour * HOUR_MS;
    JudgedWindow { start_ms: end_ms - HOUR_MS, end_ms, time: Time::Event, findings }
}

fn word(transition: &Transition) -> &'static str {
    match transition {
        Transition::Pending(_) => "pending",
        Transition::Fired(_) => "fired",
        Transition::Changed(_) => "changed",
        Transition::Upgraded { .. } => "upgraded",
        Transition::Resolved(_) => "resolved",
        Transition::HeldBack(_) => "held",
    }
}

/// What column `a` under `rule` gives, window by window.
fn play(rule: &Rule, values: &[f64]) -> Vec<String> {
    let mut book = Book::new([rule.clone()]);
    let mut said = Vec::new();
    for (hour, value) in (1..).zip(values) {
        for transition in book.judge(&window(hour, vec![finding(&rule.name, "a", *value)])) {
            said.push(format!("{hour} {}", word(&transition)));
        }
    }
    said
}

#[test]
fn the_course_of_an_alarm() {
    for (values, expected) in [
        // Two of three, hysteresis between 0.1 and 0.2, two clear windows.
        (
            &[0.0, 0.3, 0.0, 0.3, 0.15, 0.15, 0.05, 0.15, 0.05, 0.05][..],
            &["2 pending", "4 fired", "10 resolved"][..],
        ),
        // Breaches too far apart never fire.
        (&[0.3, 0.0, 0.0, 0.3, 0.0, 0.0, 0.0, 0.3], &["1 pending", "8 pending"]),
        // Worse than critical: an upgrade, once; it does not fall again.
        (&[0.3, 0.3, 0.6, 0.3, 0.9], &["1 pending", "2 fired", "3 upgraded"]),
        // Critical from the start.
        (&[0.6, 0.6, 0.7], &["1 pending", "2 fired"]),
        // What made it fire does not count again.
        (
            &[0.3, 0.3, 0.0, 0.0, 0.3, 0.0, 0.3],
            &["1 pending", "2 fired", "4 resolved", "5 pending", "7 fired"],
        ),
        (&[f64::NAN, f64::INFINITY, 0.3, f64::NAN, 0.3], &["3 pending", "5 fired"]),
    ] {
        assert_eq!(play(&psi(), values), expected, "{values:?}");
    }
}

#[test]
fn an_alarm_needs_effect_significance_and_rows() {
    let mut book = Book::new([psi()]);
    for hour in 1..10 {
        let unsure = Finding { q: Some(0.02), ..finding("psi", "a", 5.0) };
        let untested = Finding { q: None, ..finding("psi", "b", 5.0) };
        let few = Finding { rows: 99, ..finding("psi", "c", 5.0) };
        let small = Finding { q: Some(0.0), ..finding("psi", "d", 0.19) };
        let heard = book.judge(&window(hour, vec![unsure, untested, few, small]));
        assert_eq!(heard, [], "hour {hour}");
    }
}

#[test]
fn cool_down_holds_back_the_same_but_not_the_worse() {
    let rule = Rule { cool_down_ms: 5 * HOUR_MS, ..psi() };
    let calm = [0.3, 0.3, 0.0, 0.0, 0.3, 0.3, 0.3, 0.3, 0.3];
    assert_eq!(
        play(&rule, &calm),
        ["1 pending", "2 fired", "4 resolved", "5 pending", "6 held", "9 fired"]
    );
    let worse = [0.3, 0.3, 0.0, 0.0, 0.6, 0.6];
    assert_eq!(play(&rule, &worse), ["1 pending", "2 fired", "4 resolved", "5 pending", "6 fired"]);
}

#[test]
fn volume_is_bad_below() {
    let rule = Rule {
        name: "volume".into(),
        measure: Measure::Volume,
        threshold: 0.5,
        resolve: 0.7,
        critical: Some(0.1),
        ..nulls()
    };
    assert_eq!(rule.problems(), []);
    let said = play(&rule, &[1.0, 0.5, 0.6, 0.05, 0.69, 0.71]);
    assert_eq!(said, ["2 fired", "4 upgraded", "6 resolved"]);
}

#[test]
fn rules_say_everything_that_is_wrong() {
    let wrong = Rule {
        name: String::new(),
        threshold: 0.0,
        resolve: 0.3,
        critical: Some(-1.0),
        level: Some(1.0),
        windows: 65,
        breaches: 0,
        clear_windows: 0,
        cool_down_ms: -1,
        ..psi()
    };
    let keys: Vec<&str> = wrong.problems().iter().map(|problem| problem.key).collect();
    assert_eq!(
        keys,
        [
            "name",
            "threshold",
            "resolve",
            "critical",
            "level",
            "windows",
            "breaches",
            "clear_windows",
            "cool_down"
        ]
    );
    assert_eq!(psi().problems(), []);
}

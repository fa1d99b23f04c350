//! One episode for a model and class, whatever the number of columns, versions and arms.

use super::*;

#[test]
fn twenty_columns_are_one_episode_the_worst_first() {
    let mut book = Book::new([psi(), nulls()]);
    let all = |value: f64| -> Vec<Finding> {
        (0..20)
            .map(|n| finding("psi", &format!("c{n}"), value * (1.0 + f64::from(n) / 100.0)))
            .collect()
    };
    assert_eq!(book.judge(&window(1, all(0.3))).len(), 1, "one group is pending");
    let fired = book.judge(&window(2, all(0.3)));
    let [Transition::Fired(episode)] = fired.as_slice() else { panic!("{fired:?}") };
    assert_eq!((episode.subjects, episode.concerns[0].of.subject.as_str()), (20, "c19"));
    assert_eq!(
        episode.summary(),
        "m: drift in 20 (c19 psi 0.357, limit 0.2, c18 psi 0.354, limit 0.2, c17 psi 0.351, limit 0.2, …)"
    );
    // Nineteen get well: still one alarm. The last: it is over.
    let mut rest = all(0.0);
    rest[0].value = 0.3;
    for hour in 3..5 {
        let said: Vec<&str> = book.judge(&window(hour, rest.clone())).iter().map(word).collect();
        assert!(said.is_empty() || said == ["changed"], "{said:?}");
    }
    book.judge(&window(5, all(0.0)));
    let said: Vec<&str> = book.judge(&window(6, all(0.0))).iter().map(word).collect();
    assert_eq!(said, ["resolved"]);
}

#[test]
fn classes_and_models_are_apart_arms_and_versions_together() {
    let mut book = Book::new([psi(), nulls()]);
    let mut canary = finding("psi", "a", 0.3);
    (canary.of.version, canary.of.arm) = ("2".into(), "canary".into());
    let mut other = finding("psi", "a", 0.3);
    other.of.model = "other".into();
    let all = vec![finding("psi", "a", 0.3), canary, other, finding("nulls", "a", 0.5)];
    book.judge(&window(1, all.clone()));
    book.judge(&window(2, all));
    let open: Vec<String> = book.open().map(Episode::summary).collect();
    assert_eq!(open.len(), 3, "{open:?}");
    let drift = book.open().find(|e| e.group.model == "m" && e.group.class == Class::Drift);
    assert_eq!(drift.map(Episode::versions), Some("1 stable, 2 canary".into()));
    assert!(book.is_troubled(&Group { model: "m".into(), class: Class::Quality }));
    assert!(!book.is_troubled(&Group { model: "other".into(), class: Class::Quality }));
}

#[test]
fn a_retired_version_is_let_go_but_silence_is_not_health() {
    let mut book = Book::new([psi()]);
    let old = finding("psi", "a", 0.3);
    book.judge(&window(1, vec![old.clone()]));
    book.judge(&window(2, vec![old]));
    // Nothing is judged for a week: the alarm stays.
    assert_eq!(book.judge(&window(170, vec![])), []);
    assert_eq!(book.open().count(), 1);
    // The next version is judged, and well: a day later the old one is let go.
    let mut new = finding("psi", "a", 0.0);
    new.of.version = "2".into();
    let said: Vec<&str> = book.judge(&window(171, vec![new])).iter().map(word).collect();
    assert_eq!(said, ["resolved"]);
}

#[test]
fn ids_follow_from_the_windows_alone() {
    let episode = |from: i64| {
        let mut book = Book::new([psi()]);
        for hour in from..=10 {
            let value = if hour >= 5 { 0.3 } else { 0.0 };
            book.judge(&window(hour, vec![finding("psi", "a", value)]));
        }
        let id = book.open().next().map(|episode| episode.id.clone());
        id.expect("one is open")
    };
    assert_eq!(episode(1), episode(4), "wherever the past windows begin");
    assert_eq!(episode(1).len(), 16);
}

#[test]
fn columns_that_a_rule_leaves_out_are_passed_over() {
    let mut book = Book::new([Rule { columns: vec!["dep_*".into()], ..nulls() }]);
    let both = vec![finding("nulls", "tail", 0.9), finding("nulls", "dep_delay", 0.9)];
    book.judge(&window(1, both));
    let open: Vec<usize> = book.open().map(|episode| episode.subjects).collect();
    assert_eq!(open, [1]);
}

#[test]
fn an_episode_whose_rules_are_gone_ends() {
    let mut book = Book::new([nulls()]);
    book.judge(&window(1, vec![finding("nulls", "a", 0.9)]));
    let episode = book.open().next().cloned();
    let mut other = Book::new([psi()]);
    let group = Group { model: "m".into(), class: Class::Quality };
    other.restore_group(group, episode, None);
    let ended: Vec<&str> = other.end_orphans().transitions.iter().map(word).collect();
    assert_eq!(ended, ["resolved"]);
    assert_eq!(other.open().count(), 0);
}

#[test]
fn a_look_at_the_clock_lets_go_of_nothing_that_is_judged_by_event_time() {
    let silent = Rule {
        name: "silent".into(),
        measure: Measure::NoData,
        threshold: 1800.0,
        resolve: 900.0,
        ..nulls()
    };
    let mut book = Book::new([nulls(), silent]);
    book.judge(&window(1, vec![finding("nulls", "a", 0.9)]));
    // The archive is days behind, and its windows are still being judged.
    let end_ms = window(1, vec![]).end_ms + 3 * FORGET_AFTER_MS;
    let findings = vec![finding("silent", "stream", 10.0)];
    let look = JudgedWindow { start_ms: end_ms - 60_000, end_ms, time: Time::Wall, findings };
    assert!(book.judge(&look).is_empty());
    assert_eq!(book.open().count(), 1);
}

//! Labels come days after the estimates of the same rows: neither chain of windows ages the other.

use super::*;

/// How far realised windows lie behind the estimates: more than a silent subject is remembered.
const BEHIND_HOURS: i64 = 48;

fn rules() -> [Rule; 2] {
    let rule = |name: &str, measure| Rule {
        name: name.into(),
        measure,
        threshold: 0.05,
        resolve: 0.02,
        breaches: 2,
        windows: 3,
        clear_windows: 2,
        ..nulls()
    };
    [rule("realised", Measure::PerformanceDrop), rule("estimated", Measure::EstimatedDrop)]
}

/// Every hour an estimate of now, then a realised window of two days ago.
fn play_both(book: &mut Book, values: &[(f64, f64)]) -> Vec<(i64, Transition)> {
    let mut said = Vec::new();
    for (hour, (estimated, realised)) in (100..).zip(values) {
        for (end, rule, value) in
            [(hour, "estimated", estimated), (hour - BEHIND_HOURS, "realised", realised)]
        {
            let heard = book.judge(&window(end, vec![finding(rule, "auc", *value)]));
            said.extend(heard.into_iter().map(|transition| (hour, transition)));
        }
    }
    said
}

fn words(said: &[(i64, Transition)]) -> Vec<String> {
    said.iter().map(|(hour, transition)| format!("{hour} {}", word(transition))).collect()
}

#[test]
fn what_late_labels_show_fires_once_stays_and_resolves() {
    let mut book = Book::new(rules());
    let realised = [0.0, 0.1, 0.1, 0.1, 0.03, 0.1, 0.01, 0.03, 0.01, 0.01, 0.0];
    let said = play_both(&mut book, &realised.map(|value| (0.0, value)));
    assert_eq!(words(&said), ["101 pending", "102 fired", "109 resolved"]);
}

#[test]
fn a_version_without_labels_is_let_go_when_the_next_one_has_them() {
    let mut book = Book::new(rules());
    play_both(&mut book, &[(0.0, 0.1); 3]);
    let mut next = finding("realised", "auc", 0.0);
    next.of.version = "2".into();
    let last = 102 - BEHIND_HOURS;
    assert_eq!(book.judge(&window(last + 24, vec![next.clone()])), [], "not yet");
    let said: Vec<&str> = book.judge(&window(last + 25, vec![next])).iter().map(word).collect();
    assert_eq!(said, ["resolved"]);
}

#[test]
fn an_estimate_and_the_labels_that_prove_it_right_are_two_episodes() {
    let mut book = Book::new(rules());
    // The estimate fires at hour 101 and is over at hour 103; 48 hours later labels show the same.
    let mut values = vec![(0.1, 0.0), (0.1, 0.0)];
    values.extend((2..BEHIND_HOURS).map(|_| (0.0, 0.0)));
    values.extend([(0.0, 0.1), (0.0, 0.1)]);
    let said = play_both(&mut book, &values);
    let fired: Vec<&Episode> = said
        .iter()
        .filter_map(|(_, transition)| match transition {
            Transition::Fired(episode) => Some(episode),
            _ => None,
        })
        .collect();
    let [first, second] = fired.as_slice() else { panic!("{:?}", words(&said)) };
    assert_eq!(first.fired_ms, second.fired_ms);
    assert_ne!(first.id, second.id, "receivers drop what repeats an id");
}

//! Instants and totals as tables, and an alarm from silence to data.

use super::*;
use crate::policy::{Book, Reference, Severity, Transition};

const NOW_MS: i64 = 1_769_860_800_000;
const S: i64 = 1_000;
const DAY: i64 = 86_400;

fn rule(name: &str, measure: Measure, threshold: f64) -> Rule {
    Rule {
        name: name.into(),
        measure,
        reference: Reference::Training,
        severity: Severity::Warning,
        threshold,
        resolve: threshold / 2.0,
        critical: None,
        level: None,
        min_rows: 0,
        breaches: 1,
        windows: 1,
        clear_windows: 1,
        cool_down_ms: 0,
        models: vec![],
        columns: vec![],
    }
}

fn rules() -> Vec<Rule> {
    [
        ("fresh", Measure::Freshness, 900.0),
        ("silent", Measure::NoData, 1800.0),
        ("rejects", Measure::RejectRate, 0.01),
        ("errors", Measure::Errors, 10.0),
        ("slow", Measure::Latency, 1_000.0),
        ("lag", Measure::Lag, 120.0),
        ("down", Measure::HopDown, 120.0),
        ("failed", Measure::JobFailed, 1.0),
        ("psi", Measure::Psi, 0.2),
    ]
    .map(|(name, measure, threshold)| rule(name, measure, threshold))
    .to_vec()
}

/// Seconds before now of the newest event and record.
fn newest(event: Option<i64>, record: Option<i64>) -> Newest {
    let at = |seconds: i64| NOW_MS - seconds * S;
    Newest { event_ms: event.map(at), record_ms: record.map(at) }
}

fn value(window: &JudgedWindow, rule: &str) -> Option<f64> {
    let mut found = window.findings.iter().filter(|finding| finding.of.rule == rule);
    let value = found.next().map(|finding| finding.value);
    assert!(found.next().is_none(), "{rule} twice: {window:?}");
    value
}

#[test]
fn only_a_live_stream_is_old_or_silent() {
    for (event, record, fresh, silent) in [
        (Some(30), Some(10), Some(30.0), Some(10.0)),
        // Clocks differ.
        (Some(-5), Some(-3), Some(0.0), Some(0.0)),
        (Some(2 * DAY), Some(10), Some(172_800.0), Some(10.0)),
        // Events of long ago that are scored now: a replay, which is no stale stream.
        (Some(4000 * DAY), Some(10), None, Some(10.0)),
        (None, Some(4000), None, Some(4000.0)),
        // An archive of last month.
        (Some(30 * DAY), Some(30 * DAY), None, None),
        (None, None, None, None),
    ] {
        let pulse = Pulse { now_ms: NOW_MS, newest: newest(event, record), ..Pulse::default() };
        let window = Pulses::default().judge(pulse, "m", &rules());
        assert_eq!(
            (value(&window, "fresh"), value(&window, "silent")),
            (fresh, silent),
            "{event:?} {record:?}"
        );
        assert_eq!(window.time, Time::Wall);
    }
}

#[test]
fn an_alarm_about_silence_lasts_until_there_are_data() {
    // Two months by the hour, of which the first day has data.
    let (mut book, mut pulses) = (Book::new(rules()), Pulses::default());
    let mut told = Vec::new();
    for hour in 0..60 * 24 {
        let now_ms = NOW_MS + hour * 3_600 * S;
        let last_ms = if hour < 24 { now_ms } else { NOW_MS + 23 * 3_600 * S };
        let newest = Newest { event_ms: Some(last_ms), record_ms: Some(last_ms) };
        let standing = book.standing().into_iter().filter(|(_, [_, firing])| *firing > 0);
        let firing = standing.map(|((rule, _), _)| rule.to_owned()).collect();
        let pulse = Pulse { now_ms, newest, firing, ..Pulse::default() };
        told.extend(book.judge(&pulses.judge(pulse, "m", &rules())));
    }
    let resolved = |it: &&Transition| matches!(it, Transition::Resolved(_));
    assert_eq!(told.iter().find(resolved), None);
    assert_eq!(book.open().count(), 1);
    let now_ms = NOW_MS + 60 * 24 * 3_600 * S;
    let newest = Newest { event_ms: Some(now_ms), record_ms: Some(now_ms) };
    let firing = vec!["fresh".to_owned(), "silent".to_owned()];
    let pulse = Pulse { now_ms, newest, firing, ..Pulse::default() };
    let ended = book.judge(&pulses.judge(pulse, "m", &rules()));
    assert!(matches!(ended.as_slice(), [Transition::Resolved(_)]), "{ended:?}");
}

#[test]
fn rates_are_between_two_pulses() {
    let mut pulses = Pulses::default();
    let mut at = |minute: i64, (read, rejected, committed, lag): (u64, u64, u64, u64), errors| {
        let totals = Some(Totals { read, rejected, committed, lag, ..Totals::default() });
        let now_ms = NOW_MS + minute * EVERY_MS;
        let window =
            pulses.judge(Pulse { now_ms, totals, errors, ..Pulse::default() }, "m", &rules());
        assert_eq!(window.end_ms, now_ms);
        ["rejects", "errors", "lag"].map(|rule| value(&window, rule))
    };
    // Nothing to compare with: a total of hours ago says nothing about now.
    assert_eq!(at(0, (9000, 900, 9000, 50), 70), [None, None, None]);
    assert_eq!(at(1, (9600, 906, 9600, 100), 70), [Some(0.01), Some(0.0), Some(10.0)]);
    // Nothing was read: no share. Nothing moves: lag is how long it has stood.
    assert_eq!(at(2, (9600, 906, 9600, 700), 100), [None, Some(30.0), Some(60.0)]);
    assert_eq!(at(4, (9600, 906, 9600, 900), 100), [None, Some(0.0), Some(180.0)]);
    assert_eq!(at(5, (9700, 1306, 9700, 0), 100), [Some(1.0), Some(0.0), Some(0.0)]);
    assert_eq!(at(6, (9700, 1306, 9700, 0), 100), [None, Some(0.0), Some(0.0)]);
    // A clock that went back is no stretch of time.
    assert_eq!(at(3, (9800, 1306, 9800, 0), 500), [None, None, None]);
}

#[test]
fn rejects_of_a_slow_stream_are_gathered_until_they_are_enough() {
    let few = Rule { min_rows: 100, ..rule("few", Measure::RejectRate, 0.01) };
    let many = Rule { min_rows: 200, ..rule("many", Measure::RejectRate, 0.01) };
    let (rules, mut pulses) = ([few, many], Pulses::default());
    let mut at = |minute: i64, read: u64, rejected: u64| {
        let totals = Some(Totals { read, rejected, ..Totals::default() });
        let now_ms = NOW_MS + minute * EVERY_MS;
        let window = pulses.judge(Pulse { now_ms, totals, ..Pulse::default() }, "m", &rules);
        ["few", "many"].map(|name| {
            let mut found = window.findings.iter().filter(|one| one.of.rule == name);
            found.next().map(|one| (one.value, one.rows))
        })
    };
    assert_eq!(at(0, 0, 0), [None, None]);
    assert_eq!(at(1, 60, 30), [None, None]);
    assert_eq!(at(2, 120, 60), [Some((0.5, 120)), None]);
    assert_eq!(at(3, 180, 60), [None, None], "begun anew");
    assert_eq!(at(4, 240, 60), [Some((0.0, 120)), Some((0.25, 240))]);
    // What was rejected more than an hour ago is no news.
    assert_eq!(at(5, 250, 70), [None, None]);
    assert_eq!(at(65, 260, 70), [None, None], "let go");
    assert_eq!(at(66, 350, 70), [None, None]);
    assert_eq!(at(67, 360, 70), [Some((0.0, 100)), None]);
    // Nor is what was gathered before a clock went back.
    assert_eq!(at(68, 410, 120), [None, None]);
    assert_eq!(at(60, 420, 120), [None, None]);
    assert_eq!(at(61, 520, 120), [Some((0.0, 100)), None]);
}

#[test]
fn an_alarm_about_rejects_begins_and_ends_at_sixty_records_a_minute() {
    let rules = [Rule { min_rows: 100, ..rule("rejects", Measure::RejectRate, 0.01) }];
    let (mut book, mut pulses) = (Book::new(rules.clone()), Pulses::default());
    let mut told = Vec::new();
    for minute in 0..=8_u64 {
        let read = minute * 60;
        let totals = Some(Totals { read, rejected: (read / 2).min(120), ..Totals::default() });
        let now_ms = NOW_MS + minute as i64 * EVERY_MS;
        let window = pulses.judge(Pulse { now_ms, totals, ..Pulse::default() }, "m", &rules);
        told.extend(book.judge(&window).iter().map(|it| match it {
            Transition::Fired(_) => (minute, "fired"),
            Transition::Resolved(_) => (minute, "resolved"),
            other => panic!("{other:?}"),
        }));
    }
    assert_eq!(told, [(2, "fired"), (6, "resolved")]);
}

#[test]
fn latency_is_of_commits_and_a_backlog_is_not_slow_but_behind() {
    let mut pulses = Pulses::default();
    let mut at = |minute: i64, committed: u64, lag: u64, commits: u64, latency_s: f64| {
        let totals = Totals { committed, lag, commits, latency_s, ..Totals::default() };
        let now_ms = NOW_MS + minute * EVERY_MS;
        let pulse = Pulse { now_ms, totals: Some(totals), ..Pulse::default() };
        value(&pulses.judge(pulse, "m", &rules()), "slow")
    };
    assert_eq!(at(0, 900, 0, 70, 9.0), None, "nothing to compare with");
    assert_eq!(at(1, 1_900, 10, 80, 10.0), Some(100.0));
    assert_eq!(at(2, 1_900, 0, 80, 10.0), None, "nothing was committed");
    assert_eq!(at(3, 2_900, 1_001, 90, 90_010.0), None, "it catches up");
}

#[test]
fn a_process_without_the_hop_says_nothing_of_it() {
    let mut pulses = Pulses::default();
    for minute in 0..3 {
        let now_ms = NOW_MS + minute * EVERY_MS;
        let window = pulses.judge(Pulse { now_ms, ..Pulse::default() }, "m", &rules());
        for rule in ["fresh", "silent", "rejects", "slow", "lag", "down", "psi"] {
            assert_eq!(value(&window, rule), None, "{rule}");
        }
    }
}

#[test]
fn a_job_that_failed_is_named_with_its_reason() {
    let failed = ("nightly".to_owned(), Some("no input".to_owned()));
    for (jobs, expected) in [
        (vec![], vec![]),
        (vec![failed, ("hourly".to_owned(), None)], vec![(1.0, "no input"), (0.0, "")]),
    ] {
        let pulse = Pulse { now_ms: NOW_MS, jobs, ..Pulse::default() };
        let window = Pulses::default().judge(pulse, "m", &rules());
        let found = window.findings.iter().filter(|finding| finding.of.rule == "failed");
        let found: Vec<_> = found.map(|one| (one.value, one.reason.as_str())).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn each_hop_that_is_down_fires_by_itself_and_silence_ends_with_data() {
    let (mut book, mut pulses) = (Book::new(rules()), Pulses::default());
    let mut at = |minute: i64, down: f64, silent: i64| {
        let now_ms = NOW_MS + minute * EVERY_MS;
        let newest = Newest { event_ms: None, record_ms: Some(now_ms - silent * S) };
        let down = vec![("score".to_owned(), down), ("results".to_owned(), 0.0)];
        let pulse = Pulse { now_ms, newest, down, ..Pulse::default() };
        let transitions = book.judge(&pulses.judge(pulse, "m", &rules()));
        let said = transitions.iter().map(|transition| match transition {
            Transition::Fired(episode) => {
                format!("fired {} {}", episode.group.class.name(), episode.concerns[0].of.subject)
            }
            Transition::Resolved(episode) => format!("resolved {}", episode.group.class.name()),
            other => panic!("{other:?}"),
        });
        said.collect::<Vec<_>>()
    };
    assert!(at(0, 0.0, 20).is_empty());
    assert!(at(1, 60.0, 900).is_empty());
    assert_eq!(at(2, 130.0, 1000), ["fired service score"]);
    assert_eq!(at(3, 0.0, 1799), ["resolved service"]);
    assert_eq!(at(4, 0.0, 1800), ["fired service stream"]);
    assert!(at(5, 0.0, 1860).is_empty());
    assert_eq!(at(6, 0.0, 3), ["resolved service"]);
}

//! Answers on real files: reports, counts and an alert state, each written by its own writer.

use std::path::Path;

use batch::sql::SqlTable;
use serde_json::Value;

use super::*;
use crate::alerts::tests::{Hand, NOON_MS, open, window};
use crate::count::MICROS;
use crate::count::tests::{Dice, HOUR, archive, count, counter};
use crate::evaluate::{
    Clock, GroupNames, Reference, ReportRow, Round, State, Statistics, Versions, publish,
};
use crate::outcomes::{
    self, Answer, Figures, Kind, OutcomeRow, Outcomes, PerformanceFiles, performance_schema,
};

pub(super) const MODEL: &str = "model";
/// Markup, quotes, a line break, and a mark that turns the writing.
const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'\n\u{202e}&amp;";

fn clock() -> Clock {
    Clock {
        windows: Windows::new(3600, 3600, 60).unwrap(),
        previous_seconds: 3600,
        lateness_seconds: 300,
        idle_seconds: 600,
    }
}

/// Windows that were judged, each with a file of its own.
pub(super) struct History {
    folder: tempfile::TempDir,
    windows: i64,
}

impl History {
    pub(super) fn of(windows: i64, columns: usize) -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap(), windows };
        for window in 0..windows {
            let names: Vec<String> = (0..columns).map(|at| format!("c{at:04}")).collect();
            made.publish(window, names.iter().map(String::as_str));
        }
        made
    }

    pub(super) fn reports(&self) -> Reports {
        Reports::open(self.folder.path(), "scored", clock(), "test").unwrap()
    }

    pub(super) fn end_seconds(&self) -> f64 {
        (HOUR + self.windows * 3600) as f64
    }

    pub(super) fn publish<'a>(&self, window: i64, columns: impl Iterator<Item = &'a str>) {
        let number = HOUR / 3600 + window;
        let mut rows = vec![row(number, None, 0.0)];
        // The first column is the worst.
        rows.extend(
            columns.zip(0..).map(|(name, at)| row(number, Some(name), 1.0 / f64::from(at + 1))),
        );
        let mut segment = row(number, Some("x"), 9.0);
        segment.group.segment = Some("city".into());
        segment.group.segment_value = Some("Oslo".into());
        rows.push(segment);
        let round = Round { rows, windows: number..number + 1, ..Round::default() };
        publish(&mut self.reports(), clock(), &round).unwrap();
    }

    fn dashboard(&self) -> Dashboard {
        dashboard(self.folder.path(), vec![])
    }
}

fn row(window: i64, column: Option<&str>, psi: f64) -> ReportRow {
    let start_us = window * 3600 * MICROS;
    let drifted = psi >= 0.5;
    ReportRow {
        window,
        start_us,
        end_us: start_us + 3600 * MICROS,
        group: GroupNames {
            model_name: Some(MODEL.into()),
            model_version: Some("1".into()),
            arm: Some("stable".into()),
            ..GroupNames::default()
        },
        reference: if column.is_some() { Reference::Training } else { Reference::Previous },
        profile: "p".into(),
        column: column.map(str::to_owned),
        state: if drifted { State::Drift } else { State::Stable },
        reason: if drifted { "moved".into() } else { String::new() },
        n: 800,
        reference_n: 4000,
        phi: None,
        statistics: Statistics {
            psi_corrected: column.map(|_| psi),
            ks_d: column.map(|_| psi / 2.0),
            q: column.map(|_| 0.01),
            ..Statistics::default()
        },
        null_share: column.map(|_| 0.02),
        reference_null_share: Some(0.01),
        null_p: None,
        new_share: None,
        out_of_range_share: None,
        mean: None,
        min: None,
        max: None,
    }
}

fn dashboard(root: &Path, watched: Vec<Watched>) -> Dashboard {
    Dashboard::new(Settings {
        pipeline: "flights".into(),
        reports: Reports::open(root, "scored", clock(), "test").unwrap(),
        watched,
        windows: clock().windows,
        rules: Rules::default(),
        alerts: root.join("alerts.db"),
        performance: None,
    })
}

fn ask_at(
    of: &Dashboard,
    resource: &str,
    query: &[(&str, &str)],
    ms: i64,
) -> Result<Value, Problem> {
    let query: Vec<(String, String)> =
        query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let now = jiff::Timestamp::from_millisecond(ms).unwrap();
    of.answer(resource, &query, now).map(|bytes| serde_json::from_slice(&bytes).unwrap())
}

fn ask(of: &Dashboard, resource: &str, query: &[(&str, &str)]) -> Result<Value, Problem> {
    ask_at(of, resource, query, NOON_MS)
}

const WHOSE: [(&str, &str); 3] = [("model", MODEL), ("version", "1"), ("arm", "stable")];

fn whose<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    WHOSE.into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn windows_are_told_as_they_are_published() {
    let made = History::of(3, 4);
    let dashboard = made.dashboard();
    let overview = ask(&dashboard, "overview", &[]).unwrap();
    assert_eq!(overview["windows"]["kept"], 3);
    let model = &overview["models"][0];
    assert_eq!((&model["model"], &model["rows"]), (&MODEL.into(), &800.into()));
    // 1, 1/2, 1/3, 1/4; the segment's 9 is not among them.
    assert_eq!(model["columns"]["training"]["drift"], 2);
    assert_eq!(model["state"], "drift");
    assert_eq!(overview["has_labels"], false);
    assert!(overview["alerts"].is_null(), "there is no state: {overview}");
    made.publish(3, ["c0003", HOSTILE].into_iter());
    let kept = |ms| ask_at(&dashboard, "overview", &[], ms).unwrap()["windows"]["kept"].clone();
    assert_eq!((kept(NOON_MS), kept(NOON_MS + LOOK_EVERY_MS)), (3.into(), 4.into()));
    // Judged anew: nothing of the old windows stays.
    std::fs::remove_dir_all(made.folder.path().join("reports")).unwrap();
    made.publish(9, ["c0001"].into_iter());
    assert_eq!(kept(NOON_MS + 2 * LOOK_EVERY_MS), 1);
}

#[test]
fn the_strip_has_the_worst_first_and_pages_of_columns() {
    let made = History::of(5, 7);
    made.publish(5, ["c0006", HOSTILE].into_iter());
    let dashboard = made.dashboard();
    let heat = ask(&dashboard, "heat", &whose(&[("columns", "3"), ("windows", "4")])).unwrap();
    let names: Vec<&Value> =
        heat["columns"].as_array().unwrap().iter().map(|it| &it["column"]).collect();
    assert_eq!(names, ["c0006", HOSTILE, "c0000"], "by the newest window, then by name");
    assert_eq!(heat["windows"].as_array().unwrap().len(), 4);
    let worst = &heat["columns"][0];
    assert_eq!(worst["values"][3], 1.0);
    assert_eq!(worst["values"][0], 0.142857, "rounded");
    assert_eq!(worst["states"], serde_json::json!(["stable", "stable", "stable", "drift"]));
    assert_eq!(heat["columns"][2]["values"][3], Value::Null, "it was not judged");
    assert_eq!((&heat["total_columns"], &heat["next_offset"]), (&8.into(), &3.into()));
    let rest = ask(&dashboard, "heat", &whose(&[("offset", "3")])).unwrap();
    assert_eq!(rest["columns"].as_array().unwrap().len(), 5);
    assert!(rest["next_offset"].is_null());
    let from = jiff::Timestamp::from_second(HOUR + 5 * 3600).unwrap().to_string();
    let last = ask(&dashboard, "heat", &whose(&[("from", &from), ("measure", "ks")])).unwrap();
    assert_eq!(last["windows"].as_array().unwrap().len(), 1);
    assert_eq!(last["columns"][0]["values"][0], 0.5);
    let column = ask(&dashboard, "column", &whose(&[("column", HOSTILE)])).unwrap();
    assert_eq!(column["column"], HOSTILE);
    assert_eq!(column["points"][0]["reference_null_share"], 0.01);
    assert_eq!(column["points"].as_array().unwrap().len(), 1);
}

/// Publishes a row a window, of two versions.
fn joined(root: &Path, kind: Kind, windows: std::ops::Range<i64>) {
    let table = |name: &str| SqlTable::folder(name, root.join(name), Some(performance_schema()));
    let settings = outcomes::Settings {
        results: table("results"),
        labels: table("labels"),
        labels_folder: root.join("labels"),
        key_column: "id".into(),
        answer: Answer::Number { column: "x".into() },
        ttl_seconds: 60,
        memory_bytes: 1 << 20,
    };
    let figures = |accuracy| Figures { accuracy: Some(accuracy), ..Figures::default() };
    let is_realised = kind == Kind::Realised;
    let row = |window: i64, version: &str| OutcomeRow {
        window,
        start_us: window * 3600 * MICROS,
        end_us: (window + 1) * 3600 * MICROS,
        kind,
        model_name: Some(MODEL.into()),
        model_version: Some(version.into()),
        arm: Some("stable".into()),
        positive: Some(HOSTILE.into()),
        n: 200,
        labelled: if is_realised { 150 } else { 0 },
        too_late: if kind == Kind::Late { 7 } else { 0 },
        invalid: 0,
        realised: if is_realised { figures(0.9) } else { Figures::default() },
        auc_error: None,
        spreads: Figures::default(),
        estimated: if kind == Kind::Estimated { figures(0.8) } else { Figures::default() },
        calibration_rows: None,
        reliability: Vec::new(),
        confusion: None,
        labels_until_us: None,
    };
    let rows = windows.clone().flat_map(|at| ["1", "2"].map(|version| row(at, version))).collect();
    let mut outcomes = Outcomes::open(root, "scored", clock(), "test", settings).unwrap();
    outcomes.publish(&outcomes::Outcome { kind, windows, rows }).unwrap();
}

#[test]
fn performance_is_realised_beside_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let without = ask(&dashboard(root, vec![]), "performance", &WHOSE).unwrap_err();
    assert_eq!((without.status, without.message.as_str()), (404, "no labels are configured"));
    let performance = PerformanceFiles::open(root, "scored", clock(), "test").unwrap();
    let of = Dashboard { performance: Some(performance), ..dashboard(root, vec![]) };
    assert_eq!(ask(&of, "overview", &[]).unwrap()["has_labels"], true);
    let points = |more: &[(&str, &str)]| ask(&of, "performance", &whose(more)).unwrap();
    assert_eq!(points(&[])["points"], serde_json::json!([]), "nothing is joined yet");
    let first = HOUR / 3600;
    joined(root, Kind::Estimated, first..first + 2);
    joined(root, Kind::Estimated, first + 2..first + 4);
    joined(root, Kind::Realised, first..first + 2);
    joined(root, Kind::Late, first..first + 1);
    let oldest = &points(&[])["points"][0];
    assert_eq!((&oldest["too_late"], &oldest["labelled"]), (&7.into(), &150.into()));
    let answer = points(&[("windows", "3")]);
    assert_eq!(answer["positive_class"], HOSTILE);
    let shown = answer["points"].as_array().unwrap();
    let both =
        |at: usize| (&shown[at]["realised"]["accuracy"], &shown[at]["estimated"]["accuracy"]);
    assert_eq!(shown.len(), 3, "{answer:#}");
    assert_eq!(both(0), (&0.9.into(), &0.8.into()), "the estimate stays beside what came true");
    assert_eq!(both(2), (&Value::Null, &0.8.into()));
    assert_eq!((&shown[0]["labelled"], &shown[0]["coverage"]), (&150.into(), &0.75.into()));
    assert_eq!(shown[0]["too_late"], Value::Null, "what came too late is not known yet");
    let from = jiff::Timestamp::from_second(HOUR + 3 * 3600).unwrap().to_string();
    assert_eq!(points(&[("from", &from)])["points"].as_array().unwrap().len(), 1);
    let other = ask(&of, "performance", &[("model", MODEL), ("version", "3"), ("arm", "stable")]);
    assert_eq!(other.unwrap()["points"], serde_json::json!([]));
}

#[test]
fn what_is_beyond_a_limit_says_the_limit() {
    let dashboard = History::of(1, 1).dashboard();
    let long = "x".repeat(2000);
    type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, u16, &'a str);
    let cases: Vec<Case> = vec![
        ("heat", whose(&[("windows", "501")]), 400, "1 to 500"),
        ("heat", whose(&[("windows", "0")]), 400, "1 to 500"),
        ("heat", whose(&[("columns", "many")]), 400, "1 to 200"),
        ("heat", whose(&[("from", "yesterday")]), 400, "RFC 3339"),
        ("heat", whose(&[("measure", HOSTILE)]), 400, "psi, ks, null_share"),
        ("heat", whose(&[("reference", "next")]), 400, "training or previous"),
        ("heat", whose(&[("model", "twice")]), 400, "once"),
        ("heat", vec![("model", &long)], 400, "1024 bytes"),
        ("heat", whose(&[("colour", "red")]), 400, "documentation"),
        ("heat", vec![("model", "other")], 404, ""),
        ("column", whose(&[]), 400, "a name"),
        ("column", whose(&[("column", "none")]), 404, ""),
        ("histogram", whose(&[("column", "c0000")]), 400, "start of a window"),
        ("histogram", whose(&[("column", "c"), ("window", "2026-01-31T12:00:01Z")]), 400, "3600 s"),
        ("alert", vec![("id", "no")], 404, ""),
        ("alerts", vec![("limit", "201")], 400, "1 to 200"),
        ("secrets", vec![], 404, ""),
    ];
    for (resource, query, status, limit) in cases {
        let problem = ask(&dashboard, resource, &query).unwrap_err();
        assert_eq!(problem.status, status, "{resource} {query:?}: {problem:?}");
        let said = problem.limit.clone().unwrap_or_default();
        assert!(said.contains(limit), "{resource} {query:?}: {said}");
        assert!(!problem.fix.is_empty() && problem.value.iter().all(|value| value.len() <= 120));
        assert_eq!(problem.body()["error"]["message"], problem.message);
    }
}

#[test]
fn memory_is_bounded_whatever_was_judged() {
    let made = History::of(30, 50);
    let mut history = super::History::new(made.reports(), 200);
    history.refresh().unwrap();
    // 51 rows a window: the newest four are above the bound, three are kept.
    assert_eq!(history.windows().len(), 3);
    let newest = history.windows().last_key_value().unwrap();
    assert_eq!(*newest.0, (HOUR + 29 * 3600) * MICROS);
    made.publish(30, ["c0000"].into_iter());
    history.refresh().unwrap();
    assert_eq!(history.windows().last_key_value().unwrap().1.points.len(), 2);
    assert!(history.windows().len() <= 4);
}

#[test]
fn a_histogram_is_what_was_counted_in_that_window() {
    let root = tempfile::tempdir().unwrap();
    let mut dice = Dice(3);
    for hour in 0..3 {
        let rows: Vec<_> = (0..1000).map(|at| dice.row(HOUR + hour * 3600 + at * 3)).collect();
        archive(root.path(), (hour % 2) as i32, &rows);
    }
    let mut writer = counter(root.path(), 60);
    count(&mut writer);
    let reading = Watched { counter: counter(root.path(), 60), versions: Versions::AllBut(vec![]) };
    let dashboard = dashboard(root.path(), vec![reading]);
    let second = jiff::Timestamp::from_second(HOUR + 3600).unwrap().to_string();
    let of = |column, window| {
        ask(&dashboard, "histogram", &whose(&[("column", column), ("window", window)])).unwrap()
    };
    for (column, kind) in [("x", "numeric"), ("city", "categorical")] {
        let drawn = of(column, &second);
        assert_eq!((&drawn["rows"], &drawn["kind"]), (&1000.into(), &kind.into()), "{column}");
        for side in ["reference", "current"] {
            let bars = drawn["bars"].as_array().unwrap();
            let sum: f64 = bars.iter().map(|bar| bar[side].as_f64().unwrap()).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{column} {side}: {sum}");
        }
    }
    let empty = jiff::Timestamp::from_second(HOUR + 9 * 3600).unwrap().to_string();
    assert_eq!(of("x", &empty)["bars"], serde_json::json!([]));
    // Counted while it is looked at.
    let rows: Vec<_> = (0..500).map(|at| dice.row(HOUR + 9 * 3600 + at)).collect();
    archive(root.path(), 1, &rows);
    count(&mut writer);
    assert_eq!(of("x", &empty)["rows"], 500);
}

#[test]
fn a_damaged_alert_state_hides_no_drift() {
    let made = History::of(1, 1);
    std::fs::write(made.folder.path().join("alerts.db"), "this is no database, and long enough")
        .unwrap();
    let dashboard = made.dashboard();
    let overview = ask(&dashboard, "overview", &[]).unwrap();
    assert_eq!(overview["models"][0]["state"], "drift");
    assert!(overview["alerts"].is_null());
    assert!(overview["alerts_problem"].as_str().is_some_and(|text| text.contains("alerts.db")));
    assert_eq!(ask(&dashboard, "alerts", &[]).unwrap_err().status, 500);
}

#[test]
fn alerts_are_read_while_the_monitor_writes_them() {
    let root = tempfile::tempdir().unwrap();
    let dashboard = dashboard(root.path(), vec![]);
    assert_eq!(ask(&dashboard, "alerts", &[]).unwrap()["alerts"], serde_json::json!([]));
    let hand = Hand::at(NOON_MS);
    let alerts = open(&root.path().join("alerts.db"), &hand, vec![]);
    let mut breach = window(0, "psi", 0.6);
    breach.findings[0].of.subject = HOSTILE.into();
    breach.findings[0].reason = HOSTILE.into();
    alerts.judge(&breach, &[]).unwrap();
    let list = ask(&dashboard, "alerts", &[]).unwrap();
    let alert = &list["alerts"][0];
    assert_eq!((&alert["state"], &alert["severity"]), (&"firing".into(), &"critical".into()));
    let id = alert["id"].as_str().unwrap();
    let one = ask(&dashboard, "alert", &[("id", id)]).unwrap();
    assert_eq!(one["alert"]["concerns"][0]["value"], 0.6);
    assert_eq!(one["history"][0]["what"], "fired");
    assert_eq!(ask(&dashboard, "overview", &[]).unwrap()["alerts"]["open"], 1);
    // It is still the monitor's to write.
    let mut calm = window(1, "psi", 0.01);
    calm.findings[0].of.subject = HOSTILE.into();
    alerts.judge(&calm, &[]).unwrap();
    let list = ask(&dashboard, "alerts", &[]).unwrap();
    assert_eq!(list["alerts"][0]["state"], "resolved");
}

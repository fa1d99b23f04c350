//! Labels that come later, on a topic of their own: archived once, whatever they look like.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Broker, FLIGHTS, Pipeline, ended_with, flight, root, run, scored};

const SOON: Duration = Duration::from_secs(120);
const EVENTS: usize = 300;

/// The topic's name follows from the pipeline's.
fn labels_topic(pipeline: &Pipeline) -> String {
    format!("{}-labels", pipeline.name())
}

#[test]
fn labels_are_archived_once_across_a_kill_and_join_on_the_key() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "labels", &["labels.label=arr_delay"]);
    let topic = labels_topic(&pipeline);
    let events: Vec<Vec<u8>> = (0..EVENTS).map(|id| flight(&format!("f{id}"), "")).collect();
    pipeline.send(&events);
    // Half of the flights have landed; three records are no labels, and the last is none at all.
    let mut labels: Vec<Vec<u8>> = (0..EVENTS / 2)
        .map(|id| format!(r#"{{"id":"f{id}","arr_delay":{}}}"#, id as i32 - 40).into_bytes())
        .collect();
    labels.extend([&b"{"[..], br#"{"id":"f1"}"#, br#"{"id":"f1","arr_delay":[1]}"#].map(Vec::from));
    pipeline.send_to(&topic, 2, 0, &labels[..100]);
    pipeline.send_to(&topic, 2, 1, &labels[100..]);
    let setting = format!("labels.topic={topic}");
    let mut child = pipeline.run_until_with("a", "archive.before_publish", 2, &[&setting]);
    assert!(!child.wait(SOON).success(), "it was not killed:\n{}", child.log());
    let mut child = pipeline.run_with("a", &[&setting]);
    let verified = pipeline.command(&["verify"], &["--wait", "60", "--set", &setting]);
    ended_with(&verified, 0);
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(said.contains("labels"), "{said}");
    let sql = |query: &str| {
        let output =
            pipeline.command(&["sql"], &["--set", &setting, "--format", "csv", "-c", query]);
        ended_with(&output, 0);
        let text = String::from_utf8(output.stdout).expect("CSV is UTF-8");
        text.lines().nth(1).unwrap_or_default().to_owned()
    };
    let rows = "SELECT count(*), count(label_number), min(label_number), max(label_number), \
                count(undecodable), count(undecodable_reason), count(DISTINCT label_key) FROM labels";
    assert_eq!(sql(rows), "153,150,-40.0,109.0,3,3,150");
    let joined = "SELECT count(*), sum(label_number) FROM results JOIN labels ON id = label_key";
    assert_eq!(sql(joined), format!("150,{}.0", (0..150).map(|id| id - 40).sum::<i32>()));
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
}

/// The lines of a query's answer, without its header.
pub(crate) fn answered(pipeline: &Pipeline, query: &str) -> Vec<String> {
    let output = pipeline.command(&["sql"], &["--format", "csv", "-c", query]);
    ended_with(&output, 0);
    let text = String::from_utf8(output.stdout).expect("CSV is UTF-8");
    text.lines().skip(1).map(str::to_owned).collect()
}

/// A profile of what is archived, as the setting that names it; `more` are flags of `baseline fit`.
pub(crate) fn fitted(pipeline: &Pipeline, more: &[&str]) -> String {
    let results = pipeline.archive().join("results").to_string_lossy().into_owned();
    let reference = pipeline.archive().join("reference.parquet").to_string_lossy().into_owned();
    let contract = root().join("deploy/demo/contract.toml");
    let contract = contract.to_string_lossy();
    let fit = ["baseline", "fit", &results, "-o", &reference, "--contract", &contract];
    ended_with(&run(&[&fit[..], more].concat()), 0);
    format!("monitor.reference={reference}")
}

#[test]
fn mistakes_about_labels_are_named() {
    let config = root().join("deploy/demo/tidegate.toml");
    let config = config.to_string_lossy();
    for (sets, said) in [
        (vec!["labels.topic=l"], "labels.label is empty"),
        (vec!["labels.topic=l", "labels.label=x", "labels.score=y"], "it has arr_delay"),
        (vec!["labels.topic=l", "labels.label=x", "labels.ttl_seconds=0"], "must be 1 to"),
        (vec!["labels.topic=flights", "labels.label=x"], "is input.topic"),
        (vec!["labels.topic=flights-scored", "labels.label=x"], "is output.topic"),
    ] {
        let mut arguments = vec!["check", "--offline", "--config", &config];
        sets.iter().for_each(|set| arguments.extend(["--set", set]));
        let output = run(&arguments);
        ended_with(&output, 2);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(said), "{sets:?}: {text}");
    }
    let arguments = ["archive", "accept-gap", "--config", &config, "--table", "labels"];
    let output = run(&[&arguments[..], &["--partition", "0"]].concat());
    ended_with(&output, 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no labels are archived"));
}

/// What `performance` says of each day, and what a join asked by another way says.
const MEASURED: &str = "SELECT window_start, n, labelled, round(accuracy, 9), round(precision, 9), \
    round(recall, 9), round(brier, 9) FROM performance WHERE kind = 'realised' ORDER BY 1";
const DIRECT: &str = "WITH j AS (SELECT r.id, r.event_time, r.prediction_verdict = 'late' AS said, \
    r.prediction_late_probability AS p, l.label = 'true' AS was, l.label_time AS t, \
    l.\"offset\" AS o FROM results r LEFT JOIN labels l ON r.id = l.label_key \
    AND l.label_time BETWEEN r.event_time AND r.event_time + INTERVAL '2 hours'), \
    one AS (SELECT id, event_time, said, p, last_value(was ORDER BY t, o) AS was FROM j \
    GROUP BY id, event_time, said, p), \
    n AS (SELECT *, CAST(said AND was AS INT) AS hit, CAST(was AS DOUBLE) AS y FROM one) \
    SELECT date_trunc('day', event_time), count(*), count(was), \
    round(avg(CASE WHEN said = was THEN 1.0 ELSE 0.0 END) FILTER (WHERE was IS NOT NULL), 9), \
    round(sum(hit) / CAST(NULLIF(count(*) FILTER (WHERE said AND was IS NOT NULL), 0) AS DOUBLE), 9), \
    round(sum(hit) / CAST(NULLIF(count(*) FILTER (WHERE was), 0) AS DOUBLE), 9), \
    round(avg((p - y) * (p - y)), 9) FROM n \
    WHERE event_time < (SELECT max(window_end) FROM performance WHERE kind = 'realised') \
    GROUP BY 1 ORDER BY 1";

/// How many results of each day have a label that came too late, and the same by a join asked for by hand.
const LATE: &str =
    "SELECT window_start, n, too_late FROM performance WHERE kind = 'late' ORDER BY 1";
const LATE_DIRECT: &str = "SELECT date_trunc('day', r.event_time), count(DISTINCT r.id), \
    count(DISTINCT l.label_key) FROM results r LEFT JOIN labels l ON r.id = l.label_key \
    AND l.label_time > r.event_time + INTERVAL '2 hours' \
    AND l.label_time <= r.event_time + INTERVAL '4 hours' \
    WHERE r.event_time < (SELECT max(window_end) FROM performance WHERE kind = 'late') \
    GROUP BY 1 ORDER BY 1";

/// All flights scored, windows of a day, and an empty topic for their labels, two hours of each.
fn unlabelled_days(broker: &Broker, name: &str, sets: &[&str]) -> (Pipeline, String) {
    let days = [
        "labels.time=known_at",
        "labels.ttl_seconds=7200",
        "monitor.window_seconds=86400",
        "monitor.slide_seconds=86400",
    ];
    let pipeline = Pipeline::new(broker, name, &[&days[..], sets].concat());
    let topic = labels_topic(&pipeline);
    let pipeline = pipeline.with_set(format!("labels.topic={topic}"));
    pipeline.produced(FLIGHTS);
    pipeline.send_to(&topic, 1, 0, &[]);
    scored(&pipeline);
    (pipeline, topic)
}

#[test]
fn performance_is_what_a_join_by_hand_says_and_a_kill_changes_nothing() {
    let Some(broker) = Broker::shared() else { return };
    let sets = [
        "model.name=flight-late",
        "labels.label=late",
        // Labels turn one verdict in six: the model answers far worse than this.
        "labels.baseline.accuracy=0.99",
    ];
    let (pipeline, topic) = unlabelled_days(broker, "performance", &sets);
    let rows = |query: &str| answered(&pipeline, query);
    // Every seventh flight is never heard of, every fifth is reported twice, every eleventh too late.
    let mut labels = Vec::new();
    let flights = rows(
        "SELECT id, CAST(event_time AS BIGINT) / 1000, prediction_late_probability > 0.4 \
         FROM results ORDER BY event_time, id",
    );
    for (place, flight) in flights.iter().enumerate().filter(|(place, _)| place % 7 > 0) {
        let parts: Vec<&str> = flight.split(',').collect();
        let [id, at, late] = parts.as_slice() else { panic!("three columns: {flight}") };
        let late = (*late == "true") != (place % 6 == 0);
        let at: i64 = at.parse().expect("milliseconds");
        let after = if place % 11 == 0 { 7_200_001 } else { 3_600_000 };
        let mut say = |late: bool, at: i64| {
            let text = format!(r#"{{"id":"{id}","late":{late},"known_at":{at}}}"#);
            labels.push(text.into_bytes());
        };
        if place % 5 == 0 {
            say(!late, at);
        }
        say(late, at + after);
    }
    assert_eq!(flights.len() as u64, FLIGHTS);
    pipeline.send_to(&topic, 1, 0, &labels);
    scored(&pipeline);
    let reference = fitted(&pipeline, &[]);
    // Killed as the reports are about to be published, then the first realised rows, the same again, and
    // the next.
    ended_with(&pipeline.command(&["monitor", "count"], &["--set", &reference]), 0);
    for passages in [1, 2, 1, 2] {
        let mut child = pipeline.command_until(
            &["monitor", "evaluate"],
            &["--set", &reference],
            "archive.before_publish",
            passages,
        );
        assert!(!child.wait(SOON).success(), "it was not killed:\n{}", child.log());
    }
    let state = pipeline.archive().join("alerts/state.sqlite").to_string_lossy().into_owned();
    let rules = "rules=[{name=\"performance\",min_rows=5}]".to_owned();
    let alerts = [format!("alerts.state={state}"), reference.clone(), rules];
    let flags: Vec<&str> = alerts.iter().flat_map(|set| ["--set", set]).collect();
    let mut child = pipeline.run_with_flags("a", "monitor", &flags);
    child.wait_for("Estimated", SOON);
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
    let listed = pipeline.command(&["alerts", "list", "--json"], &flags);
    ended_with(&listed, 0);
    let episodes = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(episodes.contains("performance") && episodes.contains("accuracy"), "{episodes}");
    let measured = rows(MEASURED);
    assert!(measured.len() > 3, "several days are realised: {measured:?}");
    for (measured, direct) in measured.iter().zip(rows(DIRECT)) {
        assert_eq!(*measured, direct);
    }
    assert_eq!(measured.len(), rows(DIRECT).len());
    let late = rows(LATE);
    assert!(late.iter().any(|row| !row.ends_with(",0")), "every eleventh label is late: {late:?}");
    assert_eq!(late, rows(LATE_DIRECT));
    let again = pipeline.command(&["monitor", "evaluate", "--json"], &["--set", &reference]);
    ended_with(&again, 0);
    assert_eq!(rows(MEASURED), measured, "a window is realised once");
    let estimated = rows(
        "SELECT count(*), max(abs(e.estimated_accuracy - r.estimated_accuracy)) < 1e-12 FROM performance e \
         JOIN performance r ON e.window_start = r.window_start AND r.kind = 'realised' \
         WHERE e.kind = 'estimated'",
    );
    assert_eq!(estimated, [format!("{},true", measured.len())]);
}

/// Time-to-live of the labels below, and a day, in milliseconds.
const TTL_MS: i64 = 7_200_000;
const DAY_MS: i64 = 86_400_000;

/// A day of a regression, computed with nothing but sums.
#[derive(Clone, Copy, Debug, Default)]
struct Plain {
    results: u64,
    labelled: u64,
    invalid: u64,
    absolute: f64,
    squared: f64,
    signed: f64,
}

impl Plain {
    fn add(&mut self, answered: f64, label: Option<&str>) {
        self.results += 1;
        let Some(label) = label else { return };
        self.labelled += 1;
        let Ok(right) = label.parse::<f64>() else {
            self.invalid += 1;
            return;
        };
        let error = answered - right;
        self.absolute += error.abs();
        self.squared += error * error;
        self.signed += error;
    }

    /// MAE, RMSE and bias, where there are any errors.
    fn figures(&self) -> Option<[f64; 3]> {
        let rows = (self.labelled - self.invalid) as f64;
        let figures = [self.absolute / rows, (self.squared / rows).sqrt(), self.signed / rows];
        (rows > 0.0).then_some(figures)
    }
}

/// What becomes known of the flight at this place, answered so, in the order of its times: after how long,
/// and what. Every seventh is never heard of, every eleventh too late, every fifth corrected, and every
/// thirteenth says no number.
fn landings(place: i64, answered: f64) -> Vec<(i64, String)> {
    if place % 7 == 0 {
        return vec![];
    }
    let late = answered.round() as i64 + place * 5 % 23 - 8;
    let last = if place % 13 == 0 { "\"diverted\"".to_owned() } else { late.to_string() };
    let after = if place % 11 == 0 { TTL_MS + 1 } else { TTL_MS / 2 };
    let first = (place % 5 == 0).then(|| (0, (late + 100).to_string()));
    first.into_iter().chain([(after, last)]).collect()
}

#[test]
fn errors_of_a_regression_are_what_plain_sums_say_and_an_alarm() {
    let Some(broker) = Broker::shared() else { return };
    // The model is far worse than this.
    let sets = ["labels.label=minutes", "labels.baseline.mae=0.5"];
    let (pipeline, topic) = unlabelled_days(broker, "regression", &sets);
    let flights = answered(
        &pipeline,
        "SELECT id, CAST(event_time AS BIGINT) / 1000, CAST(prediction_arr_delay AS DOUBLE) \
         FROM results ORDER BY event_time, id",
    );
    assert_eq!(flights.len() as u64, FLIGHTS);
    let (mut labels, mut days) = (Vec::new(), BTreeMap::<i64, Plain>::new());
    for (flight, place) in flights.iter().zip(0..) {
        let parts: Vec<&str> = flight.split(',').collect();
        let [id, at, prediction] = parts.as_slice() else { panic!("three columns: {flight}") };
        let at: i64 = at.parse().expect("milliseconds");
        let prediction: f64 = prediction.parse().expect("a number");
        let known = landings(place, prediction);
        for (after, minutes) in &known {
            let at = at + after;
            let text = format!(r#"{{"id":"{id}","minutes":{minutes},"known_at":{at}}}"#);
            labels.push(text.into_bytes());
        }
        let counts = known.iter().rfind(|(after, _)| *after <= TTL_MS);
        let day = days.entry(at.div_euclid(DAY_MS) * DAY_MS).or_default();
        day.add(prediction, counts.map(|(_, minutes)| minutes.as_str()));
    }
    pipeline.send_to(&topic, 1, 0, &labels);
    scored(&pipeline);
    let state = pipeline.archive().join("alerts/state.sqlite").to_string_lossy().into_owned();
    let rule =
        "{name=\"performance\",columns=[\"mae\"],threshold=1.0,min_rows=5,breaches=1,windows=1}";
    let alerts =
        [format!("alerts.state={state}"), fitted(&pipeline, &[]), format!("rules=[{rule}]")];
    let flags: Vec<&str> = alerts.iter().flat_map(|set| ["--set", set]).collect();
    let mut child = pipeline.run_with_flags("a", "monitor", &flags);
    child.wait_for("Realised", SOON);
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
    let listed = pipeline.command(&["alerts", "list", "--json"], &flags);
    ended_with(&listed, 0);
    // What the monitor may not have come to, and then what there is.
    ended_with(&pipeline.command(&["monitor", "evaluate"], &flags), 0);
    let measured = answered(
        &pipeline,
        "SELECT CAST(window_start AS BIGINT) / 1000, n, labelled, invalid, mae, rmse, bias \
         FROM performance WHERE kind = 'realised' ORDER BY 1",
    );
    assert!(measured.len() > 3, "several days are realised: {measured:?}");
    let (mut errors, mut all) = (Vec::new(), Plain::default());
    for (row, (day, plain)) in measured.iter().zip(&days) {
        let cells: Vec<&str> = row.split(',').collect();
        let counts = [*day as u64, plain.results, plain.labelled, plain.invalid];
        assert_eq!(cells[..4], counts.map(|count| count.to_string()), "{row}: {plain:?}");
        let said: Vec<f64> = cells[4..].iter().filter_map(|cell| cell.parse().ok()).collect();
        let figures = plain.figures();
        assert_eq!(said.len(), figures.map_or(0, |figures| figures.len()), "{row}: {plain:?}");
        for (said, plain) in said.iter().zip(figures.iter().flatten()) {
            assert!((said - plain).abs() < 1e-9, "{row}: {plain}");
        }
        errors.extend(figures.map(|[mae, ..]| mae));
        all.results += plain.results;
        all.labelled += plain.labelled;
        all.invalid += plain.invalid;
    }
    assert!(0 < all.invalid && all.invalid < all.labelled && all.labelled < all.results, "{all:?}");
    assert!(errors.len() > 3, "{errors:?}");
    let none = "SELECT count(accuracy), count(auc), count(brier), count(*) FILTER (WHERE kind = 'estimated') \
                FROM performance";
    assert_eq!(answered(&pipeline, none), ["0,0,0,0"], "no figure of a class, and no estimate");
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let open = listed["alerts"].as_array().expect("a list");
    let concern = open
        .iter()
        .filter(|alert| alert["group"]["class"] == "performance")
        .flat_map(|alert| alert["concerns"].as_array().expect("a list"))
        .find(|concern| concern["subject"] == "mae")
        .unwrap_or_else(|| panic!("no alarm: {listed:#}"));
    let worse = concern["value"].as_f64().expect("a number");
    assert!(errors.iter().any(|mae| (mae - 0.5 - worse).abs() < 1e-9), "{worse}: {errors:?}");
}

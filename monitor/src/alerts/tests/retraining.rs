//! Requests to train again, to a webhook and to a topic, and what holds them back.

use std::sync::{Mutex, OnceLock, Weak, mpsc};
use std::time::Duration;

use serde_json::json;

use super::*;

fn facts(rows: u64) -> Vec<ModelFacts> {
    vec![ModelFacts {
        model: "m".into(),
        rows,
        versions: json!({"1": {"rows": rows, "model_sha256": "00"}}),
        reference: json!({"1": {"id": "abc", "path": "reference.parquet"}}),
        performance: json!(null),
        data: json!({"sql": "SELECT * FROM results"}),
    }]
}

type Published = Arc<Mutex<Vec<(String, String, Vec<u8>)>>>;

fn with_topic(state: &Path, hand: &Hand, receiver: &Receiver) -> (Alerts, Published) {
    let published: Published = Arc::default();
    let sink = published.clone();
    let topic = Route {
        target: Target::Topic { topic: "retraining".into() },
        events: vec![Event::Retraining],
        ..webhook("topic", receiver)
    };
    let hook = Route { events: vec![Event::Retraining], ..webhook("hook", receiver) };
    let settings = Settings {
        publish: Some(Arc::new(move |topic: &str, key: &str, bytes: &[u8]| {
            let entry = (topic.to_owned(), key.to_owned(), bytes.to_vec());
            sink.lock().map_err(|error| error.to_string())?.push(entry);
            Ok(())
        })),
        offsets: Some(Arc::new(
            |model, start_ms, end_ms| json!({ "scores": {"0": [0, 1_000]}, "of": [model, start_ms, end_ms] }),
        )),
        ..settings(state, hand, vec![topic, hook])
    };
    (Alerts::open(settings).expect("the state opens"), published)
}

#[test]
fn drift_asks_for_training_once_by_webhook_and_topic() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let (alerts, published) = with_topic(&folder.path().join("s"), &hand, &receiver);
    for hours in 0..4 {
        alerts.judge(&window(hours, "psi", 0.3), &facts(1_000)).unwrap();
        alerts.deliver_due().unwrap();
    }
    let published = published.lock().unwrap();
    let [(topic, key, bytes)] = published.as_slice() else { panic!("{published:?}") };
    assert_eq!((topic.as_str(), key.as_str()), ("retraining", "m"));
    let received = receiver.received();
    assert_eq!(types(&received), ["retraining.requested"]);
    assert_eq!(received[0].body, *bytes, "the same bytes both ways");
    let data = &received[0].json()["data"];
    assert_eq!(data["window"]["offsets"]["scores"]["0"], json!([0, 1_000]));
    assert_eq!(data["window"]["offsets"]["of"][0], "m");
    assert_eq!(data["model"]["versions"]["1"]["model_sha256"], "00");
    assert_eq!(data["reference"]["1"]["id"], "abc");
    assert_eq!(data["columns"][0]["column"], "dep_delay");
    assert!(data.as_object().unwrap().len() <= 10 && bytes.len() < 64_000);
}

#[test]
fn others_go_on_while_offsets_are_looked_up() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let hook = Route { events: vec![Event::Retraining], ..webhook("hook", &receiver) };
    let known: Arc<OnceLock<Weak<Alerts>>> = Arc::default();
    let seen = known.clone();
    let settings = Settings {
        offsets: Some(Arc::new(move |_, _, _| {
            let alerts = seen.get().and_then(Weak::upgrade).expect("it is open");
            let (told, open) = mpsc::sync_channel(1);
            std::thread::spawn(move || told.send(alerts.open_episodes().len()));
            json!(open.recv_timeout(Duration::from_secs(5)).ok())
        })),
        ..settings(&folder.path().join("s"), &hand, vec![hook])
    };
    let alerts = Arc::new(Alerts::open(settings).unwrap());
    known.set(Arc::downgrade(&alerts)).expect("set once");
    alerts.judge(&window(0, "psi", 0.3), &facts(1_000)).unwrap();
    alerts.deliver_due().unwrap();
    let received = receiver.received();
    assert_eq!(received[0].json()["data"]["window"]["offsets"], json!(1));
}

#[test]
fn broken_data_few_rows_and_the_cool_down_hold_it_back() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let state = folder.path().join("s");
    let (alerts, published) = with_topic(&state, &hand, &receiver);
    // A null storm moves distributions, too.
    let mut both = window(0, "psi", 0.3);
    both.findings.extend(window(0, "nulls", 0.5).findings);
    alerts.judge(&both, &facts(1_000)).unwrap();
    let why = || {
        let shown = Store::beside(&state).unwrap().episodes(true).unwrap();
        let drift = shown.into_iter().find(|e| e.episode.group.class == Class::Drift);
        drift.and_then(|episode| episode.retraining).unwrap_or_default()
    };
    assert!(why().contains("data are broken"), "{}", why());
    let mut better = window(1, "psi", 0.3);
    better.findings.extend(window(1, "nulls", 0.0).findings);
    alerts.judge(&better, &facts(5)).unwrap();
    assert!(why().contains("too few rows"), "{}", why());
    alerts.judge(&window(2, "psi", 0.3), &facts(1_000)).unwrap();
    assert_eq!(why(), "requested");
    // The next episode comes too soon after.
    alerts.judge(&window(3, "psi", 0.0), &facts(1_000)).unwrap();
    hand.forward(HOUR_MS);
    alerts.judge(&window(4, "psi", 0.3), &facts(1_000)).unwrap();
    assert!(why().contains("the last request was less than 168 h ago"), "{}", why());
    hand.forward(7 * 24 * HOUR_MS);
    alerts.judge(&window(5, "psi", 0.3), &facts(1_000)).unwrap();
    alerts.deliver_due().unwrap();
    assert_eq!(published.lock().unwrap().len(), 2);
}

#[test]
fn a_step_against_the_previous_hours_is_no_reason_to_train() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let hook = Route { events: vec![Event::Retraining], ..webhook("hook", &receiver) };
    let previous = Rule { reference: Reference::Previous, ..rule("psi", Measure::Psi) };
    let state = folder.path().join("s");
    let settings = Settings { rules: vec![previous], ..settings(&state, &hand, vec![hook]) };
    let alerts = Alerts::open(settings).unwrap();
    alerts.judge(&window(0, "psi", 0.9), &facts(1_000)).unwrap();
    alerts.deliver_due().unwrap();
    assert_eq!(receiver.received().len(), 0);
}

#[test]
fn a_note_beside_an_alarm_about_something_else_is_no_reason_to_train() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let hook = Route { events: vec![Event::Retraining], ..webhook("hook", &receiver) };
    let step = Rule { reference: Reference::Previous, ..rule("step", Measure::Psi) };
    let shape = Rule { severity: Severity::Info, ..rule("shape", Measure::Psi) };
    let rules = vec![step, shape, rule("psi", Measure::Psi)];
    let settings = settings(&folder.path().join("s"), &hand, vec![hook]);
    let alerts = Alerts::open(Settings { rules, ..settings }).unwrap();
    let mut both = window(0, "step", 0.3);
    both.findings.extend(window(0, "shape", 0.3).findings);
    alerts.judge(&both, &facts(1_000)).unwrap();
    alerts.deliver_due().unwrap();
    let episode = alerts.open_episodes().remove(0);
    assert_eq!((episode.severity, episode.subjects), (Severity::Warning, 2));
    assert_eq!(receiver.received().len(), 0);
    // The same episode, once the drift itself is an alarm.
    alerts.judge(&window(1, "psi", 0.3), &facts(1_000)).unwrap();
    alerts.deliver_due().unwrap();
    assert_eq!(types(&receiver.received()), ["retraining.requested"]);
}

#[test]
fn a_route_to_a_topic_needs_a_way_to_it() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let target = Target::Topic { topic: "retraining".into() };
    let route = Route { target, ..webhook("topic", &receiver) };
    let opened = Alerts::open(settings(&folder.path().join("s"), &hand, vec![route]));
    assert!(matches!(opened, Err(AlertsError::NoPublish(name)) if name == "topic"));
}

//! Fired, upgraded, resolved; silences, acknowledgements, heartbeats, restarts and lost state.

use super::*;
use crate::state::Silence;

fn silence(hand: &Hand, subject: &str, ms: i64) -> Silence {
    Silence {
        id: 0,
        model: String::new(),
        class: String::new(),
        rule: String::new(),
        subject: subject.into(),
        until_ms: hand.now() + ms,
        created_ms: hand.now(),
        created_by: "test".into(),
        reason: "deploy\n\u{1b}[31m".into(),
    }
}

#[test]
fn an_episode_is_told_once_and_ends_once_across_restarts() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let state = folder.path().join("alerts.db");
    for (hours, value) in [(0, 0.0), (1, 0.3), (2, 0.3), (3, 0.6), (4, 0.15), (5, 0.0), (6, 0.0)] {
        // A process for every window, and each window twice.
        let alerts = open(&state, &hand, vec![webhook("ops", &receiver)]);
        alerts.judge(&window(hours, "psi", value), &[]).unwrap();
        assert_eq!(alerts.judge(&window(hours, "psi", value), &[]).unwrap(), []);
        alerts.deliver_due().unwrap();
        hand.forward(HOUR_MS);
    }
    let received = receiver.received();
    assert_eq!(types(&received), ["alert.fired", "alert.upgraded", "alert.resolved"]);
    let (first, last) = (received[0].json(), received[2].json());
    assert_eq!(first["data"]["episode"], last["data"]["episode"]);
    assert_eq!(last["data"]["status"], "resolved");
    assert_eq!(received[1].json()["data"]["severity_before"], "warning");
    let store = Store::beside(&state).unwrap();
    let episode = store.episodes(true).unwrap().remove(0);
    assert_eq!((episode.state.as_str(), episode.resolved_at_ms.is_some()), ("resolved", true));
    let what: Vec<String> =
        store.history(&episode.episode.id).unwrap().into_iter().map(|line| line.what).collect();
    assert_eq!(what, ["fired", "upgraded", "resolved"]);
}

#[test]
fn a_lost_state_does_not_page_twice() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let past: Vec<JudgedWindow> =
        [0.0, 0.3, 0.3, 0.3].iter().zip(0..).map(|(v, h)| window(h, "psi", *v)).collect();
    let first = open(&folder.path().join("1"), &hand, vec![webhook("ops", &receiver)]);
    for window in &past {
        first.judge(window, &[]).unwrap();
    }
    first.deliver_due().unwrap();
    drop(first);
    // The volume is gone. Past windows come again, what fires is told, and a window in doubt changes nothing.
    let second = open(&folder.path().join("2"), &hand, vec![webhook("ops", &receiver)]);
    let taken = || {
        let mut taken = second.past().unwrap().expect("the state is new");
        past.iter().for_each(|window| taken.take(window));
        taken
    };
    let (once, twice) = (taken(), taken());
    assert_eq!(second.restore(once).unwrap().len(), 1);
    assert_eq!(second.restore(twice).unwrap(), [], "once");
    assert!(second.past().unwrap().is_none());
    assert_eq!(second.judge(&past[3], &[]).unwrap(), []);
    second.deliver_due().unwrap();
    second.judge(&window(4, "psi", 0.0), &[]).unwrap();
    second.deliver_due().unwrap();
    let received = receiver.received();
    assert_eq!(types(&received), ["alert.fired", "alert.fired", "alert.resolved"]);
    let ids = ids(&received);
    assert_eq!(ids[0], ids[1], "the receiver drops the second one by its id");
    assert_eq!(received[0].body.len(), received[1].body.len());
}

#[test]
fn a_lost_state_is_made_again_behind_a_look_at_the_clock_whose_alarm_stays() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let mut settings = settings(&folder.path().join("s"), &hand, vec![webhook("ops", &receiver)]);
    settings.rules.push(rule("down", Measure::HopDown));
    let alerts = Alerts::open(settings).unwrap();
    let look = JudgedWindow { time: Time::Wall, ..window(0, "down", 300.0) };
    assert_eq!(alerts.judge(&look, &[]).unwrap().len(), 1);
    let mut past = alerts.past().unwrap().expect("no window of data was taken in");
    past.take(&window(0, "psi", 0.3));
    assert_eq!(alerts.restore(past).unwrap().len(), 1);
    assert!(alerts.past().unwrap().is_none());
    let classes: Vec<Class> =
        alerts.open_episodes().into_iter().map(|episode| episode.group.class).collect();
    assert_eq!(classes, [Class::Drift, Class::Service]);
}

#[test]
fn a_lost_state_tells_an_upgrade_as_one_and_holds_what_is_silenced_back() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let past: Vec<JudgedWindow> =
        [0.3, 0.3, 0.6].iter().zip(0..).map(|(v, h)| window(h, "psi", *v)).collect();
    let first = open(&folder.path().join("1"), &hand, vec![webhook("ops", &receiver)]);
    for window in &past {
        first.judge(window, &[]).unwrap();
    }
    first.deliver_due().unwrap();
    let restored = |name: &str, silenced: bool| {
        let state = folder.path().join(name);
        let alerts = open(&state, &hand, vec![webhook("ops", &receiver)]);
        let mut beside = Store::beside(&state).unwrap();
        if silenced {
            beside.silence(&silence(&hand, "", HOUR_MS)).unwrap();
        }
        let mut taken = alerts.past().unwrap().expect("the state is new");
        past.iter().for_each(|window| taken.take(window));
        assert_eq!(alerts.restore(taken).unwrap().len(), 1);
        alerts.deliver_due().unwrap();
        (alerts, beside)
    };
    let _quiet = restored("2", true);
    let heard = ["alert.fired", "alert.upgraded"];
    assert_eq!(types(&receiver.received()), heard, "a silence covers it");
    let _again = restored("3", false);
    let received = receiver.received();
    assert_eq!(types(&received), [heard[0], heard[1], heard[1]]);
    let ids = ids(&received);
    assert_eq!(ids[1], ids[2], "the receiver drops the second one by its id");
}

#[test]
fn a_silence_holds_back_and_what_still_fires_is_told_at_its_end() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let state = folder.path().join("s");
    let alerts = open(&state, &hand, vec![webhook("ops", &receiver)]);
    // Another process, as the command line is.
    let mut beside = Store::beside(&state).unwrap();
    let number = beside.silence(&silence(&hand, "dep_*", HOUR_MS)).unwrap();
    alerts.judge(&window(0, "psi", 0.3), &[]).unwrap();
    alerts.tick().unwrap();
    alerts.deliver_due().unwrap();
    assert_eq!(receiver.received().len(), 0);
    assert_eq!(beside.silences(hand.now()).unwrap()[0].reason, "deploy  [31m");
    assert!(beside.episodes(false).unwrap()[0].silenced);
    // One that ends while silenced is never told.
    alerts.judge(&window(1, "psi", 0.0), &[]).unwrap();
    alerts.deliver_due().unwrap();
    assert_eq!(receiver.received().len(), 0);
    // One that outlasts it is.
    alerts.judge(&window(2, "psi", 0.3), &[]).unwrap();
    beside.unsilence(number, hand.now()).unwrap();
    assert!(beside.unsilence(number, hand.now()).is_err(), "once");
    alerts.tick().unwrap();
    alerts.tick().unwrap();
    alerts.deliver_due().unwrap();
    assert_eq!(types(&receiver.received()), ["alert.fired"]);
    // Silenced after it was told: the resolve still arrives.
    beside.silence(&silence(&hand, "", HOUR_MS)).unwrap();
    alerts.judge(&window(3, "psi", 0.0), &[]).unwrap();
    alerts.deliver_due().unwrap();
    assert_eq!(types(&receiver.received()), ["alert.fired", "alert.resolved"]);
}

/// The severity of each alert of the newest request to an Alertmanager, and whether it lasts.
fn newest(receiver: &Receiver, hand: &Hand) -> Vec<(String, bool)> {
    let request = receiver.received().pop().expect("a request").json();
    let alerts = request.as_array().expect("a list").iter();
    let shown = alerts.map(|alert| {
        let ends = alert["endsAt"].as_str().expect("a text");
        let ends: jiff::Timestamp = ends.parse().expect("a time");
        let severity = alert["labels"]["severity"].as_str().expect("a text");
        (severity.to_owned(), ends.as_millisecond() > hand.now())
    });
    shown.collect()
}

#[test]
fn what_gets_worse_under_a_silence_is_not_over_at_alertmanager() {
    let alert = |severity: &str, lasts: bool| (severity.to_owned(), lasts);
    for outlasts in [false, true] {
        let (folder, hand, receiver) =
            (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
        let target = Target::Alertmanager { url: Secret::new(receiver.url("")), headers: vec![] };
        let state = folder.path().join("s");
        let route = Route { target, ..webhook("am", &receiver) };
        let alerts = open(&state, &hand, vec![route]);
        // What is due is told, and told again, so that the next request is the next news.
        let minutes = |minutes: i64| {
            pass(&alerts, &hand, minutes);
            alerts.deliver_due().unwrap();
            receiver.received().len()
        };
        alerts.judge(&window(0, "psi", 0.3), &[]).unwrap();
        let before = minutes(2);
        let mut beside = Store::beside(&state).unwrap();
        let number = beside.silence(&silence(&hand, "", HOUR_MS)).unwrap();
        alerts.judge(&window(1, "psi", 0.9), &[]).unwrap();
        assert!(beside.episodes(false).unwrap()[0].silenced);
        assert!(minutes(5) >= before + 4, "told again every minute");
        assert_eq!(newest(&receiver, &hand), [alert("warning", true)]);
        let told = if outlasts { "critical" } else { "warning" };
        if outlasts {
            beside.unsilence(number, hand.now()).unwrap();
            alerts.tick().unwrap();
            alerts.deliver_due().unwrap();
            let both = [alert("warning", false), alert("critical", true)];
            assert_eq!(newest(&receiver, &hand), both);
            minutes(2);
            assert_eq!(newest(&receiver, &hand), [alert("critical", true)]);
        }
        alerts.judge(&window(2, "psi", 0.0), &[]).unwrap();
        alerts.deliver_due().unwrap();
        assert_eq!(newest(&receiver, &hand), [alert(told, false)]);
        let ended = receiver.received().len();
        assert_eq!(minutes(5), ended, "over");
    }
}

#[test]
fn what_was_never_told_is_not_told_again_under_a_silence() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let target = Target::Alertmanager { url: Secret::new(receiver.url("")), headers: vec![] };
    let state = folder.path().join("s");
    let alerts = open(&state, &hand, vec![Route { target, ..webhook("am", &receiver) }]);
    Store::beside(&state).unwrap().silence(&silence(&hand, "", HOUR_MS)).unwrap();
    for (hours, value) in [(0, 0.3), (1, 0.9)] {
        alerts.judge(&window(hours, "psi", value), &[]).unwrap();
        pass(&alerts, &hand, 3);
    }
    assert_eq!(receiver.received().len(), 0);
}

#[test]
fn an_acknowledgement_from_beside_reaches_who_heard() {
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let (ops, other) = (Receiver::fine(), Receiver::fine());
    let state = folder.path().join("s");
    let strict = Route { min_severity: Severity::Critical, ..webhook("strict", &other) };
    let alerts = open(&state, &hand, vec![webhook("ops", &ops), strict]);
    alerts.judge(&window(0, "psi", 0.3), &[]).unwrap();
    let mut beside = Store::beside(&state).unwrap();
    let id = alerts.open_episodes()[0].id.clone();
    beside.acknowledge(&id[..6], "eve\n", "flights", hand.now()).unwrap();
    alerts.deliver_due().unwrap();
    alerts.judge(&window(1, "psi", 0.0), &[]).unwrap();
    alerts.deliver_due().unwrap();
    assert_eq!(types(&ops.received()), ["alert.fired", "alert.acknowledged", "alert.resolved"]);
    assert_eq!(other.received().len(), 0, "below its severity");
    assert!(beside.acknowledge(&id, "eve", "flights", 0).is_err(), "over");
    assert!(beside.acknowledge("ffff", "eve", "flights", 0).is_err(), "none");
    assert_eq!(beside.episode(&id).unwrap().acknowledged_by.as_deref(), Some("eve "));
}

#[test]
fn heartbeats_come_at_their_interval_and_do_not_pile_up() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let beat = Route { events: vec![Event::Heartbeat], ..webhook("beat", &receiver) };
    let alerts = open(&folder.path().join("s"), &hand, vec![beat]);
    let run = |minutes: i64| {
        for _ in 0..minutes * 6 {
            alerts.tick().unwrap();
            alerts.deliver_due().unwrap();
            hand.forward(TICK_MS);
        }
    };
    run(20);
    assert_eq!(receiver.received().len(), 4, "every five minutes");
    receiver.then_answer(Answer::Status(503, "", ""));
    run(60);
    assert_eq!(alerts.outbox().unwrap().waiting, 1);
    receiver.then_answer(FINE);
    let before = receiver.received().len();
    run(5);
    assert!(receiver.received().len() - before <= 2);
}

#[test]
fn the_second_monitor_is_refused_by_name() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let state = folder.path().join("s");
    let first = open(&state, &hand, vec![webhook("ops", &receiver)]);
    let Err(error) = Alerts::open(settings(&state, &hand, vec![])) else { panic!("it opened") };
    let said = error.to_string();
    assert!(said.contains("held by a (host here"), "{said}");
    drop(first);
    open(&state, &hand, vec![]);
}

#[test]
fn a_state_that_cannot_be_written_takes_nothing_and_loses_nothing() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let state = folder.path().join("s");
    let alerts = open(&state, &hand, vec![webhook("ops", &receiver)]);
    let full = |yes: bool| {
        let inner = alerts.lock();
        inner.store.limit_pages(if yes { 1 } else { 1 << 20 });
    };
    full(true);
    let error = alerts.judge(&big(0), &[]).unwrap_err();
    assert!(error.to_string().contains("is full"), "{error}");
    assert_eq!(alerts.outbox().unwrap().waiting, 0);
    full(false);
    assert_eq!(alerts.judge(&big(0), &[]).unwrap().len(), 1, "the same window again");
    alerts.deliver_due().unwrap();
    assert_eq!(types(&receiver.received()), ["alert.fired"]);
}

/// A window that does not fit into the file's free pages.
fn big(hours: i64) -> JudgedWindow {
    let mut window = window(hours, "psi", 0.3);
    let one = window.findings[0].clone();
    window.findings = (0..300)
        .map(|n| {
            let mut found = one.clone();
            found.of.subject = format!("column {n}");
            found.reason = "long ".repeat(80);
            found
        })
        .collect();
    window
}

#[test]
fn rules_that_are_gone_end_their_episodes() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let state = folder.path().join("s");
    let alerts = open(&state, &hand, vec![webhook("ops", &receiver)]);
    alerts.judge(&window(0, "psi", 0.3), &[]).unwrap();
    alerts.deliver_due().unwrap();
    drop(alerts);
    let fewer = Settings {
        rules: vec![rule("nulls", Measure::NullShare)],
        ..settings(&state, &hand, vec![webhook("ops", &receiver)])
    };
    let alerts = Alerts::open(fewer).unwrap();
    alerts.deliver_due().unwrap();
    assert_eq!(types(&receiver.received()), ["alert.fired", "alert.resolved"]);
    assert_eq!(alerts.open_episodes(), []);
    drop(alerts);
    // The rule is back: what fired before it went is no breach of now.
    let alerts = open(&state, &hand, vec![webhook("ops", &receiver)]);
    assert_eq!(alerts.judge(&window(1, "psi", 0.15), &[]).unwrap(), []);
    assert_eq!(alerts.judge(&window(2, "psi", 0.3), &[]).unwrap().len(), 1);
}

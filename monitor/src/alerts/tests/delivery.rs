//! Receivers that fail, for an hour of simulated time and longer; order; falling over.

use super::*;

pub(super) fn then(route: Route, name: &str) -> Route {
    Route { then: Some(name.into()), ..route }
}

/// A route that only takes over.
pub(super) fn fallback(name: &str, receiver: &Receiver) -> Route {
    Route { events: vec![], ..webhook(name, receiver) }
}

fn fire_and_resolve(alerts: &Alerts, hours: i64) {
    alerts.judge(&window(hours, "psi", 0.3), &[]).unwrap();
    alerts.judge(&window(hours + 1, "psi", 0.0), &[]).unwrap();
}

/// Without repeats.
fn distinct(ids: Vec<String>) -> Vec<String> {
    ids.into_iter().fold(vec![], |mut seen, id| {
        if !seen.contains(&id) {
            seen.push(id);
        }
        seen
    })
}

#[test]
fn a_receiver_that_is_down_for_an_hour_hears_everything_in_order() {
    for bad in [
        Answer::Status(500, "", "no"),
        Answer::Status(429, "retry-after: 30\r\n", ""),
        Answer::Status(301, "location: /elsewhere\r\n", ""),
        Answer::Cut,
    ] {
        let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
        let receiver = Receiver::start([], bad.clone());
        let alerts = open(&folder.path().join("s"), &hand, vec![webhook("ops", &receiver)]);
        fire_and_resolve(&alerts, 0);
        pass(&alerts, &hand, 60);
        let tries = receiver.received();
        assert_eq!(distinct(ids(&tries)).len(), 1, "{bad:?}: the resolve never overtakes");
        assert!((10..=20).contains(&tries.len()), "{bad:?}: {} tries", tries.len());
        assert_eq!(alerts.outbox().unwrap().waiting, 2);
        receiver.then_answer(FINE);
        pass(&alerts, &hand, 6);
        let heard = &receiver.received()[tries.len()..];
        assert_eq!(types(heard), ["alert.fired", "alert.resolved"], "{bad:?}");
        assert_eq!(alerts.outbox().unwrap().waiting, 0);
    }
}

#[test]
fn what_is_never_taken_is_dead_after_a_day_and_shown() {
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let receiver = Receiver::start([], Answer::Status(403, "", "wrong token"));
    let state = folder.path().join("s");
    let alerts = open(&state, &hand, vec![webhook("ops", &receiver)]);
    alerts.judge(&window(0, "psi", 0.3), &[]).unwrap();
    for _ in 0..25 * 12 {
        alerts.deliver_due().unwrap();
        hand.forward(5 * 60_000);
    }
    assert_eq!(alerts.outbox().unwrap(), Outbox { waiting: 0, dead: 1 });
    let dead = Store::beside(&state).unwrap().dead().unwrap();
    assert_eq!((dead[0].route.as_str(), dead[0].kind.as_str()), ("ops", "alert.fired"));
    assert!(dead[0].error.contains("403") && dead[0].error.contains("wrong token"), "{dead:?}");
    // Nobody heard of it, so nobody is told that it is over.
    alerts.judge(&window(1, "psi", 0.0), &[]).unwrap();
    assert_eq!(alerts.outbox().unwrap().waiting, 0);
}

#[test]
fn the_next_route_takes_over_within_nine_minutes_and_hears_the_resolve() {
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let (down, up) = (Receiver::start([], Answer::Status(403, "", "")), Receiver::fine());
    let routes = vec![then(webhook("ops", &down), "boss"), fallback("boss", &up)];
    let alerts = open(&folder.path().join("s"), &hand, routes);
    alerts.judge(&window(0, "psi", 0.3), &[]).unwrap();
    pass(&alerts, &hand, 8);
    assert_eq!((down.received().len(), up.received().len()), (5, 0));
    pass(&alerts, &hand, 1);
    assert_eq!((down.received().len(), types(&up.received())), (6, vec!["alert.fired".into()]));
    assert_eq!(ids(&up.received())[0], ids(&down.received())[0], "the same message");
    alerts.judge(&window(1, "psi", 0.0), &[]).unwrap();
    pass(&alerts, &hand, 1);
    assert_eq!(types(&up.received()), ["alert.fired", "alert.resolved"]);
    assert_eq!(down.received().len(), 6, "it never heard of it");
    assert_eq!(alerts.outbox().unwrap(), Outbox::default());
}

#[test]
fn a_resolve_that_waits_behind_its_trigger_falls_over_with_it() {
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let (down, up) = (Receiver::start([], Answer::Status(500, "", "")), Receiver::fine());
    let routes = vec![then(webhook("ops", &down), "boss"), fallback("boss", &up)];
    let alerts = open(&folder.path().join("s"), &hand, routes);
    fire_and_resolve(&alerts, 0);
    pass(&alerts, &hand, 9);
    assert_eq!(types(&up.received()), ["alert.fired", "alert.resolved"]);
    // After a 500 it may have heard of it: it is told that it is over, too.
    down.then_answer(FINE);
    pass(&alerts, &hand, 6);
    assert_eq!(types(&down.received()).last().map(String::as_str), Some("alert.resolved"));
}

/// PagerDuty knows a model and class by one key: a late resolve would end what fires by then.
#[test]
fn a_resolve_that_is_late_does_not_come_behind_the_next_episode() {
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let slow = [FINE, Answer::Status(429, "retry-after: 600\r\n", "")];
    let receiver = Receiver::start(slow, FINE);
    let alerts = open(&folder.path().join("s"), &hand, vec![webhook("ops", &receiver)]);
    for (hours, value) in [(0, 0.3), (1, 0.0), (2, 0.6)] {
        alerts.judge(&window(hours, "psi", value), &[]).unwrap();
        pass(&alerts, &hand, 1);
    }
    pass(&alerts, &hand, 12);
    let expected = ["alert.fired", "alert.resolved", "alert.resolved", "alert.fired"];
    assert_eq!(types(&receiver.received()), expected);
}

#[test]
fn what_falls_over_is_not_told_to_one_who_is_past_it() {
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let (down, up) = (Receiver::start([], Answer::Status(403, "", "")), Receiver::fine());
    let boss = Route { min_severity: Severity::Critical, ..webhook("boss", &up) };
    let routes = vec![then(webhook("ops", &down), "boss"), boss];
    let alerts = open(&folder.path().join("s"), &hand, routes);
    // It becomes critical, of which the second route hears by itself, and ends.
    for (hours, value) in [(0, 0.3), (1, 0.6), (2, 0.0)] {
        alerts.judge(&window(hours, "psi", value), &[]).unwrap();
    }
    pass(&alerts, &hand, 10);
    assert_eq!(types(&up.received()), ["alert.upgraded", "alert.resolved"]);
    assert_eq!(alerts.outbox().unwrap().dead, 0);
}

#[test]
fn gone_means_gone_until_the_route_leads_elsewhere() {
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let (gone, up) = (Receiver::start([], Answer::Status(410, "", "")), Receiver::fine());
    let state = folder.path().join("s");
    let routes = || vec![then(webhook("ops", &gone), "boss"), fallback("boss", &up)];
    let alerts = open(&state, &hand, routes());
    fire_and_resolve(&alerts, 0);
    fire_and_resolve(&alerts, 2);
    pass(&alerts, &hand, 1);
    assert_eq!(gone.received().len(), 1, "asked once");
    assert_eq!(types(&up.received()).len(), 4, "everything went to the next route at once");
    drop(alerts);
    let back = Receiver::fine();
    let alerts = open(&state, &hand, vec![webhook("ops", &back)]);
    alerts.judge(&window(4, "psi", 0.3), &[]).unwrap();
    alerts.deliver_due().unwrap();
    assert_eq!(types(&back.received()), ["alert.fired"]);
}

#[test]
fn an_alertmanager_that_is_gone_is_not_told_again() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let target = Target::Alertmanager { url: Secret::new(receiver.url("/am")), headers: vec![] };
    let route = Route { target, ..webhook("am", &receiver) };
    let alerts = open(&folder.path().join("s"), &hand, vec![route]);
    alerts.judge(&window(0, "psi", 0.3), &[]).unwrap();
    pass(&alerts, &hand, 3);
    let heard = receiver.received().len();
    assert!(heard > 1, "told again every minute: {heard}");
    receiver.then_answer(Answer::Status(410, "", ""));
    pass(&alerts, &hand, 5);
    assert_eq!(receiver.received().len(), heard + 1, "asked once");
}

#[test]
fn what_waits_for_a_route_that_is_gone_is_shown_as_dead() {
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let (down, up) = (Receiver::start([], Answer::Status(500, "", "")), Receiver::fine());
    let state = folder.path().join("s");
    let alerts = open(&state, &hand, vec![webhook("old", &down)]);
    alerts.judge(&window(0, "psi", 0.3), &[]).unwrap();
    alerts.deliver_due().unwrap();
    drop(alerts);
    let alerts = open(&state, &hand, vec![webhook("new", &up)]);
    assert_eq!(alerts.outbox().unwrap(), Outbox { waiting: 0, dead: 1 });
    let error = Store::beside(&state).unwrap().dead().unwrap().remove(0).error;
    assert_eq!(error, "the route is not configured any more");
}

#[test]
fn one_receiver_that_hangs_holds_nobody_up() {
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let slow = Receiver::start([], Answer::Hang(std::time::Duration::from_secs(5)));
    let quick = Receiver::fine();
    let routes = vec![webhook("slow", &slow), webhook("quick", &quick)];
    let alerts = open(&folder.path().join("s"), &hand, routes);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| alerts.run_deliveries());
        let started = std::time::Instant::now();
        alerts.judge(&window(0, "psi", 0.3), &[]).unwrap();
        while quick.received().is_empty() && started.elapsed().as_secs() < 20 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let took = started.elapsed();
        alerts.end_deliveries();
        running.join().expect("no panic").expect("no error");
        assert!(took.as_secs() < 4, "told at once, not after the slow one: {took:?}");
    });
}

#[test]
fn alertmanager_is_told_again_until_it_is_over() {
    let (folder, hand, receiver) =
        (tempfile::tempdir().unwrap(), Hand::at(NOON_MS), Receiver::fine());
    let target = Target::Alertmanager { url: Secret::new(receiver.url("")), headers: vec![] };
    let route = Route { target, ..webhook("am", &receiver) };
    let alerts = open(&folder.path().join("s"), &hand, vec![route]);
    alerts.judge(&window(0, "psi", 0.3), &[]).unwrap();
    pass(&alerts, &hand, 10);
    let told = receiver.received();
    assert!((10..=11).contains(&told.len()), "{}", told.len());
    assert!(told.iter().all(|one| one.path == "/api/v2/alerts"));
    let labels: Vec<String> = told.iter().map(|one| one.json()[0]["labels"].to_string()).collect();
    assert!(labels.windows(2).all(|pair| pair[0] == pair[1]));
    alerts.judge(&window(1, "psi", 0.0), &[]).unwrap();
    pass(&alerts, &hand, 10);
    assert_eq!(receiver.received().len(), told.len() + 1, "one resolve and then nothing");
}

#[test]
fn a_clock_that_goes_back_delays_nothing_for_long() {
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let receiver = Receiver::start([Answer::Status(500, "", "")], FINE);
    let alerts = open(&folder.path().join("s"), &hand, vec![webhook("ops", &receiver)]);
    alerts.judge(&window(0, "psi", 0.3), &[]).unwrap();
    alerts.deliver_due().unwrap();
    hand.forward(-30 * 24 * HOUR_MS);
    alerts.tick().unwrap();
    pass(&alerts, &hand, 1);
    assert_eq!(receiver.received().len(), 2);
}

//! What receivers ask for and cannot say; what reaches the end of three routes.

use super::delivery::{fallback, then};
use super::*;

const ALONE: Answer = Answer::Status(429, "retry-after: 900\r\n", "");

#[test]
fn who_wants_to_be_left_alone_is_so_by_every_message() {
    for (header, wait_ms) in
        [("retry-after: 60\r\n", 60_000), ("retry-after: 86400\r\n", 15 * 60_000)]
    {
        let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
        let receiver = Receiver::start([Answer::Status(429, header, "")], FINE);
        let alerts = open(&folder.path().join("s"), &hand, vec![webhook("ops", &receiver)]);
        alerts.judge(&window(0, "psi", 0.3), &[]).unwrap();
        alerts.deliver_due().unwrap();
        // Of another group, so that it need not wait behind the first.
        alerts.judge(&window(0, "nulls", 0.5), &[]).unwrap();
        hand.forward(wait_ms - 1);
        alerts.deliver_due().unwrap();
        assert_eq!(receiver.received().len(), 1, "{header}");
        hand.forward(1);
        alerts.deliver_due().unwrap();
        assert_eq!(receiver.received().len(), 3, "{header}");
        assert_eq!(alerts.outbox().unwrap(), Outbox::default());
    }
}

#[test]
fn a_receiver_that_is_left_alone_does_not_hold_up_the_next_route() {
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let (busy, up) = (Receiver::start([], ALONE), Receiver::fine());
    let routes = vec![then(webhook("ops", &busy), "boss"), fallback("boss", &up)];
    let alerts = open(&folder.path().join("s"), &hand, routes);
    alerts.judge(&window(0, "psi", 0.3), &[]).unwrap();
    alerts.deliver_due().unwrap();
    alerts.judge(&window(0, "nulls", 0.5), &[]).unwrap();
    pass(&alerts, &hand, 8);
    assert_eq!((busy.received().len(), up.received().len()), (1, 0));
    pass(&alerts, &hand, 1);
    // The one that was answered, and the one that was not even said.
    assert_eq!((busy.received().len(), up.received().len()), (1, 2));
    let received = up.received();
    let mut classes: Vec<_> =
        received.iter().map(|one| one.json()["data"]["class"].to_string()).collect();
    classes.sort();
    assert_eq!(classes, ["\"drift\"", "\"quality\""]);
}

#[test]
fn what_a_route_cannot_say_goes_to_the_next_one_or_is_dead() {
    for next in [true, false] {
        let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
        let (gone, up) = (Receiver::start([], Answer::Status(410, "", "")), Receiver::fine());
        let topic = Route {
            target: Target::Topic { topic: "retraining".into() },
            then: next.then(|| "boss".into()),
            ..fallback("topic", &up)
        };
        let routes = vec![then(webhook("ops", &gone), "topic"), topic, fallback("boss", &up)];
        let state = folder.path().join("s");
        let settings = Settings {
            publish: Some(Arc::new(|_: &str, _: &str, _: &[u8]| Ok(()))),
            ..settings(&state, &hand, routes)
        };
        let alerts = Alerts::open(settings).unwrap();
        alerts.judge(&window(0, "psi", 0.3), &[]).unwrap();
        alerts.deliver_due().unwrap();
        assert_eq!(up.received().len(), usize::from(next));
        let dead = Store::beside(&state).unwrap().dead().unwrap();
        let dead: Vec<_> =
            dead.iter().map(|one| (one.route.as_str(), one.error.as_str())).collect();
        let said = ("topic", "a receiver of kind kafka has no message alert.fired");
        assert_eq!(dead, if next { vec![] } else { vec![said] });
    }
}

#[test]
fn an_acknowledgement_that_a_receiver_has_no_form_for_is_nothing_lost() {
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let receiver = Receiver::fine();
    let target = Target::Alertmanager { url: Secret::new(receiver.url("/am")), headers: vec![] };
    let route = Route { target, ..webhook("am", &receiver) };
    let state = folder.path().join("s");
    let alerts = open(&state, &hand, vec![route]);
    alerts.judge(&window(0, "psi", 0.3), &[]).unwrap();
    let id = alerts.open_episodes()[0].id.clone();
    Store::beside(&state).unwrap().acknowledge(&id, "eve", "flights", hand.now()).unwrap();
    alerts.deliver_due().unwrap();
    assert_eq!((receiver.received().len(), alerts.outbox().unwrap()), (1, Outbox::default()));
}

#[test]
fn a_trigger_that_comes_over_three_routes_is_not_told_after_what_is_worse() {
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let (gone, up) = (Receiver::start([], Answer::Status(410, "", "")), Receiver::fine());
    let boss = Route { min_severity: Severity::Critical, ..webhook("boss", &up) };
    let routes =
        vec![then(webhook("ops", &gone), "more"), then(fallback("more", &gone), "boss"), boss];
    let alerts = open(&folder.path().join("s"), &hand, routes);
    for (hours, value) in [(0, 0.3), (1, 0.6)] {
        alerts.judge(&window(hours, "psi", value), &[]).unwrap();
    }
    pass(&alerts, &hand, 1);
    assert_eq!(types(&up.received()), ["alert.upgraded"]);
    assert_eq!(alerts.outbox().unwrap(), Outbox::default());
}

/// PagerDuty knows a model and class by one key: the end of the last incident would end this one.
#[test]
fn an_episode_that_is_over_does_not_come_behind_the_next_one() {
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let (down, up) = (Receiver::start([], Answer::Status(403, "", "")), Receiver::fine());
    let boss = Route { min_severity: Severity::Critical, ..webhook("boss", &up) };
    let state = folder.path().join("s");
    let alerts = open(&state, &hand, vec![then(webhook("ops", &down), "boss"), boss]);
    // The second episode is critical, of which the second route hears by itself.
    alerts.judge(&window(0, "psi", 0.3), &[]).unwrap();
    let first = alerts.open_episodes()[0].id.clone();
    for (hours, value) in [(1, 0.0), (2, 0.6)] {
        alerts.judge(&window(hours, "psi", value), &[]).unwrap();
    }
    pass(&alerts, &hand, 20);
    assert_eq!(types(&up.received()), ["alert.fired"]);
    assert_eq!(up.received()[0].json()["data"]["severity"], "critical");
    assert_eq!(alerts.outbox().unwrap(), Outbox::default());
    let deliveries = Store::beside(&state).unwrap().deliveries(&first).unwrap();
    let at_boss: Vec<_> = deliveries
        .iter()
        .filter(|one| one.route == "boss")
        .map(|one| (one.kind.as_str(), one.state.as_str(), one.error.as_str()))
        .collect();
    let why = "this route knows a later episode of the model and class";
    assert_eq!(at_boss, [("alert.fired", "skipped", why), ("alert.resolved", "skipped", why)]);
    // The next one ends as it does without all that.
    alerts.judge(&window(3, "psi", 0.0), &[]).unwrap();
    pass(&alerts, &hand, 1);
    assert_eq!(types(&up.received()), ["alert.fired", "alert.resolved"]);
}

/// What it has had by itself is not taken from it when the route before it hands it on.
#[test]
fn a_resolve_of_ones_own_stays_though_the_next_episode_waits() {
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let down = Receiver::start([], Answer::Status(410, "", ""));
    let up = Receiver::start([FINE, Answer::Status(429, "retry-after: 60\r\n", "")], FINE);
    // The second in line is served first.
    let routes = vec![webhook("boss", &up), then(webhook("ops", &down), "boss")];
    let alerts = open(&folder.path().join("s"), &hand, routes);
    for (hours, value) in [(0, 0.3), (1, 0.0), (2, 0.6)] {
        alerts.judge(&window(hours, "psi", value), &[]).unwrap();
    }
    pass(&alerts, &hand, 2);
    let expected = ["alert.fired", "alert.resolved", "alert.resolved", "alert.fired"];
    assert_eq!(types(&up.received()), expected);
    assert_eq!(alerts.outbox().unwrap(), Outbox::default());
}

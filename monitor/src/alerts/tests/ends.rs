//! A thread of alerting that panics: nothing goes on without it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::time::Duration;

use super::*;

/// Alerts whose clock panics where `breaks` says so.
fn with_clock(
    folder: &Path,
    routes: Vec<Route>,
    breaks: impl Fn() -> bool + Send + Sync + 'static,
) -> Alerts {
    let hand = Hand::at(NOON_MS);
    let clock = hand.clock();
    let settings = Settings {
        clock: Arc::new(move || {
            assert!(!breaks(), "injected");
            clock()
        }),
        ..settings(&folder.join("s"), &hand, routes)
    };
    Alerts::open(settings).expect("the state opens")
}

#[test]
fn a_courier_that_panics_ends_all_of_them_at_once() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::fine());
    for bad in ["first", "second", "third"] {
        let routes = ["first", "second", "third"].map(|name| webhook(name, &receiver));
        let folder = folder.path().join(bad);
        let breaks = move || {
            std::thread::current().name().is_some_and(|name| name == format!("tg-to-{bad}"))
        };
        let alerts = with_clock(&folder, routes.to_vec(), breaks);
        let (told, ended) = mpsc::sync_channel(1);
        let result = std::thread::scope(|scope| {
            scope.spawn(|| told.send(alerts.run_deliveries()));
            let result = ended.recv_timeout(Duration::from_secs(20));
            // Whatever came of it, the scope waits for the couriers.
            alerts.end_deliveries();
            result
        });
        let error = result.expect("it ended by itself").expect_err("it panicked").to_string();
        assert!(error.contains(bad) && error.contains("panicked"), "{error}");
        // Those that tick and judge hear of it.
        assert!(matches!(alerts.tick(), Err(AlertsError::Panicked(_))));
        assert!(matches!(alerts.judge(&window(0, "psi", 0.3), &[]), Err(AlertsError::Panicked(_))));
    }
}

#[test]
fn a_tick_that_panics_ends_alerting() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::fine());
    let broken = Arc::new(AtomicBool::new(false));
    let seen = broken.clone();
    let routes = vec![webhook("ops", &receiver)];
    let alerts = with_clock(folder.path(), routes, move || seen.load(Ordering::SeqCst));
    alerts.tick().expect("the clock goes");
    broken.store(true, Ordering::SeqCst);
    catch_unwind(AssertUnwindSafe(|| alerts.tick())).expect_err("it panicked");
    broken.store(false, Ordering::SeqCst);
    for said in [
        alerts.run_deliveries().unwrap_err(),
        alerts.judge(&window(0, "psi", 0.3), &[]).unwrap_err(),
    ] {
        assert_eq!(said.to_string(), "alerting ended: the tick panicked");
    }
}

#[test]
fn deliveries_without_a_route_go_on_until_they_are_ended() {
    let folder = tempfile::tempdir().unwrap();
    let alerts = with_clock(folder.path(), vec![], || false);
    let (told, ended) = mpsc::sync_channel(1);
    std::thread::scope(|scope| {
        scope.spawn(|| told.send(alerts.run_deliveries()));
        let early = ended.recv_timeout(Duration::from_millis(200));
        alerts.end_deliveries();
        assert!(early.is_err(), "{early:?}");
        ended.recv_timeout(Duration::from_secs(20)).expect("it ended").expect("in order");
    });
}

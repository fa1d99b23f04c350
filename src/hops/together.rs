//! Rounds, pulses, ticks and deliveries of hop 3, each on a thread of its own: whichever ends first, in order, with
//! an error or by a panic, ends the others at once.

use std::time::Duration;

use anyhow::Context as _;
use ingest::Stop;
use monitor::alerts::{Alerts, AlertsError, TICK_MS};

/// Runs ticks, deliveries and `pulses` beside `rounds`; both go on until `over` is raised at the latest.
///
/// # Panics
/// With the panic of whoever panicked, when all have ended.
pub(super) fn together(
    alerts: &Alerts,
    over: &Stop,
    rounds: impl FnOnce() -> anyhow::Result<()>,
    pulses: impl FnOnce() -> Result<(), AlertsError> + Send,
) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        // Made before the threads: where one cannot be started, the scope waits for the others.
        let ending = Ending { alerts, over };
        let deliveries = scope.spawn(|| {
            let _ending = Ending { alerts, over };
            alerts.run_deliveries()
        });
        let ticks = scope.spawn(|| {
            let _ending = Ending { alerts, over };
            tick(alerts, over)
        });
        let pulses = scope.spawn(|| {
            let _ending = Ending { alerts, over };
            pulses()
        });
        let ended = rounds();
        drop(ending);
        let resume = |panic| std::panic::resume_unwind(panic);
        let ticked = ticks.join().unwrap_or_else(resume);
        let beaten = pulses.join().unwrap_or_else(resume);
        let delivered = deliveries.join().unwrap_or_else(resume);
        ended
            .and(ticked.map_err(Into::into))
            .and(beaten.context("judging the hops"))
            .and(delivered.context("delivering alerts"))
    })
}

/// Ends rounds, pulses, ticks and deliveries when it is dropped.
struct Ending<'a> {
    alerts: &'a Alerts,
    over: &'a Stop,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.over.raise();
        self.alerts.end_deliveries();
    }
}

/// Holds the lease, sends heartbeats and ends silences, however long a round takes.
fn tick(alerts: &Alerts, over: &Stop) -> Result<(), AlertsError> {
    loop {
        alerts.tick()?;
        if over.sleep(Duration::from_millis(TICK_MS.unsigned_abs())) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use monitor::alerts::Settings;
    use monitor::deliver::{
        Allowed, Event, GuardSettings, HttpSettings, Rendering, Route, Secret, Target,
    };
    use monitor::policy::Severity;
    use monitor::state::Holder;

    use super::*;

    fn route() -> Route {
        let url = Secret::new("https://127.0.0.1:9/");
        Route {
            name: "hook".into(),
            target: Target::Webhook { url, keys: vec![], headers: vec![] },
            events: vec![Event::Alerts],
            min_severity: Severity::Info,
            classes: vec![],
            models: vec![],
            then: None,
        }
    }

    /// Alerts whose clock panics where `breaks` says so.
    fn open(
        folder: &Path,
        routes: Vec<Route>,
        breaks: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Alerts {
        let second = Duration::from_secs(1);
        let settings = Settings {
            pipeline: "flights".into(),
            state: folder.join("s"),
            holder: Holder { instance: "a".into(), host: "here".into(), pid: std::process::id() },
            rules: vec![],
            routes,
            rendering: Rendering { link: String::new(), resend_ms: 60_000, heartbeat_ms: 300_000 },
            guards: GuardSettings { cool_down_ms: 1, min_rows: 1 },
            http: HttpSettings {
                connect_timeout: second,
                timeout: second,
                max_response_bytes: 1_024,
                allowed: Allowed::default(),
                authorities_pem: vec![],
            },
            publish: None,
            offsets: None,
            clock: Arc::new(move || {
                assert!(!breaks(), "injected");
                1_769_860_800_000_i64
            }),
        };
        Alerts::open(settings).expect("the state opens")
    }

    /// Pulses that have nothing to judge.
    fn waiting(over: &Stop) -> Result<(), AlertsError> {
        over.sleep(Duration::from_secs(20));
        Ok(())
    }

    #[test]
    fn rounds_hear_at_once_that_a_tick_or_a_delivery_has_ended() {
        // Ticks have a thread without a name.
        for (dies, routes) in [(None, vec![]), (Some("tg-to-hook"), vec![route()])] {
            let folder = tempfile::tempdir().expect("a folder");
            let armed = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&armed);
            let alerts = open(folder.path(), routes, move || {
                seen.load(Ordering::SeqCst) && std::thread::current().name() == dies
            });
            armed.store(true, Ordering::SeqCst);
            let (over, heard) = (Stop::new(), Cell::new(false));
            let rounds = || {
                heard.set(over.sleep(Duration::from_secs(20)));
                Ok(())
            };
            let pulses = || waiting(&over);
            let ended = catch_unwind(AssertUnwindSafe(|| together(&alerts, &over, rounds, pulses)));
            assert!(heard.get(), "{dies:?}: rounds went on");
            assert!(!matches!(ended, Ok(Ok(()))), "{dies:?}: the end is told");
        }
    }

    #[test]
    fn without_routes_rounds_go_on_and_end_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let alerts = open(folder.path(), vec![], || false);
        let (over, heard) = (Stop::new(), Cell::new(false));
        let rounds = || {
            heard.set(over.sleep(Duration::from_millis(300)));
            Ok(())
        };
        together(&alerts, &over, rounds, || waiting(&over)).expect("all end in order");
        assert!(!heard.get(), "nobody ended before the rounds");
    }
}

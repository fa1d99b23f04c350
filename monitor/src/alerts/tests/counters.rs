//! What is counted of deliveries that fail, on a meter of the test's own.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{
    Counter, InstrumentBuilder, InstrumentProvider, Meter, SyncInstrument,
};

use super::delivery::{fallback, then};
use super::*;

/// Totals by name and labels.
#[derive(Clone, Default)]
struct Totals(Arc<Mutex<BTreeMap<String, u64>>>);

/// A counter of this name.
struct Named {
    name: String,
    totals: Totals,
}

impl InstrumentProvider for Totals {
    fn u64_counter(&self, builder: InstrumentBuilder<'_, Counter<u64>>) -> Counter<u64> {
        let name = builder.name.replace("tidegate.alert.delivery.", "");
        Counter::new(Arc::new(Named { name, totals: self.clone() }))
    }
}

impl SyncInstrument<u64> for Named {
    fn measure(&self, more: u64, labels: &[KeyValue]) {
        let mut name = self.name.clone();
        for label in labels {
            name.push_str(&format!(" {}={}", label.key.as_str(), label.value));
        }
        let mut totals = self.totals.0.lock().expect("nobody panics with it");
        *totals.entry(name).or_default() += more;
    }
}

/// Tells of an alarm on these routes for 25 hours, six times where none takes it: what that counts.
#[track_caller]
fn check(routes: Vec<Route>, expected: &[(&str, u64)]) {
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let mut alerts = open(&folder.path().join("s"), &hand, routes);
    let totals = Totals::default();
    alerts.metrics = Metrics::new(&Meter::new(Arc::new(totals.clone())));
    alerts.judge(&window(0, "psi", 0.3), &[]).unwrap();
    for _ in 0..6 {
        alerts.deliver_due().unwrap();
        hand.forward(5 * HOUR_MS);
    }
    let totals = totals.0.lock().unwrap();
    let counted: Vec<(&str, u64)> =
        totals.iter().map(|(name, total)| (name.as_str(), *total)).collect();
    assert_eq!(counted, expected);
}

#[test]
fn failures_are_counted_by_route_and_outcome() {
    let no = Answer::Status(500, "", "no");
    let gone = || Receiver::start([], Answer::Status(410, "", ""));
    let up = Receiver::fine();

    let recovers = Receiver::start([no.clone()], FINE);
    check(
        vec![webhook("ops", &recovers)],
        &[("attempts route=ops outcome=delivered", 1), ("attempts route=ops outcome=failed", 1)],
    );
    let down = Receiver::start([], no);
    check(
        vec![webhook("ops", &down)],
        &[
            ("attempts route=ops outcome=dead", 1),
            ("attempts route=ops outcome=failed", 5),
            ("dead route=ops", 1),
        ],
    );
    check(
        vec![webhook("ops", &gone())],
        &[
            ("attempts route=ops outcome=dead", 1),
            ("attempts route=ops outcome=disabled", 1),
            ("dead route=ops", 1),
        ],
    );
    check(
        vec![then(webhook("ops", &gone()), "boss"), fallback("boss", &up)],
        &[
            ("attempts route=boss outcome=delivered", 1),
            ("attempts route=ops outcome=disabled", 1),
            ("attempts route=ops outcome=passed_on", 1),
        ],
    );
}

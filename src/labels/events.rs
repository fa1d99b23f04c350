//! What is notable about labels: one call here is the log line and the metric.

use std::sync::OnceLock;

use monitor::outcomes::{Kind, Outcome};
use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};

/// Results whose label came after its time-to-live, by model and version: at most as many as a window
/// tells apart.
pub(super) fn labels_too_late(outcome: &Outcome) {
    static TOO_LATE: OnceLock<Counter<u64>> = OnceLock::new();
    if outcome.kind != Kind::Late {
        return;
    }
    let counter = TOO_LATE.get_or_init(|| {
        let meter = global::meter("tidegate");
        let counter = meter.u64_counter("tidegate.labels.too_late");
        counter.with_description("Results whose label came after its time-to-live").build()
    });
    let mut all = 0;
    for row in &outcome.rows {
        let of = |name: &Option<String>| name.clone().unwrap_or_default();
        let names = [
            KeyValue::new("model", of(&row.model_name)),
            KeyValue::new("version", of(&row.model_version)),
        ];
        counter.add(row.too_late, &names);
        all += row.too_late;
    }
    if all > 0 {
        let windows = &outcome.windows;
        tracing::warn!(
            results = all,
            ?windows,
            "labels came after labels.ttl_seconds and count nowhere"
        );
    }
}

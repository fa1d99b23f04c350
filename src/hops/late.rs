//! Rows that came after their windows were judged, which nobody judges any more: one call here is the log line
//! and the metric.

use std::sync::OnceLock;

use batch::StoreError;
use monitor::count::Counted;
use monitor::window::late_rows;
use opentelemetry::global;
use opentelemetry::metrics::Counter;

/// Tells the rows of `new` count files that lie before `judged_us`, the start of the next window to judge.
/// `counted` are all count files: where every one is new, a new profile takes the past in, and nothing came late.
pub(super) fn late(new: &[Counted], counted: usize, judged_us: i64) -> Result<(), StoreError> {
    static LATE: OnceLock<Counter<u64>> = OnceLock::new();
    let counter = LATE.get_or_init(|| {
        let meter = global::meter("tidegate");
        let counter = meter.u64_counter("tidegate.monitor.rows.late");
        counter.with_description("Archived rows that came after their windows were judged").build()
    });
    let rows = if new.len() < counted { late_rows(new, judged_us)? } else { 0 };
    // Zeros, too: a rate needs a total to begin from.
    counter.add(rows, &[]);
    if rows > 0 {
        tracing::warn!(rows, "rows came after their windows were judged, and are judged by nobody");
    }
    Ok(())
}

//! Rows that came after their windows were judged, which nobody judges any more: one call here is the log line
//! and the metric.
//!
//! What was told is not written down: a process begins behind what the newest report counted. So rows are told whoever
//! counted them, of a round that was killed, too, and rather again than never.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use batch::StoreError;
use monitor::evaluate::{Reports, Watched};
use monitor::window::{Windows, ends, late_rows};
use opentelemetry::global;
use opentelemetry::metrics::Counter;

/// Which rows were looked at.
pub(super) struct Late {
    windows: Windows,
    /// Up to where, by partition.
    seen: BTreeMap<i32, i64>,
}

impl Late {
    pub(super) fn new(windows: Windows) -> Self {
        Self { windows, seen: BTreeMap::new() }
    }

    /// Tells the rows that were counted since the last call and since the newest of `reports`, and that lie before
    /// the next window to judge. One reference is enough: each counts all rows.
    pub(super) fn tell(&mut self, watched: &Watched, reports: &Reports) -> Result<(), StoreError> {
        static LATE: OnceLock<Counter<u64>> = OnceLock::new();
        let counter = LATE.get_or_init(|| {
            let meter = global::meter("tidegate");
            let counter = meter.u64_counter("tidegate.monitor.rows.late");
            counter
                .with_description("Archived rows that came after their windows were judged")
                .build()
        });
        let rows = self.rows(watched, reports)?;
        // Zeros, too: a rate needs a total to begin from.
        counter.add(rows, &[]);
        if rows > 0 {
            tracing::warn!(
                rows,
                "rows came after their windows were judged, and are judged by nobody"
            );
        }
        Ok(())
    }

    fn rows(&mut self, watched: &Watched, reports: &Reports) -> Result<u64, StoreError> {
        // Another process may have judged since, with rows that are new here.
        for (partition, end) in reports.counted() {
            let seen = self.seen.entry(*partition).or_insert(*end);
            *seen = (*seen).max(*end);
        }
        let counted = || watched.counter.counted();
        let judged = reports.position().map(|window| self.windows.extent(window).start);
        let late = judged.map(|judged| late_rows(counted(), &self.seen, judged)).transpose()?;
        self.seen = ends(counted());
        Ok(late.unwrap_or(0))
    }
}

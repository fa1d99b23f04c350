//! The share of records that became dead letters, over as many pulses as it takes to read what a rule
//! wants to be judged. In memory only: a process that starts begins anew.

use std::collections::BTreeMap;

use super::{Measured, Pulse};
use crate::policy::{Finding, Measure, Rule};

/// What was rejected longer ago says nothing about now. A stream that is slower still is not judged.
const LONGEST_MS: i64 = 3_600_000;

/// What was read since each rule, by its name, was last judged.
#[derive(Debug, Default)]
pub(super) struct Rejects(BTreeMap<String, Stretch>);

/// Too few records for a rule, so far.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    start_ms: i64,
    read: u64,
    rejected: u64,
}

impl Rejects {
    /// Of the rules that have read enough by now. Each looks at every record once: what was judged does
    /// not count again.
    pub(super) fn judge(
        &mut self,
        before: &Pulse,
        now: &Pulse,
        model: &str,
        rules: &[Rule],
    ) -> Vec<Finding> {
        let (Some(had), Some(have)) = (before.totals, now.totals) else { return Vec::new() };
        let mut findings = Vec::new();
        for rule in rules.iter().filter(|rule| rule.measure == Measure::RejectRate) {
            let begun = self.0.remove(&rule.name);
            let mut stretch =
                begun.unwrap_or(Stretch { start_ms: before.now_ms, read: 0, rejected: 0 });
            stretch.read += have.read.saturating_sub(had.read);
            stretch.rejected += have.rejected.saturating_sub(had.rejected);
            let measured = stretch.measured();
            if !rule.applies(model, &measured.subject) {
                continue;
            }
            if stretch.read >= rule.min_rows.max(1) {
                findings.push(measured.finding(rule, model));
            } else if stretch.has_any() && now.now_ms - stretch.start_ms < LONGEST_MS {
                self.0.insert(rule.name.clone(), stretch);
            }
        }
        findings
    }
}

impl Stretch {
    fn has_any(self) -> bool {
        self.read > 0 || self.rejected > 0
    }

    fn measured(self) -> Measured {
        let Self { read, rejected, .. } = self;
        Measured {
            measure: Measure::RejectRate,
            subject: "input".to_owned(),
            // A dead letter may be of a record that was read before.
            value: (rejected as f64 / read as f64).min(1.0),
            rows: read,
            reason: format!("{rejected} of {read} records became dead letters"),
        }
    }
}

//! The course of one subject: its last outcomes, and whether it is quiet, pending or firing.

use serde::{Deserialize, Serialize};

use super::{Finding, JudgedWindow, Rule, Severity, Time};

/// Where a subject stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No breach among the windows that count.
    Quiet,
    /// Some breach, too few to fire.
    Pending,
    /// Fired and not yet resolved.
    Firing,
}

/// One subject's memory; it is stored as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// Where it stands.
    pub phase: Phase,
    /// Since the end of which window.
    pub since_ms: i64,
    /// End of the last window that was judged.
    pub last_ms: i64,
    /// Outcomes of the judged windows, the newest in the lowest bit; 1 is a breach.
    pub outcomes: u64,
    /// Clear windows in a row, up to now.
    pub clear_run: u32,
    /// The severity of its latest breach while firing, never falling.
    pub severity: Severity,
    /// The latest judged value
    pub value: f64,
    /// with its q,
    pub q: Option<f64>,
    /// its rows
    pub rows: u64,
    /// and its reason.
    pub reason: String,
}

impl Course {
    /// Before any window.
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Quiet,
            since_ms: i64::MIN,
            last_ms: i64::MIN,
            outcomes: 0,
            clear_run: 0,
            severity: Severity::Info,
            value: 0.0,
            q: None,
            rows: 0,
            reason: String::new(),
        }
    }

    /// Whether this window was judged before.
    pub(super) fn knows(&self, window: &JudgedWindow) -> bool {
        match window.time {
            Time::Event => window.end_ms <= self.last_ms,
            Time::Wall => window.end_ms == self.last_ms,
        }
    }

    /// Takes the next window's finding in. A window with too few rows, or without a finite value,
    /// is no evidence in either direction.
    pub(super) fn step(&mut self, rule: &Rule, finding: &Finding, window: &JudgedWindow) {
        if self.knows(window) || finding.rows < rule.min_rows || !finding.value.is_finite() {
            return;
        }
        let significant = rule.level.is_none_or(|level| finding.q.is_some_and(|q| q <= level));
        let breach = significant && rule.beyond(finding.value, rule.threshold);
        let clear = !rule.beyond(finding.value, rule.resolve);
        self.last_ms = window.end_ms;
        self.outcomes = self.outcomes << 1 | u64::from(breach);
        self.clear_run = if clear { self.clear_run.saturating_add(1) } else { 0 };
        (self.value, self.q, self.rows) = (finding.value, finding.q, finding.rows);
        self.reason = super::clean(&finding.reason, super::MAX_REASON_BYTES);
        let severity = match rule.critical {
            Some(critical) if breach && rule.beyond(finding.value, critical) => Severity::Critical,
            _ => rule.severity,
        };
        let counted = self.outcomes & (u64::MAX >> (64 - rule.windows));
        match self.phase {
            Phase::Firing => {
                if breach {
                    self.severity = self.severity.max(severity);
                }
                if self.clear_run >= rule.clear_windows {
                    self.end(window.end_ms);
                }
            }
            Phase::Quiet | Phase::Pending => {
                let before = self.phase;
                self.phase = if breach && counted.count_ones() >= rule.breaches {
                    self.severity = severity;
                    Phase::Firing
                } else if counted != 0 {
                    Phase::Pending
                } else {
                    Phase::Quiet
                };
                if self.phase != before {
                    self.since_ms = window.end_ms;
                }
            }
        }
    }

    /// Back to quiet; the breaches that made it fire do not count again.
    pub(super) fn end(&mut self, at_ms: i64) {
        self.phase = Phase::Quiet;
        self.since_ms = at_ms;
        self.outcomes = 0;
    }
}

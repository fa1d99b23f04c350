//! The stream and the pipeline by the clock on the wall: how old the newest data are, how much is
//! rejected, how far behind the input is, which hop is down. Pure: instants and totals in, a judged
//! window out.
//!
//! What is not known is not judged: a process that only monitors knows nothing of the other hops.

mod rejects;
#[cfg(test)]
mod tests;

use crate::policy::{Finding, JudgedWindow, Measure, Rule, Subject, Time};
use rejects::Rejects;

/// From one [`Pulse`] to the next.
pub const EVERY_MS: i64 = 60_000;

/// Whoever has been silent for longer is history: nobody waits for an archive of last year.
const LIVE_MS: i64 = 7 * 86_400_000;

/// The newest data that the archive holds, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    /// When the newest event happened.
    pub event_ms: Option<i64>,
    /// When the newest result was written to its topic.
    pub record_ms: Option<i64>,
}

/// What hop 1 of this process has done since its start, as its own instruments have it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Records read.
    pub read: u64,
    /// Records given up as dead letters.
    pub rejected: u64,
    /// Records whose outcome is committed.
    pub committed: u64,
    /// Records that wait to be read, now.
    pub lag: u64,
    /// Commits of records with a timestamp,
    pub commits: u64,
    /// and the sum over them of how old the oldest record was, in seconds.
    pub latency_s: f64,
}

/// What is known at one instant.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    /// The instant, in milliseconds since 1970.
    pub now_ms: i64,
    /// Of the archive.
    pub newest: Newest,
    /// Of hop 1, where it runs here.
    pub totals: Option<Totals>,
    /// Failures of hops and workers since the start.
    pub errors: u64,
    /// The hops that run here, and for how many seconds each has been down.
    pub down: Vec<(String, f64)>,
    /// The scheduled jobs, and why a run of each failed that is to be told, if one did.
    pub jobs: Vec<(String, Option<String>)>,
    /// Rules of which an alarm is open: what they are about is no history yet.
    pub firing: Vec<String>,
}

/// Pulses one after the other: rates are between two of them.
#[derive(Debug, Default)]
pub struct Pulses {
    before: Option<Pulse>,
    /// Since when records wait and none is committed.
    stuck_since_ms: Option<i64>,
    /// A minute of a slow stream is too little to judge.
    rejects: Rejects,
}

/// A number that a rule may be about.
struct Measured {
    measure: Measure,
    subject: String,
    value: f64,
    rows: u64,
    reason: String,
}

impl Pulses {
    /// The next pulse as the policy reads it; `model` is the pipeline's.
    pub fn judge(&mut self, pulse: Pulse, model: &str, rules: &[Rule]) -> JudgedWindow {
        let mut measured = liveness(&pulse, rules);
        measured.extend(pulse.down.iter().map(|(hop, seconds)| Measured {
            measure: Measure::HopDown,
            subject: hop.clone(),
            value: *seconds,
            rows: 0,
            reason: if *seconds > 0.0 {
                format!("failing for {seconds:.0} s")
            } else {
                String::new()
            },
        }));
        measured.extend(pulse.jobs.iter().map(|(job, error)| Measured {
            measure: Measure::JobFailed,
            subject: job.clone(),
            value: f64::from(u8::from(error.is_some())),
            rows: 0,
            reason: error.clone().unwrap_or_default(),
        }));
        // A clock that went back leaves no stretch of time between the two.
        let before = self.before.take().filter(|before| before.now_ms < pulse.now_ms);
        let start_ms = before.as_ref().map_or(pulse.now_ms - EVERY_MS, |before| before.now_ms);
        let mut findings = Vec::new();
        if let Some(before) = before {
            measured.extend(rates(&before, &pulse));
            measured.extend(self.lag(&before, &pulse));
            findings = self.rejects.judge(&before, &pulse, model, rules);
        } else {
            self.rejects = Rejects::default();
        }
        findings.extend(measured.iter().flat_map(|one| {
            let about =
                |rule: &&Rule| rule.measure == one.measure && rule.applies(model, &one.subject);
            rules.iter().filter(about).map(|rule| one.finding(rule, model))
        }));
        let end_ms = pulse.now_ms;
        self.before = Some(pulse);
        JudgedWindow { start_ms, end_ms, time: Time::Wall, findings }
    }

    /// How long it takes to get through what waits; while nothing moves, how long it has stood.
    fn lag(&mut self, before: &Pulse, now: &Pulse) -> Option<Measured> {
        let (had, have) = (before.totals?, now.totals?);
        let done = have.committed.saturating_sub(had.committed);
        let value = if have.lag == 0 || done > 0 {
            self.stuck_since_ms = None;
            let rate = done as f64 / seconds_between(before, now);
            if have.lag == 0 { 0.0 } else { have.lag as f64 / rate }
        } else {
            let since = *self.stuck_since_ms.get_or_insert(before.now_ms);
            (now.now_ms - since) as f64 / 1e3
        };
        let reason = match (have.lag, done) {
            (0, _) => String::new(),
            (lag, 0) => format!("{lag} records wait and none is committed"),
            (lag, done) => format!("{lag} records wait, {done} were committed since the last look"),
        };
        let subject = "input".to_owned();
        Some(Measured { measure: Measure::Lag, subject, value, rows: have.lag, reason })
    }
}

impl Measured {
    fn finding(&self, rule: &Rule, model: &str) -> Finding {
        Finding {
            of: Subject::of_model(model, &rule.name, &self.subject),
            value: self.value,
            q: None,
            rows: self.rows,
            reason: self.reason.clone(),
        }
    }
}

fn seconds_between(before: &Pulse, now: &Pulse) -> f64 {
    (now.now_ms - before.now_ms) as f64 / 1e3
}

/// How old the newest event and the newest record are. An archive that nobody has written to for a
/// week, and events that were scored more than a week after they happened, are history and no stream,
/// unless an alarm says that they are missed: it ends with data, not with time.
fn liveness(pulse: &Pulse, rules: &[Rule]) -> Vec<Measured> {
    let now_ms = pulse.now_ms;
    let Some(record_ms) = pulse.newest.record_ms else { return Vec::new() };
    let is_missed = |measure| {
        let about = |rule: &&Rule| rule.measure == measure;
        rules.iter().filter(about).any(|rule| pulse.firing.contains(&rule.name))
    };
    let one = |measure, at_ms: i64, what: &str| {
        // A clock that is ahead of ours is not late.
        let value = (now_ms - at_ms).max(0) as f64 / 1e3;
        let reason = format!("the newest {what} is {value:.0} s old");
        Measured { measure, subject: "stream".to_owned(), value, rows: 0, reason }
    };
    let is_live = now_ms - record_ms <= LIVE_MS;
    let event_ms = pulse
        .newest
        .event_ms
        .filter(|at| (is_live && record_ms - at <= LIVE_MS) || is_missed(Measure::Freshness));
    let record_ms = (is_live || is_missed(Measure::NoData)).then_some(record_ms);
    let events = event_ms.map(|at| one(Measure::Freshness, at, "event"));
    let records = record_ms.map(|at| one(Measure::NoData, at, "archived record"));
    events.into_iter().chain(records).collect()
}

fn rates(before: &Pulse, now: &Pulse) -> Vec<Measured> {
    let mut measured = Vec::new();
    if let (Some(had), Some(have)) = (before.totals, now.totals) {
        measured.extend(latency(&had, &have));
    }
    let errors = now.errors.saturating_sub(before.errors);
    measured.push(Measured {
        measure: Measure::Errors,
        subject: "hops".to_owned(),
        value: errors as f64 * 60.0 / seconds_between(before, now),
        rows: 0,
        reason: if errors > 0 {
            format!("{errors} failures of hops and workers")
        } else {
            String::new()
        },
    });
    measured
}

/// How old the oldest record of a commit was, on average and in milliseconds. While more waits than
/// was done since the last look, that is what [`Measure::Lag`] says.
fn latency(had: &Totals, have: &Totals) -> Option<Measured> {
    let commits = have.commits.saturating_sub(had.commits);
    let rows = have.committed.saturating_sub(had.committed);
    if commits == 0 || have.lag > rows {
        return None;
    }
    let value = (have.latency_s - had.latency_s).max(0.0) * 1e3 / commits as f64;
    let reason = format!("the oldest record of a commit was {value:.0} ms old, on average");
    let subject = "input".to_owned();
    Some(Measured { measure: Measure::Latency, subject, value, rows, reason })
}

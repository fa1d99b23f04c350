//! The whole way, from windows to receivers, on a clock that the test moves.

mod alertmanager;
mod counters;
mod delivery;
mod ends;
mod killed;
mod lifecycle;
mod retraining;
mod strict;
mod wishes;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::deliver::tests::{Answer, Received, Receiver, http_settings, loopback};
use crate::deliver::{Secret, SigningKey};
use crate::policy::{Class, Finding, Measure, Reference, Severity, Subject, Time};

pub(super) const HOUR_MS: i64 = 3_600_000;

/// 2026-01-31T12:00:00Z
pub(crate) const NOON_MS: i64 = 1_769_860_800_000;

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub(crate) struct Hand(Arc<AtomicI64>);

impl Hand {
    pub(crate) fn at(ms: i64) -> Self {
        Self(Arc::new(AtomicI64::new(ms)))
    }

    pub(super) fn forward(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub(super) fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn clock(&self) -> Clock {
        let at = self.0.clone();
        Arc::new(move || at.load(Ordering::SeqCst))
    }
}

pub(super) fn rule(name: &str, measure: Measure) -> Rule {
    Rule {
        name: name.into(),
        measure,
        reference: Reference::Training,
        severity: Severity::Warning,
        threshold: 0.2,
        resolve: 0.1,
        critical: Some(0.5),
        level: None,
        min_rows: 0,
        breaches: 1,
        windows: 1,
        clear_windows: 1,
        cool_down_ms: 0,
        models: vec![],
        columns: vec![],
    }
}

pub(super) fn webhook(name: &str, receiver: &Receiver) -> Route {
    let key = SigningKey::parse(crate::deliver::tests::KEY).expect("a key");
    Route {
        name: name.into(),
        target: Target::Webhook {
            url: Secret::new(receiver.url(&format!("/{name}"))),
            keys: vec![key],
            headers: vec![],
        },
        events: vec![Event::Alerts],
        min_severity: Severity::Info,
        classes: vec![],
        models: vec![],
        then: None,
    }
}

pub(super) fn settings(state: &Path, hand: &Hand, routes: Vec<Route>) -> Settings {
    Settings {
        pipeline: "flights".into(),
        state: state.into(),
        holder: Holder { instance: "a".into(), host: "here".into(), pid: std::process::id() },
        rules: vec![rule("psi", Measure::Psi), rule("nulls", Measure::NullShare)],
        routes,
        rendering: Rendering { link: String::new(), resend_ms: 60_000, heartbeat_ms: 300_000 },
        guards: GuardSettings { cool_down_ms: 7 * 24 * HOUR_MS, min_rows: 100 },
        http: HttpSettings { allowed: loopback(), ..http_settings() },
        publish: None,
        offsets: None,
        clock: hand.clock(),
    }
}

pub(crate) fn open(state: &Path, hand: &Hand, routes: Vec<Route>) -> Alerts {
    Alerts::open(settings(state, hand, routes)).expect("the state opens")
}

/// The window that ends `hours` after noon, with one column of model m.
pub(crate) fn window(hours: i64, rule: &str, value: f64) -> JudgedWindow {
    let end_ms = NOON_MS + hours * HOUR_MS;
    let of = Subject {
        model: "m".into(),
        version: "1".into(),
        arm: "stable".into(),
        segment: String::new(),
        rule: rule.into(),
        subject: "dep_delay".into(),
    };
    let found = Finding { of, value, q: None, rows: 1_000, reason: "moved".into() };
    JudgedWindow { start_ms: end_ms - HOUR_MS, end_ms, time: Time::Event, findings: vec![found] }
}

pub(super) fn types(received: &[Received]) -> Vec<String> {
    received
        .iter()
        .map(|one| one.json()["type"].as_str().unwrap_or("?").replace("tidegate.", ""))
        .collect()
}

pub(super) fn ids(received: &[Received]) -> Vec<String> {
    received.iter().filter_map(|one| one.header("webhook-id").map(str::to_owned)).collect()
}

/// Delivers whatever falls due while `minutes` pass, a second at a time.
pub(super) fn pass(alerts: &Alerts, hand: &Hand, minutes: i64) {
    for _ in 0..minutes * 60 {
        alerts.deliver_due().expect("the state is fine");
        hand.forward(1_000);
    }
}

pub(super) const FINE: Answer = Answer::Status(200, "", "");

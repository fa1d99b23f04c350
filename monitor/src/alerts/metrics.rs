//! Every notable event of alerting is one call here: its log line and its metric. No text of a
//! message is logged, no URL, no secret.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};

use crate::deliver::{Message, Outcome, Route};
use crate::policy::{Book, Episode, Transition};
use crate::state::{Attempt, Outbox};

/// The instruments.
pub(super) struct Metrics {
    attempts: Counter<u64>,
    dead: Counter<u64>,
    open: Gauge<u64>,
    waiting: Gauge<u64>,
    undelivered: Gauge<u64>,
    standing: Arc<Mutex<Standing>>,
}

/// Subjects by rule, model and state; models' names come from a topic, so their number has a bound.
type Standing = Vec<([KeyValue; 3], u64)>;

/// Rules and models that are told; the SDK keeps 2000 series of a gauge, each has two.
const MOST_STANDING: usize = 750;

impl Metrics {
    pub(super) fn new(meter: &Meter) -> Self {
        let standing: Arc<Mutex<Standing>> = Arc::default();
        // The gauge outlives the alerts that it was made for: those of a hop that was torn down show
        // nothing any more.
        let shown = Arc::downgrade(&standing);
        meter
            .u64_observable_gauge("tidegate.alert.subjects")
            .with_description("Columns (or hops) that are pending or fire, by rule and model")
            .with_callback(move |observer| {
                let Some(shown) = shown.upgrade() else { return };
                for (labels, count) in &*shown.lock().unwrap_or_else(PoisonError::into_inner) {
                    observer.observe(*count, labels);
                }
            })
            .build();
        Self {
            standing,
            attempts: meter
                .u64_counter("tidegate.alert.delivery.attempts")
                .with_description("Attempts to deliver an alert, by route and outcome")
                .build(),
            dead: meter
                .u64_counter("tidegate.alert.delivery.dead")
                .with_description("Alerts that no route took")
                .build(),
            open: meter
                .u64_gauge("tidegate.alert.episodes")
                .with_description("Open episodes")
                .build(),
            waiting: meter
                .u64_gauge("tidegate.alert.outbox")
                .with_description("Messages that wait for a route")
                .build(),
            undelivered: meter
                .u64_gauge("tidegate.alert.undelivered")
                .with_description("Messages that no route took, as long as they are kept")
                .build(),
        }
    }

    pub(super) fn state(&self, book: &Book, outbox: Outbox) {
        self.open.record(book.open().count() as u64, &[]);
        self.waiting.record(outbox.waiting, &[]);
        self.undelivered.record(outbox.dead, &[]);
        self.standing(book);
    }

    pub(super) fn standing(&self, book: &Book) {
        let mut standing = Standing::new();
        for ((rule, model), counts) in book.standing().into_iter().take(MOST_STANDING) {
            for (state, count) in ["pending", "firing"].into_iter().zip(counts) {
                let labels = [
                    KeyValue::new("rule", rule.to_owned()),
                    KeyValue::new("model", model.to_owned()),
                    KeyValue::new("state", state),
                ];
                standing.push((labels, count));
            }
        }
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    pub(super) fn attempted(
        &self,
        route: &Route,
        message: &Message,
        attempt: &Attempt,
        dead: bool,
    ) {
        let (outcome, error) = match attempt {
            Attempt::Delivered => ("delivered", ""),
            Attempt::Skipped => return,
            Attempt::Again { error, .. } => ("failed", error.as_str()),
            Attempt::Over { to: Some(_), error, .. } => ("passed_on", error.as_str()),
            Attempt::Over { to: None, error, .. } => ("dead", error.as_str()),
        };
        self.count(&route.name, outcome);
        let (route, id, kind) = (&route.name, &message.id, message.kind.name());
        if dead {
            self.dead.add(1, &[KeyValue::new("route", route.clone())]);
            tracing::error!(route, id, kind, error, "alert could not be delivered");
        } else if error.is_empty() {
            tracing::info!(route, id, kind, "alert delivered");
        } else {
            tracing::warn!(route, id, kind, error, outcome, "alert not delivered yet");
        }
    }

    pub(super) fn resent(&self, route: &str, outcome: &Outcome) {
        match outcome {
            Outcome::Delivered => self.count(route, "resent"),
            Outcome::Refused { error }
            | Outcome::Gone { error }
            | Outcome::Failed { error, .. } => {
                self.count(route, "resend_failed");
                tracing::warn!(route, error, "open alerts could not be sent again");
            }
        }
    }

    pub(super) fn disabled(&self, route: &str, error: &str) {
        self.count(route, "disabled");
        tracing::error!(route, error, "route disabled: its receiver says that it is gone");
    }

    fn count(&self, route: &str, outcome: &'static str) {
        let labels = [KeyValue::new("route", route.to_owned()), KeyValue::new("outcome", outcome)];
        self.attempts.add(1, &labels);
    }
}

/// The log line of a transition.
pub(super) fn log(transition: &Transition) {
    let line = |what, episode: &Episode| {
        tracing::warn!(
            model = episode.group.model,
            class = episode.group.class.name(),
            severity = episode.severity.name(),
            episode = episode.id,
            subjects = episode.subjects,
            "alert {what}"
        );
    };
    match transition {
        Transition::Fired(episode) => line("fired", episode),
        Transition::Upgraded { episode, .. } => line("upgraded", episode),
        Transition::Resolved(episode) => line("resolved", episode),
        Transition::Changed(_) => {}
        Transition::Pending(group) => {
            tracing::info!(model = group.model, class = group.class.name(), "alert pending");
        }
        Transition::HeldBack(group) => {
            tracing::info!(model = group.model, class = group.class.name(), "alert held back");
        }
    }
}

//! What the server says about itself: instruments, and its notable events with their log lines.

use std::net::SocketAddr;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};

/// Upper bounds of a query's seconds: from one that reads footers to one that is cut off.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0];

/// Instruments of the server.
#[derive(Debug)]
pub struct SqlEvents {
    connections: UpDownCounter<i64>,
    accepted: Counter<u64>,
    refused: Counter<u64>,
    running: UpDownCounter<i64>,
    queries: Counter<u64>,
    rows: Counter<u64>,
    seconds: Histogram<f64>,
    broken: Counter<u64>,
}

/// How a query ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered,
    Failed,
    Cancelled,
    TimedOut,
    NoTurn,
    ClientGone,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::NoTurn => "no_turn",
            Self::ClientGone => "client_gone",
        }
    }
}

impl SqlEvents {
    /// Instruments of `meter`.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, what: &'static str| {
            meter.u64_counter(name).with_description(what).build()
        };
        let level = |name: &'static str, what: &'static str| {
            meter.i64_up_down_counter(name).with_description(what).build()
        };
        Self {
            connections: level("tidegate_sql_connections", "SQL clients that are connected now"),
            accepted: counter("tidegate_sql_logins", "SQL clients that came in"),
            refused: counter("tidegate_sql_refused", "SQL clients that were sent away, by reason"),
            running: level("tidegate_sql_running", "SQL queries that run now"),
            queries: counter("tidegate_sql_queries", "SQL queries, by outcome"),
            rows: counter("tidegate_sql_rows", "Rows sent to SQL clients"),
            seconds: meter
                .f64_histogram("tidegate_sql_query_seconds")
                .with_description("From a query's turn to its last row")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            broken: counter("tidegate_sql_broken", "SQL connections that ended in a panic"),
        }
    }

    pub(super) fn came(&self, peer: SocketAddr, user: &str, tls: bool) {
        self.connections.add(1, &[]);
        self.accepted.add(1, &[]);
        tracing::info!(%peer, user, tls, "SQL client connected");
    }

    pub(super) fn left(&self, peer: SocketAddr, after: Duration) {
        self.connections.add(-1, &[]);
        tracing::info!(%peer, seconds = after.as_secs_f64(), "SQL client left");
    }

    /// Somebody was not let in; `reason` is one of a few words.
    pub(super) fn refused(&self, peer: SocketAddr, user: &str, reason: &'static str) {
        self.refused.add(1, &[KeyValue::new("reason", reason)]);
        tracing::warn!(%peer, user, reason, "SQL client refused");
    }

    /// A client that had not said who it is was let go, for there are too many of its source, or in all.
    pub(super) fn no_room(&self, peer: SocketAddr) {
        self.refused.add(1, &[KeyValue::new("reason", "strangers")]);
        tracing::debug!(%peer, "an SQL client that had not said who it is gave way");
    }

    pub(super) fn begins(&self) {
        self.running.add(1, &[]);
    }

    pub(super) fn ends(&self) {
        self.running.add(-1, &[]);
    }

    pub(super) fn rows(&self, rows: usize) {
        self.rows.add(rows as u64, &[]);
    }

    pub(super) fn asked(&self, outcome: Outcome, took: Duration) {
        self.queries.add(1, &[KeyValue::new("outcome", outcome.name())]);
        self.seconds.record(took.as_secs_f64(), &[]);
        tracing::debug!(outcome = outcome.name(), seconds = took.as_secs_f64(), "SQL query");
    }

    pub(super) fn broke(&self) {
        self.broken.add(1, &[]);
        tracing::error!("an SQL connection ended in a panic; the others are served on");
    }
}

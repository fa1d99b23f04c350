//! What is to be said, before any receiver's form is put on it. Stored in the outbox as it is.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::policy::{Episode, Severity};

/// Columns that a message holds, the worst first: no receiver shows more.
const MAX_SAID: usize = 50;

/// What kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An episode began.
    Fired,
    /// It became more severe.
    Upgraded,
    /// It is over.
    Resolved,
    /// Somebody took it on.
    Acknowledged,
    /// The monitor is alive.
    Heartbeat,
    /// A model should be trained again.
    Retraining,
    /// `tidegate alerts test-route`.
    Test,
}

/// One message; the same for every route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Stable over retries, routes and lost state: receivers drop repeats by it.
    pub id: String,
    /// What kind.
    pub kind: Kind,
    /// When it was decided, milliseconds since 1970.
    pub at_ms: i64,
    /// The pipeline that says it.
    pub pipeline: String,
    /// The alarm, where it is about one.
    pub episode: Option<Episode>,
    /// In an upgrade: the severity so far. In other messages, on their way to an Alertmanager: the one that it
    /// was told, where that is another.
    pub before: Option<Severity>,
    /// In an acknowledgement: by whom.
    pub by: Option<String>,
    /// The retraining request.
    pub request: Option<Value>,
}

impl Kind {
    /// As written in the outbox and, after `tidegate.`, as the type of a webhook.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fired => "alert.fired",
            Self::Upgraded => "alert.upgraded",
            Self::Resolved => "alert.resolved",
            Self::Acknowledged => "alert.acknowledged",
            Self::Heartbeat => "heartbeat",
            Self::Retraining => "retraining.requested",
            Self::Test => "test",
        }
    }
}

impl Message {
    /// A message about an episode. Its id follows from the episode, the kind and the severity.
    pub fn about(episode: &Episode, kind: Kind, pipeline: &str, at_ms: i64) -> Self {
        let id = id(&[&episode.id, kind.name(), episode.severity.name()]);
        let mut episode = episode.clone();
        episode.concerns.truncate(MAX_SAID);
        let (pipeline, episode) = (pipeline.to_owned(), Some(episode));
        Self { id, kind, at_ms, pipeline, episode, before: None, by: None, request: None }
    }

    /// A message about the monitor itself; `slot` tells one from the next.
    pub fn own(kind: Kind, pipeline: &str, slot: i64, at_ms: i64) -> Self {
        let id = id(&[pipeline, kind.name(), &slot.to_string()]);
        let pipeline = pipeline.to_owned();
        Self { id, kind, at_ms, pipeline, episode: None, before: None, by: None, request: None }
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        match (&self.episode, self.kind) {
            (Some(episode), Kind::Resolved) => {
                let group = &episode.group;
                format!("{}: {} is over", group.model, group.class.name())
            }
            (Some(episode), Kind::Retraining) => {
                format!("{}: retraining requested", episode.group.model)
            }
            (Some(episode), _) => episode.summary(),
            (None, Kind::Heartbeat) => format!("{}: the monitor is alive", self.pipeline),
            (None, _) => format!("{}: a test of this route", self.pipeline),
        }
    }
}

fn id(parts: &[&str]) -> String {
    let mut all = vec!["message"];
    all.extend(parts);
    format!("msg_{}", crate::policy::hash(&all))
}

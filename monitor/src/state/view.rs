//! What is shown: episodes, their history, what became of their deliveries.

use rusqlite::{Row, params};
use serde::Serialize;

use super::{StateError, Store, parsed};
use crate::policy::Episode;

/// Most rows shown of anything.
const MAX_SHOWN: i64 = 1_000;

/// An episode with what the store knows beside it.
#[derive(Clone, Debug, Serialize)]
pub struct EpisodeView {
    /// `firing` or `resolved`.
    pub state: String,
    /// The episode.
    #[serde(flatten)]
    pub episode: Episode,
    /// When it was stored, milliseconds since 1970.
    pub fired_at_ms: i64,
    /// When it ended.
    pub resolved_at_ms: Option<i64>,
    /// Nobody was told because of a silence.
    pub silenced: bool,
    /// Who took it on.
    pub acknowledged_by: Option<String>,
    /// `requested`, or why retraining is withheld.
    pub retraining: Option<String>,
}

/// One line of an episode's history.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryLine {
    /// When.
    pub at_ms: i64,
    /// End of the window that caused it.
    pub window_end_ms: Option<i64>,
    /// The episode.
    pub episode: Option<String>,
    /// What happened.
    pub what: String,
    /// More about it.
    pub detail: String,
}

/// One row of the outbox.
#[derive(Clone, Debug, Serialize)]
pub struct DeliveryView {
    /// The episode.
    pub episode: String,
    /// Where to.
    pub route: String,
    /// What kind of message.
    pub kind: String,
    /// Its id, `webhook-id` at the receiver.
    pub message_id: String,
    /// `waiting`, `delivered`, `passed_on` (to the next route), `dead` or `skipped`.
    pub state: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, if it waits.
    pub due_ms: i64,
    /// When it was put there.
    pub created_ms: i64,
    /// When it ended.
    pub finished_ms: Option<i64>,
    /// The last error.
    pub error: String,
}

/// How full the outbox is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outbox {
    /// Messages that wait.
    pub waiting: u64,
    /// Messages that no route took.
    pub dead: u64,
}

impl Store {
    /// Open episodes, or the newest of all.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn episodes(&self, all: bool) -> Result<Vec<EpisodeView>, StateError> {
        self.episodes_where(
            "WHERE ?1 OR state = 'firing' ORDER BY state, fired_at_ms DESC, id LIMIT ?2",
            params![all, MAX_SHOWN],
        )
    }

    /// The newest `most` episodes, open ones first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn newest(&self, most: usize) -> Result<Vec<EpisodeView>, StateError> {
        let most = i64::try_from(most).unwrap_or(MAX_SHOWN).min(MAX_SHOWN);
        self.episodes_where("ORDER BY state, fired_at_ms DESC, id LIMIT ?1", params![most])
    }

    /// One episode by its whole id.
    ///
    /// # Errors
    /// When there is none.
    pub fn episode(&self, id: &str) -> Result<EpisodeView, StateError> {
        let found = self.episodes_where("WHERE id = ?1", params![id])?;
        found.into_iter().next().ok_or_else(|| StateError::NotFound(format!("no episode {id}")))
    }

    /// What happened to an episode, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn history(&self, episode: &str) -> Result<Vec<HistoryLine>, StateError> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT at_ms, window_end_ms, episode, what, detail FROM history
                 WHERE episode = ?1 ORDER BY seq LIMIT ?2",
            )?;
            let line = |row: &Row<'_>| {
                Ok(HistoryLine {
                    at_ms: row.get(0)?,
                    window_end_ms: row.get(1)?,
                    episode: row.get(2)?,
                    what: row.get(3)?,
                    detail: row.get(4)?,
                })
            };
            statement.query_map(params![episode, MAX_SHOWN], line)?.collect()
        })
    }

    /// What became of an episode's deliveries, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn deliveries(&self, episode: &str) -> Result<Vec<DeliveryView>, StateError> {
        self.deliveries_where("episode = ?1 ORDER BY seq LIMIT ?2", params![episode, MAX_SHOWN])
    }

    /// Messages that no route took, the newest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn dead(&self) -> Result<Vec<DeliveryView>, StateError> {
        self.deliveries_where("state = 'dead' ORDER BY seq DESC LIMIT ?1", params![MAX_SHOWN])
    }

    /// How full the outbox is.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn outbox(&self) -> Result<Outbox, StateError> {
        self.read(|connection| {
            connection.query_row(
                "SELECT count(*) FILTER (WHERE state = 'waiting'),
                   count(*) FILTER (WHERE state = 'dead') FROM outbox",
                [],
                |row| {
                    let count = |at| row.get::<_, i64>(at).map(i64::unsigned_abs);
                    Ok(Outbox { waiting: count(0)?, dead: count(1)? })
                },
            )
        })
    }

    fn episodes_where(
        &self,
        rest: &str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<EpisodeView>, StateError> {
        self.read(|connection| {
            let mut statement = connection.prepare(&format!(
                "SELECT state, body, fired_at_ms, resolved_at_ms, silenced, acknowledged_by,
                   retraining FROM episodes {rest}"
            ))?;
            let view = |row: &Row<'_>| {
                Ok(EpisodeView {
                    state: row.get(0)?,
                    episode: parsed(&row.get::<_, String>(1)?, 1)?,
                    fired_at_ms: row.get(2)?,
                    resolved_at_ms: row.get(3)?,
                    silenced: row.get(4)?,
                    acknowledged_by: row.get(5)?,
                    retraining: row.get(6)?,
                })
            };
            statement.query_map(params, view)?.collect()
        })
    }

    fn deliveries_where(
        &self,
        rest: &str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<DeliveryView>, StateError> {
        self.read(|connection| {
            let mut statement = connection.prepare(&format!(
                "SELECT episode, route, kind, message_id, state, attempts, due_ms, created_ms,
                   finished_ms, error FROM outbox WHERE {rest}"
            ))?;
            let view = |row: &Row<'_>| {
                Ok(DeliveryView {
                    episode: row.get(0)?,
                    route: row.get(1)?,
                    kind: row.get(2)?,
                    message_id: row.get(3)?,
                    state: row.get(4)?,
                    attempts: row.get(5)?,
                    due_ms: row.get(6)?,
                    created_ms: row.get(7)?,
                    finished_ms: row.get(8)?,
                    error: row.get(9)?,
                })
            };
            statement.query_map(params, view)?.collect()
        })
    }
}

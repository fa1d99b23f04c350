//! What a route was told of episodes, for receivers that forget, and that tell alerts apart by their severity.
//! A trigger that was heard for certain, or may have been, counts; one that waits does not.

use rusqlite::{OptionalExtension as _, Row, params};

use super::outbox::TRIGGERS;
use super::{Delivery, StateError, Store, parsed};
use crate::deliver::Message;
use crate::policy::{Episode, Severity};

impl Store {
    /// Episodes that `route` has heard of and that still fire, for receivers that forget, each as severe as it was
    /// told. What became worse under a silence is no news, and what is kept quiet would look like its end.
    pub(crate) fn to_resend(&self, route: &str) -> Result<Vec<Episode>, StateError> {
        self.read(|connection| {
            let last = last_told("outbox.episode = episodes.id");
            let mut statement = connection.prepare(&format!(
                "SELECT body, ({last}) FROM episodes
                 WHERE state = 'firing' AND EXISTS (
                   SELECT 1 FROM outbox WHERE outbox.episode = episodes.id AND route = ?1
                     AND kind IN {TRIGGERS} AND outbox.state = 'delivered')
                 ORDER BY fired_at_ms, id"
            ))?;
            let rows = statement.query_map([route], |row| {
                let episode: Episode = parsed(&row.get::<_, String>(0)?, 0)?;
                let severity = severity_of(row, 1)?.unwrap_or(episode.severity);
                Ok(Episode { severity, ..episode })
            })?;
            rows.collect()
        })
    }

    /// How severe the episode of `delivery` was when its route was last told of it, before this.
    pub(crate) fn told(&self, delivery: &Delivery) -> Result<Option<Severity>, StateError> {
        self.read(|connection| {
            let mut statement = connection.prepare(&last_told("episode = ?2 AND seq < ?3"))?;
            let Delivery { episode, route, seq, .. } = delivery;
            let told = statement
                .query_row(params![route, episode, seq], |row| severity_of(row, 0))
                .optional()?;
            Ok(told.flatten())
        })
    }
}

/// The newest message by which the route of parameter 1 was told of what is `meant`.
fn last_told(meant: &str) -> String {
    format!(
        "SELECT message FROM outbox WHERE route = ?1 AND {meant}
           AND kind IN {TRIGGERS} AND heard <> 'no' ORDER BY seq DESC LIMIT 1"
    )
}

/// How severe the episode is of which the message in this column tells.
fn severity_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Severity>> {
    let message: Message = parsed(&row.get::<_, String>(column)?, column)?;
    Ok(message.episode.map(|episode| episode.severity))
}

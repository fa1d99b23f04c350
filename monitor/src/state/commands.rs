//! What a person does to an episode beside the running monitor.

use rusqlite::{OptionalExtension as _, params};

use super::record::{Note, Post, To, note, send};
use super::{StateError, Store, parsed};
use crate::deliver::{Kind, Message};
use crate::policy::{Episode, clean};

impl Store {
    /// Marks an open episode as taken on by somebody; receivers that heard of it are told.
    ///
    /// # Errors
    /// [`StateError::NotFound`] when no open episode's id begins with `id`, or several do.
    pub fn acknowledge(
        &mut self,
        id: &str,
        by: &str,
        pipeline: &str,
        now_ms: i64,
    ) -> Result<Episode, StateError> {
        let id = self.find(id)?;
        let by = clean(by, 100);
        let done = self.write(|transaction| {
            let body: Option<String> = transaction
                .query_row(
                    "SELECT body FROM episodes WHERE id = ?1 AND state = 'firing'",
                    [&id],
                    |row| row.get(0),
                )
                .optional()?;
            let Some(body) = body else { return Ok(None) };
            let episode: Episode = parsed(&body, 0)?;
            transaction.execute(
                "UPDATE episodes SET acknowledged_by = ?2, acknowledged_at_ms = ?3 WHERE id = ?1",
                params![id, by, now_ms],
            )?;
            let entry = Note {
                group: episode.group.clone(),
                episode: Some(id.clone()),
                window_end_ms: None,
                what: "acknowledged",
                detail: by.clone(),
            };
            note(transaction, &entry, now_ms)?;
            let mut message = Message::about(&episode, Kind::Acknowledged, pipeline, now_ms);
            message.by = Some(by.clone());
            send(transaction, &Post { message, to: To::WhoKnows }, now_ms)?;
            Ok(Some(episode))
        })?;
        done.ok_or_else(|| StateError::NotFound(format!("episode {id} is over already")))
    }

    /// The id that begins with `start`.
    ///
    /// # Errors
    /// [`StateError::NotFound`] when there is none, or more than one.
    pub fn find(&self, start: &str) -> Result<String, StateError> {
        let found: Vec<String> = self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT id FROM episodes WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id LIMIT 2",
            )?;
            statement.query_map([start], |row| row.get(0))?.collect()
        })?;
        match found.as_slice() {
            [only] if !start.is_empty() => Ok(only.clone()),
            [] => Err(StateError::NotFound(format!(
                "no episode's id begins with {start:?}: `tidegate alerts list --all` shows them"
            ))),
            _ => Err(StateError::NotFound(format!(
                "several episodes' ids begin with {start:?}: write more of it"
            ))),
        }
    }
}

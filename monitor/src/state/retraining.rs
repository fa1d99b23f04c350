//! What is remembered of retraining requests: when a model last had one, and why one is withheld.

use rusqlite::{OptionalExtension as _, params};

use super::record::{Note, Post, note, send};
use super::{StateError, Store};

/// A request, by episode and model.
pub(crate) const REQUESTED: &str = "requested";

impl Store {
    /// When retraining of a model was last requested.
    pub(crate) fn last_retraining(&self, model: &str) -> Result<Option<i64>, StateError> {
        self.read(|connection| {
            connection
                .query_row("SELECT requested_ms FROM retraining WHERE model = ?1", [model], |row| {
                    row.get(0)
                })
                .optional()
        })
    }

    /// What was last said about retraining for an episode.
    pub(crate) fn retraining_of(&self, episode: &str) -> Result<Option<String>, StateError> {
        self.read(|connection| {
            let found: Option<Option<String>> = connection
                .query_row("SELECT retraining FROM episodes WHERE id = ?1", [episode], |row| {
                    row.get(0)
                })
                .optional()?;
            Ok(found.flatten())
        })
    }

    /// Writes a request with its deliveries, or why there is none.
    pub(crate) fn record_retraining(
        &mut self,
        entry: &Note,
        said: &str,
        post: Option<&Post>,
        now_ms: i64,
    ) -> Result<(), StateError> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE episodes SET retraining = ?2 WHERE id = ?1",
                params![entry.episode, said],
            )?;
            note(transaction, entry, now_ms)?;
            if let Some(post) = post {
                transaction.execute(
                    "INSERT OR REPLACE INTO retraining VALUES (?1, ?2, ?3)",
                    params![entry.group.model, now_ms, entry.episode],
                )?;
                send(transaction, post, now_ms)?;
            }
            Ok(())
        })
    }
}

//! Silences: for a time, matching episodes fire without anybody being told.

use rusqlite::{Row, params};
use serde::Serialize;

use super::{StateError, Store};
use crate::policy::{Concern, MAX_REASON_BYTES, clean, matches_any};

/// A silence. Patterns may hold `*`; an empty one matches everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Silence {
    /// Its number.
    pub id: i64,
    /// The model.
    pub model: String,
    /// The class.
    pub class: String,
    /// The rule.
    pub rule: String,
    /// The column, metric or hop.
    pub subject: String,
    /// Until when.
    pub until_ms: i64,
    /// Since when.
    pub created_ms: i64,
    /// By whom.
    pub created_by: String,
    /// Why.
    pub reason: String,
}

impl Silence {
    /// Whether it covers this concern of an episode of `class` now.
    pub fn covers(&self, class: &str, concern: &Concern, now_ms: i64) -> bool {
        let fits = |pattern: &String, name: &str| {
            pattern.is_empty() || matches_any(std::slice::from_ref(pattern), name)
        };
        now_ms < self.until_ms
            && fits(&self.model, &concern.of.model)
            && fits(&self.class, class)
            && fits(&self.rule, &concern.of.rule)
            && fits(&self.subject, &concern.of.subject)
    }
}

impl Store {
    /// Adds a silence and answers its number; `id` of the one given is not used.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn silence(&mut self, silence: &Silence) -> Result<i64, StateError> {
        let reason = clean(&silence.reason, MAX_REASON_BYTES);
        let by = clean(&silence.created_by, 100);
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO silences (model, class, rule, subject, until_ms, created_ms,
                   created_by, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    silence.model,
                    silence.class,
                    silence.rule,
                    silence.subject,
                    silence.until_ms,
                    silence.created_ms,
                    by,
                    reason
                ],
            )?;
            Ok(transaction.last_insert_rowid())
        })
    }

    /// Ends a silence now.
    ///
    /// # Errors
    /// [`StateError::NotFound`] when there is none of this number that still lasts.
    pub fn unsilence(&mut self, id: i64, now_ms: i64) -> Result<(), StateError> {
        let ended = self.write(|transaction| {
            transaction.execute(
                "UPDATE silences SET until_ms = ?2 WHERE id = ?1 AND until_ms > ?2",
                [id, now_ms],
            )
        })?;
        if ended == 0 {
            return Err(StateError::NotFound(format!(
                "no silence {id} lasts: `tidegate alerts list` shows those that do"
            )));
        }
        Ok(())
    }

    /// Silences that last.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn silences(&self, now_ms: i64) -> Result<Vec<Silence>, StateError> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT id, model, class, rule, subject, until_ms, created_ms, created_by, reason
                 FROM silences WHERE until_ms > ?1 ORDER BY until_ms, id",
            )?;
            statement.query_map([now_ms], silence)?.collect()
        })
    }

    /// Ids of open episodes that nobody was told of.
    pub(crate) fn silenced_episodes(&self) -> Result<Vec<String>, StateError> {
        self.read(|connection| {
            let mut statement = connection
                .prepare("SELECT id FROM episodes WHERE state = 'firing' AND silenced = 1")?;
            statement.query_map([], |row| row.get(0))?.collect()
        })
    }
}

fn silence(row: &Row<'_>) -> rusqlite::Result<Silence> {
    Ok(Silence {
        id: row.get(0)?,
        model: row.get(1)?,
        class: row.get(2)?,
        rule: row.get(3)?,
        subject: row.get(4)?,
        until_ms: row.get(5)?,
        created_ms: row.get(6)?,
        created_by: row.get(7)?,
        reason: row.get(8)?,
    })
}

//! One window's outcome as one transaction: courses, groups, episodes, history and deliveries.

use rusqlite::{Transaction, params};

use super::{StateError, Store, outbox, parsed, text_of};
use crate::deliver::Message;
use crate::policy::{Book, Changes, Class, Episode, Group, Rule};

/// History and finished deliveries older than this are dropped.
const KEEP_MS: i64 = 90 * 24 * 3_600_000;

/// A message and who gets it.
pub(crate) struct Post {
    pub(crate) message: Message,
    pub(crate) to: To,
}

/// Who gets a message.
pub(crate) enum To {
    /// These routes.
    Routes(Vec<String>),
    /// Routes that heard of the episode.
    WhoKnows,
}

/// A line of the history.
pub(crate) struct Note {
    pub(crate) group: Group,
    pub(crate) episode: Option<String>,
    pub(crate) window_end_ms: Option<i64>,
    pub(crate) what: &'static str,
    pub(crate) detail: String,
}

impl Store {
    /// The policy's memory as it was stored.
    pub(crate) fn load(&self, rules: impl IntoIterator<Item = Rule>) -> Result<Book, StateError> {
        let mut book = Book::new(rules);
        self.read(|connection| {
            let mut courses = connection.prepare("SELECT of, course FROM courses")?;
            let mut rows = courses.query([])?;
            while let Some(row) = rows.next()? {
                let (of, course): (String, String) = (row.get(0)?, row.get(1)?);
                book.restore_course(parsed(&of, 0)?, parsed(&course, 1)?);
            }
            let mut groups = connection.prepare(
                "SELECT groups.model, groups.class, episodes.body, groups.last FROM groups
                 LEFT JOIN episodes ON episodes.id = groups.open",
            )?;
            let mut rows = groups.query([])?;
            while let Some(row) = rows.next()? {
                let (model, class): (String, String) = (row.get(0)?, row.get(1)?);
                let class = parsed(&format!("{class:?}"), 1)?;
                let (open, last): (Option<String>, Option<String>) = (row.get(2)?, row.get(3)?);
                book.restore_group(
                    Group { model, class },
                    open.map(|text| parsed(&text, 2)).transpose()?,
                    last.map(|text| parsed(&text, 3)).transpose()?,
                );
            }
            Ok(())
        })?;
        Ok(book)
    }

    /// Whether no window of data was ever taken in. Windows by the clock are at once, and must not keep what was
    /// lost from being made again.
    pub(crate) fn is_new(&self) -> Result<bool, StateError> {
        self.read(|connection| {
            let query = "SELECT NOT EXISTS (SELECT 1 FROM groups WHERE class <> ?1)";
            connection.query_row(query, [Class::Service.name()], |row| row.get(0))
        })
    }

    /// Writes a window's outcome, all of it or nothing.
    pub(crate) fn record(
        &mut self,
        changes: &Changes,
        posts: &[Post],
        notes: &[Note],
        silenced: &[(String, bool)],
        now_ms: i64,
    ) -> Result<(), StateError> {
        self.write(|transaction| {
            courses(transaction, changes)?;
            for (group, open, last) in &changes.groups {
                let class = group.class.name();
                if let Some(episode) = open {
                    store_episode(transaction, episode, now_ms)?;
                } else {
                    transaction.execute(
                        "UPDATE episodes SET state = 'resolved', resolved_at_ms = ?3
                         WHERE model = ?1 AND class = ?2 AND state = 'firing'",
                        params![group.model, class, now_ms],
                    )?;
                }
                transaction.execute(
                    "INSERT OR REPLACE INTO groups VALUES (?1, ?2, ?3, ?4)",
                    params![
                        group.model,
                        class,
                        open.as_ref().map(|episode| &episode.id),
                        last.as_ref().map(text_of)
                    ],
                )?;
            }
            for (episode, silenced) in silenced {
                silence(transaction, episode, *silenced)?;
            }
            tell(transaction, notes, posts, now_ms)
        })
    }

    /// Marks an episode as silenced or heard, with what follows from it.
    pub(crate) fn set_silenced(
        &mut self,
        episode: &str,
        silenced: bool,
        posts: &[Post],
        notes: &[Note],
        now_ms: i64,
    ) -> Result<(), StateError> {
        self.write(|transaction| {
            silence(transaction, episode, silenced)?;
            tell(transaction, notes, posts, now_ms)
        })
    }

    /// Drops what is older than 90 days and finished.
    pub(crate) fn prune(&mut self, now_ms: i64) -> Result<(), StateError> {
        let before_ms = now_ms.saturating_sub(KEEP_MS);
        self.write(|transaction| {
            transaction.execute("DELETE FROM history WHERE at_ms < ?1", [before_ms])?;
            transaction.execute(
                "DELETE FROM outbox WHERE state <> 'waiting' AND finished_ms < ?1
                   AND episode NOT IN (SELECT id FROM episodes WHERE state = 'firing')",
                [before_ms],
            )?;
            transaction.execute(
                "DELETE FROM episodes WHERE state = 'resolved' AND resolved_at_ms < ?1",
                [before_ms],
            )?;
            transaction.execute("DELETE FROM silences WHERE until_ms < ?1", [before_ms])?;
            Ok(())
        })
    }
}

fn courses(transaction: &Transaction<'_>, changes: &Changes) -> rusqlite::Result<()> {
    let mut put = transaction.prepare("INSERT OR REPLACE INTO courses VALUES (?1, ?2, ?3)")?;
    for (of, course) in &changes.courses {
        put.execute(params![of.key(), text_of(of), text_of(course)])?;
    }
    let mut drop = transaction.prepare("DELETE FROM courses WHERE subject = ?1")?;
    for of in &changes.dropped {
        drop.execute([of.key()])?;
    }
    Ok(())
}

fn store_episode(
    transaction: &Transaction<'_>,
    episode: &Episode,
    now_ms: i64,
) -> rusqlite::Result<()> {
    transaction
        .execute(
            "INSERT INTO episodes (id, model, class, severity, state, body, fired_at_ms)
             VALUES (?1, ?2, ?3, ?4, 'firing', ?5, ?6)
             ON CONFLICT (id) DO UPDATE SET severity = ?4, body = ?5, state = 'firing',
               resolved_at_ms = NULL",
            params![
                episode.id,
                episode.group.model,
                episode.group.class.name(),
                episode.severity.name(),
                text_of(episode),
                now_ms
            ],
        )
        .map(drop)
}

fn silence(transaction: &Transaction<'_>, episode: &str, silenced: bool) -> rusqlite::Result<()> {
    let update = "UPDATE episodes SET silenced = ?2 WHERE id = ?1";
    transaction.execute(update, params![episode, silenced]).map(drop)
}

/// History and messages that follow from a step.
fn tell(
    transaction: &Transaction<'_>,
    notes: &[Note],
    posts: &[Post],
    now_ms: i64,
) -> rusqlite::Result<()> {
    notes.iter().try_for_each(|entry| note(transaction, entry, now_ms))?;
    posts.iter().try_for_each(|post| send(transaction, post, now_ms))
}

/// Adds a line to the history.
pub(super) fn note(
    transaction: &Transaction<'_>,
    note: &Note,
    now_ms: i64,
) -> rusqlite::Result<()> {
    transaction
        .execute(
            "INSERT INTO history (at_ms, window_end_ms, model, class, episode, what, detail)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                now_ms,
                note.window_end_ms,
                note.group.model,
                note.group.class.name(),
                note.episode,
                note.what,
                note.detail
            ],
        )
        .map(drop)
}

/// Puts a message into the outbox for everybody who gets it.
pub(super) fn send(
    transaction: &Transaction<'_>,
    post: &Post,
    now_ms: i64,
) -> rusqlite::Result<()> {
    let episode = post.message.episode.as_ref().map_or("", |episode| &episode.id);
    let routes = match &post.to {
        To::Routes(routes) => routes.clone(),
        To::WhoKnows => outbox::who_knows(transaction, episode)?,
    };
    for route in routes {
        outbox::put(transaction, episode, &route, &post.message, now_ms)?;
    }
    Ok(())
}

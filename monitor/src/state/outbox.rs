//! Deliveries: first in, first out per (episode, route), each with what became of it.

use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::{StateError, Store, parsed, text_of};
use crate::deliver::{Kind, MAX_RETRY_AFTER_MS, Message};

/// Whether the receiver has the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Certainly not: no connection was made.
    No,
    /// It may: the connection broke, timed out or answered with an error.
    Maybe,
    /// It said so.
    Yes,
}

/// A message that waits for a route.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its place in the outbox.
    pub seq: i64,
    /// Its episode; of a heartbeat, a name of its own.
    pub episode: String,
    /// Where it goes.
    pub route: String,
    /// What is said.
    pub message: Message,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was put there.
    pub created_ms: i64,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The receiver has it.
    Delivered,
    /// This receiver's form has no such message.
    Skipped,
    /// Again at this time.
    Again { due_ms: i64, heard: Heard, error: String },
    /// Not here any more: to the next route, if there is one.
    Over { to: Option<String>, heard: Heard, error: String },
}

/// Kinds that a resolve answers.
pub(super) const TRIGGERS: &str = "('alert.fired', 'alert.upgraded')";

/// A route that has the episode, or will, or may have.
const KNOWS: &str = "(state = 'waiting' OR heard <> 'no')";

impl Heard {
    fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Maybe => "maybe",
            Self::Yes => "yes",
        }
    }
}

impl Store {
    /// The next delivery of `route` that is due: the oldest of its model and class, and not too early. Some
    /// receivers know a group by one key, so that a resolve of the last episode would end the next one.
    pub(crate) fn next_due(
        &self,
        route: &str,
        now_ms: i64,
    ) -> Result<Option<Delivery>, StateError> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT seq, episode, route, message, attempts, created_ms FROM outbox AS mine
                 WHERE route = ?1 AND state = 'waiting'
                   -- No wait is that long: the clock went back.
                   AND (due_ms <= ?2 OR due_ms > ?2 + ?3)
                   AND NOT EXISTS (SELECT 1 FROM outbox AS earlier
                     WHERE earlier.route = mine.route AND earlier.state = 'waiting'
                       AND earlier.seq < mine.seq
                       AND (earlier.episode = mine.episode OR EXISTS (
                         SELECT 1 FROM episodes AS before, episodes AS now
                         WHERE before.id = earlier.episode AND now.id = mine.episode
                           AND before.model = now.model AND before.class = now.class)))
                 ORDER BY seq LIMIT 1",
            )?;
            statement.query_row(params![route, now_ms, MAX_RETRY_AFTER_MS], read).optional()
        })
    }

    /// Writes down what became of an attempt; answers whether the message is now dead, without
    /// any route left to take it.
    pub(crate) fn settle(
        &mut self,
        delivery: &Delivery,
        result: &Attempt,
        now_ms: i64,
    ) -> Result<bool, StateError> {
        self.write(|transaction| match result {
            Attempt::Delivered => finish(transaction, delivery, "delivered", "yes", "", now_ms),
            Attempt::Skipped => finish(transaction, delivery, "skipped", "no", "", now_ms),
            Attempt::Again { due_ms, heard, error } => {
                let mut statement = transaction.prepare(
                    "UPDATE outbox SET attempts = attempts + 1, due_ms = ?2, error = ?3,
                       heard = iif(heard = 'no', ?4, heard) WHERE seq = ?1",
                )?;
                statement.execute(params![delivery.seq, due_ms, error, heard.name()])?;
                Ok(false)
            }
            Attempt::Over { to, heard, error } => {
                let state = if to.is_some() { "passed_on" } else { "dead" };
                finish(transaction, delivery, state, heard.name(), error, now_ms)?;
                match to {
                    Some(to) => fall_over(transaction, delivery, to, now_ms).map(|()| false),
                    None => Ok(true),
                }
            }
        })
    }

    /// What waits for routes that are gone is dead, and says so.
    pub(crate) fn abandon(&mut self, routes: &[&str], now_ms: i64) -> Result<usize, StateError> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE outbox SET state = 'dead', finished_ms = ?2,
                   error = 'the route is not configured any more'
                 WHERE state = 'waiting' AND route NOT IN (SELECT value FROM json_each(?1))",
                params![text_of(&routes), now_ms],
            )
        })
    }

    /// Puts a sign of life there for `route`; one that still waits is replaced.
    pub(crate) fn put_heartbeat(
        &mut self,
        route: &str,
        message: &Message,
        now_ms: i64,
    ) -> Result<(), StateError> {
        let episode = format!("heartbeat/{route}");
        self.write(|transaction| {
            transaction.execute(
                "DELETE FROM outbox WHERE episode = ?1 AND message_id <> ?2",
                [&episode, &message.id],
            )?;
            put(transaction, &episode, route, message, now_ms)
        })
    }

    /// Why a route is disabled, unless it leads somewhere else by now.
    pub(crate) fn disabled(&self, route: &str, target: &str) -> Result<Option<String>, StateError> {
        self.read(|connection| {
            connection
                .query_row(
                    "SELECT reason FROM routes WHERE name = ?1 AND target = ?2",
                    [route, target],
                    |row| row.get(0),
                )
                .optional()
        })
    }

    /// The receiver said that it is gone for good.
    pub(crate) fn disable(
        &mut self,
        route: &str,
        target: &str,
        reason: &str,
        now_ms: i64,
    ) -> Result<(), StateError> {
        self.write(|transaction| {
            transaction
                .execute(
                    "INSERT OR REPLACE INTO routes VALUES (?1, ?2, ?3, ?4)",
                    params![route, target, now_ms, reason],
                )
                .map(drop)
        })
    }

    /// A disabled route is used again.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn enable(&mut self, route: &str) -> Result<bool, StateError> {
        self.write(|transaction| {
            Ok(transaction.execute("DELETE FROM routes WHERE name = ?1", [route])? > 0)
        })
    }
}

/// Puts a message there; the same message on the same route is there once.
pub(super) fn put(
    transaction: &Transaction<'_>,
    episode: &str,
    route: &str,
    message: &Message,
    now_ms: i64,
) -> rusqlite::Result<()> {
    transaction
        .execute(
            "INSERT OR IGNORE INTO outbox (episode, route, kind, message_id, message, state, heard,
               attempts, due_ms, created_ms, error)
             VALUES (?1, ?2, ?3, ?4, ?5, 'waiting', 'no', 0, ?6, ?6, '')",
            params![episode, route, message.kind.name(), message.id, text_of(message), now_ms],
        )
        .map(drop)
}

/// Routes that heard of the episode, will, or may have.
pub(super) fn who_knows(
    transaction: &Transaction<'_>,
    episode: &str,
) -> rusqlite::Result<Vec<String>> {
    let mut statement = transaction.prepare(&format!(
        "SELECT DISTINCT route FROM outbox
         WHERE episode = ?1 AND kind IN {TRIGGERS} AND {KNOWS} ORDER BY route"
    ))?;
    statement.query_map([episode], |row| row.get(0))?.collect()
}

fn finish(
    transaction: &Transaction<'_>,
    delivery: &Delivery,
    state: &str,
    heard: &str,
    error: &str,
    now_ms: i64,
) -> rusqlite::Result<bool> {
    transaction.execute(
        "UPDATE outbox SET state = ?2, error = iif(?4 = '', error, ?4), finished_ms = ?5,
           attempts = attempts + iif(?2 = 'skipped', 0, 1),
           heard = iif(?3 = 'yes' OR heard = 'no', ?3, heard) WHERE seq = ?1",
        params![delivery.seq, state, heard, error, now_ms],
    )?;
    Ok(false)
}

/// The message, and what waits behind it, for the next route, but for triggers that it is past: it may have
/// been told of the episode by itself when that became more severe. What waits here goes on waiting only if
/// this receiver may have heard of the episode.
fn fall_over(
    transaction: &Transaction<'_>,
    delivery: &Delivery,
    to: &str,
    now_ms: i64,
) -> rusqlite::Result<()> {
    let Delivery { episode, route, .. } = delivery;
    hand_on(transaction, delivery, to, now_ms)?;
    let mut statement = transaction.prepare(
        "SELECT seq, episode, route, message, attempts, created_ms FROM outbox
         WHERE route = ?1 AND episode = ?2 AND state = 'waiting' AND seq > ?3 ORDER BY seq",
    )?;
    let behind: Vec<Delivery> = statement
        .query_map(params![route, episode, delivery.seq], read)?
        .collect::<Result<_, _>>()?;
    let may_know: bool = transaction.query_row(
        &format!(
            "SELECT EXISTS (SELECT 1 FROM outbox WHERE episode = ?1 AND route = ?2
               AND kind IN {TRIGGERS} AND heard <> 'no')"
        ),
        [episode, route],
        |row| row.get(0),
    )?;
    for later in behind {
        let ends = matches!(later.message.kind, Kind::Resolved | Kind::Acknowledged);
        hand_on(transaction, &later, to, now_ms)?;
        if ends && !may_know {
            finish(
                transaction,
                &later,
                "skipped",
                "no",
                "the trigger went to the next route",
                now_ms,
            )?;
        }
    }
    Ok(())
}

/// Puts the message on another route; as skipped where that has had, or will have, a later one, or knows
/// the group's next episode: the end of this one would end that.
fn hand_on(
    transaction: &Transaction<'_>,
    delivery: &Delivery,
    to: &str,
    now_ms: i64,
) -> rusqlite::Result<()> {
    let Delivery { episode, message, .. } = delivery;
    let is_there: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM outbox WHERE message_id = ?1 AND route = ?2)",
        [&message.id, to],
        |row| row.get(0),
    )?;
    if is_there {
        return Ok(());
    }
    let late = match message.kind {
        Kind::Fired | Kind::Upgraded => is_past_trigger(transaction, delivery, to)?
            .or(is_past_episode(transaction, delivery, to)?),
        Kind::Resolved | Kind::Acknowledged => is_past_episode(transaction, delivery, to)?,
        Kind::Heartbeat | Kind::Retraining | Kind::Test => None,
    };
    put(transaction, episode, to, message, now_ms)?;
    if let Some(why) = late {
        transaction.execute(
            "UPDATE outbox SET state = 'skipped', finished_ms = ?3, error = ?4
             WHERE message_id = ?1 AND route = ?2",
            params![message.id, to, now_ms, why],
        )?;
    }
    Ok(())
}

/// Why a trigger comes too late to `to`: it has what followed in the episode.
fn is_past_trigger(
    transaction: &Transaction<'_>,
    delivery: &Delivery,
    to: &str,
) -> rusqlite::Result<Option<&'static str>> {
    let followed = "episode = ?1 AND kind IN ('alert.upgraded', 'alert.resolved')";
    let is_past = has_later(transaction, delivery, to, followed)?;
    Ok(is_past.then_some("this route has a later message of the episode"))
}

/// Why any message of an episode comes too late to `to`: it knows a later one of the same group.
fn is_past_episode(
    transaction: &Transaction<'_>,
    delivery: &Delivery,
    to: &str,
) -> rusqlite::Result<Option<&'static str>> {
    let next = format!(
        "kind IN {TRIGGERS} AND {KNOWS}
           AND episode IN (SELECT other.id FROM episodes AS mine, episodes AS other
             WHERE mine.id = ?1 AND other.id <> mine.id AND other.model = mine.model
               AND other.class = mine.class)"
    );
    let is_past = has_later(transaction, delivery, to, &next)?;
    Ok(is_past.then_some("this route knows a later episode of the model and class"))
}

/// Whether `to` has one of `these` that was first put anywhere after the delivery's message was: over several
/// routes a message's own place is a later one.
fn has_later(
    transaction: &Transaction<'_>,
    delivery: &Delivery,
    to: &str,
    these: &str,
) -> rusqlite::Result<bool> {
    let first = "(SELECT min(seq) FROM outbox AS first WHERE first.message_id";
    transaction.query_row(
        &format!(
            "SELECT EXISTS (SELECT 1 FROM outbox AS theirs WHERE route = ?2 AND {these}
               AND {first} = theirs.message_id) > {first} = ?3))"
        ),
        params![delivery.episode, to, delivery.message.id],
        |row| row.get(0),
    )
}

fn read(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        seq: row.get(0)?,
        episode: row.get(1)?,
        route: row.get(2)?,
        message: parsed(&row.get::<_, String>(3)?, 3)?,
        attempts: row.get(4)?,
        created_ms: row.get(5)?,
    })
}

//! Tables of the state file, and the way from every older schema to the newest.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::StateError;

/// "TgAl": a file of ours says so in its header.
const APPLICATION_ID: i64 = 0x5467_416c;

/// `STEPS[v]` leads from schema v to v + 1; a step that was released is never changed.
const STEPS: [&str; 1] = ["
    CREATE TABLE lease (
        only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
        holder TEXT NOT NULL, host TEXT NOT NULL, token TEXT NOT NULL,
        since_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE courses (
        subject TEXT PRIMARY KEY, of TEXT NOT NULL, course TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE groups (
        model TEXT NOT NULL, class TEXT NOT NULL, open TEXT, last TEXT,
        PRIMARY KEY (model, class)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE episodes (
        id TEXT PRIMARY KEY, model TEXT NOT NULL, class TEXT NOT NULL, severity TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('firing', 'resolved')),
        body TEXT NOT NULL,
        fired_at_ms INTEGER NOT NULL, resolved_at_ms INTEGER,
        silenced INTEGER NOT NULL DEFAULT 0,
        acknowledged_by TEXT, acknowledged_at_ms INTEGER,
        retraining TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX episodes_by_state ON episodes (state, fired_at_ms);
    CREATE TABLE history (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms INTEGER NOT NULL, window_end_ms INTEGER,
        model TEXT NOT NULL, class TEXT NOT NULL, episode TEXT,
        what TEXT NOT NULL, detail TEXT NOT NULL
    ) STRICT;
    CREATE INDEX history_by_episode ON history (episode);
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        episode TEXT NOT NULL, route TEXT NOT NULL, kind TEXT NOT NULL,
        message_id TEXT NOT NULL, message TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'dead', 'passed_on', 'skipped')),
        heard TEXT NOT NULL CHECK (heard IN ('no', 'maybe', 'yes')),
        attempts INTEGER NOT NULL, due_ms INTEGER NOT NULL,
        created_ms INTEGER NOT NULL, finished_ms INTEGER,
        error TEXT NOT NULL,
        UNIQUE (message_id, route)
    ) STRICT;
    CREATE INDEX outbox_waiting ON outbox (route, episode, seq) WHERE state = 'waiting';
    CREATE INDEX outbox_by_episode ON outbox (episode);
    CREATE TABLE silences (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        model TEXT NOT NULL, class TEXT NOT NULL, rule TEXT NOT NULL, subject TEXT NOT NULL,
        until_ms INTEGER NOT NULL, created_ms INTEGER NOT NULL,
        created_by TEXT NOT NULL, reason TEXT NOT NULL
    ) STRICT;
    CREATE TABLE routes (
        name TEXT PRIMARY KEY, target TEXT NOT NULL, disabled_ms INTEGER NOT NULL, reason TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE retraining (
        model TEXT PRIMARY KEY, requested_ms INTEGER NOT NULL, episode TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
"];

/// The schema that this version writes.
pub(super) const CURRENT: i64 = STEPS.len() as i64;

/// Creates the tables or takes every step that is missing, each in its own transaction.
pub(super) fn bring_up_to_date(connection: &mut Connection, path: &Path) -> Result<(), StateError> {
    let fail = |error| StateError::of(path, error);
    loop {
        let found = version(connection, path)?;
        let Some(step) = usize::try_from(found).ok().and_then(|at| STEPS.get(at)) else {
            return Ok(());
        };
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
        transaction.execute_batch(step).map_err(fail)?;
        transaction.pragma_update(None, "user_version", found + 1).map_err(fail)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(fail)?;
        transaction.commit().map_err(fail)?;
    }
}

/// Refuses every schema but the current one.
pub(super) fn expect_current(connection: &Connection, path: &Path) -> Result<(), StateError> {
    let found = version(connection, path)?;
    if found < CURRENT {
        return Err(StateError::Older { path: path.into(), found, known: CURRENT });
    }
    Ok(())
}

/// The file's schema; 0 for an empty file.
fn version(connection: &Connection, path: &Path) -> Result<i64, StateError> {
    let fail = |error| StateError::of(path, error);
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, found) =
        (pragma("application_id").map_err(fail)?, pragma("user_version").map_err(fail)?);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(fail)?;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        let found = format!("a database of application {application} with {tables} objects");
        return Err(StateError::Foreign { path: path.into(), found });
    }
    if found > CURRENT {
        return Err(StateError::Newer { path: path.into(), found, known: CURRENT });
    }
    Ok(found)
}

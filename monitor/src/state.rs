//! Where alerts live: one SQLite file (WAL, every commit synced), one monitor that writes it.
//!
//! A transition and its deliveries are one transaction, so an alert that was decided is delivered
//! or visibly not delivered, whatever is killed. Commands (`tidegate alerts …`) read and write the
//! same file beside the running monitor, silences and acknowledgements only.
//! Refuses to decide anything and to send anything.

mod commands;
mod error;
mod lease;
mod outbox;
mod record;
mod retraining;
mod schema;
mod silence;
pub mod table;
#[cfg(test)]
mod tests;
mod told;
mod view;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

pub use error::StateError;
pub use lease::{Holder, LEASE_MS};
pub use outbox::{Delivery, Heard};
pub use silence::Silence;
pub use view::{DeliveryView, EpisodeView, HistoryLine, Outbox};

pub(crate) use outbox::Attempt;
pub(crate) use record::{Note, Post, To};
pub(crate) use retraining::REQUESTED;

/// How long a transaction waits for another process's.
const BUSY_MS: u64 = 5_000;
/// How long somebody who only looks waits: readers of a WAL wait for a recovery only.
const LOOK_BUSY_MS: u64 = 1_000;

/// An open state file.
pub struct Store {
    connection: Connection,
    path: PathBuf,
    lease: Option<lease::Lease>,
}

impl Store {
    /// Opens the file as the monitor: creates it, brings its schema up to date and takes the lease.
    ///
    /// # Errors
    /// [`StateError::Held`] names the monitor that has it; the others say what to do.
    pub fn open(path: &Path, holder: &Holder, now_ms: i64) -> Result<Self, StateError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|error| StateError::Io { path: folder.into(), error })?;
        }
        let lock = lease::lock(path)?;
        let mut store = Self::connect(path, OpenFlags::SQLITE_OPEN_CREATE)?;
        schema::bring_up_to_date(&mut store.connection, path)?;
        store.check()?;
        store.take_lease(lock, holder, now_ms)?;
        Ok(store)
    }

    /// Opens an existing file beside the monitor, for a command.
    ///
    /// # Errors
    /// When there is none, or it is not ours.
    pub fn beside(path: &Path) -> Result<Self, StateError> {
        if !path.exists() {
            return Err(StateError::Missing(path.into()));
        }
        let store = Self::connect(path, OpenFlags::empty())?;
        schema::expect_current(&store.connection, path)?;
        Ok(store)
    }

    /// Opens an existing file for looking only, beside the monitor and the commands.
    ///
    /// # Errors
    /// As [`Store::beside`].
    pub fn look(path: &Path) -> Result<Self, StateError> {
        if !path.exists() {
            return Err(StateError::Missing(path.into()));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(std::time::Duration::from_millis(LOOK_BUSY_MS))?;
            connection.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;")?;
            Ok(connection)
        };
        let fail = |error| StateError::of(path, error);
        let connection = open().map_err(fail)?;
        // As one look: the monitor may be making the tables at this instant.
        let looking = connection.unchecked_transaction().map_err(fail)?;
        schema::expect_current(&looking, path)?;
        looking.finish().map_err(fail)?;
        Ok(Self { connection, path: path.into(), lease: None })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn connect(path: &Path, create: OpenFlags) -> Result<Self, StateError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(std::time::Duration::from_millis(BUSY_MS))?;
            connection.execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
                 PRAGMA trusted_schema = OFF; PRAGMA wal_autocheckpoint = 256;
                 PRAGMA journal_size_limit = 4194304;",
            )?;
            Ok(connection)
        };
        let connection = open().map_err(|error| StateError::of(path, error))?;
        Ok(Self { connection, path: path.into(), lease: None })
    }

    /// A damaged page is found before it is built upon.
    fn check(&self) -> Result<(), StateError> {
        let found: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| self.error(error))?;
        if found == "ok" {
            return Ok(());
        }
        Err(StateError::Corrupt { path: self.path.clone(), found })
    }

    fn error(&self, error: rusqlite::Error) -> StateError {
        StateError::of(&self.path, error)
    }

    /// All of `work` or nothing, synced. A monitor that lost its lease writes nothing.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        let path = &self.path;
        let fail = |error| StateError::of(path, error);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(fail)?;
        if let Some(lease) = &self.lease {
            lease.expect(&transaction, path)?;
        }
        let done = work(&transaction).map_err(fail)?;
        transaction.commit().map_err(fail)?;
        Ok(done)
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        work(&self.connection).map_err(|error| self.error(error))
    }
}

/// A stored JSON text as what it means.
fn parsed<T: serde::de::DeserializeOwned>(text: &str, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

/// As JSON; everything stored is.
fn text_of(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("what is stored is JSON")
}

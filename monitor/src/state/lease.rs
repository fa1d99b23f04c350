//! One monitor writes: a lock of the operating system beside the file, and a lease inside it.
//!
//! The lock ends with the process, so after kill -9 the next start on the same machine goes on at
//! once. The lease row is for volumes that two machines can mount and whose locks may not reach
//! across: it names the holder, is renewed, and carries a token that every transaction asks for.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::{StateError, Store};

/// A lease that was not renewed for so long may be taken by another machine. Six ticks of the
/// monitor, which renews it every 10 s: a stop of the world for less changes nothing.
pub const LEASE_MS: i64 = 60_000;

/// Who opens the state.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The pipeline's instance, for people.
    pub instance: String,
    /// The machine: on the same one the lock alone decides.
    pub host: String,
    /// The process.
    pub pid: u32,
}

/// Held until dropped.
pub(super) struct Lease {
    token: String,
    _lock: File,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (host {}, process {})", self.instance, self.host, self.pid)
    }
}

/// A lock that is taken is tried again: who starts a program shares its open files with it for a moment,
/// locks that were let go among them.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The lock beside the state file; its content is for people.
pub(super) fn lock(path: &Path) -> Result<File, StateError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let beside = PathBuf::from(name);
    let io = |error| StateError::Io { path: beside.clone(), error };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&beside)
        .map_err(io)?;
    for left in (0..LOCK_TRIES).rev() {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if left > 0 => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
    }
    let holder = std::fs::read_to_string(&beside).unwrap_or_default();
    let holder = if holder.is_empty() { "another process".into() } else { holder };
    Err(StateError::Held { path: path.into(), holder })
}

impl Store {
    /// Writes the holder down, unless another machine's lease is still good.
    pub(super) fn take_lease(
        &mut self,
        lock: File,
        holder: &Holder,
        now_ms: i64,
    ) -> Result<(), StateError> {
        use std::io::Write as _;
        let path = self.path.clone();
        let fail = |error| StateError::of(&path, error);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(fail)?;
        let held: Option<(String, String, i64)> = transaction
            .query_row("SELECT holder, host, until_ms FROM lease", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()
            .map_err(fail)?;
        if let Some((who, host, until_ms)) = held
            && host != holder.host
            // A clock that went back must not keep everybody out.
            && (now_ms..=now_ms.saturating_add(LEASE_MS)).contains(&until_ms)
        {
            let seconds = (until_ms - now_ms + 999) / 1_000;
            let holder = format!("{who}, whose lease ends in {seconds} s unless renewed");
            return Err(StateError::Held { path, holder });
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| StateError::Io { path: path.clone(), error: error.into() })?;
        let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        transaction
            .execute(
                "INSERT OR REPLACE INTO lease VALUES (1, ?1, ?2, ?3, ?4, ?5)",
                params![
                    holder.to_string(),
                    holder.host,
                    token,
                    now_ms,
                    now_ms.saturating_add(LEASE_MS)
                ],
            )
            .map_err(fail)?;
        transaction.commit().map_err(fail)?;
        // For whoever is refused; that it is there is not needed for anything.
        let _ = lock.set_len(0).and_then(|()| (&lock).write_all(holder.to_string().as_bytes()));
        self.lease = Some(Lease { token, _lock: lock });
        Ok(())
    }

    /// Says that this monitor is alive.
    ///
    /// # Errors
    /// [`StateError::Lost`] when another one took over.
    pub fn renew(&mut self, now_ms: i64) -> Result<(), StateError> {
        self.write(|transaction| {
            transaction
                .execute("UPDATE lease SET until_ms = ?1", [now_ms.saturating_add(LEASE_MS)])
                .map(drop)
        })
    }
}

impl Lease {
    /// Refuses when the row is no longer ours.
    pub(super) fn expect(
        &self,
        transaction: &Transaction<'_>,
        path: &Path,
    ) -> Result<(), StateError> {
        let row: Option<(String, String)> = transaction
            .query_row("SELECT token, holder FROM lease", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(|error| StateError::of(path, error))?;
        match row {
            Some((token, _)) if token == self.token => Ok(()),
            other => Err(StateError::Lost {
                path: path.into(),
                holder: other.map_or_else(|| "nobody".into(), |(_, holder)| holder),
            }),
        }
    }
}

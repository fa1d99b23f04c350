//! Files that are damaged, foreign, newer, full or held by somebody else.

use std::path::Path;

use super::*;

fn holder(instance: &str, host: &str) -> Holder {
    Holder { instance: instance.into(), host: host.into(), pid: 7 }
}

fn open(path: &Path, host: &str, now_ms: i64) -> Result<Store, StateError> {
    Store::open(path, &holder("a", host), now_ms)
}

impl Store {
    /// The file may have no more pages than it has, plus so many.
    pub(crate) fn limit_pages(&self, more: i64) {
        let pages: i64 =
            self.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        let limit = format!("PRAGMA max_page_count = {}", pages + more);
        self.connection.query_row(&limit, [], |_| Ok(())).unwrap();
    }
}

#[test]
fn every_commit_is_synced_to_a_write_ahead_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("deep/er/s"), "h", 0).unwrap();
    let pragma = |name: &str| -> String {
        store
            .connection
            .query_row(&format!("PRAGMA {name}"), [], |row| {
                Ok(match row.get::<_, rusqlite::types::Value>(0)? {
                    rusqlite::types::Value::Text(text) => text,
                    other => format!("{other:?}"),
                })
            })
            .unwrap()
    };
    assert_eq!(
        (pragma("journal_mode").as_str(), pragma("synchronous").as_str()),
        ("wal", "Integer(2)")
    );
}

#[test]
fn damaged_foreign_and_newer_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let said = |name: &str| match open(&path(name), "h", 0) {
        Ok(_) => panic!("{name} opened"),
        Err(error) => error.to_string(),
    };
    std::fs::write(path("text"), "not a database, but long enough to have a header".repeat(50))
        .unwrap();
    assert!(
        said("text").contains("is not an alert state of Tidegate (not SQLite)"),
        "{}",
        said("text")
    );
    Connection::open(path("other")).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(said("other").contains("is not an alert state"), "{}", said("other"));
    drop(open(&path("newer"), "h", 0).unwrap());
    Connection::open(path("newer")).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(said("newer").contains("has schema 99, this Tidegate knows 1"), "{}", said("newer"));

    drop(open(&path("damaged"), "h", 0).unwrap());
    let mut bytes = std::fs::read(path("damaged")).unwrap();
    assert!(bytes.len() > 20_000, "the log was taken into the file when it was closed");
    bytes[4_096..12_288].fill(0xa5);
    std::fs::write(path("damaged"), bytes).unwrap();
    assert!(said("damaged").contains("is damaged"), "{}", said("damaged"));
    assert!(said("damaged").contains("move it away"), "{}", said("damaged"));

    std::fs::create_dir(path("folder")).unwrap();
    assert!(said("folder").contains("folder"), "{}", said("folder"));
    let Err(StateError::Missing(_)) = Store::beside(&path("none")) else { panic!("it opened") };
    drop(Connection::open(path("older")).unwrap());
    let Err(error) = Store::beside(&path("older")) else { panic!("it opened") };
    assert!(error.to_string().contains("start the monitor"), "{error}");
}

#[test]
fn a_lease_is_held_by_one_and_comes_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let first = open(&path, "one", 1_000_000).unwrap();
    // The same machine: the lock decides, and ends with the holder.
    let Err(StateError::Held { holder, .. }) = open(&path, "one", 9_000_000) else { panic!() };
    assert_eq!(holder, "a (host one, process 7)");
    drop(first);
    drop(open(&path, "one", 1_000_001).expect("the lock is free, the lease is our own machine's"));
    // Another machine, where the lock may not reach: the lease decides.
    let Err(StateError::Held { holder, .. }) = open(&path, "two", 1_001_000) else { panic!() };
    assert!(holder.contains("a (host one, process 7), whose lease ends in 60 s"), "{holder}");
    drop(open(&path, "two", 1_000_001 + LEASE_MS + 1).expect("it was not renewed"));
    // A lease from a clock that was far ahead keeps nobody out.
    drop(open(&path, "three", 5_000).expect("the clock went back"));
}

#[test]
fn who_lost_the_lease_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let mut slept = open(&path, "one", 0).unwrap();
    slept.renew(1).unwrap();
    let taken = "UPDATE lease SET token = 'x', holder = 'b (host two, process 9)'";
    Store::beside(&path).unwrap().connection.execute_batch(taken).unwrap();
    let Err(StateError::Lost { holder, .. }) = slept.renew(2) else { panic!("it wrote") };
    assert_eq!(holder, "b (host two, process 9)");
}

#[test]
fn a_schema_step_that_fails_leaves_the_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    // A file whose creation was cut off before its first step: the next start finishes it.
    drop(Store::connect(&path, OpenFlags::SQLITE_OPEN_CREATE).unwrap());
    drop(open(&path, "h", 0).unwrap());
    Store::beside(&path).unwrap();
}

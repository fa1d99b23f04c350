//! The archive on an object store that loses answers, refuses, is late, or keeps no promises.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use proptest::prelude::*;

use super::ObjectFiles;
use crate::archive::testing::{batch, config, offsets_of_file, table, topic};
use crate::archive::{Archive, Outcome};
use crate::error::{Remedy, StoreError};
use crate::files::{Files, open, stores};

/// What becomes of a `PUT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Fine,
    /// 503, and nothing was done.
    Failed,
    /// The connection ended, and nothing was done.
    Reset,
    /// Nothing was done in time.
    TimedOut,
    /// Done, and the answer was lost.
    Lost,
    /// The answer is an error, and it is done when the next one comes.
    Late,
    /// The connection ended, and it is done when the next one comes.
    LateReset,
    /// Done; the answer was lost, and the second request of the same client was refused.
    OwnRefused,
    /// Refused while another's is under way, which then came to nothing.
    Conflict,
}

/// A store in memory, and what becomes of the next `PUT`s of data.
#[derive(Debug, Default)]
struct Unreliable {
    inner: InMemory,
    fates: Mutex<VecDeque<Fate>>,
    late: Mutex<Vec<(Key, PutPayload)>>,
    ignores_conditions: bool,
    knows_no_conditions: bool,
    refuses_deletes: bool,
}

impl std::fmt::Display for Unreliable {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("unreliable")
    }
}

impl Unreliable {
    fn failure() -> Error {
        Error::Generic { store: "test", source: "503\nSlow Down".into() }
    }

    fn cut(kind: HttpErrorKind) -> Error {
        let source = HttpError::new(kind, std::io::Error::other("the connection ended"));
        Error::Generic { store: "test", source: Box::new(source) }
    }

    async fn create(&self, key: &Key, payload: PutPayload) -> Result<PutResult> {
        self.inner.put_opts(key, payload, PutMode::Create.into()).await
    }

    async fn land(&self) {
        let late: Vec<_> = std::mem::take(&mut *self.late.lock().unwrap());
        for (key, payload) in late {
            let _ = self.create(&key, payload).await;
        }
    }
}

#[async_trait]
impl ObjectStore for Unreliable {
    async fn put_opts(
        &self,
        key: &Key,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.land().await;
        if self.knows_no_conditions {
            let said = "Server returned non-2xx status code: 501 Not Implemented: <Error/>";
            return Err(Error::Generic { store: "test", source: said.into() });
        }
        if self.ignores_conditions || options.mode != PutMode::Create {
            return self.inner.put_opts(key, payload, PutMode::Overwrite.into()).await;
        }
        let is_data = key.as_ref().ends_with(".parquet");
        let fate = self.fates.lock().unwrap().pop_front().filter(|_| is_data);
        let refused =
            || Error::AlreadyExists { path: key.to_string(), source: "412 or 409".into() };
        match fate.unwrap_or(Fate::Fine) {
            Fate::Fine => self.create(key, payload).await,
            Fate::Failed => Err(Self::failure()),
            Fate::Reset => Err(Self::cut(HttpErrorKind::Interrupted)),
            Fate::TimedOut => Err(Self::cut(HttpErrorKind::Timeout)),
            Fate::Lost => self.create(key, payload).await.and(Err(Self::failure())),
            Fate::Late => {
                self.late.lock().unwrap().push((key.clone(), payload));
                Err(Self::failure())
            }
            Fate::LateReset => {
                self.late.lock().unwrap().push((key.clone(), payload));
                Err(Self::cut(HttpErrorKind::Interrupted))
            }
            Fate::OwnRefused => self.create(key, payload).await.and(Err(refused())),
            Fate::Conflict => Err(refused()),
        }
    }

    async fn put_multipart_opts(
        &self,
        key: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(key, options).await
    }

    async fn get_opts(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(key, options).await
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Key>>,
    ) -> BoxStream<'static, Result<Key>> {
        match self.refuses_deletes {
            true => keys.and_then(|_| async { Err(Self::failure()) }).boxed(),
            false => self.inner.delete_stream(keys),
        }
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn files(store: &Arc<Unreliable>) -> Arc<ObjectFiles> {
    let io = stores::io().unwrap();
    let files = ObjectFiles::new("bucket", Arc::clone(store) as Arc<dyn ObjectStore>, io);
    Arc::new(ObjectFiles { pause: Duration::from_millis(1), ..files })
}

fn archive(store: &Arc<Unreliable>, instance: &str) -> std::result::Result<Archive, StoreError> {
    let config = config("s3://bucket/tables", instance);
    Archive::open_on(files(store), config, topic(), table(), SystemTime::UNIX_EPOCH)
}

/// Reads a position, appends `records` behind it and publishes them.
fn publish(archive: &mut Archive, records: i64) -> std::result::Result<(i64, Outcome), StoreError> {
    let start = archive.position(0)?.unwrap_or(0);
    let mut outcome = archive.append(&batch(0, start..start + records), Instant::now())?;
    let rest = archive.revoke(&[0])?;
    outcome.published.extend(rest.published);
    outcome.lost.extend(rest.lost);
    Ok((start, outcome))
}

/// Offsets of the files in the store, in the order of their names.
fn offsets(store: &Arc<Unreliable>) -> Vec<i64> {
    let files = files(store);
    let all = files.walk(Path::new("s3://bucket/tables/results")).unwrap();
    let bytes = |path: &PathBuf| files.tail(path, usize::MAX >> 1).unwrap().1;
    all.iter().flat_map(|path| offsets_of_file(&bytes(path))).collect()
}

#[test]
fn each_fate_of_a_put_leaves_each_record_once() {
    for (fates, publishes) in [
        (vec![Fate::Fine], true),
        (vec![Fate::Failed], false),
        (vec![Fate::Lost], true),
        (vec![Fate::Late], false),
        (vec![Fate::OwnRefused], true),
        (vec![Fate::Conflict, Fate::Fine], true),
        (vec![Fate::Conflict, Fate::OwnRefused], true),
        (vec![Fate::Reset, Fate::Reset, Fate::Fine], true),
        (vec![Fate::Reset, Fate::Lost], true),
        (vec![Fate::Reset; 5], false),
        (vec![Fate::LateReset, Fate::Fine], true),
        (vec![Fate::Reset, Fate::Failed], false),
        (vec![Fate::TimedOut, Fate::Fine], true),
        (vec![Fate::TimedOut, Fate::TimedOut], false),
    ] {
        let store = Arc::new(Unreliable::default());
        let mut first = archive(&store, "a").unwrap();
        *store.fates.lock().unwrap() = fates.clone().into();
        match publish(&mut first, 3) {
            Ok((_, outcome)) => {
                assert_eq!((outcome.published.len(), publishes), (1, true), "{fates:?}");
            }
            Err(error) => {
                assert!(!publishes, "{fates:?}: {error}");
                assert_eq!(error.remedy(), Remedy::Retry, "{error}");
                let said = std::error::Error::source(&error).unwrap().to_string();
                let expected = match fates.last() {
                    Some(Fate::Reset) => "the connection ended",
                    Some(Fate::TimedOut) => "AWS_TIMEOUT",
                    _ => "503 Slow Down",
                };
                assert!(said.contains(expected), "on one line: {said}");
            }
        }
        let (_, outcome) = publish(&mut archive(&store, "a").unwrap(), 4).unwrap();
        assert_eq!(outcome.published.len() + outcome.lost.len(), 1);
        let _ = publish(&mut archive(&store, "a").unwrap(), 1).unwrap();
        let found = offsets(&store);
        assert_eq!(found, (0..found.len() as i64).collect::<Vec<_>>(), "{fates:?}");
    }
}

#[test]
fn of_two_writers_one_wins_and_the_other_reads_its_end() {
    let store = Arc::new(Unreliable::default());
    let (mut a, mut b) = (archive(&store, "a").unwrap(), archive(&store, "b").unwrap());
    for writer in [&mut a, &mut b] {
        assert_eq!(writer.position(0).unwrap(), None);
    }
    // The first record that one of them hears of is not the other's.
    let _ = a.append(&batch(0, 4..5), Instant::now()).unwrap();
    let _ = b.append(&batch(0, 0..9), Instant::now()).unwrap();
    assert_eq!(b.finish().unwrap().published[0].footer.end, 9);
    let outcome = a.finish().unwrap();
    assert_eq!((outcome.published.len(), outcome.lost[0].position), (0, 9));
    assert_eq!(a.position(0).unwrap(), Some(9));
    assert_eq!(offsets(&store), (0..9).collect::<Vec<_>>());
}

#[test]
fn a_server_that_ignores_conditions_is_refused() {
    let store = Arc::new(Unreliable { ignores_conditions: true, ..Unreliable::default() });
    let error = archive(&store, "a").err().unwrap();
    assert_eq!(error.remedy(), Remedy::Stop);
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("If-None-Match"), "{said}");
    let left = files(&store).walk(Path::new("s3://bucket/")).unwrap();
    assert!(left.is_empty(), "the probe is removed: {left:?}");
}

#[test]
fn a_server_that_knows_no_conditions_is_refused() {
    let store = Arc::new(Unreliable { knows_no_conditions: true, ..Unreliable::default() });
    let error = archive(&store, "a").err().unwrap();
    assert_eq!(error.remedy(), Remedy::Stop);
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("If-None-Match") && said.contains("501"), "{said}");
}

#[test]
fn a_probe_that_cannot_be_deleted_is_no_fault() {
    let store = Arc::new(Unreliable { refuses_deletes: true, ..Unreliable::default() });
    assert_eq!(publish(&mut archive(&store, "a").unwrap(), 3).unwrap().1.published.len(), 1);
}

#[test]
fn what_is_being_written_is_nobody_elses() {
    let store = Arc::new(Unreliable::default());
    let (own, other) = (files(&store), files(&store));
    let (from, to) = (Path::new("s3://bucket/.tmp/x"), Path::new("s3://bucket/x"));
    let mut file = own.create(from).unwrap();
    file.write_all(b"text").unwrap();
    assert_eq!(own.read(from, 1, 2).unwrap(), b"ex");
    assert_eq!(other.stat(from).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    assert!(other.list(Path::new("s3://bucket")).unwrap().is_empty());
    own.publish(from, to).unwrap();
    assert_eq!(other.tail(to, 3).unwrap(), (4, b"ext".to_vec()));
    assert_eq!(own.publish(from, to).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    assert_eq!(other.list(Path::new("s3://bucket")).unwrap()[0].name, "x");
    own.create(from).unwrap().write_all(b"other").unwrap();
    assert_eq!(own.publish(from, to).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    own.replace(from, to).unwrap();
    assert_eq!(other.read(to, 0, 5).unwrap(), b"other");
    other.remove(to).unwrap();
    assert!(other.list(Path::new("s3://bucket")).unwrap().is_empty());
}

#[test]
fn readers_see_the_same_bytes_however_they_ask() {
    use parquet::file::reader::{ChunkReader as _, Length as _};
    use std::io::Read as _;
    const BLOCK: usize = 1 << 20;
    let store = Arc::new(Unreliable::default());
    stores::put_for_tests("test-blocks", Arc::clone(&store) as Arc<dyn ObjectStore>);
    let bytes: Vec<u8> = (0..5 * BLOCK + 17).map(|at| (at * 31 / 7) as u8).collect();
    let (files, path) =
        (stores::of(Path::new("s3://test-blocks/a")).unwrap(), "s3://test-blocks/b");
    let temporary = Path::new("s3://test-blocks/a");
    files.create(temporary).unwrap().write_all(&bytes).unwrap();
    files.publish(temporary, Path::new(path)).unwrap();
    let source = open(Path::new(path)).unwrap();
    assert_eq!(source.len(), bytes.len() as u64);
    for (start, len) in [
        (0, 0),
        (0, 5),
        (BLOCK - 1, 2),
        (BLOCK, BLOCK),
        (BLOCK - 5, BLOCK + 10),
        (7, 4 * BLOCK),
        (5 * BLOCK, 17),
        (bytes.len() - 3, 3),
    ] {
        let got = source.get_bytes(start as u64, len).unwrap();
        assert_eq!(got, bytes[start..start + len], "{start} {len}");
    }
    assert!(source.get_bytes(bytes.len() as u64 - 1, 2).is_err());
    let mut rest = Vec::new();
    source.from(BLOCK as u64 - 9).unwrap().read_to_end(&mut rest).unwrap();
    assert_eq!(rest, bytes[BLOCK - 9..]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Two writers take turns, and any of their requests may fail, land late, or lose its answer.
    #[test]
    fn published_files_hold_each_record_exactly_once(
        turns in proptest::collection::vec((0usize..2, 1i64..20, 0usize..6), 1..30),
    ) {
        let fates = [Fate::Fine, Fate::Failed, Fate::Lost, Fate::Late, Fate::OwnRefused, Fate::LateReset];
        let store = Arc::new(Unreliable::default());
        let mut writers = [archive(&store, "a").unwrap(), archive(&store, "b").unwrap()];
        let mut promised = 0;
        for (who, records, fate) in turns {
            // What is held back is published whatever the other does meanwhile.
            let fresh = writers[who].position(0);
            let start = fresh.unwrap().unwrap_or(0);
            let all = batch(0, start..start + records);
            let _ = writers[who].append(&all, Instant::now()).unwrap();
            store.fates.lock().unwrap().push_back(fates[fate]);
            let other = 1 - who;
            if records % 3 == 0 && let Ok((_, outcome)) = publish(&mut writers[other], 2) {
                for file in &outcome.published {
                    promised = promised.max(file.footer.end);
                }
            }
            match writers[who].revoke(&[0]) {
                Ok(outcome) => {
                    for file in &outcome.published {
                        promised = promised.max(file.footer.end);
                    }
                }
                Err(error) => prop_assert!(matches!(error, StoreError::Io { .. }), "{error}"),
            }
            store.fates.lock().unwrap().clear();
        }
        let (_, last) = publish(&mut archive(&store, "c").unwrap(), 1).unwrap();
        prop_assert_eq!(last.published.len() + last.lost.len(), 1);
        let found = offsets(&store);
        prop_assert_eq!(&found, &(0..found.len() as i64).collect::<Vec<_>>());
        prop_assert!(found.len() as i64 >= promised, "{} of {promised}", found.len());
    }
}

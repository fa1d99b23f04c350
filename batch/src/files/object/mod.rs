//! A bucket of an object store as the archive needs it.
//!
//! What is written lies in a file without a name in the temporary folder of this machine, and publishing
//! is one `PUT` with `If-None-Match: *`: a name appears whole or not at all, is durable when the answer
//! comes, and is never replaced. So there is nothing to sync, there are no folders, and a killed writer
//! leaves nothing behind in the bucket. Refuses files that are too large for one request, and servers
//! that let a second `PUT` of a name through ([`Files::prove`]).

mod again;
mod connect;
mod profile;
mod said;
#[cfg(test)]
mod tests;
mod unsent;

use std::collections::BTreeMap;
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
};
use tokio::runtime::Handle;

use super::location::{parts, place};
use super::{Entry, Files, NewFile, Stat};

use again::{ATTEMPTS, PAUSE, attempts};
pub(super) use connect::connect;
use said::{is_not_implemented, said};
use unsent::{MAX_BYTES, Unsent, unnamed};

/// Objects below a prefix that are looked through, at most.
const MAX_LISTED: usize = 1_000_000;
/// Compared at a time.
const COMPARED_BYTES: usize = 8 << 20;

/// See the module.
pub(crate) struct ObjectFiles {
    bucket: String,
    store: Arc<dyn ObjectStore>,
    /// Where requests are made, whatever thread waits for them.
    io: Handle,
    /// Files being written, by the names that they have until they are published.
    written: Mutex<BTreeMap<PathBuf, File>>,
    /// Before a `PUT` is sent again.
    pause: Duration,
    /// Whether a second `PUT` of a name was seen to be refused.
    proved: Mutex<bool>,
}

/// What has the name that was wanted.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    No,
    ByTheSame,
    ByAnother,
}

impl ObjectFiles {
    pub(crate) fn new(bucket: &str, store: Arc<dyn ObjectStore>, io: Handle) -> Self {
        Self {
            bucket: bucket.to_owned(),
            store,
            io,
            written: Mutex::default(),
            pause: PAUSE,
            proved: Mutex::new(false),
        }
    }

    /// The bucket as DataFusion reads it.
    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Every file below `prefix`, in the order of their keys.
    pub(crate) fn walk(&self, prefix: &Path) -> io::Result<Vec<PathBuf>> {
        let (store, key) = (Arc::clone(&self.store), self.key(prefix)?);
        let listed = self.wait(async move {
            let mut stream = store.list(Some(&key));
            let mut found = Vec::new();
            while let Some(object) = stream.try_next().await? {
                found.push(object.location);
                if found.len() > MAX_LISTED {
                    break;
                }
            }
            Ok(found)
        })?;
        let mut listed = listed.map_err(|error| self.of_bucket(error))?;
        if listed.len() > MAX_LISTED {
            let many = format!("more than {MAX_LISTED} objects lie there: name a longer prefix");
            return Err(io::Error::other(many));
        }
        listed.sort_unstable();
        Ok(listed.iter().map(|key| place(&self.bucket, key.as_ref())).collect())
    }

    fn key(&self, path: &Path) -> io::Result<Key> {
        let text = path.to_string_lossy();
        let key = parts(&text).filter(|(bucket, _)| *bucket == self.bucket);
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
        let (_, key) = key.ok_or_else(|| invalid(format!("not in bucket {}", self.bucket)))?;
        Key::parse(key).map_err(|error| invalid(error.to_string()))
    }

    /// Waits for a request, in or outside of an async runtime: it is made on threads of its own.
    fn wait<T: Send + 'static>(
        &self,
        request: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> io::Result<Result<T, Error>> {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        self.io.spawn(async move {
            // Nobody hears it when whoever waits has panicked.
            let _ = tell.send(request.await);
        });
        told.recv().map_err(|_| io::Error::other("a request to the object store ended in a panic"))
    }

    fn head(&self, key: &Key) -> io::Result<Result<ObjectMeta, Error>> {
        let (store, key) = (Arc::clone(&self.store), key.clone());
        self.wait(async move { store.head(&key).await })
    }

    fn put(&self, key: &Key, payload: &PutPayload, mode: PutMode) -> io::Result<Result<(), Error>> {
        let (store, key, payload) = (Arc::clone(&self.store), key.clone(), payload.clone());
        self.wait(async move { store.put_opts(&key, payload, mode.into()).await.map(|_| ()) })
    }

    /// Puts what lies at `from` under a name that is free.
    ///
    /// A refusal does not say who has the name: an answer that is lost is asked for again, and the second
    /// request finds what the first one left. So what lies there is compared, and an outcome that is not
    /// known is looked up in the same way. That also makes it safe to send again what may still arrive.
    fn put_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (key, payload) = (self.key(to)?, self.payload(from)?);
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(self.pause * (1 << (attempt - 1)));
            }
            let error = match self.put(&key, &payload, PutMode::Create)? {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let refused = matches!(error, Error::AlreadyExists { .. });
            let unknown = matches!(error, Error::Generic { .. });
            if !refused && !unknown {
                return Err(self.of_bucket(error));
            }
            match self.taken(&key, &payload) {
                Ok(Taken::ByTheSame) => {
                    tracing::info!(path = %to.display(), "its answer was lost, and it is there");
                    return Ok(());
                }
                Ok(Taken::ByAnother) => return Err(io::ErrorKind::AlreadyExists.into()),
                Ok(Taken::No) if refused => {}
                Ok(Taken::No) if attempt + 1 < attempts(&error) => {
                    tracing::info!(path = %to.display(), error = %said(&error), "it is sent again");
                }
                // Nobody knows whose it is: not to be taken for the loser's answer.
                Err(unseen) if refused => return Err(unseen),
                // It may still arrive: whoever comes next finds it there or takes the name.
                Ok(Taken::No) | Err(_) => return Err(self.of_bucket(error)),
            }
        }
        Err(io::Error::other(format!("refused {ATTEMPTS} times although the name is free")))
    }

    /// Whether `key` holds `payload`.
    fn taken(&self, key: &Key, payload: &PutPayload) -> io::Result<Taken> {
        let found = match self.head(key)? {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(Taken::No),
            Err(error) => return Err(said(&error)),
        };
        let wanted = payload.content_length() as u64;
        if found.size != wanted {
            return Ok(Taken::ByAnother);
        }
        let mut at = 0;
        for part in payload.iter() {
            for wanted in part.chunks(COMPARED_BYTES) {
                if self.range(key, at, wanted.len())? != wanted {
                    return Ok(Taken::ByAnother);
                }
                at += wanted.len() as u64;
            }
        }
        Ok(Taken::ByTheSame)
    }

    fn range(&self, key: &Key, start: u64, len: usize) -> io::Result<Vec<u8>> {
        if len == 0 {
            return Ok(Vec::new());
        }
        let (store, key) = (Arc::clone(&self.store), key.clone());
        let range = start..start + len as u64;
        let bytes = self.wait(async move { store.get_range(&key, range).await })?;
        let bytes = bytes.map_err(|error| said(&error))?;
        if bytes.len() != len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes.into())
    }

    /// The whole of a file being written.
    fn payload(&self, from: &Path) -> io::Result<PutPayload> {
        let file = self.being_written(from).ok_or(io::ErrorKind::NotFound)??;
        let len = file.metadata()?.len();
        assert!(len <= MAX_BYTES, "writing refuses more");
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes.into())
    }

    fn being_written(&self, path: &Path) -> Option<io::Result<File>> {
        self.written.lock().expect("nobody panics with it").get(path).map(File::try_clone)
    }

    fn forget(&self, path: &Path) -> bool {
        self.written.lock().expect("nobody panics with it").remove(path).is_some()
    }

    /// The error of a `PUT` or a listing. Neither finds a name missing: what is not found is the bucket.
    fn of_bucket(&self, error: Error) -> io::Error {
        match error {
            Error::NotFound { .. } => {
                let missing = format!("there is no bucket {:?} here", self.bucket);
                io::Error::new(io::ErrorKind::NotADirectory, missing)
            }
            other => said(&other),
        }
    }
}

impl Files for ObjectFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        self.key(path)?;
        let file = unnamed()?;
        let mut written = self.written.lock().expect("nobody panics with it");
        if written.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        written.insert(path.to_path_buf(), file.try_clone()?);
        Ok(Box::new(Unsent::new(file)))
    }

    fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.put_new(from, to)?;
        self.forget(from);
        Ok(())
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (key, payload) = (self.key(to)?, self.payload(from)?);
        self.put(&key, &payload, PutMode::Overwrite)?.map_err(|error| self.of_bucket(error))?;
        self.forget(from);
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.key(dir).map(|_| ())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let (store, key) = (Arc::clone(&self.store), self.key(dir)?);
        let at = key.clone();
        let listed = self.wait(async move { store.list_with_delimiter(Some(&at)).await })?;
        let listed = listed.map_err(|error| self.of_bucket(error))?;
        let name = |of: &Key| of.filename().map(str::to_owned);
        // Consoles put an empty object where they show a folder.
        let objects = listed.objects.into_iter().filter(|object| object.location != key);
        let objects = objects.filter_map(|object| {
            Some(Entry { name: name(&object.location)?, modified: object.last_modified.into() })
        });
        let folders = listed.common_prefixes.iter().filter_map(name);
        let folders = folders.map(|name| Entry { name, modified: SystemTime::UNIX_EPOCH });
        Ok(objects.chain(folders).collect())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.forget(path) {
            return Ok(());
        }
        let (store, key) = (Arc::clone(&self.store), self.key(path)?);
        self.wait(async move { store.delete(&key).await })?.map_err(|error| said(&error))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        if let Some(file) = self.being_written(path) {
            let found = file?.metadata()?;
            return Ok(Stat { bytes: found.len(), modified: found.modified()? });
        }
        let found = self.head(&self.key(path)?)?.map_err(|error| said(&error))?;
        Ok(Stat { bytes: found.size, modified: found.last_modified.into() })
    }

    fn read(&self, path: &Path, start: u64, len: usize) -> io::Result<Vec<u8>> {
        match self.being_written(path) {
            Some(file) => {
                let mut bytes = vec![0; len];
                file?.read_exact_at(&mut bytes, start)?;
                Ok(bytes)
            }
            None => self.range(&self.key(path)?, start, len),
        }
    }

    /// One request where the length is not known.
    fn tail(&self, path: &Path, most: usize) -> io::Result<(u64, Vec<u8>)> {
        let (store, key) = (Arc::clone(&self.store), self.key(path)?);
        let at = key.clone();
        let range = Some(GetRange::Suffix(most as u64));
        let got = self.wait(async move {
            let got = store.get_opts(&at, GetOptions { range, ..GetOptions::default() }).await?;
            Ok((got.meta.size, got.bytes().await?))
        })?;
        match got {
            Ok((size, bytes)) => Ok((size, bytes.into())),
            Err(error @ Error::NotFound { .. }) => Err(said(&error)),
            // An empty object has no end that could be asked for.
            Err(error) => match self.head(&key)? {
                Ok(found) if found.size == 0 => Ok((0, Vec::new())),
                _ => Err(said(&error)),
            },
        }
    }

    fn prove(&self, root: &Path) -> io::Result<()> {
        let mut proved = self.proved.lock().expect("nobody panics with it");
        if *proved {
            return Ok(());
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = self.key(&root.join(format!(".tidegate-tmp/probe-{name}")))?;
        let payload = PutPayload::from_static(b"tidegate: is a second PUT of a name refused?\n");
        let mut refused = false;
        for _ in 0..2 {
            match self.put(&key, &payload, PutMode::Create)? {
                Ok(()) => {}
                Err(Error::AlreadyExists { .. }) => refused = true,
                Err(error) if is_not_implemented(&error) => {
                    let unknown =
                        format!("the server knows no If-None-Match on PUT: {}", said(&error));
                    return Err(io::Error::new(io::ErrorKind::Unsupported, unknown));
                }
                Err(error) => return Err(self.of_bucket(error)),
            }
        }
        let (store, probe) = (Arc::clone(&self.store), key.clone());
        if let Err(error) = self.wait(async move { store.delete(&probe).await })? {
            // One that stays is harmless: nobody reads there.
            tracing::warn!(%key, error = %said(&error), "the object of a test cannot be deleted");
        }
        if !refused {
            let ignored = "the server ignores If-None-Match on PUT: two writers could publish the same \
                           name, and records would be lost or doubled";
            return Err(io::Error::new(io::ErrorKind::Unsupported, ignored));
        }
        *proved = true;
        Ok(())
    }
}

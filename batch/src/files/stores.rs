//! Which file system a path is in: this machine's, or a bucket, opened once and kept.
//!
//! As with a file system, nobody hands a store in: the path names it, and the environment says with whose
//! rights it is read. Requests are made on threads of their own, so that whoever waits may do so on an
//! async thread or not, and connections outlive the runtime that asked first.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use datafusion::execution::runtime_env::RuntimeEnv;
use tokio::runtime::{Builder, Handle, Runtime};

use super::location::{bucket_name, check};
use super::object::{ObjectFiles, connect};
use super::{Files, LocalFiles, url_of_store};
use crate::error::StoreError;

/// Threads that make requests: they wait, and encrypt.
const THREADS: usize = 2;

static BUCKETS: Mutex<BTreeMap<String, Arc<ObjectFiles>>> = Mutex::new(BTreeMap::new());

/// The file system that has `path`.
pub(crate) fn of(path: &Path) -> Result<Arc<dyn Files>, StoreError> {
    Ok(match bucket(path)? {
        Some(bucket) => bucket,
        None => Arc::new(LocalFiles),
    })
}

/// The bucket that has `path`; `None` where that is a folder of this machine.
pub(crate) fn bucket(path: &Path) -> Result<Option<Arc<ObjectFiles>>, StoreError> {
    let failed = |reason| StoreError::Place { path: path.to_path_buf(), reason };
    let Some(name) = bucket_name(path) else { return Ok(None) };
    let mut buckets = BUCKETS.lock().expect("nobody panics with it");
    if let Some(open) = buckets.get(&name) {
        return Ok(Some(Arc::clone(open)));
    }
    check(path).map_err(failed)?;
    let io = io().map_err(failed)?;
    let store = connect(&name, io.clone()).map_err(failed)?;
    let open = Arc::new(ObjectFiles::new(&name, store, io));
    buckets.insert(name, Arc::clone(&open));
    Ok(Some(open))
}

/// Lets queries of `runtime` read the bucket that has `path`.
pub(crate) fn register(runtime: &RuntimeEnv, path: &Path) -> Result<(), StoreError> {
    if let Some(bucket) = bucket(path)? {
        runtime.register_object_store(url_of_store(path).as_ref(), Arc::clone(bucket.store()));
    }
    Ok(())
}

/// The threads that make requests.
pub(super) fn io() -> Result<Handle, String> {
    static IO: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = IO.get() {
        return Ok(runtime.handle().clone());
    }
    let made = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("tg-store")
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start threads: {error}"))?;
    // Called under the lock of the buckets: nobody else has made one meanwhile.
    Ok(IO.get_or_init(|| made).handle().clone())
}

/// A bucket of a test, under a name of its own.
#[cfg(test)]
pub(crate) fn put_for_tests(name: &str, store: Arc<dyn object_store::ObjectStore>) {
    let mut buckets = BUCKETS.lock().unwrap();
    let open = Arc::new(ObjectFiles::new(name, store, io().unwrap()));
    assert!(buckets.insert(name.to_owned(), open).is_none(), "a name of its own");
}

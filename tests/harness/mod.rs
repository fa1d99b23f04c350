//! What the end-to-end tests stand on: a broker, child processes, seeded kills, unique names.
//!
//! Nothing here decides whether a test passes; the tests do.

mod broker;
mod by_hand;
mod http;
mod kills;
mod oracle;
mod otlp;
mod pipeline;
mod process;
mod proxy;
mod refusal;
mod s3;
mod small_disk;

pub(crate) use broker::Broker;
pub(crate) use by_hand::{add_partitions, delete_records, delete_topic};
pub(crate) use http::{Request, address_in, get, metrics};
pub(crate) use kills::{Dice, Kills, kills, seed};
pub(crate) use oracle::{each_once, each_once_as_it_came, rows_and_events, verdict_at_last};
pub(crate) use otlp::Receiver;
pub(crate) use pipeline::{FLIGHTS, Pipeline, ended_with, flight, in_topics, scored};
pub(crate) use process::{Child, binary, output, output_of, run, run_with};
pub(crate) use proxy::{Api, Cut, Proxy};
pub(crate) use s3::{S3, SECRET};
pub(crate) use small_disk::SmallDisk;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A name no other test, and no earlier run on the same broker, has used.
pub(crate) fn unique(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (next, process) = (NEXT.fetch_add(1, Ordering::Relaxed), std::process::id());
    format!("{stem}-{process}-{next}")
}

/// A port at which nobody listens just now, below those that the system gives to whoever asks for any.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let any = std::iter::repeat_with(|| {
        let number = std::process::id().wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        10_000 + (number % 10_000) as u16
    });
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    any.take(10_000).find(is_free).expect("one of ten thousand ports is free")
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A folder that is removed when it is dropped, on the file system of the build.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .expect("the build's temporary folder is writable")
}

/// `None` where a real component is missing, said on stderr; a panic under `CI=true`.
pub(crate) fn required<T>(component: &str, found: Result<T, String>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(why) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            panic!("CI=true, and {component} is missing: {why}")
        }
        Err(why) => {
            eprintln!("SKIPPED: {component} is missing: {why}");
            None
        }
    }
}

//! Any text as a configuration, with flags behind a line `===`: an answer, and where it is none, a list of
//! problems that says something and keeps what is secret to itself.
//!
//! An example of the root package, whose configuration is in no library: the layers are built with coverage
//! counters, what they stand on is not.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the binary uses the rest")]

#[path = "../../src/config/mod.rs"]
mod config;

use std::io::{Seek as _, Write as _};
use std::sync::{Mutex, OnceLock};

use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

/// Stands for a password wherever an input names it; long enough to be no accident.
const SECRET: &str = "Tr0ub4dor";

fuzz_target!(|text: &str| {
    let (file, flags) = text.split_once("\n===\n").unwrap_or((text, ""));
    let flags: Vec<String> = flags.lines().map(str::to_owned).collect();
    static FILE: OnceLock<Mutex<NamedTempFile>> = OnceLock::new();
    let place = FILE.get_or_init(|| Mutex::new(NamedTempFile::new().expect("a temporary file")));
    let mut place = place.lock().expect("nothing panics while it is held");
    place.as_file().set_len(0).expect("emptied");
    place.rewind().expect("at its start");
    place.write_all(file.as_bytes()).expect("written");
    let env = [("TIDEGATE__SQL__USERS__FUZZ".to_owned(), SECRET.to_owned())];
    match config::load(Some(place.path()), env.into_iter(), &flags) {
        Ok(config) => {
            let shown = toml::to_string(&config).expect("a configuration can be written");
            assert!(!shown.contains(SECRET) || text.contains(SECRET), "a secret is shown: {shown}");
            let _ = (config::resolved_routes(&config.routes), config::resolved_jobs(&config));
        }
        Err(problems) => {
            let said = problems.to_string();
            assert!(!problems.0.is_empty() && problems.0.iter().all(|one| !one.message.is_empty()));
            assert!(!said.contains(SECRET) || text.contains(SECRET), "a secret is said: {said}");
        }
    }
});

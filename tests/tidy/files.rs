//! Sizes, headers, and what must not be written into any file.

use crate::{none, tree};

/// Lines of a Rust file; a file that passes 200 is asked what it is doing besides its job.
const MAX_LINES: usize = 400;

/// The median that is wanted; printed, not enforced.
const WANTED_MEDIAN: usize = 160;

/// Bytes of any tracked file: demo data are small on purpose.
const MAX_BYTES: u64 = 1024 * 1024;

/// Paths of someone's machine, and ways to name another package registry than the user's own.
/// Written in two halves, so that this file does not find itself.
const FOREIGN: &[&str] = &[
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
    concat!("--index", "-url"),
    concat!("--extra-index", "-url"),
    concat!("--trusted", "-host"),
    concat!("--find", "-links"),
    concat!("<repo", "sitories>"),
    concat!("<mir", "rors>"),
    concat!("replace", "-with"),
];

#[test]
fn rust_files_are_short() {
    let mut lengths: Vec<(usize, String)> = tree::paths(&[".rs"])
        .into_iter()
        .map(|path| (tree::text(&path).unwrap_or_default().lines().count(), path))
        .collect();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2].0;
    eprintln!("{} Rust files, median {median} lines ({WANTED_MEDIAN} wanted)", lengths.len());
    let breaches: Vec<String> = lengths
        .iter()
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, path)| format!("{path}: {lines} lines, {MAX_LINES} allowed"))
        .collect();
    none("a file does more than its job", &breaches);
}

#[test]
fn rust_files_open_with_what_they_are_for() {
    let breaches: Vec<String> = tree::paths(&[".rs"])
        .into_iter()
        .filter(|path| !tree::text(path).is_some_and(|text| text.starts_with("//! ")))
        .collect();
    none("no `//!` in the first line", &breaches);
}

#[test]
fn nothing_names_a_machine_or_a_registry() {
    let mut breaches = Vec::new();
    for path in tree::paths(&[]) {
        let Some(text) = tree::text(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            for word in FOREIGN.iter().filter(|word| line.contains(**word)) {
                breaches.push(format!("{path}:{}: {word}", number + 1));
            }
        }
    }
    none("a machine's path, or another registry than the user's", &breaches);
}

#[test]
fn dependencies_come_from_crates_io() {
    let lock = tree::text("Cargo.lock").expect("Cargo.lock is text");
    let breaches: Vec<String> = lock
        .lines()
        .filter(|line| line.starts_with("source = "))
        .filter(|line| {
            *line != "source = \"registry+https://github.com/rust-lang/crates.io-index\""
        })
        .map(str::to_owned)
        .collect();
    none("Cargo.lock", &breaches);
}

#[test]
fn files_are_small() {
    let breaches: Vec<String> = tree::paths(&[])
        .into_iter()
        .map(|path| (tree::root().join(&path).metadata().map_or(0, |found| found.len()), path))
        .filter(|(bytes, _)| *bytes > MAX_BYTES)
        .map(|(bytes, path)| format!("{path}: {bytes} bytes, {MAX_BYTES} allowed"))
        .collect();
    none("too large for the repository; fetch or make it into the cache folder", &breaches);
}

#[test]
fn every_golden_file_is_read_by_a_test() {
    let sources: Vec<String> =
        tree::paths(&[".rs"]).iter().filter_map(|path| tree::text(path)).collect();
    let breaches: Vec<String> = tree::paths(&[])
        .into_iter()
        .filter(|path| path.split('/').any(|part| part == "goldens" || part == "golden"))
        .filter(|path| {
            let name = path.rsplit('/').next().unwrap_or(path);
            let stem = name.split('.').next().unwrap_or(name);
            !sources.iter().any(|text| text.contains(name) || text.contains(&format!("\"{stem}\"")))
        })
        .collect();
    none("a golden file that no test names", &breaches);
}

//! House rules that a machine can hold: crate edges, homes of technologies, file sizes, headers,
//! what the documents promise, where the tests kill, what must not be written into the repository.
//!
//! Each check collects every breach before it fails.

#[path = "tidy/crates.rs"]
mod crates;
#[path = "tidy/deploy.rs"]
mod deploy;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/failpoints.rs"]
mod failpoints;
#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/tree.rs"]
mod tree;

/// Fails with all breaches, one a line.
#[track_caller]
fn none(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}:\n  {}", breaches.join("\n  "));
}

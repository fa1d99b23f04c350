//! The repository's files: tracked ones, and new ones that git does not ignore.

use std::path::PathBuf;
use std::process::Command;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Paths relative to the root whose end is one of `suffixes`; all of them when there is none.
pub(crate) fn paths(suffixes: &[&str]) -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is installed");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let paths: Vec<String> = String::from_utf8(listed.stdout)
        .expect("paths are UTF-8")
        .split_terminator('\0')
        .filter(|path| suffixes.is_empty() || suffixes.iter().any(|end| path.ends_with(end)))
        .filter(|path| root().join(path).is_file())
        .map(str::to_owned)
        .collect();
    assert!(!paths.is_empty(), "no file ends in {suffixes:?}");
    paths
}

/// A file's text; `None` when it is not text.
pub(crate) fn text(path: &str) -> Option<String> {
    let bytes = std::fs::read(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    String::from_utf8(bytes).ok()
}

/// A source file's text up to its tests.
pub(crate) fn product_text(path: &str) -> String {
    let text = text(path).unwrap_or_else(|| panic!("{path} is not UTF-8"));
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

//! From what was written on a command line to the files it means.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::{files, source};

/// Most files of one input: a limit against a folder that is not meant, far above real tables.
const MAX_FILES: usize = 100_000;
/// Folders below the one that was named.
const MAX_DEPTH: usize = 16;
/// Characters that make a pattern.
const PATTERN: [char; 3] = ['*', '?', '['];
const NAMES: &str = "its name must end in .parquet, .csv, .jsonl, .ndjson or .json";

/// How rows are written in a file; its name's end says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileKind {
    Parquet,
    /// With a header line.
    Csv,
    /// One object a line.
    JsonLines,
}

/// Files of one kind, in the order of their paths.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) kind: FileKind,
}

/// A file that an input means.
struct Listed {
    /// As it was named.
    path: PathBuf,
    absolute: PathBuf,
    kind: FileKind,
}

/// The files that `inputs` mean, each once, however many inputs or parts of a pattern mean it.
pub(crate) fn find(inputs: &[PathBuf]) -> Result<Found, StoreError> {
    of_one_kind(list(inputs)?)
}

/// As [`find`], and only those of `wanted`, which are absolute; the number is of the others, which may be of any
/// kind. Where none of `wanted` is there any more, all files are answered.
pub(crate) fn find_of(
    inputs: &[PathBuf],
    wanted: &HashSet<&Path>,
) -> Result<(Found, usize), StoreError> {
    let (those, others): (Vec<Listed>, Vec<Listed>) =
        list(inputs)?.into_iter().partition(|file| wanted.contains(file.absolute.as_path()));
    if those.is_empty() {
        return Ok((of_one_kind(others)?, 0));
    }
    Ok((of_one_kind(those)?, others.len()))
}

fn list(inputs: &[PathBuf]) -> Result<Vec<Listed>, StoreError> {
    let mut files = Vec::new();
    let mut known = HashSet::new();
    for input in inputs {
        let mut found = Vec::new();
        collect(input, &mut found)?;
        if found.is_empty() {
            return Err(refused(
                input,
                "it holds no .parquet, .csv, .jsonl, .ndjson or .json file",
            ));
        }
        // Within one input by path; inputs keep the order in which they were named.
        found.sort();
        for (path, kind) in found {
            let absolute = files::absolute(&path).map_err(|e| StoreError::io("find", &path, e))?;
            if known.insert(absolute.clone()) {
                files.push(Listed { path, absolute, kind });
            }
        }
    }
    Ok(files)
}

fn of_one_kind(files: Vec<Listed>) -> Result<Found, StoreError> {
    let Some(first) = files.first() else {
        return Err(StoreError::Query("no input is named".into()));
    };
    let kind = first.kind;
    if let Some(other) = files.iter().find(|file| file.kind != kind) {
        let first = first.path.display();
        let reason = format!("is not of the same format as {first}; name one at a time");
        return Err(refused(&other.path, &reason));
    }
    Ok(Found { files: files.into_iter().map(|file| file.path).collect(), kind })
}

fn collect(input: &Path, files: &mut Vec<(PathBuf, FileKind)>) -> Result<(), StoreError> {
    if files::is_object(input) {
        return collect_objects(input, files);
    }
    if input.is_dir() {
        return walk(input, 0, files);
    }
    if input.exists() {
        let kind = kind_of(input).ok_or_else(|| refused(input, NAMES))?;
        return push(input, kind, files);
    }
    let text = input.to_string_lossy();
    if !text.contains(PATTERN) {
        return Err(refused(input, "there is no such file or folder"));
    }
    let matches = glob::glob(&text).map_err(|error| refused(input, &error.to_string()))?;
    let named = names(&literal(&text)).count();
    for path in matches {
        let path = path.map_err(|error| refused(input, &error.to_string()))?;
        let hidden = names(&path).skip(named).any(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden {
            continue;
        }
        if path.is_dir() {
            walk(&path, 0, files)?;
        } else if let Some(kind) = kind_of(&path) {
            push(&path, kind, files)?;
        }
    }
    Ok(())
}

/// The folder that a pattern names before its first character that makes it one.
fn literal(pattern: &str) -> PathBuf {
    let upto = pattern.find(PATTERN).map_or(pattern, |at| &pattern[..at]);
    PathBuf::from(upto.rfind('/').map_or("", |slash| &upto[..=slash]))
}

/// Names of folders and of the file, `.` and `..` left out.
fn names(path: &Path) -> impl Iterator<Item = &std::ffi::OsStr> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        _ => None,
    })
}

/// In an object store a folder is what its objects' keys begin with: all are looked through.
fn collect_objects(input: &Path, files: &mut Vec<(PathBuf, FileKind)>) -> Result<(), StoreError> {
    let text = input.to_string_lossy();
    let pattern = text.contains(PATTERN).then(|| {
        let pattern = Pattern::new(&text).map_err(|error| refused(input, &error.to_string()))?;
        Ok((literal(&text), pattern))
    });
    let pattern = pattern.transpose()?;
    let one = pattern.is_none() && !text.ends_with('/') && source::exists(input)?;
    if one {
        let kind = kind_of(input).ok_or_else(|| refused(input, NAMES))?;
        return push(input, kind, files);
    }
    let prefix = pattern.as_ref().map_or(input, |(folder, _)| folder);
    let bucket = files::bucket(input)?.expect("an object's path");
    let found = bucket.walk(prefix).map_err(|e| StoreError::io("list", prefix, e))?;
    if found.is_empty() {
        return Err(refused(input, "there is no such object, and none below it"));
    }
    let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
    for path in found {
        let below = path.strip_prefix(prefix).unwrap_or(&path);
        let hidden = below.iter().any(|name| name.as_encoded_bytes().starts_with(b"."));
        // A pattern may also mean the folder that a file is in.
        let meant = pattern.as_ref().is_none_or(|(_, pattern)| {
            path.ancestors().any(|at| pattern.matches_path_with(at, options))
        });
        if let Some(kind) = kind_of(&path).filter(|_| meant && !hidden) {
            push(&path, kind, files)?;
        }
    }
    Ok(())
}

/// Hidden names are files being written, or nobody's data.
fn walk(
    folder: &Path,
    depth: usize,
    files: &mut Vec<(PathBuf, FileKind)>,
) -> Result<(), StoreError> {
    if depth > MAX_DEPTH {
        return Err(refused(folder, &format!("more than {MAX_DEPTH} folders deep")));
    }
    let entries = std::fs::read_dir(folder).map_err(|e| StoreError::io("list", folder, e))?;
    for entry in entries {
        let entry = entry.map_err(|e| StoreError::io("list", folder, e))?;
        let path = entry.path();
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        match kind_of(&path) {
            _ if hidden => {}
            _ if path.is_dir() => walk(&path, depth + 1, files)?,
            Some(kind) => push(&path, kind, files)?,
            None => {}
        }
    }
    Ok(())
}

fn push(
    path: &Path,
    kind: FileKind,
    files: &mut Vec<(PathBuf, FileKind)>,
) -> Result<(), StoreError> {
    if files.len() == MAX_FILES {
        return Err(refused(path, &format!("more than {MAX_FILES} files; name fewer")));
    }
    files.push((path.to_path_buf(), kind));
    Ok(())
}

fn kind_of(path: &Path) -> Option<FileKind> {
    match path.extension()?.to_str()? {
        "parquet" => Some(FileKind::Parquet),
        "csv" => Some(FileKind::Csv),
        "jsonl" | "ndjson" | "json" => Some(FileKind::JsonLines),
        _ => None,
    }
}

fn refused(path: &Path, reason: &str) -> StoreError {
    StoreError::Query(format!("{}: {reason}", path.display()))
}

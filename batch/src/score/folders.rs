//! Where the files of a job lie, under which names, and which of them are its own.
//!
//! A file has its final name when it is whole and durable. Until then it lies in a hidden folder, and what a
//! killed job left there is nobody's part: whoever goes on removes it. Refuses folders that hold anything else.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::beside::BESIDE;
use super::manifest;
use crate::archive::{OpenFile, scanned_properties};
use crate::error::StoreError;
use crate::files::{self, Entry, Files, NewFile, ensure_dir};

/// Rows of a row group written here.
const ROW_GROUP_ROWS: usize = 128 << 10;
/// Rows of a part that one file takes in an object store, where a file is a request of 1 GiB at most: 4 KiB a row,
/// compressed. Rows and not bytes: whoever does the part again cuts it in the same places.
const OBJECT_ROWS: u64 = 256 << 10;

/// See the module.
#[derive(Clone)]
pub(super) struct Folders {
    pub(super) files: Arc<dyn Files>,
    pub(super) root: PathBuf,
    pub(super) results: PathBuf,
    pub(super) rejects: PathBuf,
    pub(super) temporaries: PathBuf,
    /// Rows of a part that one file takes.
    pub(super) file_rows: u64,
}

impl Folders {
    pub(super) fn below(root: &Path) -> Result<Self, StoreError> {
        let below = |name: &str| root.join(name);
        Ok(Self {
            files: files::of(root)?,
            root: root.to_path_buf(),
            results: below("results"),
            rejects: below("rejects"),
            temporaries: below(".tidegate-tmp"),
            file_rows: if files::is_object(root) { OBJECT_ROWS } else { u64::MAX },
        })
    }

    /// Makes them, unless the output folder is in use for something else.
    pub(super) fn make(&self, inputs: &[PathBuf]) -> Result<(), StoreError> {
        let root = &self.root;
        let refused = |reason: &str| {
            let root = root.display();
            Err(StoreError::Query(format!("{root} cannot be the output folder: {reason}")))
        };
        let absolute =
            |path: &Path| files::absolute(path).map_err(|e| StoreError::io("resolve", path, e));
        for input in inputs {
            if absolute(root)?.starts_with(absolute(input)?) {
                return refused("it is an input, or lies in one; name a folder outside of it");
            }
        }
        if root.is_file() {
            return refused("it is a file");
        }
        // The parts first: where there are any the manifest is there, however late one looks for it.
        let foreign = match self.foreign(&|_| false)? {
            Some(name) => Some(name),
            None => self.beside(&[])?,
        };
        let begun = || self.list(root).map(|all| all.iter().any(|it| it.name == manifest::NAME));
        if let Some(name) = foreign
            && !begun()?
        {
            return refused(&format!("it holds {name:?}, which is no job's; name a new folder"));
        }
        for folder in [&self.results, &self.rejects, &self.temporaries] {
            ensure_dir(&*self.files, folder)
                .map_err(|e| StoreError::io(crate::error::CREATE_FOLDER, folder, e))?;
        }
        self.files.prove(root).map_err(|e| StoreError::io("publish to", root, e))
    }

    /// Refuses a folder that holds what no job of `parts` parts wrote.
    pub(super) fn check_own(&self, parts: Option<usize>) -> Result<(), StoreError> {
        let of_job = |name: &str| part(name).is_some_and(|at| parts.is_none_or(|all| at < all));
        let foreign = match self.foreign(&of_job)? {
            Some(name) => Some(name),
            None => self.beside(&BESIDE)?,
        };
        foreign.map_or(Ok(()), |name| {
            Err(StoreError::Query(format!(
                "{} holds {name:?}, which is no job's: move it away first",
                self.root.display()
            )))
        })
    }

    /// A file among the results and rejects that is not `own`; hidden ones are nobody's data.
    fn foreign(&self, own: &dyn Fn(&str) -> bool) -> Result<Option<String>, StoreError> {
        for folder in [&self.results, &self.rejects] {
            let all = self.list(folder)?;
            let other = all.iter().find(|it| !it.name.starts_with('.') && !own(&it.name));
            if let Some(other) = other {
                let below = folder.strip_prefix(&self.root).unwrap_or(folder).join(&other.name);
                return Ok(Some(below.to_string_lossy().into_owned()));
            }
        }
        Ok(None)
    }

    /// A name beside the parts that is not in `own`.
    fn beside(&self, own: &[&str]) -> Result<Option<String>, StoreError> {
        let known = |name: &str| {
            name.starts_with('.') || ["results", "rejects"].contains(&name) || own.contains(&name)
        };
        let found = self.list(&self.root)?.into_iter().find(|entry| !known(&entry.name));
        Ok(found.map(|entry| entry.name))
    }

    fn list(&self, folder: &Path) -> Result<Vec<Entry>, StoreError> {
        match self.files.list(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(|e| StoreError::io("list", folder, e)),
        }
    }

    /// Whether there is a file of this name.
    pub(super) fn has(&self, path: &Path) -> Result<bool, StoreError> {
        match self.files.stat(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreError::io("read", path, error)),
        }
    }

    /// Names of the files in `folder`; none where there is no such folder.
    pub(super) fn names(&self, folder: &Path) -> Result<Vec<String>, StoreError> {
        Ok(self.list(folder)?.into_iter().map(|entry| entry.name).collect())
    }

    /// Removes the files in `folder` that `of` names.
    pub(super) fn sweep(&self, folder: &Path, of: &dyn Fn(&str) -> bool) -> Result<(), StoreError> {
        for name in self.names(folder)?.iter().filter(|name| of(name)) {
            let path = folder.join(name);
            self.files.remove(&path).map_err(|e| StoreError::io("remove", &path, e))?;
        }
        Ok(())
    }

    /// Gives a file its content and a name, durably; answers whether that was free.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        let temporary = self.temporaries.join(name);
        // A temporary of that name is no file of that name: somebody else is at it.
        let file = self.files.create(&temporary);
        let file = file.map_err(|e| StoreError::io("create", &temporary, e))?;
        let published = self.publish(file, bytes, (&temporary, &self.root.join(name)));
        if !matches!(published, Ok(true)) {
            // What stays behind in a folder is swept at the next start.
            let _ = self.files.remove(&temporary);
            return published;
        }
        self.sync(&self.root).map(|()| true)
    }

    fn publish(
        &self,
        mut file: Box<dyn NewFile>,
        bytes: &[u8],
        (temporary, path): (&Path, &Path),
    ) -> Result<bool, StoreError> {
        let failed = |action| move |e| StoreError::io(action, path, e);
        file.write_all(bytes).map_err(failed("write"))?;
        file.sync().map_err(failed("sync"))?;
        match self.files.publish(temporary, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed("publish")(error)),
        }
    }

    pub(super) fn open(&self, name: String, schema: &SchemaRef) -> Result<OpenFile, StoreError> {
        let properties = scanned_properties(schema, ROW_GROUP_ROWS);
        OpenFile::create(&self.files, self.temporaries.join(name), schema, &properties)
    }

    pub(super) fn sync(&self, folder: &Path) -> Result<(), StoreError> {
        self.files.sync_dir(folder).map_err(|e| StoreError::io("sync", folder, e))
    }
}

/// File name of a part, of its last file where it has several.
pub(super) fn name(part: usize) -> String {
    format!("{part:06}.parquet")
}

/// Name of a file of a part that goes before its last one, by name, too; `number` is from 0.
pub(super) fn name_before(part: usize, number: usize) -> String {
    format!("{part:06}-{number:06}.parquet")
}

/// The part of which a file has this name.
pub(super) fn part(file: &str) -> Option<usize> {
    let stem = file.strip_suffix(".parquet")?;
    let (part, known) = match stem.split_once('-') {
        Some((part, number)) => {
            let part = part.parse().ok()?;
            (part, name_before(part, number.parse().ok()?))
        }
        None => {
            let part = stem.parse().ok()?;
            (part, name(part))
        }
    };
    (known == file).then_some(part)
}

/// Whether a file that is being written has this name.
pub(super) fn is_temporary(file: &str) -> bool {
    let of_part = ["results-", "rejects-"].iter().find_map(|start| file.strip_prefix(start));
    of_part.is_some_and(|file| part(file).is_some()) || BESIDE.contains(&file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_job_gives_are_its_own() {
        let parts = ["000000.parquet", "000123.parquet", "1234567.parquet"].map(part);
        assert_eq!(parts, [Some(0), Some(123), Some(1_234_567)]);
        let several = ["000012-000000.parquet", "000012-000345.parquet", "000012.parquet"];
        assert_eq!(several.map(part), [Some(12); 3]);
        assert!(several.is_sorted(), "rows in the order of the names");
        let others = [
            "0.parquet",
            "00000a.parquet",
            "0000000.parquet",
            "+00001.parquet",
            "000001.csv",
            "000001.parquet.tmp",
            "results-000001.parquet",
            ".parquet",
            "mine.parquet",
            "000012-1.parquet",
            "000012-.parquet",
            "000012-000000-000000.parquet",
        ];
        assert_eq!(others.map(part), [None; 12]);
        let own = ["results-000001.parquet", "rejects-000001.parquet", "manifest.json", "_SUCCESS"];
        assert!(own.iter().all(|name| is_temporary(name)));
        let others = ["000001.parquet", "results-1.parquet", "left.tmp", "results", "notes.txt"];
        assert!(!others.iter().any(|name| is_temporary(name)));
    }
}

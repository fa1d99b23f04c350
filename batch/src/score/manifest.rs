//! What a job was asked to do, kept beside its output, so that starting it again goes on with it.
//!
//! The manifest is written once, before the first row, and never changed: which parts are done is what
//! lies in the output folder. A job that was asked something else is refused, and so is one whose files
//! changed or went away. Files that came into its input since are not its own, as long as that is named as it was:
//! where it is named otherwise they are what is asked for now, and refused.

use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::folders::Folders;
use super::parts::{Input, Planned};
use super::{Model, ScoreConfig};
use crate::error::StoreError;
use crate::files::{self, Files};

/// Name of the manifest in the output folder.
pub(super) const NAME: &str = "manifest.json";
/// Form of the manifest; another one cannot be gone on with.
const FORMAT: u32 = 2;
/// Largest manifest: some 100,000 files and their parts.
const MAX_BYTES: u64 = 256 << 20;
/// Inputs that an error names, of as many as a command line may have.
const MAX_NAMED: usize = 3;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    model: String,
    model_sha256: String,
    /// SHA-256 of the package: of what `model.toml` says, in which the model file's stands, too. Empty in
    /// the form before.
    #[serde(default)]
    package_sha256: String,
    contract_id: String,
    /// A salted hash of nothing in particular, where fields are hashed: tells one salt from another.
    salt: Option<String>,
    #[serde(rename = "where")]
    predicate: Option<String>,
    columns: Vec<String>,
    coordinates: bool,
    /// Columns that folders' names give.
    #[serde(default)]
    hive: Vec<String>,
    /// The input as it was named, from the root: files, folders and patterns. Empty in the form before.
    #[serde(default)]
    named: Vec<PathBuf>,
    inputs: Vec<Input>,
    /// Place of the file and the bytes in which the part starts.
    parts: Vec<(usize, Range<u64>)>,
}

impl Manifest {
    pub(super) fn of(
        config: &ScoreConfig,
        model: &Model,
        planned: &Planned,
    ) -> Result<Self, StoreError> {
        let parts = planned.parts.iter().map(|part| (part.input, part.range.clone()));
        let named = config.inputs.iter().map(|input| {
            files::absolute(input).map_err(|error| StoreError::io("resolve", input, error))
        });
        Ok(Self {
            format: FORMAT,
            model: format!("{}@{}", model.name, model.version),
            model_sha256: model.sha256.clone(),
            package_sha256: model.package.clone(),
            contract_id: model.contract.id().to_owned(),
            salt: super::columns::probe(&model.contract, &config.salt),
            predicate: config.predicate.clone(),
            columns: config.columns.clone(),
            coordinates: config.coordinates,
            hive: planned.shape.hive.iter().map(|key| key.name().clone()).collect(),
            named: named.collect::<Result<_, _>>()?,
            inputs: planned.inputs.clone(),
            parts: parts.collect(),
        })
    }

    /// The files with which the job began.
    pub(super) fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Writes the manifest of a job that begins; refuses to go on with another one. `files_new` of the input are
    /// not of the job that was begun.
    pub(super) fn begin(&self, folders: &Folders, files_new: usize) -> Result<(), StoreError> {
        let (files, path) = (&*folders.files, folders.root.join(NAME));
        if let Some(found) = read(files, &path)? {
            return self.check(found, files_new, &folders.root);
        }
        let text = serde_json::to_vec(self).expect("a manifest is JSON");
        if folders.put(NAME, &text)? {
            return Ok(());
        }
        // Where there is no lock somebody else may have begun meanwhile.
        let gone = || damaged(&path, "it comes and goes");
        self.check(read(files, &path)?.ok_or_else(gone)?, files_new, &folders.root)
    }

    /// Refuses another job's folder.
    fn check(&self, mut found: Self, files_new: usize, folder: &Path) -> Result<(), StoreError> {
        // Other names of the same files ask for nothing else; the form before does not say how they were named.
        let same_files = files_new == 0 && self.inputs == found.inputs;
        if same_files || found.named.is_empty() {
            found.named.clone_from(&self.named);
        }
        if *self == found {
            return Ok(());
        }
        let show = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
        let pairs = [
            ("form of the manifest", found.format.to_string(), self.format.to_string()),
            ("model", found.model.clone(), self.model.clone()),
            ("model's SHA-256", found.model_sha256.clone(), self.model_sha256.clone()),
            ("model.toml's SHA-256", found.package_sha256.clone(), self.package_sha256.clone()),
            ("contract", found.contract_id.clone(), self.contract_id.clone()),
            ("salt", show(&found.salt), show(&self.salt)),
            ("--where", show(&found.predicate), show(&self.predicate)),
            ("--columns", found.columns.join(","), self.columns.join(",")),
            ("--include", found.coordinates.to_string(), self.coordinates.to_string()),
            ("columns of folders", found.hive.join(","), self.hive.join(",")),
            ("inputs", count(&found.inputs), count(&self.inputs)),
        ];
        // Another form may not know the rest.
        let known = if found.format == self.format { pairs.len() } else { 1 };
        let mut differences: Vec<String> = pairs
            .into_iter()
            .take(known)
            .filter(|(_, was, is)| was != is)
            .map(|(what, was, is)| match what {
                "salt" => "another salt".to_owned(),
                _ => format!("{what}: {was} then, {is} now"),
            })
            .collect();
        differences.extend(self.renamed(&found));
        differences.extend(self.changed(&found));
        if differences.is_empty() {
            differences.push("the input is cut in other parts by this version of tidegate".into());
        }
        Err(StoreError::Query(format!(
            "{} holds the output of another job ({}): name another folder, or remove this one to score \
             anew",
            folder.display(),
            differences.join("; ")
        )))
    }

    /// How the input was named, where that was another way.
    fn renamed(&self, found: &Self) -> Option<String> {
        let both = self.named.iter().zip(&found.named);
        let same = both.take_while(|(is, was)| is == was).count();
        let (was, is) = (shown(&found.named, same), shown(&self.named, same));
        // Quoted, a pattern is one name, whatever came since.
        let hint = match self.named.len() {
            0 | 1 => "",
            _ => " (quote a pattern, so that the shell does not expand it)",
        };
        (self.named != found.named).then(|| format!("input: {was} then, {is} now{hint}"))
    }

    /// The first file that is not what it was, or is only in one of both.
    fn changed(&self, found: &Self) -> Option<String> {
        let new = self.inputs.iter().find(|input| !found.inputs.contains(input));
        let gone = || found.inputs.iter().find(|input| !self.inputs.contains(input));
        let known = |input: &Input| found.inputs.iter().any(|before| before.path == input.path);
        match new {
            Some(input) if known(input) => Some(format!("{} changed", input.path.display())),
            Some(input) => Some(format!("{} is new", input.path.display())),
            None => gone().map(|input| format!("{} is gone", input.path.display())),
        }
    }
}

/// Keeps other jobs out of the output folder, until the answer is dropped or its process ends; `None` in
/// an object store, which has no locks.
pub(super) fn lock(folder: &Path) -> Result<Option<File>, StoreError> {
    if files::is_object(folder) {
        return Ok(None);
    }
    files::lock(folder)?.map(Some).ok_or_else(|| {
        let folder = folder.display();
        StoreError::Query(format!(
            "another job is writing to {folder}: wait for it, or name another output folder"
        ))
    })
}

/// What the job in these folders was asked when it began; `None` where none did.
pub(super) fn begun(folders: &Folders) -> Result<Option<Manifest>, StoreError> {
    read(&*folders.files, &folders.root.join(NAME))
}

/// How many parts the job in these folders has; `None` where no manifest says it.
pub(super) fn parts(folders: &Folders) -> Option<usize> {
    let found = read(&*folders.files, &folders.root.join(NAME)).ok().flatten();
    found.map(|manifest| manifest.parts.len())
}

fn count(inputs: &[Input]) -> String {
    format!("{} files", inputs.len())
}

/// Some of these inputs, the one at `from` among them.
fn shown(named: &[PathBuf], from: usize) -> String {
    let from = from.min(named.len().saturating_sub(MAX_NAMED));
    let some: Vec<String> =
        named[from..].iter().take(MAX_NAMED).map(|path| path.display().to_string()).collect();
    match named.len() - some.len() {
        0 => some.join(", "),
        others => format!("{} and {others} others", some.join(", ")),
    }
}

fn read(files: &dyn Files, path: &Path) -> Result<Option<Manifest>, StoreError> {
    let found = match files.stat(path) {
        Ok(found) if found.bytes > MAX_BYTES => return Err(damaged(path, "it is too large")),
        Ok(found) => found,
        // An output folder that is a file is refused where the folders are made.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(StoreError::io("read", path, error)),
    };
    let text = files.read(path, 0, found.bytes as usize);
    let text = text.map_err(|e| StoreError::io("read", path, e))?;
    serde_json::from_slice(&text).map(Some).map_err(|error| damaged(path, &error.to_string()))
}

fn damaged(path: &Path, reason: &str) -> StoreError {
    StoreError::Query(format!(
        "{} is no manifest of `tidegate score` ({reason}): name another output folder",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_inputs_some_are_shown_that_differ() {
        let many = ["a", "b", "c", "d", "e"].map(PathBuf::from);
        assert_eq!(shown(&many[..2], 1), "a, b");
        assert_eq!(shown(&many, 1), "b, c, d and 2 others");
        assert_eq!(shown(&many, 5), "c, d, e and 2 others");
    }
}

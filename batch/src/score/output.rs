//! What a part leaves: a file of results, and one of rejects where a row was refused.
//!
//! The rejects are published first, the results last: a part is done when its results are there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize};

use super::Model;
use super::columns::{Columns, Stamp};
use super::manifest;
use crate::archive::{Compression, OpenFile, writer_properties};
use crate::error::StoreError;
use crate::files::{Files, LocalFiles, ensure_dir};

/// Rows of a row group written here.
const ROW_GROUP_ROWS: usize = 128 << 10;
/// Where a file of results says what became of its part.
const FOOTER: &str = "tidegate.score";

/// Rows of a part, or of a whole job, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows read; those that the condition left unread are among them where the file tells their number.
    pub rows: u64,
    /// Rows with predictions.
    pub scored: u64,
    /// Rows with a reason instead.
    pub rejected: u64,
}

impl Counts {
    /// Rows for which the condition did not hold.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.rows.saturating_sub(self.scored + self.rejected)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.scored += other.scored;
        self.rejected += other.rejected;
    }
}

/// Where the files of a job lie.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    pub(super) root: PathBuf,
    pub(super) results: PathBuf,
    pub(super) rejects: PathBuf,
    pub(super) temporaries: PathBuf,
}

impl Folders {
    pub(super) fn below(root: &Path) -> Self {
        let below = |name: &str| root.join(name);
        Self {
            root: root.to_path_buf(),
            results: below("results"),
            rejects: below("rejects"),
            temporaries: below(".tidegate-tmp"),
        }
    }

    /// Makes them, unless the output folder is in use for something else.
    pub(super) fn make(&self, inputs: &[PathBuf]) -> Result<(), StoreError> {
        let root = &self.root;
        let refused = |reason: &str| {
            let root = root.display();
            Err(StoreError::Query(format!("{root} cannot be the output folder: {reason}")))
        };
        let absolute =
            |path: &Path| std::path::absolute(path).map_err(|e| StoreError::io("resolve", path, e));
        for input in inputs {
            if absolute(root)?.starts_with(absolute(input)?) {
                return refused("it is an input, or lies in one; name a folder outside of it");
            }
        }
        if root.is_file() {
            return refused("it is a file");
        }
        if root.is_dir() && !root.join(manifest::NAME).exists() {
            let entries = LocalFiles.list(root).map_err(|e| StoreError::io("list", root, e))?;
            let own = |name: &str| name.starts_with('.') || ["results", "rejects"].contains(&name);
            if let Some(entry) = entries.iter().find(|entry| !own(&entry.name)) {
                let name = &entry.name;
                return refused(&format!(
                    "it holds {name:?}, which is no job's; name a new folder"
                ));
            }
        }
        for folder in [&self.results, &self.rejects, &self.temporaries] {
            ensure_dir(&LocalFiles, folder)
                .map_err(|e| StoreError::io(crate::error::CREATE_FOLDER, folder, e))?;
        }
        Ok(())
    }
}

/// File name of a part.
pub(super) fn name(part: usize) -> String {
    format!("{part:06}.parquet")
}

/// The files of a part being written; without `publish` nothing stays of them.
pub(super) struct PartFiles<'a> {
    columns: &'a Columns,
    folders: &'a Folders,
    name: String,
    results: OpenFile,
    rejects: Option<OpenFile>,
    counts: Counts,
}

impl<'a> PartFiles<'a> {
    pub(super) fn create(
        columns: &'a Columns,
        folders: &'a Folders,
        part: usize,
    ) -> Result<Self, StoreError> {
        let name = name(part);
        let results = open(&folders.temporaries.join(format!("results-{name}")), &columns.results)?;
        Ok(Self { columns, folders, name, results, rejects: None, counts: Counts::default() })
    }

    /// Appends what the plan made of some rows.
    pub(super) fn write(
        &mut self,
        batch: &RecordBatch,
        model: &Model,
        stamp: &Stamp,
    ) -> Result<(), StoreError> {
        let (results, rejects) = self.columns.split(batch, model, stamp)?;
        self.counts.scored += results.num_rows() as u64;
        self.results.write(&results, &[])?;
        let Some(rejects) = rejects else { return Ok(()) };
        self.counts.rejected += rejects.num_rows() as u64;
        if self.rejects.is_none() {
            let path = self.folders.temporaries.join(format!("rejects-{}", self.name));
            self.rejects = Some(open(&path, &self.columns.rejects)?);
        }
        self.rejects.as_mut().expect("just opened").write(&rejects, &[])
    }

    /// Rows written so far.
    pub(super) fn written(&self) -> u64 {
        self.counts.scored + self.counts.rejected
    }

    /// Makes both files durable under their names; `rows` were read.
    pub(super) fn publish(self, rows: u64) -> Result<Counts, StoreError> {
        let counts = Counts { rows, ..self.counts };
        let taken = |path: &Path| {
            StoreError::Query(format!(
                "{} is there already: something else writes to this folder; name another one",
                path.display()
            ))
        };
        if let Some(rejects) = self.rejects {
            let to = self.folders.rejects.join(&self.name);
            rejects.publish(vec![], &to)?.ok_or_else(|| taken(&to))?;
            sync(&self.folders.rejects)?;
        }
        let to = self.folders.results.join(&self.name);
        let said = serde_json::to_string(&counts).expect("numbers are JSON");
        let metadata = vec![KeyValue::new(FOOTER.to_owned(), said)];
        self.results.publish(metadata, &to)?.ok_or_else(|| taken(&to))?;
        sync(&self.folders.results)?;
        Ok(counts)
    }
}

fn open(path: &Path, schema: &SchemaRef) -> Result<OpenFile, StoreError> {
    let files: Arc<dyn Files> = Arc::new(LocalFiles);
    OpenFile::create(
        &files,
        path.to_path_buf(),
        schema,
        &writer_properties(schema, ROW_GROUP_ROWS, Compression::Zstd),
    )
}

fn sync(folder: &Path) -> Result<(), StoreError> {
    LocalFiles.sync_dir(folder).map_err(|e| StoreError::io("sync", folder, e))
}

/// What became of a part that is done; `None` where it is not.
pub(super) fn done(folders: &Folders, part: usize) -> Result<Option<Counts>, StoreError> {
    let path = folders.results.join(name(part));
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("open", &path, error)),
    };
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(|e| StoreError::parquet("read", &path, e))?;
    let pairs = reader.metadata().file_metadata().key_value_metadata();
    let said = pairs.into_iter().flatten().find(|pair| pair.key == FOOTER);
    let said = said.and_then(|pair| serde_json::from_str(pair.value.as_deref()?).ok());
    let foreign = || {
        let path = path.display();
        StoreError::Query(format!("{path}: `tidegate score` did not write it; move it away"))
    };
    said.map(Some).ok_or_else(foreign)
}

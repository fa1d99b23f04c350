//! What a part leaves: a file of results, and one of rejects where a row was refused.
//!
//! The rejects are published first, the results last: a part is done when its results are there. Rejects
//! of a part that is done again replace those that were left; they are the same rows. That is what keeps
//! jobs apart where nothing can be locked: of two that do a part, one gives it its results.

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize};

use super::Model;
use super::columns::{Columns, Stamp};
use super::folders::{Folders, name};
use crate::archive::OpenFile;
use crate::error::StoreError;
use crate::files;

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

/// The files of a part being written; without `publish` nothing stays of them.
pub(super) struct PartFiles<'a> {
    columns: &'a Columns,
    folders: &'a Folders,
    part: usize,
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
        let results = folders.open(format!("results-{name}"), &columns.results)?;
        let counts = Counts::default();
        Ok(Self { columns, folders, part, name, results, rejects: None, counts })
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
            let name = format!("rejects-{}", self.name);
            self.rejects = Some(self.folders.open(name, &self.columns.rejects)?);
        }
        self.rejects.as_mut().expect("just opened").write(&rejects, &[])
    }

    /// Rows written so far.
    pub(super) fn written(&self) -> u64 {
        self.counts.scored + self.counts.rejected
    }

    /// Makes both files durable under their names; `rows` were read.
    pub(super) fn publish(self, rows: u64) -> Result<Counts, StoreError> {
        let (counts, folders) = (Counts { rows, ..self.counts }, self.folders);
        if let Some(rejects) = self.rejects {
            rejects.replace(vec![], &folders.rejects.join(&self.name))?;
            folders.sync(&folders.rejects)?;
        }
        let to = folders.results.join(&self.name);
        let said = serde_json::to_string(&counts).expect("numbers are JSON");
        let metadata = vec![KeyValue::new(FOOTER.to_owned(), said)];
        if self.results.publish(metadata, &to)?.is_some() {
            folders.sync(&folders.results)?;
            return Ok(counts);
        }
        // Where nothing can be locked, the same job may have done the part meanwhile: then it is done.
        let theirs = if files::is_object(&to) { done(folders, self.part)? } else { None };
        let same = theirs.filter(|theirs| *theirs == counts);
        same.ok_or_else(|| {
            StoreError::Query(format!(
                "{} is there already: something else writes to this folder; name another one",
                to.display()
            ))
        })
    }
}

/// What became of a part that is done; `None` where it is not.
pub(super) fn done(folders: &Folders, part: usize) -> Result<Option<Counts>, StoreError> {
    let path = folders.results.join(name(part));
    let file = match files::open(&path) {
        Ok(file) => file,
        Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error),
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

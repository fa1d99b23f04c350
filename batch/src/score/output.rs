//! What a part leaves: a file of results, and one of rejects where a row was refused.
//!
//! The rejects are published first, the results last: a part is done when its results are there. Rejects
//! of a part that is done again replace those that were left; they are the same rows. That is what keeps
//! jobs apart where nothing can be locked: of two that do a part, one gives it its results.
//!
//! In an object store a file is bounded, and a part may have several. Those before the last one go first, and
//! replace what was left, as rejects do; the last one says how many they are. Once it is there nothing is replaced.

use std::collections::HashSet;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize};

use super::Model;
use super::columns::{Columns, Stamp};
use super::folders::{Folders, name, name_before};
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

/// What the last file of a part says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    #[serde(flatten)]
    counts: Counts,
    /// Files of results that go before it.
    #[serde(default)]
    before: usize,
}

/// The files of a part being written; without `publish` it is not done.
pub(super) struct PartFiles<'a> {
    columns: &'a Columns,
    folders: &'a Folders,
    part: usize,
    /// Files of results that are full and published.
    before: usize,
    open: Stretch,
    counts: Counts,
}

/// The rows of a part that go into one file of results, and into one of rejects.
struct Stretch {
    /// Of the file, as long as it is written.
    name: String,
    results: OpenFile,
    rejects: Option<OpenFile>,
    rows: u64,
}

impl<'a> PartFiles<'a> {
    pub(super) fn create(
        columns: &'a Columns,
        folders: &'a Folders,
        part: usize,
    ) -> Result<Self, StoreError> {
        let open = Stretch::begin(columns, folders, name(part))?;
        Ok(Self { columns, folders, part, before: 0, open, counts: Counts::default() })
    }

    /// Appends what the plan made of some rows.
    pub(super) fn write(
        &mut self,
        batch: &RecordBatch,
        model: &Model,
        stamp: &Stamp,
    ) -> Result<(), StoreError> {
        let mut at = 0;
        while at < batch.num_rows() {
            // Not before there is another row: the last file is not an empty one.
            if self.open.rows == self.folders.file_rows {
                self.turn()?;
            }
            let room = self.folders.file_rows - self.open.rows;
            let rows = room.min((batch.num_rows() - at) as u64) as usize;
            self.append(&batch.slice(at, rows), model, stamp)?;
            at += rows;
        }
        Ok(())
    }

    fn append(
        &mut self,
        batch: &RecordBatch,
        model: &Model,
        stamp: &Stamp,
    ) -> Result<(), StoreError> {
        let (results, rejects) = self.columns.split(batch, model, stamp)?;
        let open = &mut self.open;
        open.rows += batch.num_rows() as u64;
        self.counts.scored += results.num_rows() as u64;
        open.results.write(&results, &[])?;
        let Some(rejects) = rejects else { return Ok(()) };
        self.counts.rejected += rejects.num_rows() as u64;
        if open.rejects.is_none() {
            let name = format!("rejects-{}", open.name);
            open.rejects = Some(self.folders.open(name, &self.columns.rejects)?);
        }
        open.rejects.as_mut().expect("just opened").write(&rejects, &[])
    }

    /// Publishes the stretch that is full, and begins the next one.
    fn turn(&mut self) -> Result<(), StoreError> {
        let name = name_before(self.part, self.before);
        // Under another name than the one that is still open.
        let next = Stretch::begin(self.columns, self.folders, name.clone())?;
        let full = std::mem::replace(&mut self.open, next);
        let to = self.folders.results.join(&name);
        if self.folders.has(&last(self.folders, self.part))? {
            // Somebody else has done the part, and it may have readers: only what is missing is put there.
            full.results.publish(vec![], &to)?;
        } else {
            replace_rejects(full.rejects, self.folders, &name)?;
            full.results.replace(vec![], &to)?;
        }
        self.before += 1;
        Ok(())
    }

    /// Rows written so far.
    pub(super) fn written(&self) -> u64 {
        self.counts.scored + self.counts.rejected
    }

    /// Makes the files durable under their names; `rows` were read.
    pub(super) fn publish(self, rows: u64) -> Result<Counts, StoreError> {
        let (folders, name) = (self.folders, name(self.part));
        let said = Said { counts: Counts { rows, ..self.counts }, before: self.before };
        let to = last(folders, self.part);
        if files::is_object(&to) && !folders.has(&to)? {
            drop_behind(folders, self.part, self.before)?;
        }
        replace_rejects(self.open.rejects, folders, &name)?;
        let footer = serde_json::to_string(&said).expect("numbers are JSON");
        let metadata = vec![KeyValue::new(FOOTER.to_owned(), footer)];
        if self.open.results.publish(metadata, &to)?.is_some() {
            folders.sync(&folders.results)?;
            return Ok(said.counts);
        }
        // Where nothing can be locked, the same job may have done the part meanwhile: then it is done.
        let theirs = if files::is_object(&to) { read(folders, self.part)? } else { None };
        let same = theirs.filter(|theirs| *theirs == said);
        same.map(|theirs| theirs.counts).ok_or_else(|| {
            StoreError::Query(format!(
                "{} is there already: something else writes to this folder; name another one",
                to.display()
            ))
        })
    }
}

impl Stretch {
    fn begin(columns: &Columns, folders: &Folders, name: String) -> Result<Self, StoreError> {
        let results = folders.open(format!("results-{name}"), &columns.results)?;
        Ok(Self { name, results, rejects: None, rows: 0 })
    }
}

fn replace_rejects(
    rejects: Option<OpenFile>,
    folders: &Folders,
    name: &str,
) -> Result<(), StoreError> {
    let Some(rejects) = rejects else { return Ok(()) };
    rejects.replace(vec![], &folders.rejects.join(name))?;
    folders.sync(&folders.rejects)
}

/// What became of a part that is done; `None` where it is not, or where a file of it is none of the results that are
/// `there`.
pub(super) fn done(
    folders: &Folders,
    part: usize,
    there: &HashSet<String>,
) -> Result<Option<Counts>, StoreError> {
    if !there.contains(&name(part)) {
        return Ok(None);
    }
    let Some(said) = read(folders, part)? else { return Ok(None) };
    if there.contains(&name_before(part, said.before)) {
        drop_behind(folders, part, said.before)?;
    }
    let whole = (0..said.before).all(|at| there.contains(&name_before(part, at)));
    Ok(whole.then_some(said.counts))
}

/// The file that stands for a part.
fn last(folders: &Folders, part: usize) -> PathBuf {
    folders.results.join(name(part))
}

/// Removes files that an earlier try left which had more rows, as where the condition asks for the time: the last file
/// does not count them, and readers would.
fn drop_behind(folders: &Folders, part: usize, before: usize) -> Result<(), StoreError> {
    for at in before.. {
        let name = name_before(part, at);
        let (results, rejects) = (folders.results.join(&name), folders.rejects.join(&name));
        let left = [folders.has(&rejects)?, folders.has(&results)?];
        if !left.contains(&true) {
            break;
        }
        for (path, _) in [rejects, results].iter().zip(left).filter(|(_, is_left)| *is_left) {
            folders.files.remove(path).map_err(|error| StoreError::io("remove", path, error))?;
        }
    }
    Ok(())
}

fn read(folders: &Folders, part: usize) -> Result<Option<Said>, StoreError> {
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

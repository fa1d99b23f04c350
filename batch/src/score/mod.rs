//! Batch scoring: files in, the same rows with predictions out, by the predictor of the stream.
//!
//! The input is cut in parts; each is one DataFusion plan (scan, condition, model) that ends in
//! a published file, so that a job that was killed goes on with the parts that are not there and a
//! finished one does nothing. The output folder holds
//!
//! ```text
//! manifest.json          what was asked, and of which files: another job is refused
//! results/000000.parquet one file a part: the input's columns, then the model's; in an object store files of
//!                        256 Ki rows, 000000-000000.parquet and so on before it
//! rejects/000000.parquet rows that contract or model refused, with the reason; only where there are
//! report.json, .html     how the input has drifted, where that was asked
//! _SUCCESS               nothing comes any more
//! ```
//!
//! The plans run on threads of this process, or on the executors of a cluster ([`cluster`]); the files are
//! written here either way.
//!
//! Memory is a few batches, the compressed row group being read and the one being written, per thread.
//! This crate is handed a [`Model`] and knows no ONNX.

mod beside;
pub mod cluster;
mod columns;
mod folders;
mod function;
mod hive;
mod lacking;
mod manifest;
mod model;
mod output;
mod parts;
mod plan;
mod scan;
#[cfg(test)]
mod tests;
mod text;
mod work;

use std::collections::HashSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::datatypes::SchemaRef;

pub use beside::{Found, REPORTS, clear, found};
pub use model::{MakePredictor, Model, Sessions};
pub use output::Counts;

use crate::error::StoreError;
use cluster::{Cluster, Office};
use columns::Columns;
use folders::Folders;
use parts::Planned;
use plan::Plan;
use work::{Ending, Worker};

/// Where the row lies in its file: the row's number in Parquet and CSV, from 0; in JSON lines the byte
/// at which its line starts.
const POSITION: &str = "__tidegate_position";
/// Why the reader of a text file refused the row.
const REFUSED: &str = "__tidegate_refused";
/// The bytes of a row that was refused.
const ORIGINAL: &str = "__tidegate_original";

/// What is to be scored, and where it goes.
#[derive(Clone, Debug, Default)]
pub struct ScoreConfig {
    /// Files, folders and patterns, as [`RowsConfig`](crate::rows::RowsConfig) takes them.
    pub inputs: Vec<PathBuf>,
    /// Folder of the output; one job's.
    pub output: PathBuf,
    /// A SQL condition; rows for which it is not true are left out.
    pub predicate: Option<String>,
    /// Columns of the input that the output keeps; all when empty.
    pub columns: Vec<String>,
    /// Whether the output also says which file and row each row was.
    pub coordinates: bool,
    /// Salt of the contract's hashed fields.
    pub salt: Vec<u8>,
}

/// A planned job; it holds its output folder until it is dropped.
pub struct Job {
    model: Arc<Model>,
    config: ScoreConfig,
    planned: Planned,
    /// Files that came into the input since it was begun.
    files_new: usize,
    columns: Columns,
    folders: Folders,
    done: Vec<Option<Counts>>,
    /// Where it is scored, if not here.
    office: Option<Office>,
    _lock: Option<File>,
}

/// What was done since the last one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step {
    /// Rows read.
    pub rows: u64,
    /// Bytes of the input, about.
    pub bytes: u64,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Input files.
    pub files: usize,
    /// Files that came into the input since the job was begun: they are not scored.
    pub files_new: usize,
    /// Parts of them.
    pub parts: usize,
    /// Parts that are published.
    pub parts_done: usize,
    /// Rows of the parts that are not, where every file says how many it has.
    pub rows_left: Option<u64>,
    /// Bytes of the parts that are not.
    pub bytes_left: u64,
    /// What became of the rows of the parts that are.
    pub counts: Counts,
}

impl Job {
    /// Plans the job and takes its output folder: begins it, or goes on with what is there, with the files with
    /// which it was begun. Blocks.
    pub fn open(config: ScoreConfig, model: Arc<Model>) -> Result<Self, StoreError> {
        let folders = Folders::below(&config.output)?;
        let (planned, files_new) = match manifest::begun(&folders)? {
            Some(begun) => parts::plan_again(&config.inputs, begun.inputs(), &model.contract)?,
            None => (parts::plan(&config.inputs, &model.contract)?, 0),
        };
        let shape = &planned.shape;
        let all = shape.schema.fields().iter().map(|field| field.as_ref().clone());
        let all = all.chain(shape.hive.iter().cloned()).collect::<Vec<_>>();
        let all = arrow::datatypes::Schema::new(all);
        let columns =
            Columns::new(&model, &all, &config.columns, config.coordinates, &config.salt)?;
        // What does not go with the contract or the condition is said before anything is written.
        answer(&plan(&model, &config, &planned, &columns)?, &planned)?;
        folders.make(&config.inputs)?;
        let lock = manifest::lock(&folders.root)?;
        // Without a lock they may be another job's, and a store keeps none of a killed one.
        if lock.is_some() {
            folders.sweep(&folders.temporaries, &folders::is_temporary)?;
        }
        let manifest = manifest::Manifest::of(&config, &model, &planned)?;
        manifest.begin(&folders, files_new)?;
        let there = HashSet::<String>::from_iter(folders.names(&folders.results)?);
        let done = (0..planned.parts.len())
            .map(|part| output::done(&folders, part, &there))
            .collect::<Result<Vec<_>, _>>()?;
        if lock.is_some() {
            // Rejects whose results are missing are of a part that is done again.
            let undone = |part: usize| done.get(part).is_some_and(Option::is_none);
            folders.sweep(&folders.rejects, &|name| folders::part(name).is_some_and(undone))?;
        }
        let office = None;
        Ok(Self { model, config, planned, files_new, columns, folders, done, office, _lock: lock })
    }

    /// Has the rows scored by a cluster from now on; the files are written here all the same. Refuses columns
    /// that the output has as hashes: their values would lie on other machines.
    pub fn on_cluster(&mut self, cluster: Cluster) -> Result<(), StoreError> {
        if let Some(name) = self.columns.hashed() {
            return Err(StoreError::Query(format!(
                "column {name:?} is sensitive = \"hash\", and executors keep rows on their disks as they are: \
                 leave it out with --columns, or score without --cluster"
            )));
        }
        let plan = plan(&self.model, &self.config, &self.planned, &self.columns)?;
        if let Some(answer) = answer(&plan, &self.planned)? {
            let kept = self.columns.read().map(str::to_owned).collect();
            let predicate = self.config.predicate.clone();
            let shape = self.planned.shape.clone();
            self.office = Some(Office::new(cluster, &self.model, shape, kept, predicate, &answer));
        }
        Ok(())
    }

    /// How far it is.
    #[must_use]
    pub fn state(&self) -> State {
        let mut counts = Counts::default();
        self.done.iter().flatten().for_each(|part| counts.add(*part));
        let parts = self.planned.parts.iter().zip(&self.done);
        let left = || parts.clone().filter(|(_, done)| done.is_none()).map(|(part, _)| part);
        State {
            files: self.planned.inputs.len(),
            files_new: self.files_new,
            parts: self.done.len(),
            parts_done: self.done.iter().flatten().count(),
            rows_left: left().map(|part| part.rows).sum(),
            bytes_left: left().map(|part| part.range.end - part.range.start).sum(),
            counts,
        }
    }

    /// What it reads: the inputs as they were named, or its files one by one where others came since it was begun.
    #[must_use]
    pub fn inputs(&self) -> Vec<PathBuf> {
        match self.files_new {
            0 => self.config.inputs.clone(),
            _ => self.planned.inputs.iter().map(|input| input.path.clone()).collect(),
        }
    }

    fn worker(&self) -> Result<Worker<'_>, StoreError> {
        let (model, planned, columns) = (&self.model, &self.planned, &self.columns);
        match &self.office {
            Some(office) => Ok(Worker::cluster(model, office, planned, columns)),
            None => {
                Worker::here(model, plan(model, &self.config, planned, columns)?, planned, columns)
            }
        }
    }

    /// Does what is left, on `threads` threads, each with one part at a time; `now` is written into the rows, and `progress` hears of
    /// rows as they are read. The first error or panic ends it, and so does `asked_to_end`: then parts are left, as
    /// [`Job::state`] says. What is published stays. Blocks.
    pub fn run(
        &mut self,
        threads: usize,
        now: SystemTime,
        progress: &(dyn Fn(Step) + Sync),
        asked_to_end: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), StoreError> {
        let left: Vec<usize> =
            (0..self.done.len()).filter(|part| self.done[*part].is_none()).collect();
        let scored_at = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as i64;
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let stop = || failed.load(Ordering::Relaxed) || asked_to_end();
        let job = &*self;
        let work = || -> Result<Vec<(usize, Counts)>, StoreError> {
            let ending = Ending::of(&failed);
            let worker = job.worker()?;
            let mut done = Vec::new();
            while !stop() {
                let Some(part) = left.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                let scored = work::persistent(*part, stop, || {
                    worker.part(*part, &job.folders, scored_at, progress, &stop)
                });
                let Some(counts) = scored? else { break };
                done.push((*part, counts));
            }
            ending.in_order();
            Ok(done)
        };
        let threads = threads.clamp(1, left.len().max(1));
        let ended: Vec<Result<Vec<(usize, Counts)>, StoreError>> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mine = work();
            let resume = |panic| std::panic::resume_unwind(panic);
            let others = others.into_iter().map(|other| other.join().unwrap_or_else(resume));
            std::iter::once(mine).chain(others).collect()
        });
        for done in ended {
            for (part, counts) in done? {
                self.done[part] = Some(counts);
            }
        }
        Ok(())
    }
}

/// The plan of all parts.
fn plan(
    model: &Arc<Model>,
    config: &ScoreConfig,
    planned: &Planned,
    columns: &Columns,
) -> Result<Plan, StoreError> {
    let kept = columns.read().map(str::to_owned).collect();
    let first = planned.inputs.first().map(|input| input.path.as_path());
    Plan::new(model, &planned.shape, kept, config.predicate.as_deref(), first)
}

/// The columns that a plan answers with; what is wrong with the condition is said here.
fn answer(plan: &Plan, planned: &Planned) -> Result<Option<SchemaRef>, StoreError> {
    let Some(part) = planned.parts.first() else { return Ok(None) };
    let frame = plan.frame(&planned.inputs[part.input], &part.range, &Arc::default())?;
    Ok(Some(Arc::clone(frame.schema().inner())))
}

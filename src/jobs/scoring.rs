//! Files scored with the stream's contract, package and predictor, and held against the model's reference.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use batch::StoreError;
use batch::score::cluster::Cluster;
use batch::score::{self, Found, Model, REPORTS, ScoreConfig, State, Step};
use infer::Package;
use monitor::report::{Report, Rule, Source, Verdict, html};
use schemas::Contract;

use crate::commands::baseline;
use crate::commands::drift::reference;
use crate::config::Config;
use crate::exit::{self, Exit, WithExit};
use crate::progress::Progress;
use crate::tables::{Input, Reading, against, check, said};
use crate::{models, monitoring};

/// Bytes of a row of text until some were read.
const TEXT_ROW_BYTES: u64 = 200;
/// Memory for the values of a drift report, as `tidegate drift` takes by itself.
const DRIFT_BYTES: u64 = 1 << 30;
/// Parts that are asked of a cluster at once: two machines of eight cores are busy, and 16 writers of Parquet
/// still fit into what a job takes locally on one of as many cores.
const CLUSTER_PARTS: usize = 16;
/// What an error of it is about.
const REPORT: &str = "the drift report";

/// What is to be scored, and how.
pub(crate) struct Asked {
    pub(crate) files: ScoreConfig,
    /// `NAME[@VERSION]`; the configured one when nothing is said.
    pub(crate) model: Option<String>,
    /// 0: as many as there are cores.
    pub(crate) threads: usize,
    /// The cluster that scores, instead of threads here.
    pub(crate) cluster: Option<String>,
    pub(crate) drift: Option<Drift>,
    /// Whether progress is shown.
    pub(crate) shown: bool,
}

/// A drift report that is wanted.
pub(crate) struct Drift {
    /// What to compare with; the model's own reference when nothing is said.
    pub(crate) reference: Option<PathBuf>,
}

/// A job that has its output folder.
pub(crate) struct Scoring {
    asked: Asked,
    package: Package,
    reference: Option<PathBuf>,
    reading: Reading,
    threads: usize,
    model: Arc<Model>,
    job: score::Job,
}

/// What became of the rows.
pub(crate) struct Scored {
    pub(crate) model: String,
    pub(crate) before: State,
    pub(crate) after: State,
    /// Rows of this start, and in how long.
    pub(crate) now: (u64, Duration),
    /// Whether the input has drifted, where that was asked.
    pub(crate) drift: Option<bool>,
}

impl Scoring {
    /// Plans the job; whatever of the request cannot be done is said here.
    pub(crate) fn open(config: &Config, contract: &Contract, asked: Asked) -> anyhow::Result<Self> {
        let package = models::package(config, asked.model.as_deref())?;
        let reference = asked.drift.as_ref().map(|drift| {
            let said = drift.reference.clone();
            said.or_else(|| monitoring::reference_of(config, &package))
                .ok_or_else(|| exit::usage(no_reference(&package)))
        });
        let reference = reference.transpose()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = match (asked.threads, &asked.cluster) {
            (0, None) => cores,
            (0, Some(_)) => CLUSTER_PARTS,
            (threads, _) => threads,
        };
        let readers = asked.cluster.as_ref().map_or(threads, |_| cores);
        let reading = reading(config, contract, readers, asked.shown);
        let begun = reference.is_some()
            && score::found(&asked.files.output).map_err(usage)? != Found::Nothing;
        // Said now, not after an hour of scoring.
        let can_report = |reference: &PathBuf, inputs: &[PathBuf]| -> anyhow::Result<()> {
            if baseline::find(reference)?.is_none() {
                check(std::slice::from_ref(reference), None, &reading)?;
            }
            check(inputs, asked.files.predicate.as_deref(), &reading)
        };
        if let Some(path) = &reference
            && !begun
        {
            can_report(path, &asked.files.inputs).context(REPORT)?;
        }
        let model = Arc::new(models::model(&package, contract, threads));
        let job = score::Job::open(asked.files.clone(), Arc::clone(&model)).map_err(usage)?;
        if let Some(path) = &reference
            && begun
            && job.beside(REPORTS[0])?.is_none()
        {
            // Which files of the input are its own is known now that it is open.
            can_report(path, &job.inputs()).context(REPORT)?;
        }
        tell_new(job.state().files_new, &asked);
        Ok(Self { asked, package, reference, reading, threads, model, job })
    }

    /// Does what is left; `None` when asked to end before all of it was done.
    pub(crate) fn run(
        mut self,
        asked_to_end: &(dyn Fn() -> bool + Sync),
    ) -> anyhow::Result<Option<Scored>> {
        let before = self.job.state();
        let now = if before.parts_done < before.parts {
            self.score(&before, asked_to_end)?
        } else {
            (0, Duration::ZERO)
        };
        let after = self.job.state();
        if after.parts_done < after.parts || asked_to_end() {
            return Ok(None);
        }
        let model = format!("{}@{}", self.package.name(), self.package.version());
        let drift = self.reference.as_deref().map(|reference| self.drift(reference)).transpose()?;
        self.job.mark_whole()?;
        Ok(Some(Scored { model, before, after, now, drift }))
    }

    fn score(
        &mut self,
        before: &State,
        asked_to_end: &(dyn Fn() -> bool + Sync),
    ) -> anyhow::Result<(u64, Duration)> {
        let failed = |message| WithExit { message, exit: Exit::Failed };
        match &self.asked.cluster {
            Some(url) => {
                Cluster::connect(url).and_then(|it| self.job.on_cluster(it)).map_err(usage)?;
            }
            None => self.model.ready().map_err(|error| failed(error.to_string()))?,
        }
        // Of text nobody knows the rows: as many to a byte as so far are expected.
        let total = before.rows_left.unwrap_or(before.bytes_left / TEXT_ROW_BYTES);
        let progress = Progress::start_if(self.asked.shown, "rows", Some(total));
        let progress = Mutex::new((progress, Step::default()));
        let add = |step: Step| {
            let (progress, done) = &mut *progress.lock().expect("nobody panics with it");
            done.rows += step.rows;
            done.bytes += step.bytes;
            if before.rows_left.is_none() && done.bytes > 0 {
                let rows = done.rows as f64 * before.bytes_left as f64 / done.bytes as f64;
                progress.expect((rows as u64).max(done.rows));
            }
            progress.add(step.rows);
        };
        let ended = self.job.run(self.threads, SystemTime::now(), &add, asked_to_end);
        let counted = progress.into_inner().expect("nobody panics with it").0.finish();
        ended?;
        Ok(counted)
    }

    /// Holds the input against `reference`; what was reported before is not reported again.
    fn drift(&self, path: &Path) -> anyhow::Result<bool> {
        // The page is put there first.
        let [json, page] = REPORTS;
        if let Some(text) = self.job.beside(json)? {
            let path = self.asked.files.output.join(json);
            let report: serde_json::Value = serde_json::from_slice(&text)
                .with_context(|| format!("{} is no report: remove it", path.display()))?;
            return Ok(report["drift"] == true);
        }
        let report = self.report(path).context(REPORT)?;
        self.job.put_beside(page, html::page(&report).as_bytes())?;
        self.job.put_beside(json, serde_json::to_string_pretty(&report)?.as_bytes())?;
        Ok(report.drift)
    }

    fn report(&self, path: &Path) -> anyhow::Result<Report> {
        let (files, reading) = (&self.asked.files, &self.reading);
        let (reference, of_reference) = reference(path, None, reading)?;
        let inputs = self.job.inputs();
        let current = Input::open(&inputs, files.predicate.as_deref(), reading, &[])?;
        let names: Vec<String> = files.inputs.iter().map(|input| said(input)).collect();
        let of_current = Source { name: names.join(", "), rows: current.count(), profile: None };
        let mut columns = against(reference, &current, reading, Rule::default())?;
        // A reference may hold the model's answers; that events do not come with them is no drift.
        let outputs = self.package.output_schema();
        let answers: Vec<String> =
            outputs.fields().iter().map(|of| schemas::column_of_output(of.name())).collect();
        columns
            .retain(|column| column.verdict != Verdict::Missing || !answers.contains(&column.name));
        Ok(Report::new(of_reference, of_current, Rule::default(), columns))
    }
}

fn reading(config: &Config, contract: &Contract, threads: usize, shown: bool) -> Reading {
    Reading {
        columns: Vec::new(),
        contract: Some(contract.clone()),
        salt: config.contract.hash_salt.expose().as_bytes().to_vec(),
        memory_bytes: DRIFT_BYTES,
        threads,
        shown,
    }
}

/// Says how many files came into the input since the output was begun: a success must not pass for theirs.
fn tell_new(files_new: usize, asked: &Asked) {
    if files_new == 0 {
        return;
    }
    let output = asked.files.output.display();
    let hint = "name another output for them, or start over: remove this one, or `tidegate jobs run` with \
                --anew while it is unfinished";
    if asked.shown {
        eprintln!(
            "tidegate: {files_new} files came into the input since {output} was begun, and are not scored: {hint}"
        );
    } else {
        tracing::warn!(%output, files_new, hint, "files that came into the input since are not scored");
    }
}

/// What to do where a model has nothing to compare with.
pub(super) fn no_reference(package: &Package) -> String {
    let folder = package.folder().display();
    format!(
        "a drift report needs a reference, and model {}@{} has none: fit one with `tidegate baseline fit \
         TRAINING -o {folder}/reference.parquet`, or name a file to compare with",
        package.name(),
        package.version()
    )
}

/// What is wrong with the input or the folder before the first row is the caller's to mend.
fn usage(error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Io { .. } | StoreError::Cluster { .. } => error.into(),
        other => exit::usage(other.to_string()),
    }
}

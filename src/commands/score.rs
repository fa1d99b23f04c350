//! `tidegate score IN OUT`: the batch job, with the stream's contract, package and predictor.

use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use batch::StoreError;
use batch::score::{Job, ScoreConfig, State, Step};
use serde::Serialize;

use crate::cli::{Include, ScoreArgs};
use crate::exit::{Exit, WithExit};
use crate::models;
use crate::progress::Progress;

/// Bytes of a row of text until some were read.
const TEXT_ROW_BYTES: u64 = 200;

/// What became of the rows, for people and scripts.
#[derive(Serialize)]
struct Summary<'a> {
    model: String,
    rows: u64,
    scored: u64,
    rejected: u64,
    left_out: u64,
    files: usize,
    parts: usize,
    /// Parts that an earlier start had done.
    parts_before: usize,
    /// Rows of this start, in so many seconds.
    rows_now: u64,
    seconds: f64,
    output: &'a Path,
}

pub(crate) fn run(args: &ScoreArgs) -> anyhow::Result<Exit> {
    let config = super::resolve(&args.config)?;
    let contract = super::read_contract(&config.contract.file)?;
    let package = models::package(&config, args.model.as_deref())?;
    let threads = args.threads.filter(|threads| *threads > 0);
    let threads =
        threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let model = Arc::new(models::model(&package, &contract, threads));
    let asked = ScoreConfig {
        inputs: args.input.clone(),
        output: args.output.clone(),
        predicate: args.predicate.clone(),
        columns: args.columns.clone(),
        coordinates: args.include.contains(&Include::Source),
        salt: config.contract.hash_salt.expose().as_bytes().to_vec(),
    };
    let mut job = Job::open(asked, Arc::clone(&model)).map_err(usage)?;
    let before = job.state();
    let (rows_now, took) = if before.parts_done < before.parts {
        model
            .ready()
            .map_err(|error| WithExit { message: error.to_string(), exit: Exit::Failed })?;
        // Of text nobody knows the rows: as many to a byte as so far are expected.
        let total = before.rows_left.unwrap_or(before.bytes_left / TEXT_ROW_BYTES);
        let progress = Mutex::new((Progress::start("rows", Some(total)), Step::default()));
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
        let ended = job.run(threads, SystemTime::now(), &add);
        let counted = progress.into_inner().expect("nobody panics with it").0.finish();
        ended?;
        counted
    } else {
        (0, Duration::ZERO)
    };
    let after = job.state();
    let summary = Summary {
        model: format!("{}@{}", package.name(), package.version()),
        rows: after.counts.rows,
        scored: after.counts.scored,
        rejected: after.counts.rejected,
        left_out: after.counts.left_out(),
        files: after.files,
        parts: after.parts,
        parts_before: before.parts_done,
        rows_now,
        seconds: took.as_secs_f64(),
        output: &args.output,
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&summary)?)?;
    } else {
        write!(out, "{}", said(&summary, &before))?;
    }
    Ok(Exit::Fine)
}

fn said(summary: &Summary<'_>, before: &State) -> String {
    let Summary { model, rows, scored, rejected, left_out, files, parts, .. } = summary;
    let folder = summary.output.display();
    let mut text = format!("{model} scored {scored} of {rows} rows in {files} files");
    if *left_out > 0 {
        text += &format!(" · {left_out} left out by --where");
    }
    if *rejected > 0 {
        text += &format!(" · {rejected} rejected, see {folder}/rejects");
    }
    text += "\n";
    if before.parts_done == before.parts {
        text += &format!("all {parts} parts were done before: nothing was left to do\n");
    } else {
        let rate = summary.rows_now as f64 / summary.seconds.max(1e-9);
        text += &format!(
            "{} of {parts} parts, {} were done before · {:.1} s · {rate:.0} rows/s\n",
            summary.parts - summary.parts_before,
            summary.parts_before,
            summary.seconds
        );
    }
    text + &format!("{folder}/results\n")
}

/// What is wrong with the input or the folder before the first row is the caller's to mend.
fn usage(error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Io { .. } => error.into(),
        other => WithExit { message: other.to_string(), exit: Exit::Usage }.into(),
    }
}

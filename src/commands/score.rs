//! `tidegate score IN OUT`: the batch job, with the stream's contract, package and predictor.

use std::io::Write as _;
use std::path::Path;

use batch::score::ScoreConfig;
use serde::Serialize;

use crate::cli::ScoreArgs;
use crate::config::Include;
use crate::exit::Exit;
use crate::jobs::{Asked, Drift, Scored, Scoring};

/// What became of the rows, for people and scripts.
#[derive(Serialize)]
struct Summary<'a> {
    model: &'a str,
    rows: u64,
    scored: u64,
    rejected: u64,
    left_out: u64,
    files: usize,
    /// Files that came into the input since the job was begun, and are not scored.
    files_new: usize,
    parts: usize,
    /// Parts that an earlier start had done.
    parts_before: usize,
    /// Rows of this start, in so many seconds.
    rows_now: u64,
    seconds: f64,
    /// Whether the input has drifted, with --drift.
    #[serde(skip_serializing_if = "Option::is_none")]
    drift: Option<bool>,
    output: &'a Path,
}

pub(crate) fn run(args: &ScoreArgs) -> anyhow::Result<Exit> {
    let config = super::resolve(&args.config)?;
    let contract = super::read_contract(&config.contract.file)?;
    let asked = Asked {
        files: ScoreConfig {
            inputs: args.input.clone(),
            output: args.output.clone(),
            predicate: args.predicate.clone(),
            columns: args.columns.clone(),
            coordinates: args.include.contains(&Include::Source),
            salt: config.contract.hash_salt.expose().as_bytes().to_vec(),
        },
        model: args.model.clone(),
        threads: args.threads.unwrap_or(0),
        cluster: args.cluster.clone(),
        drift: args.drift.then(|| Drift { reference: args.reference.clone() }),
        shown: true,
    };
    let scored = Scoring::open(&config, &contract, asked)?.run(&|| false)?;
    let scored = scored.expect("nobody asks it to end");
    let summary = Summary {
        model: &scored.model,
        rows: scored.after.counts.rows,
        scored: scored.after.counts.scored,
        rejected: scored.after.counts.rejected,
        left_out: scored.after.counts.left_out(),
        files: scored.after.files,
        files_new: scored.after.files_new,
        parts: scored.after.parts,
        parts_before: scored.before.parts_done,
        rows_now: scored.now.0,
        seconds: scored.now.1.as_secs_f64(),
        drift: scored.drift,
        output: &args.output,
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&summary)?)?;
    } else {
        write!(out, "{}", said(&summary, &scored))?;
    }
    Ok(Exit::Fine)
}

fn said(summary: &Summary<'_>, of: &Scored) -> String {
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
    if of.before.parts_done == of.before.parts {
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
    match summary.drift {
        Some(true) => text += &format!("the input has drifted, see {folder}/report.html\n"),
        Some(false) => text += &format!("the input has not drifted, see {folder}/report.html\n"),
        None => {}
    }
    text + &format!("{folder}/results\n")
}

//! Arguments of `score`.

use std::path::PathBuf;

use clap::Args;

use super::ConfigArgs;
use crate::config::Include;

#[derive(Debug, Args)]
#[command(
    after_help = "The output folder holds results/ (the input's columns, then prediction_*, model_name, \
model_version, scored_at, contract_id), rejects/ (rows that contract or model refused, with the reason; \
only where there are any), manifest.json, _SUCCESS when all is there and, with --drift, report.json and report.html. A job that was killed goes on when the same command is started \
again, and a finished one does nothing; the same is: the same files (path, size, time of change), model \
(model.onnx and model.toml), contract and options. Files that came into the input since it was begun are told (files_new \
in JSON) and not scored: name another output folder for them; where the input is named otherwise than it was, as by a \
wider pattern or one that the shell expands (quote it), they are refused. A prediction that is not finite is null, and so is a label \
that scores with a NaN would decide. Exit codes: 0 all rows are scored or rejected · 1 failed · 2 usage, or the folder \
is another job's"
)]
pub(crate) struct ScoreArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Model and version in the configuration's model.repository; of another model than the
    /// configured one the newest version when that is left out
    #[arg(long, value_name = "NAME[@VERSION]")]
    pub(crate) model: Option<String>,
    /// Parquet, CSV with a header or JSON lines: files, folders or patterns, here or in s3://BUCKET; one
    /// format. KEY=VALUE folders are columns; a file's own of that name goes before. Of JSON lines the
    /// contract's fields are kept
    #[arg(required = true)]
    pub(crate) input: Vec<PathBuf>,
    /// Folder of the output, or s3://BUCKET/PREFIX
    pub(crate) output: PathBuf,
    /// Only rows for which this SQL condition holds
    #[arg(long = "where", value_name = "SQL")]
    pub(crate) predicate: Option<String>,
    /// Keep only these columns of the input
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
    /// Add what the output does not have by itself
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    pub(crate) include: Vec<Include>,
    /// Also compare the input with the model's reference, and write report.json and report.html beside the
    /// results
    #[arg(long)]
    pub(crate) drift: bool,
    /// Compare with this instead: a profile of `baseline fit`, a file, a folder or a pattern
    #[arg(long, value_name = "FILE", requires = "drift")]
    pub(crate) reference: Option<PathBuf>,
    /// Score on the executors of this cluster, whose scheduler it names: df://HOST:PORT. They must find the input
    /// under the same paths, and the model in their own folders; the output is written here
    #[arg(long, value_name = "URL")]
    pub(crate) cluster: Option<String>,
    /// Threads, one model session each; as many as there are cores when left out. With --cluster: parts that are
    /// asked for at once, 16 when left out; more than the executors have threads keeps all of them busy
    #[arg(long, value_name = "NUMBER")]
    pub(crate) threads: Option<usize>,
    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

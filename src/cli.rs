//! What was said on the command line; what was meant is resolved by the commands.

mod alerts;
mod cluster;
mod compact;
mod drift;
mod jobs;
mod monitor;
mod schema;
mod score;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use alerts::{
    AlertsAckArgs, AlertsCommand, AlertsListArgs, AlertsShowArgs, AlertsSilenceArgs,
    AlertsTestRouteArgs, AlertsUnsilenceArgs,
};
pub(crate) use cluster::{ExecutorArgs, ProcessArgs, SchedulerArgs};
pub(crate) use compact::CompactArgs;
pub(crate) use drift::{BaselineCommand, BaselineFitArgs, BaselineShowArgs, DataArgs, DriftArgs};
pub(crate) use jobs::{JobsCommand, JobsHistoryArgs, JobsListArgs, JobsRunArgs};
pub(crate) use monitor::{MonitorArgs, MonitorCommand};
pub(crate) use schema::{SchemaCommand, SchemaFormat, SchemaInferArgs, SchemaShowArgs};
pub(crate) use score::ScoreArgs;

/// Puts an ONNX model on a Kafka stream, exactly once, and keeps watch over it.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 fine · 1 failed · 2 usage or configuration · \
3 verify: a record lost or doubled · 4 verify: not everything could be checked (retention, or not processed yet) · \
5 replaced by another process with the same instance name · 6 a call into Kafka's library or a batch of the model hung · \
7 drift --fail-on-drift: a column drifted or is missing";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Replay real flights through a model on an embedded broker, and verify the result
    Demo(DemoArgs),
    /// Run the pipeline: score the input topic and archive the results
    Run(RunArgs),
    /// Show the resolved configuration, the guarantee and the memory bound that follow from it
    Check(CheckArgs),
    /// Prove that every input record is in the output or dead letters, and in Parquet, exactly once
    Verify(VerifyArgs),
    /// Write records from a file or standard input to a topic
    Produce(ProduceArgs),
    /// Load-test a pipeline end to end: rate, latency, CPU per event, start-up, peak memory
    Bench(BenchArgs),
    /// Check, describe and show model packages
    #[command(subcommand)]
    Model(ModelCommand),
    /// Propose and show event contracts
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Score files: the same rows with predictions, by the model of the stream
    Score(ScoreArgs),
    /// Place the parts of `score --cluster` on executors
    Scheduler(SchedulerArgs),
    /// Score parts that a scheduler hands out
    Executor(ExecutorArgs),
    /// Ask the archive in SQL
    Sql(SqlArgs),
    /// Keep what a reference looks like, and show it
    #[command(subcommand)]
    Baseline(BaselineCommand),
    /// Compare the distributions of two files or folders, column by column
    Drift(DriftArgs),
    /// Rewrite the archive by day, in order and in large files, beside it; let old files go
    Compact(CompactArgs),
    /// Repair what only a person may decide about the archive
    #[command(subcommand)]
    Archive(ArchiveCommand),
    /// Show, silence and acknowledge alerts; try the routes to on-call
    #[command(subcommand)]
    Alerts(AlertsCommand),
    /// Count what is archived, and judge its windows
    #[command(subcommand)]
    Monitor(MonitorCommand),
    /// Show what is scheduled and what was made of it; make a run by hand
    #[command(subcommand)]
    Jobs(JobsCommand),
}

/// Which configuration.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "TIDEGATE_CONFIG", default_value = "tidegate.toml")]
    pub(crate) config: PathBuf,
    /// Set one key, over the file and the environment
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Run only these hops
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Hop>,
}

/// A part of the pipeline that may run on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Hop {
    /// Input topic to results and dead letters
    Score,
    /// Results and dead letters to Parquet
    Archive,
    /// Parquet to drift reports and alerts; where the configuration names a reference
    Monitor,
    /// Files to scored files on a schedule; where the configuration has [[jobs]]
    Jobs,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Do not ask the broker
    #[arg(long)]
    pub(crate) offline: bool,
    /// Print every key with its default and meaning, and end
    #[arg(long)]
    pub(crate) defaults: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Leave the Parquet tables out
    #[arg(long)]
    pub(crate) topics_only: bool,
    /// Wait so long for the pipeline to catch up before counting
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) wait: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ProduceArgs {
    /// Topic to write to
    pub(crate) topic: String,
    /// JSON lines, one record a line, or a .parquet file; standard input when left out
    pub(crate) file: Option<PathBuf>,
    /// Bootstrap servers
    #[arg(short, long, default_value = "localhost:9092", env = "TIDEGATE_BROKERS")]
    pub(crate) brokers: String,
    /// librdkafka property
    #[arg(short = 'X', long = "property", value_name = "NAME=VALUE")]
    pub(crate) property: Vec<String>,
    /// Records per second; as fast as it goes when left out
    #[arg(long, value_name = "RECORDS")]
    pub(crate) rate: Option<f64>,
    /// Top-level member whose value becomes the key
    #[arg(long, value_name = "MEMBER")]
    pub(crate) key: Option<String>,
    /// Read the file so many times
    #[arg(long, default_value_t = 1)]
    pub(crate) repeat: u64,
    /// Stop after so many records
    #[arg(long, value_name = "RECORDS")]
    pub(crate) limit: Option<u64>,
    /// Header of every record
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE")]
    pub(crate) header: Vec<String>,
    /// Create the topic with so many partitions when it is missing
    #[arg(long, value_name = "PARTITIONS")]
    pub(crate) create: Option<i32>,
    /// Compression of the batches
    #[arg(long, default_value = "lz4")]
    pub(crate) compression: String,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// JSON lines or .parquet with the events to load
    pub(crate) file: PathBuf,
    /// Events to load before the drain is timed
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) events: u64,
    /// Partitions of the topics that the run makes for itself
    #[arg(long, default_value_t = 4)]
    pub(crate) partitions: i32,
    /// Time only these hops
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Hop>,
    /// After the drain, measure latency at this rate (events/s) for --seconds; 0: no latency part
    #[arg(long, default_value_t = 5_000.0)]
    pub(crate) rate: f64,
    /// Headers of each event; results carry them, and the events' times, where `output.carry_headers` and
    /// `output.carry_timestamp` say so
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(crate) headers: u8,
    /// Before the drain, time the raw parts by themselves: consume, decode to encode, produce by the
    /// call that the pipeline uses (batches; one by one where results carry headers or times)
    #[arg(long)]
    pub(crate) limits: bool,
    /// Length of the latency part
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Folder with the demo's data, contract, model and configuration
    #[arg(long, default_value = "deploy/demo")]
    pub(crate) assets: PathBuf,
    /// Keep the archive in this folder; otherwise a temporary one is used and removed
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Events per second
    #[arg(long, default_value_t = 1_000.0)]
    pub(crate) rate: f64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Check a package: checksum, types, shapes, null rules, golden rows, neighbours
    Check(ModelCheckArgs),
    /// Write a first model.toml from the graph of an .onnx file
    Init(ModelInitArgs),
    /// Print what a package holds
    Show(ModelShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ModelCheckArgs {
    /// Package folder, models/NAME/VERSION
    pub(crate) dir: PathBuf,
    /// Event contract to hold it against
    #[arg(long, value_name = "FILE", default_value = "contract.toml")]
    pub(crate) contract: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ModelInitArgs {
    /// The .onnx file; model.toml is written beside it
    pub(crate) model: PathBuf,
    /// Event contract: its fields become features where names or numbers agree; ./contract.toml when
    /// left out and there is one
    #[arg(long, value_name = "FILE")]
    pub(crate) contract: Option<PathBuf>,
    /// Overwrite an existing model.toml
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ModelShowArgs {
    /// Package folder
    pub(crate) dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ArchiveCommand {
    /// Accept that retention removed records before they were archived, and go on behind them
    AcceptGap(AcceptGapArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AcceptGapArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Table with the gap
    #[arg(long, value_enum)]
    pub(crate) table: ArchivedTable,
    /// Partition of the table's topic
    #[arg(long, value_name = "NUMBER")]
    pub(crate) partition: i32,
    /// Why; it is kept in the file that covers the gap
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum ArchivedTable {
    /// The scored events
    Results,
    /// The rejected events
    DeadLetters,
    /// What turned out to be true
    Labels,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Tables: results, dead_letters, alerts (the newest 1000) and, with a reference, counts and \
reports. Functions beside DataFusion's own: predict('model@version', features...) in the order of the \
package (`tidegate model show`), null where the model refuses a row; psi(x, is_reference) and \
ks(x, is_reference), aggregates that say what a drift report says. EXPLAIN shows what is read"
)]
pub(crate) struct SqlArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The query; without it and --file, standard input, which on a terminal is a prompt
    #[arg(short = 'c', long = "command", value_name = "SQL", conflicts_with = "file")]
    pub(crate) command: Option<String>,
    /// Read the query from there
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Folder of the tables or s3://BUCKET/PREFIX, instead of the configuration's archive.directory
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Output
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: SqlFormat,
    /// Write there instead of standard output; required for Parquet
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Answer psql, drivers and BI tools instead: the PostgreSQL protocol at this address (sql.listen)
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "")]
    #[arg(conflicts_with_all = ["command", "file", "output", "format"])]
    pub(crate) serve: Option<String>,
    /// With --serve: file with the password of --user
    #[arg(long, value_name = "FILE", requires = "serve")]
    pub(crate) password_file: Option<PathBuf>,
    /// With --password-file: whose password it is
    #[arg(long, value_name = "NAME", default_value = "tidegate", requires = "password_file")]
    pub(crate) user: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SqlFormat {
    /// Aligned columns
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One JSON object a line
    Json,
    /// A Parquet file
    Parquet,
}

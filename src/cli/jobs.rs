//! Arguments of `jobs`.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::civil::Date;

use super::ConfigArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// Every job: when it starts, its next and its latest run
    List(JobsListArgs),
    /// Make a run now, beside a `tidegate run` that makes others; what it had begun is gone on with
    Run(JobsRunArgs),
    /// Runs that were made, the latest first
    History(JobsHistoryArgs),
}

#[derive(Debug, Args)]
pub(crate) struct JobsListArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Without --date and --time it is the run whose time was last, by the clock, by the job that \
it comes after or by the watermark. Exit codes: 0 the run has succeeded, now or before · 1 it failed, or one of \
the job is being made · 2 usage"
)]
pub(crate) struct JobsRunArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Name of the job
    pub(crate) name: String,
    /// The run about this day
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) date: Option<Date>,
    /// The run that was to start at this instant, of a job with several a day
    #[arg(long, value_name = "RFC3339", conflicts_with = "date")]
    pub(crate) time: Option<Timestamp>,
    /// Start over what was begun, instead of going on with it: for a run whose input has changed since
    #[arg(long)]
    pub(crate) anew: bool,
    /// Print the run as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct JobsHistoryArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Name of a job; all when left out
    pub(crate) name: Option<String>,
    /// Most runs that are shown
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    pub(crate) limit: usize,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

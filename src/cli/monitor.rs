//! Arguments of `monitor`.

use clap::{Args, Subcommand};

use super::ConfigArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum MonitorCommand {
    /// Count every archive file that is not counted yet, one count file each, and end
    Count(MonitorArgs),
    /// Count, judge every window that is complete and not judged yet, and end
    Evaluate(MonitorArgs),
}

#[derive(Debug, Args)]
pub(crate) struct MonitorArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

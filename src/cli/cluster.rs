//! Arguments of `scheduler` and `executor`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(
    after_help = "One port, for jobs and executors. Nothing there asks for a password or is encrypted: whoever reaches \
it can have files read and scored. /readyz on the same port answers 200 when there are executors, 503 when there \
are none. It keeps no state: started anew, it hears of its executors within a second, and jobs ask again"
)]
pub(crate) struct SchedulerArgs {
    /// Where jobs (df://HOST:PORT) and executors find it
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:50050")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "One port, where jobs fetch their rows; nothing there asks for a password or is encrypted. An executor \
reads the files of a job under the same paths as the job does, and scores with its own models: one whose package is \
not the job's, by name, version and SHA-256, is refused. On SIGTERM it ends within ten seconds; parts at work are scored \
by another"
)]
pub(crate) struct ExecutorArgs {
    /// Folder of the models, NAME/VERSION below it
    #[arg(long, value_name = "FOLDER", default_value = "models")]
    pub(crate) models: PathBuf,
    /// The scheduler
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:50050")]
    pub(crate) scheduler: String,
    /// Where jobs fetch their rows; 0.0.0.0 is told to them as the address that the scheduler sees
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:50051")]
    pub(crate) listen: SocketAddr,
    /// Parts at once, one thread and one model session each; as many as there are cores when left out
    #[arg(long, value_name = "NUMBER")]
    pub(crate) threads: Option<usize>,
    /// Where rows lie until they are fetched, in a new folder that is removed at the end; the system's
    /// temporary folder when left out
    #[arg(long, value_name = "FOLDER")]
    pub(crate) work_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
}

/// What both processes have.
#[derive(Debug, Args)]
pub(crate) struct ProcessArgs {
    /// Listen beyond loopback, although nothing there asks for a password: everybody on that network may
    #[arg(long)]
    pub(crate) trust_network: bool,
    /// What is logged, as in telemetry.log; Ballista's own lines are of the target `ballista`
    #[arg(long, value_name = "FILTER", env = "TIDEGATE_LOG", default_value = "info,ballista=warn")]
    pub(crate) log: String,
}

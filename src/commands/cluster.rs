//! `tidegate scheduler` and `tidegate executor`: the processes that `score --cluster` asks, until SIGTERM.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use batch::score::cluster::{self, ExecutorConfig};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::cli::{ExecutorArgs, ProcessArgs, SchedulerArgs};
use crate::config::LogFormat;
use crate::exit::{self, Exit};
use crate::signals::Signals;
use crate::{models, telemetry};

/// How long parts at work may take after SIGTERM: another executor scores them anyway.
const GRACE: Duration = Duration::from_secs(10);

pub(crate) fn scheduler(args: &SchedulerArgs) -> anyhow::Result<Exit> {
    begin(args.listen, &args.process)?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let listener = TcpListener::bind(args.listen).await;
        let listener = listener.with_context(|| {
            format!("--listen {} cannot be opened; choose another port", args.listen)
        })?;
        tracing::info!(address = %listener.local_addr()?, "scheduling");
        tokio::select! {
            ended = cluster::schedule(listener) => {
                ended?;
                anyhow::bail!("the scheduler ended by itself; its log says why")
            }
            asked = asked_to_end() => asked,
        }
    });
    runtime.shutdown_background();
    ended?;
    tracing::info!("stopped");
    Ok(Exit::Fine)
}

pub(crate) fn executor(args: &ExecutorArgs) -> anyhow::Result<Exit> {
    begin(args.listen, &args.process)?;
    let scheduler = host_and_port(&args.scheduler)?;
    let threads = match args.threads {
        None => std::thread::available_parallelism().map_or(1, usize::from),
        Some(0) => return Err(exit::usage("--threads 0: at least 1 is accepted")),
        Some(threads) => threads,
    };
    if !args.models.is_dir() {
        let models = args.models.display();
        return Err(exit::usage(format!(
            "--models {models} is no folder: name the models' repository"
        )));
    }
    let mut folder = tempfile::Builder::new();
    folder.prefix("tidegate-executor-");
    let work = match &args.work_dir {
        Some(at) => {
            folder.tempdir_in(at).with_context(|| format!("--work-dir {}", at.display()))?
        }
        None => folder.tempdir().context("the system's temporary folder")?,
    };
    let config = ExecutorConfig {
        listen: args.listen,
        scheduler,
        threads,
        work: work.path().to_path_buf(),
        open: models::opener(&args.models, threads),
    };
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let mut process = JoinSet::new();
        process.spawn(cluster::execute(config));
        tokio::select! {
            ended = process.join_next() => {
                ended.expect("not empty").context("the executor")??;
                anyhow::bail!("the executor ended by itself; its log says why")
            }
            asked = asked_to_end() => asked?,
        }
        // It hears the signal, too, tells the scheduler, and waits for its tasks.
        if tokio::time::timeout(GRACE, process.join_next()).await.is_err() {
            tracing::warn!("parts at work are left to another executor");
        }
        anyhow::Ok(())
    });
    runtime.shutdown_background();
    let removed = work.close();
    ended?;
    removed.context("removing the rows that nobody fetched")?;
    tracing::info!("stopped");
    Ok(Exit::Fine)
}

/// Logs, and the address.
fn begin(listen: SocketAddr, process: &ProcessArgs) -> anyhow::Result<()> {
    if !listen.ip().is_loopback() && !process.trust_network {
        return Err(exit::usage(format!(
            "--listen {listen} can be reached from other machines, and nothing there asks for a password: \
             whoever reaches it can have files read and rows fetched. Add --trust-network where everybody on \
             that network may, or listen on 127.0.0.1"
        )));
    }
    telemetry::init_logs(&process.log, LogFormat::Auto);
    telemetry::take_over_log();
    Ok(())
}

fn host_and_port(said: &str) -> anyhow::Result<(String, u16)> {
    let parts = said.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let parts = parts.and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    parts.ok_or_else(|| exit::usage(format!("--scheduler {said}: write HOST:PORT")))
}

fn runtime() -> anyhow::Result<Runtime> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).thread_name("tg-async").enable_all();
    runtime.build().context("starting the async runtime")
}

async fn asked_to_end() -> anyhow::Result<()> {
    Signals::listen()?.next().await;
    tracing::info!("stopping");
    Ok(())
}

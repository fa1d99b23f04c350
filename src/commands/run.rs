//! `tidegate run`: all hops in one process, or some of them, until asked to stop.
//!
//! Every task is named and joined; the first to end unasked ends the process. SIGTERM drains within
//! the grace time, a second one ends at once, and kill -9 is always safe.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ingest::{PipeEvents, Stop};
use opentelemetry::global;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cli::{Hop, RunArgs};
use crate::config;
use crate::exit::{self, Exit, WithExit};
use crate::health::Health;
use crate::hops::{self, ArchiveOf};
use crate::monitoring;
use crate::pipeline::Pipeline;
use crate::server;
use crate::signals::Signals;
use crate::telemetry::{self, Telemetry};

type Ended = (&'static str, anyhow::Result<()>);

pub(crate) fn run(args: &RunArgs, started: Instant) -> anyhow::Result<Exit> {
    let config = super::resolve(&args.config)?;
    telemetry::init_logs(&config.telemetry.log, config.telemetry.format);
    ingest::tune_allocator();
    let telemetry = Telemetry::install(&config)?;
    let pipeline = Arc::new(Pipeline::open(config)?);
    if args.only == [Hop::Monitor] && !monitoring::has_reference(&pipeline) {
        let message = "--only monitor, and there is no reference to compare with: name one in \
                       monitor.reference, or put reference.parquet into the model's package";
        return Err(exit::usage(message));
    }
    if args.only == [Hop::Jobs] && !has_jobs(&pipeline) {
        let message = "--only jobs, and the configuration has no [[jobs]] that is enabled";
        return Err(exit::usage(message));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("tg-async")
        .enable_all()
        .build()
        .context("starting the async runtime")?;
    let exit = runtime.block_on(supervise(&pipeline, &args.only, &telemetry, started));
    // Hops that did not drain in time hold blocking threads; the process does not wait for them.
    runtime.shutdown_background();
    telemetry.flush();
    exit
}

async fn supervise(
    pipeline: &Arc<Pipeline>,
    only: &[Hop],
    telemetry: &Telemetry,
    started: Instant,
) -> anyhow::Result<Exit> {
    let health = Arc::new(Health::default());
    let (stop, closing) = (Stop::new(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    if let Some(listener) = listen(&pipeline.config.server.listen).await? {
        let shown = watches(pipeline, only).then(|| monitoring::dashboard(pipeline));
        let shown = shown.transpose()?.map(Arc::new);
        let (health, registry) = (health.clone(), telemetry.registry());
        let served = server::serve(listener, health, registry, shown, closing.clone());
        tasks.spawn(async { ("server", served.await.context("serving HTTP")) });
    }
    // Before anything begins that an early SIGTERM is to drain.
    let mut signals = Signals::listen()?;
    let mut hops = spawn_hops(pipeline, only, &health, telemetry, &stop, started);
    let groups = hops::groups(pipeline, |hop| runs(only, hop));
    if !groups.is_empty() {
        let (pipeline, stop) = (pipeline.clone(), stop.clone());
        // Not waited for at the end: a question to a broker that is away may take its time.
        tasks.spawn(on_thread("members", move || hops::look_after(&pipeline, &groups, &stop)));
    }
    let first = tokio::select! {
        _ = signals.next() => None,
        ended = hops.join_next() => ended,
        ended = tasks.join_next(), if !tasks.is_empty() => ended,
    };
    let mut failure = first.and_then(|ended| failed(ended.expect("tasks do not panic silently")));
    tracing::info!("stopping: draining what was read");
    stop.raise();
    let grace = Duration::from_secs(pipeline.config.shutdown.grace_seconds);
    let deadline = tokio::time::sleep(grace);
    tokio::pin!(deadline);
    while !hops.is_empty() {
        tokio::select! {
            ended = hops.join_next() => {
                let ended = ended.expect("not empty").expect("tasks do not panic silently");
                failure = failure.or_else(|| failed(ended));
            }
            signal = signals.next() => return Err(cut_short(&format!("a second {signal}"))),
            () = &mut deadline => return Err(cut_short("shutdown.grace_seconds are over")),
        }
    }
    closing.cancel();
    match failure {
        Some(error) => Err(error),
        None => {
            tracing::info!("stopped");
            Ok(Exit::Fine)
        }
    }
}

fn has_jobs(pipeline: &Pipeline) -> bool {
    !config::resolved_jobs(&pipeline.config).is_empty()
}

/// Whether this process has the monitor's hop.
fn watches(pipeline: &Pipeline, only: &[Hop]) -> bool {
    runs(only, Hop::Monitor) && monitoring::has_reference(pipeline)
}

fn spawn_hops(
    pipeline: &Arc<Pipeline>,
    only: &[Hop],
    health: &Arc<Health>,
    telemetry: &Telemetry,
    stop: &Stop,
    started: Instant,
) -> JoinSet<Ended> {
    let mut hops = JoinSet::new();
    if runs(only, Hop::Score) {
        let (pipeline, health, stop) = (pipeline.clone(), health.clone(), stop.clone());
        let events =
            Arc::new(PipeEvents::new(&global::meter("tidegate"), &pipeline.config.pipeline.name));
        hops.spawn(on_thread("score", move || {
            hops::score(&pipeline, &events, &health, &stop, started)
        }));
    }
    if runs(only, Hop::Archive) {
        for kind in ArchiveOf::of(pipeline) {
            health.waiting.begin(kind.name());
            let (pipeline, health, stop) = (pipeline.clone(), health.clone(), stop.clone());
            hops.spawn(on_thread(kind.name(), move || {
                hops::archive(&pipeline, kind, &health, &stop)
            }));
        }
    }
    if watches(pipeline, only) {
        let (pipeline, health, stop) = (pipeline.clone(), health.clone(), stop.clone());
        let registry = telemetry.registry();
        hops.spawn(on_thread("monitor", move || hops::watch(&pipeline, &health, &registry, &stop)));
    }
    if runs(only, Hop::Jobs) && has_jobs(pipeline) {
        let (pipeline, health, stop) = (pipeline.clone(), health.clone(), stop.clone());
        hops.spawn(on_thread("jobs", move || hops::jobs(&pipeline, &health, &stop)));
    }
    hops
}

fn runs(only: &[Hop], hop: Hop) -> bool {
    only.is_empty() || only.contains(&hop)
}

/// Runs on a thread of its own, with the task's name: it stays for the life of the process.
fn on_thread(
    name: &'static str,
    run: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> impl Future<Output = Ended> + Send {
    let (say, ended) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name(format!("tg-{name}"));
    let started = thread.spawn(move || {
        // Nobody listens any more when the process is ending.
        let _ = say.send(run());
    });
    async move {
        let result = match started {
            Err(error) => Err(anyhow::Error::from(error).context("starting its thread")),
            Ok(_) => ended.await.unwrap_or_else(|_| Err(anyhow::anyhow!("its thread panicked"))),
        };
        (name, result)
    }
}

/// `None` when the task ended in order.
fn failed((name, result): Ended) -> Option<anyhow::Error> {
    result.err().map(|error| error.context(format!("{name} ended")))
}

fn cut_short(why: &str) -> anyhow::Error {
    let message =
        format!("{why}: ending before everything was drained; nothing is lost, it is read again");
    WithExit { message, exit: Exit::Failed }.into()
}

async fn listen(address: &str) -> anyhow::Result<Option<TcpListener>> {
    if address.is_empty() {
        return Ok(None);
    }
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!(
            "server.listen = {address} cannot be opened; choose another port, or \"\" for no server"
        )
    })?;
    tracing::info!(address = %listener.local_addr()?, "serving /livez, /readyz and /metrics");
    Ok(Some(listener))
}

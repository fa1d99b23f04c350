//! An executor's process: it asks the scheduler for parts, scores them with its own models, and keeps the rows
//! until the job has fetched them.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ballista_core::config::TaskSchedulingPolicy;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};

use super::MESSAGE_BYTES;
use super::client::look;
use super::codec::{LogicalCodec, PhysicalCodec};
use super::models::{Models, OpenModel};
use crate::error::StoreError;

/// How long the scheduler may take to come, where both are started together.
const SCHEDULER_WITHIN: Duration = Duration::from_secs(30);
/// How often rows are looked for that nobody fetched, and their age.
const CLEAN_SECONDS: (u64, u64) = (60, 3600);

/// An executor's settings.
pub struct ExecutorConfig {
    /// Where its rows are fetched; an address of all interfaces is told to jobs as the scheduler sees it.
    pub listen: SocketAddr,
    /// The scheduler's host and port.
    pub scheduler: (String, u16),
    /// Parts at once, each with a thread.
    pub threads: usize,
    /// A folder of its own, for rows until they are fetched.
    pub work: PathBuf,
    /// Opens its models.
    pub open: OpenModel,
}

/// Scores parts until SIGTERM or SIGINT, then ends when those at work are done; ends by itself only where it
/// cannot go on.
pub async fn execute(config: ExecutorConfig) -> Result<(), StoreError> {
    let ExecutorConfig { listen, scheduler: (host, port), threads, work, open } = config;
    let failed = |reason: String| StoreError::Query(format!("executor {listen}: {reason}"));
    // Ballista would say it in its log alone.
    let free = TcpListener::bind(listen);
    drop(free.map_err(|error| failed(format!("cannot listen ({error}); choose another port")))?);
    let work = work.to_str().ok_or_else(|| failed("its folder's name is not UTF-8".to_owned()))?;
    wait_for_scheduler(&format!("{host}:{port}")).await.map_err(failed)?;
    let models = Arc::new(Models::new(listen.to_string(), open));
    let bound = match listen {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    let told = (!listen.ip().is_unspecified()).then(|| bound.clone());
    tracing::info!(%listen, scheduler = %format!("{host}:{port}"), threads, "asking for parts");
    let process = ExecutorProcessConfig {
        bind_host: bound,
        external_host: told,
        port: listen.port(),
        scheduler_host: host,
        scheduler_port: port,
        vcores: threads,
        task_scheduling_policy: TaskSchedulingPolicy::PullStaged,
        work_dir: Some(work.to_owned()),
        job_data_clean_up_interval_seconds: CLEAN_SECONDS.0,
        job_data_ttl_seconds: CLEAN_SECONDS.1,
        grpc_max_decoding_message_size: MESSAGE_BYTES as u32,
        grpc_max_encoding_message_size: MESSAGE_BYTES as u32,
        // Parts take what a thread takes locally: a few batches, and nothing that spills.
        memory_pool_size: Some(0),
        override_logical_codec: Some(Arc::new(LogicalCodec::default())),
        override_physical_codec: Some(Arc::new(PhysicalCodec::with(models))),
        ..ExecutorProcessConfig::default()
    };
    let ended = start_executor_process(Arc::new(process)).await;
    ended.map_err(|error| failed(error.to_string()))
}

/// Waits until the scheduler answers, for a bounded time: Ballista's own wait never ends.
async fn wait_for_scheduler(address: &str) -> Result<(), String> {
    let end = Instant::now() + SCHEDULER_WITHIN;
    loop {
        let asked = address.to_owned();
        let looked = tokio::task::spawn_blocking(move || look(&asked)).await;
        match looked.map_err(|error| error.to_string())? {
            Ok(_) => return Ok(()),
            Err(_) if Instant::now() < end => tokio::time::sleep(Duration::from_millis(250)).await,
            Err(error) => {
                let seconds = SCHEDULER_WITHIN.as_secs();
                return Err(format!(
                    "no scheduler answered at {address} within {seconds} s ({error}): start `tidegate \
                     scheduler` there, or name another with --scheduler"
                ));
            }
        }
    }
}

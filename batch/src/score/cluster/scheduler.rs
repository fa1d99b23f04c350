//! The scheduler's process: it knows orders by their form alone, and has no models.

use std::net::SocketAddr;
use std::sync::Arc;

use ballista_core::config::TaskSchedulingPolicy;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::{create_scheduler, start_grpc_service_with_listener};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tokio::net::TcpListener;

use super::codec::{LogicalCodec, PhysicalCodec};
use super::{MESSAGE_BYTES, SILENT_SECONDS};
use crate::error::StoreError;

/// How often silent executors are looked for.
const LOOK_SECONDS: u64 = 5;
/// When what a job did not fetch, or did not let go of, is removed.
const FORGET_SECONDS: u64 = 600;

/// Places parts on executors for ever; dropped, it stops, and jobs ask again when another is there.
pub async fn schedule(listener: TcpListener) -> Result<(), StoreError> {
    let at = listener.local_addr();
    let address = at.map_err(|error| failed("its address is not known", &error))?;
    let settings = Arc::new(settings(address));
    let cluster = BallistaCluster::new_from_config(&settings).await;
    let cluster = cluster.map_err(|error| failed(&address.to_string(), &error))?;
    let scheduler = create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, settings).await;
    let scheduler = scheduler.map_err(|error| failed(&address.to_string(), &error))?;
    let served = start_grpc_service_with_listener(listener, scheduler).await;
    served.map_err(|error| failed(&address.to_string(), &error))
}

fn settings(address: SocketAddr) -> SchedulerConfig {
    SchedulerConfig {
        bind_host: address.ip().to_string(),
        external_host: address.ip().to_string(),
        bind_port: address.port(),
        // Executors ask for work: the way is from them to here, and errors come back as they are.
        scheduling_policy: TaskSchedulingPolicy::PullStaged,
        executor_timeout_seconds: SILENT_SECONDS,
        expire_dead_executor_interval_seconds: LOOK_SECONDS,
        no_executors_grace_period_seconds: SILENT_SECONDS,
        finished_job_data_clean_up_interval_seconds: FORGET_SECONDS,
        finished_job_state_clean_up_interval_seconds: FORGET_SECONDS,
        grpc_server_max_decoding_message_size: MESSAGE_BYTES as u32,
        grpc_server_max_encoding_message_size: MESSAGE_BYTES as u32,
        grpc_client_max_message_size: MESSAGE_BYTES as u32,
        override_logical_codec: Some(Arc::new(LogicalCodec::default())),
        override_physical_codec: Some(Arc::new(PhysicalCodec::default())),
        ..SchedulerConfig::default()
    }
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Query(format!("the scheduler at {what} failed: {error}"))
}

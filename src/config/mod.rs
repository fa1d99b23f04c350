//! The resolved configuration: what was *meant*, once every layer has been read.
//!
//! Layers and problems are found in [`layers`]; rules that span keys in [`rules`]. Nothing here
//! opens a connection or reads a model.

mod alerts;
mod jobs;
mod labels;
mod layers;
mod lists;
mod routes;
mod rules;
mod secret;
mod shown;
mod sql;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub(crate) use alerts::{Alerts, RuleEntry};
pub(crate) use jobs::{Include, Job, JobEntry, Scheduler, resolved as resolved_jobs};
#[cfg(test)]
pub(crate) use labels::FIGURES;
pub(crate) use labels::Labels;
pub(crate) use layers::{DEFAULT, Problem, Problems, load};
pub(crate) use routes::{RouteEntry, resolved as resolved_routes};
pub(crate) use secret::Secret;
pub(crate) use shown::without_user;
pub(crate) use sql::Sql;

/// A whole configuration; keys and defaults are documented in `default.toml`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) pipeline: Pipeline,
    pub(crate) kafka: Kafka,
    pub(crate) input: Input,
    pub(crate) contract: Contract,
    pub(crate) model: Model,
    pub(crate) output: Output,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) delivery: Delivery,
    pub(crate) batch: Batch,
    pub(crate) commit: Commit,
    pub(crate) workers: Workers,
    pub(crate) memory: Memory,
    pub(crate) archive: Archive,
    pub(crate) labels: Labels,
    pub(crate) monitor: Monitor,
    pub(crate) server: Server,
    pub(crate) sql: Sql,
    pub(crate) telemetry: Telemetry,
    pub(crate) shutdown: Shutdown,
    pub(crate) alerts: Alerts,
    pub(crate) routes: Vec<RouteEntry>,
    pub(crate) rules: Vec<RuleEntry>,
    pub(crate) scheduler: Scheduler,
    pub(crate) jobs: Vec<JobEntry>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pipeline {
    pub(crate) name: String,
    pub(crate) instance: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kafka {
    pub(crate) brokers: String,
    pub(crate) session_timeout_ms: u64,
    pub(crate) max_poll_interval_ms: u64,
    pub(crate) transaction_timeout_ms: u64,
    #[serde(serialize_with = "secret::masked")]
    pub(crate) properties: BTreeMap<String, Secret>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    pub(crate) topic: String,
    pub(crate) start: Start,
    pub(crate) begin_anew: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Start {
    Earliest,
    Latest,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contract {
    pub(crate) file: PathBuf,
    #[serde(serialize_with = "secret::hidden")]
    pub(crate) hash_salt: Secret,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    pub(crate) repository: PathBuf,
    pub(crate) name: String,
    pub(crate) version: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Output {
    pub(crate) topic: String,
    pub(crate) members: OutputMembers,
    pub(crate) arm: String,
    pub(crate) carry_headers: bool,
    pub(crate) carry_timestamp: bool,
    pub(crate) partitioner: Partitioner,
    pub(crate) create_topics: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, expecting = "\"all\" or a list of field names")]
pub(crate) enum OutputMembers {
    All(All),
    Listed(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum All {
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Partitioner {
    Murmur2Random,
    Same,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeadLetters {
    pub(crate) topic: String,
    pub(crate) original: Original,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Original {
    Auto,
    Keep,
    Coordinates,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delivery {
    pub(crate) mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    ExactlyOnce,
    AtLeastOnce,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    pub(crate) max_rows: usize,
    pub(crate) max_bytes: usize,
    pub(crate) max_delay_ms: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Commit {
    pub(crate) interval_ms: u64,
    pub(crate) max_bytes: usize,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Workers {
    pub(crate) threads: usize,
    pub(crate) queue: usize,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Memory {
    pub(crate) fetch_kib: usize,
    pub(crate) produce_kib: usize,
    pub(crate) archive_kib: usize,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Archive {
    pub(crate) directory: PathBuf,
    pub(crate) roll_rows: u64,
    pub(crate) roll_bytes: u64,
    pub(crate) roll_seconds: u64,
    pub(crate) compression: batch::Compression,
    pub(crate) dead_letters: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Monitor {
    pub(crate) reference: PathBuf,
    pub(crate) columns: Vec<String>,
    pub(crate) segments: Vec<String>,
    pub(crate) pane_seconds: u32,
    pub(crate) window_seconds: u32,
    pub(crate) slide_seconds: u32,
    pub(crate) previous_seconds: u32,
    pub(crate) lateness_seconds: u32,
    pub(crate) idle_seconds: u32,
    pub(crate) threads: usize,
    pub(crate) min_rows: u64,
    pub(crate) alpha: f64,
    pub(crate) psi_threshold: f64,
    pub(crate) ks_threshold: f64,
    pub(crate) null_rise: f64,
    pub(crate) new_share: f64,
    pub(crate) out_of_range_share: f64,
    pub(crate) volume_low: f64,
    pub(crate) volume_high: f64,
    pub(crate) references: BTreeMap<String, PathBuf>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) listen: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Telemetry {
    pub(crate) log: String,
    pub(crate) format: LogFormat,
    pub(crate) otlp_endpoint: String,
    pub(crate) trace_ratio: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    Auto,
    Text,
    Json,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shutdown {
    pub(crate) grace_seconds: u64,
}

/// This machine's name, where it tells.
pub(crate) fn host() -> Option<String> {
    let told = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    told.or_else(|| std::env::var("HOSTNAME").ok()).map(|name| name.trim().to_owned())
}

impl Config {
    /// The name of this process within the pipeline: as configured, else the host's.
    pub(crate) fn instance(&self) -> String {
        if !self.pipeline.instance.is_empty() {
            return self.pipeline.instance.clone();
        }
        host().unwrap_or_else(|| "tidegate".into())
    }

    /// Scoring threads: as configured, else cores less one, at least one.
    pub(crate) fn worker_threads(&self) -> usize {
        match self.workers.threads {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get() - 1).max(1),
            threads => threads,
        }
    }

    /// Folder of the configured model package.
    pub(crate) fn package_dir(&self) -> PathBuf {
        self.model.repository.join(&self.model.name).join(&self.model.version)
    }
}

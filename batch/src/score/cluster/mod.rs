//! Batch scoring on Ballista: a scheduler, executors that have the models, and a job that asks them.
//!
//! A part's plan has no exchange, so a cluster has nothing to cut in it: all of it goes to one executor, as
//! one leaf (`exec`) of a query that Ballista plans, places, repeats when an executor is lost, and whose
//! rows it hands back. What travels is an `Order`: the part, and the model by name, version
//! and SHA-256. The executor makes the same `Plan` of it as a thread here would, over the
//! same file, and ends its rows with one that says how it ended (`end`).
//!
//! The job writes its files itself, by the code that writes a local one's: parts, manifest and resume are
//! the same, and executors write nothing but Ballista's own files. Nothing here knows passwords: Ballista's
//! ports have none.

mod client;
mod codec;
mod end;
mod exec;
mod executor;
mod models;
mod office;
mod order;
mod scheduler;
mod table;
#[cfg(test)]
mod tests;

pub use client::Cluster;
pub use executor::{ExecutorConfig, execute};
pub use models::{ModelId, OpenModel};
pub use scheduler::schedule;

pub(super) use office::{Answer, Next, Office};

/// Largest message between the processes: a batch of rows is cut to 2 MiB, a row may be larger.
const MESSAGE_BYTES: usize = 64 << 20;

/// How long an executor may be silent before its work is given to another; one that works polls every five
/// seconds at least.
const SILENT_SECONDS: u64 = 20;

//! Hop 1: input topic → workers → output topic, exactly once.
//!
//! The calling thread owns the consumer and cuts micro-batches (`source`); each worker has a
//! thread; one thread owns the producer (`exactly_once`, `at_least_once`). Tickets keep the
//! source's order over bounded channels. A run ends in one piece: whatever fails, everything is
//! torn down and the caller starts it as at boot.

mod assignment;
mod at_least_once;
mod config;
mod consumer;
mod cut;
mod dead_letter;
mod dispatch;
mod exactly_once;
mod hop;
mod intake;
mod ledger;
mod memory;
mod outbox;
mod placing;
mod rebalance;
mod settling;
mod shared;
mod source;
mod start;
mod ticket;
mod watchdog;
mod worker;

pub use config::{Commit, Cutting, Delivery, Partitioner, PipeConfig, Start, StuckHook};
pub(crate) use consumer::{
    Fetching, UNRESOLVED, fenced, fetched_bytes, join, member, refused, subscribed,
};
pub use hop::{HopError, run};
pub use memory::Memory;
pub(crate) use rebalance::{Closing, Rebalance, RebalanceContext};
pub(crate) use watchdog::{Guard, Late, Watch};
pub use worker::Worker;

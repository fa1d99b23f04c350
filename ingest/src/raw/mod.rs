//! The one module of the product with `unsafe`: librdkafka calls that the safe wrapper lacks.
//!
//! Batch reads from a forwarded queue, group metadata, produce without copying payloads and by partition, the
//! transactional calls, `DescribeTopics`, and the allocator's thresholds. Everything above it is
//! safe Rust; each block says why it is sound. Nothing here decides anything about delivery.
#![allow(unsafe_code)] // the wrapper has no batch calls; see each block's SAFETY

mod allocator;
mod headers;
mod metadata;
mod produce;
mod queue;
mod report;
mod topic;
mod transaction;
mod turns;
mod wake;

pub use allocator::tune_allocator;
pub(crate) use headers::Headers;
pub(crate) use metadata::GroupMetadata;
pub(crate) use produce::{NotTaken, Sender, Single, Value};
pub(crate) use queue::{Entry, ForwardQueue, cached_high_watermark};
pub(crate) use report::{Opaque, Reports};
pub(crate) use topic::describe_topic_id;
pub(crate) use transaction::{Call, abort, commit, flush_step, purge_queue, send_offsets};
pub(crate) use turns::REQUEST_BYTES;
pub(crate) use wake::Wake;

//! Kafka, both directions: the exactly-once pipe (hop 1), the reader by assignment (hop 2), whole-topic
//! scans, topic administration, a plain producer and a mock broker.
//!
//! It refuses to know what the bytes mean: what happens to a micro-batch is a closure handed in.
//! `raw` holds the only `unsafe` of the product.

mod admin;
mod client;
mod connection;
mod events;
pub mod members;
mod mock;
pub mod pipe;
mod produce;
mod properties;
mod raw;
pub mod reader;
pub mod scan;
mod stop;

pub use admin::{
    AdminError, CreateTopic, PartitionInfo, TopicInfo, TopicNow, committed, create_topic,
    topic_info, topic_now,
};
pub use connection::Connection;
pub use events::PipeEvents;
pub use members::Group;
pub use mock::Mock;
pub use pipe::{
    Commit, Cutting, Delivery, HopError, Memory, Partitioner, PipeConfig, Start, StuckHook, Worker,
};
pub use produce::{Outgoing, ProduceError, Producer};
pub use properties::{Problem, Timeouts, check_properties};
pub use raw::tune_allocator;
pub use reader::{Progress, ReadEvent, ReaderConfig};
pub use scan::{ScanConfig, ScanError};
pub use stop::Stop;

//! Data at rest: atomic publish, the archive of a topic, batch scoring, SQL and Parquet in and out.
//!
//! Everything durable goes through [`Archive`] or the private file-system seam in `files`, which also
//! knows object stores ([`location`]). This crate refuses to know Kafka and ONNX: it is handed micro-batches and a [`Table`] that turns
//! them into rows.

pub mod archive;
pub mod compact;
pub mod derived;
mod error;
mod files;
pub mod jobs;
pub mod parquet_io;
pub mod positions;
pub mod rows;
pub mod score;
pub mod source;
pub mod sql;

pub use archive::{
    Archive, ArchiveConfig, Compression, Lost, Outcome, Published, Table, TopicIdentity,
    topic_folder,
};
pub use error::{Remedy, StoreError};
pub use files::location;

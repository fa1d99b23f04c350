//! JSON values of a micro-batch straight to the columns of a contract.
//!
//! A bad record becomes a reject with its reason and leaves its neighbours alone. Two ways lead to
//! the columns: the general decoder ([`general`]), which defines what is right, and learned shapes
//! ([`shape`]), which skip looking at keys that lie where they lay in an earlier record. Values are
//! parsed by the same code on both ([`columns`]), and a property test holds them to the same answer.

mod columns;
mod cursor;
mod decoder;
mod general;
mod lookup;
mod number;
mod numbers;
mod plain;
mod problem;
mod shape;
#[cfg(test)]
mod tests;
mod time;

use arrow::array::RecordBatch;

use crate::{FieldType, Reject};

pub use cursor::MAX_DEPTH;
pub use decoder::Decoder;
pub use problem::MAX_REASON_BYTES;
pub(crate) use problem::bounded;
pub(crate) use time::rfc3339_micros;

/// Bytes of an event, unless [`Decoder::max_event_bytes`] says otherwise: eight times what Kafka
/// takes by default, and small enough that a handful of them cannot fill memory.
pub const MAX_EVENT_BYTES: usize = 8 << 20;

/// Top-level members that the output record adds to an event's own, so an event may not have them.
pub const RESERVED_MEMBERS: [&str; 5] = ["prediction", "model", "arm", "scored_at", "source"];

/// One column to decode and where its member lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Member names from the outside in: one for a top-level member, two for one in an object.
    pub path: Vec<String>,
    /// What the member may hold.
    pub kind: FieldType,
    /// Whether the member (or the object it lies in) may be missing or null.
    pub nullable: bool,
    /// Name of the column.
    pub name: String,
}

/// A micro-batch after decoding: each record is a row of `events` or a reject.
#[derive(Debug)]
pub struct Decoded {
    /// The accepted events in record order, one column per field.
    pub events: RecordBatch,
    /// Row of the micro-batch that each event came from, ascending.
    pub rows: Vec<u32>,
    /// Per accepted event, the index in its value of the closing brace of the object.
    pub object_ends: Vec<u32>,
    /// The other records, in record order.
    pub rejects: Vec<Reject>,
}

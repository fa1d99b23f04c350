//! Drift: how far what the model sees now is from the reference, and how sure that is; and alerts
//! that reach somebody when it is too far.
//!
//! Refuses to know Kafka and ONNX. [`stats`] and [`policy`] are the pure centre: counts in, numbers
//! out; numbers in, episodes out. [`state`] keeps them in one file, [`deliver`] brings them to
//! people; [`alerts`] is the one entry to all three.

pub mod alerts;
pub mod deliver;
pub mod policy;
pub mod state;
pub mod stats;

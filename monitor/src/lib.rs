//! Drift: how far what the model sees now is from the reference, and how sure that is.
//!
//! Refuses to know Kafka and ONNX. [`stats`] is the pure centre: counts and samples in, numbers out.

pub mod stats;

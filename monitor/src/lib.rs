//! Drift: how far what the model sees now is from the reference, and how sure that is.
//!
//! Refuses to know Kafka and ONNX. [`stats`] is the pure centre: counts and samples in, numbers out.
//! [`columns`] decides what is compared as what and gathers values, [`profile`] is what is kept of a
//! reference, [`report`] puts reference and current side by side and judges. All of it is pure: rows
//! come as Arrow arrays, files are the caller's.

pub mod columns;
pub mod count;
pub mod evaluate;
pub mod profile;
pub mod report;
pub mod stats;
pub mod window;

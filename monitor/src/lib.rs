//! Drift: how far what the model sees now is from the reference, and how sure that is; and alerts
//! that reach somebody when it is too far.
//!
//! Refuses to know Kafka and ONNX. [`stats`] is the pure centre: counts and samples in, numbers out.
//! [`columns`] decides what is compared as what and gathers values, [`profile`] is what is kept of a
//! reference, [`report`] puts reference and current side by side and judges: rows come as Arrow
//! arrays, files are the caller's. [`performance`] is how well the model answers, [`outcomes`] joins
//! labels for it. [`policy`] makes episodes of judged windows, purely; [`state`] keeps them in one
//! file, [`deliver`] brings them to people; [`alerts`] is the one entry to those three. [`service`]
//! judges what is no distribution: silence, rejects, lag, hops that are down. [`dashboard`] shows all
//! of it, and changes nothing.

pub mod alerts;
pub mod columns;
pub mod count;
pub mod dashboard;
pub mod deliver;
pub mod evaluate;
mod memory;
pub mod outcomes;
pub mod performance;
pub mod policy;
pub mod profile;
pub mod report;
pub mod service;
pub mod state;
pub mod stats;
pub mod window;

pub use memory::memory_bound_bytes;

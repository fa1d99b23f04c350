//! ONNX Runtime: package, checks, sessions; refuses to know Kafka and Parquet.
//!
//! A package folder holds a model and its descriptor ([`Package`]); [`check`] proves that they fit a
//! contract and each other; [`OnnxPredictor`] scores record batches, one per worker thread.

pub mod check;
mod descriptor;
mod element;
mod graph;
mod package;
mod plan;
mod runtime;
mod session;

pub use descriptor::{
    CategoryCoding, Coding, Descriptor, GoldenRule, Input, Literal, MAX_BATCH_ROWS, NullRule,
    Output, OutputKind, Problem, Problems, UnknownCategory,
};
pub use element::ElementType;
pub use graph::{Dim, Graph, GraphError, NEWEST_IR, NEWEST_OPSET, Port, PortType};
pub use package::{MAX_MODEL_BYTES, Package, PackageError, init};
pub use runtime::{LIBRARY_VARIABLE, ORT_VERSION, Runtime, RuntimeError};
pub use session::{OnnxPredictor, SessionError};

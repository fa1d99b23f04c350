//! The end-to-end tests: the built binary beside a real Apache Kafka. One test binary, so that it
//! is linked once and the tests share one broker.
//!
//! Without Java and Maven a test says so and passes, except under `CI=true`, where it fails.

mod alerts;
mod broker;
mod commands;
mod data;
mod exactly_once;
mod harness;
mod lifecycle;

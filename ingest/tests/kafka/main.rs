//! The crate against a real Apache Kafka: `TIDEGATE_TEST_KAFKA=host:port cargo test --release -p ingest`.
//!
//! Without the variable these tests are skipped, with a line that says so; under `CI=true` they fail.

mod harness;
mod kills;
mod members;
mod poison;
mod reading;
mod slow;
mod starting;
mod topics;

//! The end-to-end tests: the built binary beside a real Apache Kafka. One test binary, so that it
//! is linked once and the tests share one broker.
//!
//! Without Java and Maven a test says so and passes, except under `CI=true`, where it fails.

mod alerts;
mod archive_folder;
mod broker;
mod cluster;
mod commands;
mod compact;
mod cuts;
mod dashboard;
mod data;
mod drift;
mod exactly_once;
mod faults;
mod harness;
mod jobs;
mod labels;
mod lifecycle;
mod monitor;
mod packages;
mod records;
mod retention;
mod s3;
mod score;
mod segments;
mod sensitive;
mod serve;
mod sql;
mod telemetry;
mod torture;
mod watch;

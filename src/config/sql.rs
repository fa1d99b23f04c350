//! `[sql]`: the archive over the PostgreSQL protocol.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Config, Problem, Secret, secret};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sql {
    pub(crate) listen: String,
    pub(crate) metrics: String,
    pub(crate) tls_certificate: PathBuf,
    pub(crate) tls_key: PathBuf,
    pub(crate) max_connections: usize,
    pub(crate) max_queries: usize,
    pub(crate) queue_seconds: u64,
    pub(crate) query_seconds: u64,
    pub(crate) idle_seconds: u64,
    pub(crate) memory_mib: usize,
    pub(crate) spill_mib: u64,
    #[serde(serialize_with = "secret::all_hidden")]
    pub(crate) users: BTreeMap<String, Secret>,
}

/// A day: nobody waits longer, and a sum of two stays far from what a clock holds.
const MAX_SECONDS: u64 = 86_400;

/// Every rule about SQL clients that the configuration breaks.
pub(super) fn check(config: &Config) -> Vec<Problem> {
    let sql = &config.sql;
    let mut found = Vec::new();
    let mut unless = |holds: bool, key: &str, value: String, message: String| {
        if !holds {
            found.push(Problem { key: format!("sql.{key}"), value, message });
        }
    };
    for (key, value, low, high) in [
        ("max_connections", sql.max_connections as u64, 1, 10_000),
        ("max_queries", sql.max_queries as u64, 1, 1_000),
        ("queue_seconds", sql.queue_seconds, 1, MAX_SECONDS),
        ("query_seconds", sql.query_seconds, 1, MAX_SECONDS),
        ("idle_seconds", sql.idle_seconds, 1, 30 * MAX_SECONDS),
        ("memory_mib", sql.memory_mib as u64, 16, 1 << 20),
        ("spill_mib", sql.spill_mib, 0, 1 << 30),
    ] {
        let holds = (low..=high).contains(&value);
        unless(holds, key, value.to_string(), format!("must be {low} to {high}"));
    }
    let (certificate, tls_key) = (&sql.tls_certificate, &sql.tls_key);
    let alone = certificate.as_os_str().is_empty() != tls_key.as_os_str().is_empty();
    unless(
        !alone,
        "tls_certificate",
        certificate.display().to_string(),
        "sql.tls_certificate and sql.tls_key go together: name both, or neither".into(),
    );
    for (name, password) in &sql.users {
        let message = "the password is empty: write one, { env = \"NAME\" } or { file = \"PATH\" }";
        unless(
            !password.expose().is_empty(),
            &format!("users.{name}"),
            String::new(),
            message.into(),
        );
    }
    found
}

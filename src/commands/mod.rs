//! One module per command; each turns what was said into what was meant and calls the members.

pub(crate) mod alerts;
pub(crate) mod archive;
pub(crate) mod baseline;
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod cluster;
pub(crate) mod compact;
pub(crate) mod demo;
pub(crate) mod drift;
pub(crate) mod jobs;
pub(crate) mod model;
pub(crate) mod monitor;
pub(crate) mod produce;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod score;
pub(crate) mod sql;
pub(crate) mod verify;

use std::path::Path;

use anyhow::Context as _;
use schemas::Contract;

use crate::cli::ConfigArgs;
use crate::config::{self, Config};
use crate::{exit, panics};

/// The configuration that `args` mean, with the process environment laid over the file.
fn resolve(args: &ConfigArgs) -> anyhow::Result<Config> {
    Ok(config::load(Some(&args.config), std::env::vars(), &args.set)?)
}

/// The contract in `file`; from now on panics are as it wants them.
pub(crate) fn read_contract(file: &Path) -> anyhow::Result<Contract> {
    let text = std::fs::read_to_string(file).with_context(|| {
        format!("reading the contract {}; `tidegate schema infer` proposes one", file.display())
    })?;
    Contract::from_toml(&text).inspect(panics::withhold).map_err(|errors| {
        let message = format!("contract {}: {errors}", file.display());
        exit::usage(message)
    })
}

/// `name=value` pairs of `-X` as librdkafka properties.
fn properties(pairs: &[String]) -> anyhow::Result<std::collections::BTreeMap<String, String>> {
    Ok(named("-X", pairs)?.into_iter().collect())
}

/// `NAME=VALUE` of a flag that may be given several times.
fn named(flag: &str, pairs: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let split = |pair: &String| match pair.split_once('=') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.to_owned())),
        None => {
            let message = format!("{flag} {pair}: write NAME=VALUE");
            Err(exit::usage(message))
        }
    };
    pairs.iter().map(split).collect()
}

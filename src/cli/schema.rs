//! Arguments of `schema`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum SchemaCommand {
    /// Propose a contract from JSON lines, a .parquet file or a topic
    Infer(SchemaInferArgs),
    /// Print a contract as a table, as Arrow or as JSON Schema
    Show(SchemaShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SchemaInferArgs {
    /// JSON lines or .parquet; or --topic
    #[arg(required_unless_present = "topic", conflicts_with = "topic")]
    pub(crate) file: Option<PathBuf>,
    /// Topic to sample
    #[arg(long)]
    pub(crate) topic: Option<String>,
    /// Bootstrap servers
    #[arg(short, long, default_value = "localhost:9092", env = "TIDEGATE_BROKERS")]
    pub(crate) brokers: String,
    /// librdkafka property
    #[arg(short = 'X', long = "property", value_name = "NAME=VALUE")]
    pub(crate) property: Vec<String>,
    /// Records to look at
    #[arg(long, default_value_t = 10_000)]
    pub(crate) sample: usize,
    /// Name of the contract; the file's or topic's when left out
    #[arg(long)]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaShowArgs {
    /// Contract file
    #[arg(default_value = "contract.toml")]
    pub(crate) contract: PathBuf,
    /// What to print
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: SchemaFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SchemaFormat {
    /// One line a field
    Table,
    /// The Arrow schema
    Arrow,
    /// JSON Schema
    Json,
}

//! `tidegate schema infer|show`: propose a contract, print one.

use std::io::Write as _;

use ingest::{Connection, ScanConfig, Stop, scan};

use crate::cli::{SchemaCommand, SchemaFormat, SchemaInferArgs, SchemaShowArgs};
use crate::events;
use crate::exit::Exit;
use crate::pipeline::ASK;

pub(crate) fn run(command: &SchemaCommand) -> anyhow::Result<Exit> {
    match command {
        SchemaCommand::Infer(args) => infer(args),
        SchemaCommand::Show(args) => show(args),
    }
}

fn show(args: &SchemaShowArgs) -> anyhow::Result<Exit> {
    let contract = super::read_contract(&args.contract)?;
    let mut out = std::io::stdout().lock();
    match args.format {
        SchemaFormat::Json => {
            writeln!(out, "{}", serde_json::to_string_pretty(&contract.json_schema())?)?;
        }
        SchemaFormat::Arrow => writeln!(out, "{:#?}", contract.arrow_schema())?,
        SchemaFormat::Table => {
            writeln!(out, "contract {} (id {})", contract.name(), contract.id())?;
            let width = contract.fields().iter().map(|field| field.name.len()).max().unwrap_or(0);
            for field in contract.fields() {
                let nullable = if field.nullable { "nullable" } else { "required" };
                let role = field.role.map_or(String::new(), |role| format!("  {}", role.name()));
                let sensitive = field
                    .sensitive
                    .map_or(String::new(), |how| format!("  sensitive: {}", how.name()));
                let text = field.description.as_deref().unwrap_or_default();
                let kind = field.kind.to_string();
                let line = format!(
                    "  {:width$}  {kind:<16}  {nullable}{role}{sensitive}  {text}",
                    field.name
                );
                writeln!(out, "{}", line.trim_end())?;
            }
        }
    }
    Ok(Exit::Fine)
}

fn infer(args: &SchemaInferArgs) -> anyhow::Result<Exit> {
    let proposed = match (&args.file, &args.topic) {
        (Some(file), _) => {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            let name = args.name.as_deref().unwrap_or(&stem);
            if events::is_parquet(file) {
                let rows = batch::parquet_io::ParquetRows::open(file, 1)?;
                schemas::propose_from_schema(name, rows.schema())?
            } else {
                let sample = events::sample(file, args.sample)?;
                schemas::propose(name, sample.iter().map(Vec::as_slice))?
            }
        }
        (None, Some(topic)) => {
            let sample = sample_topic(args, topic)?;
            let name = args.name.as_deref().unwrap_or(topic);
            schemas::propose(name, sample.iter().map(Vec::as_slice))?
        }
        (None, None) => anyhow::bail!("name a file or a --topic"),
    };
    write!(std::io::stdout().lock(), "{proposed}")?;
    Ok(Exit::Fine)
}

/// The newest records of each partition, about `--sample` in all.
fn sample_topic(args: &SchemaInferArgs, topic: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let connection = Connection {
        brokers: args.brokers.clone(),
        properties: super::properties(&args.property)?,
        instance: "infer".into(),
    };
    let info = ingest::topic_info(&connection, topic, ASK)?;
    let share = (args.sample / info.partitions.len().max(1)).max(1) as i64;
    let mut config = ScanConfig::new(connection, topic);
    config.from =
        info.partitions.iter().map(|at| (at.partition, (at.high - share).max(at.low))).collect();
    let mut sample = Vec::new();
    scan::scan(&config, &Stop::new(), |batch| {
        sample.extend((0..batch.len()).filter_map(|row| batch.value(row)).map(<[u8]>::to_vec));
        Ok(())
    })?;
    anyhow::ensure!(!sample.is_empty(), "topic {topic:?} has no records to look at");
    Ok(sample)
}

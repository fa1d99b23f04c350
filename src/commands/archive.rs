//! `tidegate archive accept-gap`: a person says that records which retention removed before they
//! were archived are gone, and the archive goes on behind them.
//!
//! It refuses when nothing is missing. The gap stays visible: a file without rows covers it and
//! holds the reason.

use std::io::Write as _;
use std::time::SystemTime;

use anyhow::Context as _;
use batch::Archive;

use crate::cli::{AcceptGapArgs, ArchiveCommand, ArchivedTable};
use crate::exit::{self, Exit, WithExit};
use crate::hops::{ArchiveOf, identity};
use crate::pipeline::{ASK, Pipeline};

/// Reason of a gap for which none was given.
const NO_REASON: &str = "retention removed the records before they were archived";

pub(crate) fn run(command: &ArchiveCommand) -> anyhow::Result<Exit> {
    match command {
        ArchiveCommand::AcceptGap(args) => accept_gap(args),
    }
}

fn accept_gap(args: &AcceptGapArgs) -> anyhow::Result<Exit> {
    let pipeline = Pipeline::open(super::resolve(&args.config)?)?;
    let of = match args.table {
        ArchivedTable::Results => ArchiveOf::Results,
        ArchivedTable::DeadLetters => ArchiveOf::DeadLetters,
        ArchivedTable::Labels if pipeline.config.labels.topic.is_empty() => {
            let message = "--table labels: labels.topic is empty, no labels are archived";
            return Err(exit::usage(message));
        }
        ArchivedTable::Labels => ArchiveOf::Labels,
    };
    let info = ingest::topic_info(&pipeline.connection(), of.topic(&pipeline), ASK)?;
    let Some(log) = info.partitions.iter().find(|each| each.partition == args.partition) else {
        let (topic, count) = (&info.topic, info.partitions.len());
        let message = format!("--partition {}: {topic} has {count} partitions", args.partition);
        return Err(exit::usage(message));
    };
    let low = log.low;
    // A name of its own: opening sweeps what a killed process of the same name left, and the
    // pipeline's own process may be running.
    let mut config = pipeline.archive_config(of.name());
    config.instance.push_str("-accept-gap");
    let mut archive =
        Archive::open(config, identity(&info), of.table(&pipeline)?, SystemTime::now())?;
    let (table, partition) = (of.name(), args.partition);
    let end = archive.position(partition)?;
    let Some(end) = end.filter(|end| *end < low) else {
        let reached =
            end.map_or("not archived yet".to_owned(), |end| format!("archived up to {end}"));
        let message = format!(
            "nothing is missing: {table} partition {partition} is {reached} and its log begins at {low}"
        );
        return Err(WithExit { message, exit: Exit::Failed }.into());
    };
    let reason = args.reason.as_deref().unwrap_or(NO_REASON);
    let outcome = archive.accept_gap(partition, low, reason)?;
    let file = outcome.published.first().with_context(|| {
        format!("{table} partition {partition} is being archived by another process right now")
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "accepted: {table} partition {partition} goes on at {low}; up to {} records from {end} on \
         are missing for good ({})",
        low - end,
        file.path.display()
    )?;
    Ok(Exit::Fine)
}

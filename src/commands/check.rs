//! `tidegate check`: the resolved configuration, the guarantee and the memory bound that follow
//! from it, and what the broker has to say about them. Nothing secret is printed.

use std::io::Write as _;

use ingest::TopicInfo;
use monitor::evaluate::Watched;
use serde::Serialize;
use toml::Value;

use crate::cli::CheckArgs;
use crate::config::{Config, DEFAULT, Job, Mode, Problem, Problems, resolved_jobs};
use crate::exit::Exit;
use crate::hops::{ArchiveOf, reader_config};
use crate::labels;
use crate::monitoring;
use crate::pipeline::{ASK, Pipeline, RESULTS};

/// Partitions assumed where the broker was not asked.
const ASSUMED_PARTITIONS: usize = 12;

/// What the process needs whatever it reads: code, ONNX Runtime, librdkafka's threads.
const BASE_BYTES: u64 = 96 << 20;

/// What was found, for people and for scripts.
#[derive(Serialize)]
struct Report {
    configuration: Config,
    contract_id: String,
    model: String,
    guarantee: Vec<String>,
    memory_bound_bytes: u64,
    /// Hop 3's part of it.
    monitor_bound_bytes: u64,
    /// What will fail, or will not hold, on this broker.
    problems: Vec<String>,
    broker_asked: bool,
}

pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout().lock();
    if args.defaults {
        write!(out, "{DEFAULT}")?;
        return Ok(Exit::Fine);
    }
    let pipeline = Pipeline::open(super::resolve(&args.config)?)?;
    refuse_settings(&pipeline)?;
    let report = report(&pipeline, args.offline);
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        print(&report, &mut out)?;
    }
    Ok(if report.problems.is_empty() { Exit::Fine } else { Exit::Failed })
}

/// What `run` would refuse before it asks a broker; all of it at once.
fn refuse_settings(pipeline: &Pipeline) -> anyhow::Result<()> {
    let problems = pipeline.pipe().check();
    if problems.is_empty() {
        return Ok(());
    }
    let problems = problems.into_iter().map(|each| {
        // The pipe does not know the section that its properties come from.
        let key = match each.key.strip_prefix("properties.") {
            Some(name) => format!("kafka.properties.{name}"),
            None => each.key,
        };
        Problem { key, value: each.value, message: format!("{}; {}", each.problem, each.fix) }
    });
    Err(Problems(problems.collect()).into())
}

fn report(pipeline: &Pipeline, offline: bool) -> Report {
    let mut problems: Vec<String> = Vec::new();
    let watched = monitoring::watched(pipeline).unwrap_or_else(|error| {
        problems.push(format!("[monitor]: {error:#}"));
        Vec::new()
    });
    let monitor_bound_bytes = monitor_bound(pipeline, &watched);
    let directory = &pipeline.config.archive.directory;
    if !offline && let Err(error) = batch::source::prove(directory) {
        problems.push(format!("archive.directory: {:#}", anyhow::Error::from(error)));
    }
    let jobs = resolved_jobs(&pipeline.config);
    problems.extend(crate::jobs::problems(pipeline, &jobs));
    let output = if offline { None } else { ask_broker(pipeline, &mut problems) };
    let partitions = output.map_or(ASSUMED_PARTITIONS, |info| info.partitions.len());
    Report {
        configuration: pipeline.config.clone(),
        contract_id: pipeline.contract.id().to_owned(),
        model: format!("{}@{}", pipeline.package.name(), pipeline.package.version()),
        guarantee: guarantee(&pipeline.config, &jobs),
        memory_bound_bytes: memory_bound(pipeline, partitions) + monitor_bound_bytes,
        monitor_bound_bytes,
        problems,
        broker_asked: !offline,
    }
}

/// Asks for the three topics and holds their limits against each other; answers the output topic.
fn ask_broker(pipeline: &Pipeline, problems: &mut Vec<String>) -> Option<TopicInfo> {
    let Config { input, output, dead_letters, labels, .. } = &pipeline.config;
    let connection = pipeline.connection();
    let mut ask = |key: &str, topic: &str| match ingest::topic_info(&connection, topic, ASK) {
        Ok(info) => Some(info),
        Err(ingest::AdminError::NoTopic(_))
            if output.create_topics && ["output.topic", "dead_letters.topic"].contains(&key) =>
        {
            None
        }
        Err(error) => {
            problems.push(format!("{key} = {topic:?}: {error}"));
            None
        }
    };
    let source = ask("input.topic", &input.topic);
    let results = ask("output.topic", &output.topic);
    let dead = ask("dead_letters.topic", &dead_letters.topic);
    if !labels.topic.is_empty() {
        ask("labels.topic", &labels.topic);
    }
    let written = [("output.topic", &results), ("dead_letters.topic", &dead)];
    for (key, info) in written {
        if let Some(Err(problem)) = info.as_ref().map(TopicInfo::refuse_compaction) {
            problems.push(format!("{key}: {problem}"));
        }
    }
    if let (Some(source), Some(results)) = (&source, &results) {
        let (takes, gives) = (results.max_message_bytes, source.max_message_bytes);
        if takes < gives {
            problems.push(format!(
                "output.topic = {:?} takes records of {takes} bytes, the input {gives}: larger \
                 results become dead letters; raise max.message.bytes of the topic",
                output.topic
            ));
        }
    }
    if let (Some(source), Some(dead)) = (&source, &dead)
        && dead.max_message_bytes < source.max_message_bytes
    {
        problems.push(format!(
            "dead_letters.topic = {:?} takes records of {} bytes, the input {}: originals are cut; \
             raise max.message.bytes of the topic",
            dead_letters.topic, dead.max_message_bytes, source.max_message_bytes
        ));
    }
    results.or(source)
}

fn guarantee(config: &Config, jobs: &[Job]) -> Vec<String> {
    let topics = match config.delivery.mode {
        Mode::ExactlyOnce => {
            "exactly once: every input record is once in the output or dead-letter topic, \
             for readers with isolation.level=read_committed"
        }
        Mode::AtLeastOnce => {
            "at least once: no input record is lost; after a crash or rebalance some results appear twice"
        }
    };
    let archive = match config.delivery.mode {
        Mode::ExactlyOnce => {
            "every record of the output topic is once in Parquet, so every input record is"
        }
        Mode::AtLeastOnce => {
            "every record of the output topic is once in Parquet, repeated results included"
        }
    };
    let runs = "every run of a job gives one output folder, whole, with each row once";
    let runs = (!jobs.is_empty()).then(|| runs.to_owned());
    [topics.to_owned(), archive.to_owned()].into_iter().chain(runs).collect()
}

/// An upper bound of the memory of hop 3, the dashboard included; none where there is no reference.
fn monitor_bound(pipeline: &Pipeline, watched: &[Watched]) -> u64 {
    let config = &pipeline.config;
    // A file is closed behind the micro-batch that fills it.
    let file_rows = config.archive.roll_rows as usize + config.batch.max_rows;
    let join_bytes = if labels::has_labels(pipeline) { labels::JOIN_BYTES } else { 0 };
    monitor::memory_bound_bytes(watched, file_rows, join_bytes, monitoring::threads(config)) as u64
}

/// An upper bound of the resident memory of `run` with hops 1 and 2, whatever the lag.
fn memory_bound(pipeline: &Pipeline, partitions: usize) -> u64 {
    let columns = pipeline.results_table().map_or(0, |table| table.schema().fields().len());
    // Of labels and dead letters fewer columns are open than of results.
    let archives = ArchiveOf::of(pipeline).len() as u64;
    let archive = pipeline.archive_config(RESULTS).memory_bound_bytes(partitions, columns) as u64;
    let reader = reader_config(pipeline, ArchiveOf::Results).memory_bound_bytes();
    let model = (pipeline.package.describe().bytes as u64)
        * (1 + 3 * pipeline.config.worker_threads() as u64);
    BASE_BYTES + pipeline.pipe().memory_bound_bytes() + archives * (archive + reader) + model
}

/// The entries of a list, without their empty keys.
fn list(section: &str, entries: &[Value], out: &mut impl std::io::Write) -> anyhow::Result<()> {
    for entry in entries.iter().filter_map(Value::as_table) {
        writeln!(out, "[[{section}]]")?;
        for (key, value) in entry {
            let empty = value.as_str().is_some_and(str::is_empty)
                || value.as_array().is_some_and(Vec::is_empty)
                || value.as_table().is_some_and(toml::Table::is_empty);
            if !empty {
                writeln!(out, "{key} = {value}")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn print(report: &Report, out: &mut impl std::io::Write) -> anyhow::Result<()> {
    let table = toml::Table::try_from(&report.configuration)?;
    for (section, keys) in &table {
        if let Value::Array(entries) = keys {
            list(section, entries, out)?;
            continue;
        }
        writeln!(out, "[{section}]")?;
        let Value::Table(keys) = keys else { continue };
        for (key, value) in keys {
            match value {
                Value::Table(inner) => {
                    for (name, value) in inner {
                        writeln!(out, "{key}.{name:?} = {value}")?;
                    }
                }
                value => writeln!(out, "{key} = {value}")?,
            }
        }
        writeln!(out)?;
    }
    writeln!(out, "model      {}", report.model)?;
    writeln!(out, "contract   {}", report.contract_id)?;
    for line in &report.guarantee {
        writeln!(out, "guarantee  {line}")?;
    }
    let jobs = if resolved_jobs(&report.configuration).is_empty() {
        ""
    } else {
        "; a run of a job comes on top: a session and the row group being read for each of its threads"
    };
    let monitor = match report.monitor_bound_bytes >> 20 {
        0 => String::new(),
        mib => format!(" ({mib} MiB of them hop 3, and 1 kB more for each count file)"),
    };
    writeln!(
        out,
        "memory     at most {} MiB resident, whatever the lag{monitor}{jobs}",
        report.memory_bound_bytes >> 20
    )?;
    if report.problems.is_empty() {
        let asked = if report.broker_asked {
            "no problems"
        } else {
            "no problems (the broker was not asked)"
        };
        writeln!(out, "{asked}")?;
    }
    for problem in &report.problems {
        writeln!(out, "problem    {problem}")?;
    }
    Ok(())
}

//! `tidegate sql`: questions to the archive, answered by DataFusion.

mod serve;

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use batch::source::is_folder;
use batch::sql::{Format, STACK_BYTES, Session, SqlConfig, SqlTable, TwoSample};
use batch::topic_folder;

use crate::cli::{SqlArgs, SqlFormat};
use crate::config::Config;
use crate::exit::{self, Exit};
use crate::pipeline::{DEAD_LETTERS, Pipeline, RESULTS};
use crate::{models, prompt};

pub(crate) fn run(args: &SqlArgs) -> anyhow::Result<Exit> {
    let mut config = super::resolve(&args.config)?;
    if let Some(directory) = &args.directory {
        config.archive.directory.clone_from(directory);
    }
    let pipeline = Pipeline::open(config)?;
    if let Some(address) = &args.serve {
        return serve::run(args, pipeline, address);
    }
    let format = format(args)?;
    let text = match (&args.command, &args.file) {
        (Some(text), _) => Some(text.clone()),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path);
            Some(text.with_context(|| format!("reading the query {}", path.display()))?)
        }
        (None, None) if std::io::stdin().is_terminal() => None,
        (None, None) => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("reading the query")?;
            Some(text)
        }
    };
    let session = Session::open(&asked(&pipeline)?)?;
    let config = &pipeline.config;
    if !is_folder(&topic_folder(&config.archive.directory, RESULTS, &config.output.topic))? {
        let (directory, topic) = (config.archive.directory.display(), &config.output.topic);
        eprintln!("{directory} holds nothing of topic {topic:?} yet: the table results is empty");
    }
    let answer = || answer(&session, text.as_deref(), &format, args.output.as_deref());
    std::thread::scope(|threads| {
        let thread = std::thread::Builder::new().name("tg-sql".into()).stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(threads, answer).context("starting the thread of SQL")?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Answers `text`, or what is typed at a prompt.
fn answer(
    session: &Session,
    text: Option<&str>,
    format: &Format,
    output: Option<&Path>,
) -> anyhow::Result<Exit> {
    match (text, output, format) {
        (None, _, _) => return prompt::run(session, format),
        (Some(text), Some(path), Format::Table | Format::Csv | Format::Json) => {
            session.query_into(text, format, path)?;
        }
        (Some(text), _, _) => {
            session.query(text, format, &mut std::io::stdout().lock())?;
        }
    }
    Ok(Exit::Fine)
}

/// What can be asked of a pipeline.
pub(crate) fn asked(pipeline: &Pipeline) -> anyhow::Result<SqlConfig> {
    Ok(SqlConfig {
        tables: tables(pipeline)?,
        models: Some(models::finder(&pipeline.config, &pipeline.contract)),
        statistics: statistics(),
        memory_bytes: pipeline.config.sql.memory_mib << 20,
        spill_bytes: pipeline.config.sql.spill_mib << 20,
    })
}

fn statistics() -> Vec<TwoSample> {
    vec![
        TwoSample::new("psi", Arc::new(monitor::report::psi_of)),
        TwoSample::new("ks", Arc::new(monitor::report::ks_of)),
    ]
}

/// The tables of a pipeline under their SQL names.
fn tables(pipeline: &Pipeline) -> anyhow::Result<Vec<SqlTable>> {
    let config: &Config = &pipeline.config;
    let folder = |name: &str, topic: &str| topic_folder(&config.archive.directory, name, topic);
    let mut tables = vec![
        pipeline.results()?,
        SqlTable::folder(
            DEAD_LETTERS,
            folder(DEAD_LETTERS, &config.dead_letters.topic),
            Some(pipeline.dead_letter_table().schema()),
        ),
    ];
    tables.extend(crate::labels::sql_tables(pipeline)?);
    tables.extend(crate::monitoring::sql_tables(pipeline));
    Ok(tables)
}

fn format(args: &SqlArgs) -> anyhow::Result<Format> {
    Ok(match (args.format, args.output.as_deref().map(Path::to_path_buf)) {
        (SqlFormat::Table, _) => Format::Table,
        (SqlFormat::Csv, _) => Format::Csv,
        (SqlFormat::Json, _) => Format::Json,
        (SqlFormat::Parquet, Some(path)) => Format::Parquet(path),
        (SqlFormat::Parquet, None) => {
            let message = "--format parquet needs --output FILE";
            return Err(exit::usage(message));
        }
    })
}

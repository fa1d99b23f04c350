//! `tidegate sql`: questions to the archive, answered by DataFusion.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use batch::sql::{Format, MEMORY_BYTES, SqlTable, query};
use batch::topic_folder;

use crate::cli::{SqlArgs, SqlFormat};
use crate::config::Config;
use crate::exit::{Exit, WithExit};
use crate::pipeline::{DEAD_LETTERS, Pipeline, RESULTS};

pub(crate) fn run(args: &SqlArgs) -> anyhow::Result<Exit> {
    let mut config = super::resolve(&args.config)?;
    if let Some(directory) = &args.directory {
        config.archive.directory.clone_from(directory);
    }
    let text = match &args.command {
        Some(text) => text.clone(),
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("reading the query")?;
            text
        }
    };
    let tables = tables(&Pipeline::open(config)?)?;
    let format = format(args)?;
    match (&args.output, &format) {
        (Some(path), Format::Table | Format::Csv | Format::Json) => {
            let mut file = std::fs::File::create_new(path)
                .with_context(|| format!("{} cannot be created anew", path.display()))?;
            query(&tables, &text, &format, MEMORY_BYTES, &mut file)?;
        }
        _ => {
            query(&tables, &text, &format, MEMORY_BYTES, &mut std::io::stdout().lock())?;
        }
    }
    Ok(Exit::Fine)
}

/// The archive's tables under their SQL names.
pub(crate) fn tables(pipeline: &Pipeline) -> anyhow::Result<Vec<SqlTable>> {
    let config: &Config = &pipeline.config;
    let table = |name: &str, topic: &str, schema| SqlTable {
        name: name.into(),
        folder: topic_folder(&config.archive.directory, name, topic),
        schema: Some(schema),
    };
    let mut tables = vec![
        table(RESULTS, &config.output.topic, pipeline.results_table()?.schema()),
        table(DEAD_LETTERS, &config.dead_letters.topic, pipeline.dead_letter_table().schema()),
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
            let message = "--format parquet needs --output FILE".to_owned();
            return Err(WithExit { message, exit: Exit::Usage }.into());
        }
    })
}

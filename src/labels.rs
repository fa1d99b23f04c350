//! Labels: their table and what they are held against, from configuration, contract and model.

mod answer;
mod events;
mod judge;

use std::collections::BTreeMap;

use anyhow::Context as _;
use batch::sql::SqlTable;
use batch::topic_folder;
use monitor::evaluate::Reports;
use monitor::outcomes::{
    Answer, Outcome, Outcomes, PerformanceFiles, Settings, performance_schema,
};
use monitor::window::Lagging;
use schemas::{LabelMembers, LabelTable, column_of_field};
use serde_json::Value;

pub(crate) use judge::{baseline, judged};

use crate::exit;
use crate::monitoring;
use crate::pipeline::{LABELS, Pipeline};

/// Memory of the join of a window; what is more goes to the temporary folder.
pub(crate) const JOIN_BYTES: usize = 256 << 20;

/// Whether anything says what turned out to be true.
pub(crate) fn has_labels(pipeline: &Pipeline) -> bool {
    !pipeline.config.labels.topic.is_empty()
}

/// Finds a mistake in `[labels]` before the first record does.
pub(crate) fn check(pipeline: &Pipeline) -> anyhow::Result<()> {
    if table(pipeline)?.is_some() {
        answer(pipeline)?;
    }
    Ok(())
}

/// Rows of the labels table; `None` when no topic holds labels.
pub(crate) fn table(pipeline: &Pipeline) -> anyhow::Result<Option<LabelTable>> {
    if !has_labels(pipeline) {
        return Ok(None);
    }
    let salt = pipeline.config.contract.hash_salt.expose();
    let table = LabelTable::new(&pipeline.contract, members(pipeline)?, salt.as_bytes());
    table.map(Some).map_err(|error| exit::usage(error.to_string()))
}

/// Members of a label record: as configured, else as the event's fields with these roles are called.
fn members(pipeline: &Pipeline) -> anyhow::Result<LabelMembers> {
    let (labels, contract) = (&pipeline.config.labels, &pipeline.contract);
    let or_role = |name: &str, field: Option<&schemas::Field>| {
        if name.is_empty() { field.map(|field| field.name.clone()) } else { Some(name.to_owned()) }
    };
    let label = or_role(&labels.label, contract.label()).ok_or_else(|| {
        exit::usage(
            "labels.label is empty, and the contract has no field with role = \"label\" to take \
             its name from: set it to the member of a label record that holds the label",
        )
    })?;
    // Without a key in the contract the table refuses, and says so.
    let key = or_role(&labels.key, contract.key()).unwrap_or_default();
    let time = Some(labels.time.clone()).filter(|name| !name.is_empty());
    Ok(LabelMembers { key, label, time })
}

/// What the model answers, as configured.
fn answer(pipeline: &Pipeline) -> anyhow::Result<Answer> {
    let labels = &pipeline.config.labels;
    let outputs = &pipeline.package.descriptor().outputs;
    answer::answer(&labels.prediction, &labels.score, outputs)
}

/// What the monitor joins; `None` when no topic holds labels.
pub(crate) fn outcomes(pipeline: &Pipeline) -> anyhow::Result<Option<Outcomes>> {
    let Some(labels) = table(pipeline)? else { return Ok(None) };
    let config = &pipeline.config;
    let key = pipeline.contract.key().context("the contract has a key, or its table refuses")?;
    let labels_folder = topic_folder(&config.archive.directory, LABELS, &config.labels.topic);
    let settings = Settings {
        results: pipeline.results()?,
        labels: SqlTable::folder(LABELS, labels_folder.clone(), Some(labels.schema())),
        labels_folder,
        key_column: column_of_field(key),
        answer: answer(pipeline)?,
        ttl_seconds: config.labels.ttl_seconds,
        memory_bytes: JOIN_BYTES,
    };
    let clock = monitoring::clock(config)?;
    let (root, topic) = (&config.archive.directory, &config.output.topic);
    Ok(Some(Outcomes::open(root, topic, clock, &config.instance(), settings)?))
}

/// What was joined so far, for readers; `None` when no topic holds labels.
pub(crate) fn performance_files(pipeline: &Pipeline) -> anyhow::Result<Option<PerformanceFiles>> {
    let config = &pipeline.config;
    if !has_labels(pipeline) {
        return Ok(None);
    }
    let (root, topic) = (&config.archive.directory, &config.output.topic);
    let clock = monitoring::clock(config)?;
    Ok(Some(PerformanceFiles::open(root, topic, clock, &config.instance())?))
}

/// How each model did last; nothing where no topic holds labels, or where it cannot be read: that must keep
/// nobody from watching.
pub(crate) fn newest(pipeline: &Pipeline) -> BTreeMap<String, Value> {
    let read = || -> anyhow::Result<_> {
        let files = performance_files(pipeline)?;
        Ok(files.as_ref().map(monitor::outcomes::newest).transpose()?)
    };
    let newest = read().unwrap_or_else(|error| {
        let error = format!("{error:#}");
        tracing::warn!(error, "retraining requests go without performance");
        None
    });
    newest.unwrap_or_default()
}

/// Joins every window that is due. What was found is told before it is published: whoever is killed
/// in between is told again. `lagging` partitions have labels that are not archived yet. `tell` answers whether
/// to go on.
pub(crate) fn look(
    outcomes: &mut Outcomes,
    reports: &Reports,
    lagging: &Lagging,
    mut tell: impl FnMut(&Outcome) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let Some(judged) = reports.judged()? else { return Ok(()) };
    loop {
        let now = jiff::Timestamp::now().as_microsecond();
        let next = outcomes.next(judged.clone(), now, lagging).context("joining labels")?;
        let Some(outcome) = next else { return Ok(()) };
        let goes_on = tell(&outcome)?;
        outcomes.publish(&outcome)?;
        events::labels_too_late(&outcome);
        if !goes_on {
            return Ok(());
        }
    }
}

/// The tables of labels and performance under their SQL names.
pub(crate) fn sql_tables(pipeline: &Pipeline) -> anyhow::Result<Vec<SqlTable>> {
    let config = &pipeline.config;
    let (Some(labels), Some(performance)) = (table(pipeline)?, performance_files(pipeline)?) else {
        return Ok(vec![]);
    };
    answer(pipeline)?;
    let folder = topic_folder(&config.archive.directory, LABELS, &config.labels.topic);
    let performance = performance.folder().to_path_buf();
    Ok(vec![
        SqlTable::folder(LABELS, folder, Some(labels.schema())),
        SqlTable::folder("performance", performance, Some(performance_schema())),
    ])
}

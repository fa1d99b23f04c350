//! Hop 2: one topic to one Parquet table. The position is in the published files, nowhere else.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use batch::archive::carry_after;
use batch::location;
use batch::{Archive, ArchiveConfig, Outcome, Remedy, StoreError, Table};
use ingest::{AdminError, HopError, Progress, ReadEvent, ReaderConfig, Stop, TopicInfo};
use opentelemetry::metrics::{Counter, Gauge};
use opentelemetry::{KeyValue, global};

use super::topic::{Looking, identity, overtaken};
use super::{Waiting, admin_trouble, hop_trouble};
use crate::health::{Health, Part};
use crate::pipeline::{ASK, DEAD_LETTERS, LABELS, Pipeline, RESULTS};
use crate::supervise::{Trouble, keep_running};

/// Pause between looks for a topic that is about to be created.
const TOPIC_WAIT: Duration = Duration::from_millis(200);

/// `max.poll.interval.ms` where files are sent to an object store on the reader's thread: several of them
/// may be due at once, each tried again for a minute.
const STORE_POLL_INTERVAL: Duration = Duration::from_secs(600);

/// Which topic is archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArchiveOf {
    /// The output topic.
    Results,
    /// The dead-letter topic.
    DeadLetters,
    /// The labels topic, which others write.
    Labels,
}

impl ArchiveOf {
    /// What this pipeline archives.
    pub(crate) fn of(pipeline: &Pipeline) -> Vec<Self> {
        let mut all = vec![Self::Results];
        if pipeline.config.archive.dead_letters {
            all.push(Self::DeadLetters);
        }
        if !pipeline.config.labels.topic.is_empty() {
            all.push(Self::Labels);
        }
        all
    }

    /// The hop's name, which is its table's.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Results => RESULTS,
            Self::DeadLetters => DEAD_LETTERS,
            Self::Labels => LABELS,
        }
    }

    /// Its topic.
    pub(crate) fn topic(self, pipeline: &Pipeline) -> &str {
        match self {
            Self::Results => &pipeline.config.output.topic,
            Self::DeadLetters => &pipeline.config.dead_letters.topic,
            Self::Labels => &pipeline.config.labels.topic,
        }
    }

    /// Its rows.
    pub(crate) fn table(self, pipeline: &Pipeline) -> anyhow::Result<Table> {
        Ok(match self {
            Self::Results => pipeline.results_table()?.into(),
            Self::DeadLetters => pipeline.dead_letter_table().into(),
            Self::Labels => {
                crate::labels::table(pipeline)?.context("labels.topic is empty: set it")?.into()
            }
        })
    }
}

/// Archives one topic until `stop`.
pub(crate) fn archive(
    pipeline: &Pipeline,
    of: ArchiveOf,
    health: &Health,
    stop: &Stop,
) -> anyhow::Result<()> {
    let part = health.part(of.name());
    let instruments = Instruments::new(of);
    let mut has_run = false;
    keep_running(&health.hop(of.name()), stop, || {
        let described = describe(pipeline, of.topic(pipeline), has_run, stop);
        has_run |= described.is_ok();
        let ended = described.and_then(|info| match info {
            Some(info) => {
                archive_once(pipeline, of, info, (&part, &health.waiting), &instruments, stop)
            }
            None => Ok(()),
        });
        part.set(false);
        health.waiting.begin(of.name());
        ended
    })
}

fn archive_once(
    pipeline: &Pipeline,
    of: ArchiveOf,
    info: TopicInfo,
    (part, waiting): (&Part, &Waiting),
    instruments: &Instruments,
    stop: &Stop,
) -> Result<(), Trouble> {
    let topic = of.topic(pipeline);
    let retention = info.retention_ms.map(|ms| Duration::from_millis(ms.unsigned_abs()));
    let config =
        ArchiveConfig { carry_after: carry_after(retention), ..pipeline.archive_config(of.name()) };
    let lows: BTreeMap<i32, i64> =
        info.partitions.iter().map(|each| (each.partition, each.low)).collect();
    let table = of.table(pipeline).map_err(Trouble::Final)?;
    let archived = identity(&info);
    let opened = Archive::open(config, archived.clone(), table, SystemTime::now());
    let archive = RefCell::new(opened.map_err(|error| hop_trouble(store_error(&error)))?);
    let looking = RefCell::new(Looking::new(archived));
    let positions = |partition| {
        let position = archive.borrow_mut().position(partition).map_err(|e| store_error(&e))?;
        let low = lows.get(&partition).copied().unwrap_or(0);
        looking.borrow_mut().came(partition, position.unwrap_or(0));
        match position {
            Some(end) if end < low => Err(overtaken(of, topic, partition, end..low)),
            position => Ok(position),
        }
    };
    let sink = |event| {
        if matches!(&event, ReadEvent::Assigned(_) | ReadEvent::Tick(_)) {
            looking.borrow_mut().look(Instant::now(), |partitions, within| {
                ingest::topic_now(&pipeline.connection(), topic, partitions, within)
            })?;
        }
        let mut archive = archive.borrow_mut();
        let behind = match &event {
            ReadEvent::Tick(progress) => Some(behind(progress, &lows)),
            _ => None,
        };
        let outcome = handle(&mut archive, event, part, instruments)?;
        if let Some(behind) = behind {
            instruments.lag.record(behind.records, &instruments.table);
            waiting.tell(
                of.name(),
                behind.partitions.into_iter().chain(archive.unpublished()).collect(),
            );
        }
        instruments.published(&outcome);
        instruments.unpublished.record(archive.unpublished_rows(), &instruments.table);
        match outcome.lost.first() {
            None => Ok(()),
            Some(lost) => Err(HopError::Retry(format!(
                "another process archives {topic}/{} and is at {}: reading on from there",
                lost.partition, lost.position
            ))),
        }
    };
    ingest::reader::read(&reader_config(pipeline, of), positions, sink, stop)
        .map_err(hop_trouble)?;
    let outcome =
        archive.borrow_mut().finish().map_err(|error| hop_trouble(store_error(&error)))?;
    instruments.published(&outcome);
    Ok(())
}

/// The topic as the broker knows it; `None` when asked to stop before it was there.
fn describe(
    pipeline: &Pipeline,
    topic: &str,
    has_run: bool,
    stop: &Stop,
) -> Result<Option<TopicInfo>, Trouble> {
    let mut said = false;
    loop {
        match ingest::topic_info(&pipeline.connection(), topic, ASK) {
            Ok(info) => return Ok(Some(info)),
            // Hop 1 creates it, here or in another process; the one of the labels whoever writes it.
            Err(AdminError::NoTopic(_)) if pipeline.config.output.create_topics => {
                if !std::mem::replace(&mut said, true) {
                    tracing::info!(topic, "waiting for the topic to be created");
                }
            }
            Err(error) => return Err(admin_trouble(error, has_run)),
        }
        if stop.sleep(TOPIC_WAIT) {
            return Ok(None);
        }
    }
}

/// The reader's settings; its group is for the assignment only.
pub(crate) fn reader_config(pipeline: &Pipeline, of: ArchiveOf) -> ReaderConfig {
    let group = format!("{}-{}", pipeline.config.pipeline.name, of.name());
    let usual = ReaderConfig::new(pipeline.connection(), "", "").timeouts;
    let poll_interval = match location::is_object(&pipeline.config.archive.directory) {
        true => STORE_POLL_INTERVAL,
        false => usual.poll_interval,
    };
    ReaderConfig {
        fetch_kib: pipeline.config.memory.fetch_kib,
        timeouts: ingest::Timeouts {
            session: pipeline.timeouts().session,
            heartbeat: pipeline.timeouts().heartbeat,
            poll_interval,
            ..usual
        },
        on_stuck: crate::pipeline::exit_when_stuck(),
        ..ReaderConfig::new(pipeline.connection(), &group, of.topic(pipeline))
    }
}

/// Records that are not read yet.
#[derive(Debug, Default, PartialEq)]
struct Behind {
    records: u64,
    /// Partitions that have some, or of which it is not known yet.
    partitions: Vec<i32>,
}

/// `lows` are the oldest positions, where a partition begins of which nothing was read.
fn behind(progress: &[Progress], lows: &BTreeMap<i32, i64>) -> Behind {
    let mut behind = Behind::default();
    for Progress { partition, read, end } in progress {
        let low = lows.get(partition).copied().unwrap_or(0);
        let records = end.map(|end| (end - read.unwrap_or(low)).max(0).unsigned_abs());
        behind.records += records.unwrap_or(0);
        if records != Some(0) {
            behind.partitions.push(*partition);
        }
    }
    behind
}

fn handle(
    archive: &mut Archive,
    event: ReadEvent,
    part: &Part,
    instruments: &Instruments,
) -> Result<Outcome, HopError> {
    let now = Instant::now();
    let done = match event {
        ReadEvent::Assigned(partitions) => {
            part.set(true);
            let table = instruments.table[0].value.as_str();
            tracing::info!(%table, ?partitions, "archiving partitions");
            Ok(Outcome::default())
        }
        ReadEvent::Batch(batch) => archive.append(&batch, now),
        ReadEvent::Position { partition, position } => {
            archive.advance(partition, position, now).map(|()| Outcome::default())
        }
        ReadEvent::Revoked(partitions) => {
            let table = instruments.table[0].value.as_str();
            tracing::info!(%table, ?partitions, "handing partitions over");
            // Lost or not, they are another process's now.
            archive.revoke(&partitions).map(|outcome| Outcome { lost: vec![], ..outcome })
        }
        ReadEvent::Tick(_) => archive.tick(now),
    };
    done.map_err(|error| store_error(&error))
}

/// The store's error as the reader's, with what the system said.
fn store_error(error: &StoreError) -> HopError {
    let cause =
        std::error::Error::source(error).map_or(String::new(), |cause| format!(": {cause}"));
    match error.remedy() {
        Remedy::Retry => HopError::Retry(format!("{error}{cause}")),
        Remedy::Stop => HopError::Config(format!("{error}{cause}")),
    }
}

struct Instruments {
    table: [KeyValue; 1],
    rows: Counter<u64>,
    files: Counter<u64>,
    bytes: Counter<u64>,
    unpublished: Gauge<u64>,
    lag: Gauge<u64>,
}

impl Instruments {
    fn new(of: ArchiveOf) -> Self {
        let meter = global::meter("tidegate");
        let counter = |name: &'static str, unit: &'static str, what: &'static str| {
            meter.u64_counter(name).with_unit(unit).with_description(what).build()
        };
        let gauge = |name: &'static str, what: &'static str| {
            meter.u64_gauge(name).with_description(what).build()
        };
        Self {
            table: [KeyValue::new("table", of.name())],
            rows: counter("tidegate_archived", "{record}", "Records durable in Parquet"),
            files: counter("tidegate_archive_files", "{file}", "Parquet files published"),
            bytes: counter("tidegate_archive", "By", "Bytes of published Parquet files"),
            unpublished: gauge(
                "tidegate_archive_unpublished_rows",
                "Rows in files not yet published",
            ),
            lag: gauge("tidegate_archive_lag_records", "Records not yet read by the archive"),
        }
    }

    fn published(&self, outcome: &Outcome) {
        for file in &outcome.published {
            self.rows.add(file.footer.rows, &self.table);
            self.files.add(1, &self.table);
            self.bytes.add(file.bytes, &self.table);
            tracing::debug!(
                path = %file.path.display(),
                rows = file.footer.rows,
                bytes = file.bytes,
                "published"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_behind_until_its_end_is_known_and_read() {
        let of = |read, end| {
            let progress = [Progress { partition: 3, read, end }];
            behind(&progress, &BTreeMap::from([(3, 40)]))
        };
        let waits = |records| Behind { records, partitions: vec![3] };
        assert_eq!(of(Some(7), None), waits(0), "nothing was fetched yet");
        assert_eq!(of(Some(70), Some(100)), waits(30));
        assert_eq!(of(Some(100), Some(100)), Behind::default());
        assert_eq!(of(None, Some(100)), waits(60), "it begins at its oldest record");
        assert_eq!(of(None, Some(40)), Behind::default(), "empty");
    }
}

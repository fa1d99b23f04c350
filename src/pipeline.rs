//! A pipeline ready to run: contract, model package and the hops' settings, from a configuration.
//!
//! Here the members meet: decoder and encoder of `schemas`, sessions of `infer`, the pipe of
//! `ingest`. Nothing runs yet; the hops are in [`crate::hops`].

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use batch::ArchiveConfig;
use batch::sql::SqlTable;
use infer::{OnnxPredictor, Package, Runtime};
use ingest::{Commit, Connection, Cutting, Delivery, PipeConfig, StuckHook, Timeouts, Worker};
use schemas::{
    Contract, DeadLetterTable, Decoder, Encoder, Members, Originals, ResultsTable, dead_letter,
};

use crate::config::{Config, Mode, Original, OutputMembers, Partitioner, Start};
use crate::exit::{self, Exit};
use crate::score::Scorer;

/// Table of the scored events.
pub(crate) const RESULTS: &str = "results";

/// Table of the rejected events.
pub(crate) const DEAD_LETTERS: &str = "dead_letters";

/// Table of what turned out to be true.
pub(crate) const LABELS: &str = "labels";

/// How long the broker may take to answer one question.
pub(crate) const ASK: Duration = Duration::from_secs(10);

/// Shortest time between commits of a stream that is drained again and again: below it commits
/// would cost more than they save in latency.
const QUIET: Duration = Duration::from_millis(5);

/// Contract and package of a configuration, opened and consistent with each other.
pub(crate) struct Pipeline {
    pub(crate) config: Config,
    pub(crate) contract: Contract,
    pub(crate) package: Package,
}

impl Pipeline {
    /// Reads the contract and the model package; a mistake in either is a configuration error.
    pub(crate) fn open(config: Config) -> anyhow::Result<Self> {
        let contract = crate::commands::read_contract(&config.contract.file)?;
        let package = Package::open(&config.package_dir()).map_err(usage)?;
        let pipeline = Self { config, contract, package };
        // A clash of names or an unusable salt is found now, not at the first record.
        pipeline.encoder()?;
        pipeline.results_table()?;
        crate::labels::check(&pipeline)?;
        Ok(pipeline)
    }

    /// Where the cluster is, and as whom we speak.
    pub(crate) fn connection(&self) -> Connection {
        connection(&self.config)
    }

    /// Time-outs of the group and of transactions, the unset ones derived from the set ones.
    pub(crate) fn timeouts(&self) -> Timeouts {
        let kafka = &self.config.kafka;
        let session = Duration::from_millis(kafka.session_timeout_ms);
        let poll_interval = Duration::from_millis(kafka.max_poll_interval_ms);
        let transaction = Duration::from_millis(kafka.transaction_timeout_ms);
        Timeouts {
            session,
            heartbeat: session / 5,
            poll_interval,
            transaction,
            call: (transaction * 2 / 3).min(Duration::from_secs(8)),
            revoke: (poll_interval / 2).min(transaction / 2).min(Duration::from_secs(5)),
        }
    }

    /// Hop 1's settings.
    pub(crate) fn pipe(&self) -> PipeConfig {
        let Config { input, output, dead_letters, batch, commit, workers, memory, .. } =
            &self.config;
        PipeConfig {
            group: score_group(&self.config),
            delivery: match self.config.delivery.mode {
                Mode::ExactlyOnce => Delivery::ExactlyOnce,
                Mode::AtLeastOnce => Delivery::AtLeastOnce,
            },
            cutting: Cutting {
                max_rows: batch.max_rows,
                max_bytes: batch.max_bytes,
                gather: Cutting::default().gather,
                max_delay: Duration::from_millis(batch.max_delay_ms),
            },
            commit: Commit {
                interval: Duration::from_millis(commit.interval_ms),
                quiet: QUIET.min(Duration::from_millis(commit.interval_ms)),
                max_bytes: commit.max_bytes,
            },
            start: match input.start {
                Start::Earliest => ingest::Start::Earliest,
                Start::Latest => ingest::Start::Latest,
            },
            begin_anew: input.begin_anew,
            timeouts: self.timeouts(),
            partitioner: match output.partitioner {
                Partitioner::Murmur2Random => ingest::Partitioner::Murmur2Random,
                Partitioner::Same => ingest::Partitioner::Same,
            },
            carry_headers: output.carry_headers,
            carry_timestamp: output.carry_timestamp,
            originals: match dead_letters.original {
                Original::Keep => Originals::Keep,
                Original::Coordinates => Originals::CoordinatesOnly,
                Original::Auto => Originals::default_for(&self.contract),
            },
            withhold_reasons: self.contract.has_sensitive(),
            batches_in_flight: (self.config.worker_threads() * workers.queue).max(2),
            fetch_kib: memory.fetch_kib,
            produce_kib: memory.produce_kib,
            on_stuck: exit_when_stuck(),
            dead_letter_headers: vec![
                (dead_letter::MODEL_NAME.into(), self.package.name().into()),
                (dead_letter::MODEL_VERSION.into(), self.package.version().into()),
            ],
            ..PipeConfig::new(
                &self.config.pipeline.name,
                self.connection(),
                &input.topic,
                &output.topic,
                &dead_letters.topic,
            )
        }
    }

    /// One scoring closure per worker thread, each with its own warm model session.
    pub(crate) fn workers(&self) -> anyhow::Result<Vec<Worker>> {
        let runtime = Runtime::find()?;
        (0..self.config.worker_threads())
            .map(|_| {
                let mut model = OnnxPredictor::new(&runtime, &self.package, &self.contract)
                    .map_err(usage)
                    .with_context(|| format!("model {}", self.package.folder().display()))?;
                model
                    .warm_up(&self.package, &self.contract)
                    .context("the model's first call failed")?;
                let mut scorer = Scorer::new(
                    Decoder::new(&self.contract),
                    Box::new(model),
                    self.encoder()?,
                    (self.package.name(), self.package.version(), &self.config.output.arm),
                    !self.config.telemetry.otlp_endpoint.is_empty(),
                );
                Ok(Box::new(move |batch| scorer.score(batch)) as Worker)
            })
            .collect()
    }

    /// Rows of the results table.
    pub(crate) fn results_table(&self) -> anyhow::Result<ResultsTable> {
        let salt = self.config.contract.hash_salt.expose();
        ResultsTable::new(&self.contract, &self.package.output_schema(), salt.as_bytes())
            .map_err(usage)
    }

    /// The results table in SQL, what is compacted of it and what is not.
    pub(crate) fn results(&self) -> anyhow::Result<SqlTable> {
        let (root, topic) = (self.config.archive.directory.clone(), &self.config.output.topic);
        Ok(SqlTable::archive(RESULTS, root, topic, self.results_table()?.schema()))
    }

    /// Rows of the dead-letter table.
    pub(crate) fn dead_letter_table(&self) -> DeadLetterTable {
        DeadLetterTable::new(&self.contract)
    }

    /// Hop 2's settings for one table.
    pub(crate) fn archive_config(&self, table: &str) -> ArchiveConfig {
        let archive = &self.config.archive;
        let usual = ArchiveConfig::new(archive.directory.clone(), table, &self.config.instance());
        ArchiveConfig {
            roll_rows: archive.roll_rows,
            roll_bytes: archive.roll_bytes,
            compression: archive.compression,
            open_bytes: self.config.memory.archive_kib << 10,
            ..rolled_after(usual, Duration::from_secs(archive.roll_seconds))
        }
    }

    fn encoder(&self) -> anyhow::Result<Encoder> {
        let members = match &self.config.output.members {
            OutputMembers::All(_) => Members::All,
            OutputMembers::Listed(names) => Members::Listed(names.clone()),
        };
        let salt = self.config.contract.hash_salt.expose();
        Encoder::new(&self.contract, &self.package.output_schema(), members, salt.as_bytes())
            .map_err(usage)
    }
}

/// The settings with this `roll_age`; a file of another process is left behind only when it is far older.
fn rolled_after(usual: ArchiveConfig, roll_age: Duration) -> ArchiveConfig {
    ArchiveConfig { roll_age, stale_after: usual.stale_after.max(roll_age * 4), ..usual }
}

/// Ends the process when a call into Kafka's library or a batch of the model hangs: its thread cannot be torn down.
#[expect(clippy::disallowed_methods, reason = "no thread can be joined past a C call that hangs")]
pub(crate) fn exit_when_stuck() -> StuckHook {
    StuckHook(Arc::new(|call| {
        tracing::error!(call, "a call hangs; ending the process");
        std::process::exit(Exit::Stuck as i32);
    }))
}

/// Group of the scoring hop; offsets of the input are committed under it.
pub(crate) fn score_group(config: &Config) -> String {
    format!("{}-score", config.pipeline.name)
}

/// The connection that `config` names; secrets are in the clear from here on.
pub(crate) fn connection(config: &Config) -> Connection {
    Connection {
        brokers: config.kafka.brokers.clone(),
        properties: config
            .kafka
            .properties
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
            .collect(),
        instance: config.instance(),
    }
}

fn usage(error: impl std::error::Error) -> anyhow::Error {
    exit::usage(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use arrow::datatypes::Schema;
    use batch::{Archive, Table, TopicIdentity};

    use super::*;

    #[test]
    fn an_archive_opens_with_every_roll_age_that_the_rules_allow() {
        let root = tempfile::tempdir().expect("a folder");
        let day = Duration::from_secs(86_400);
        for (seconds, stale_after) in [(1, day), (21_600, day), (21_601, day), (86_400, day * 4)] {
            let usual = ArchiveConfig::new(root.path().to_path_buf(), RESULTS, "a");
            let config = rolled_after(usual, Duration::from_secs(seconds));
            assert!(config.stale_after >= stale_after, "{seconds}");
            let topic =
                TopicIdentity { cluster_id: "c".into(), topic: "t".into(), topic_id: "i".into() };
            let table = Table::new(Arc::new(Schema::empty()), "empty", |_| unreachable!());
            let opened = Archive::open(config, topic, table, SystemTime::now());
            assert!(opened.is_ok(), "{seconds}: {:?}", opened.err());
        }
    }
}

//! The demo's pipeline on topics of its own: same contract, model and configuration, short
//! time-outs, its own archive folder.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use ingest::{Connection, CreateTopic, Outgoing, Producer};
use tempfile::TempDir;

use super::{Broker, Child, folder, root, run, unique};

/// Events in the demo's data.
pub(crate) const FLIGHTS: u64 = 7_320;

/// A pipeline and its topics.
pub(crate) struct Pipeline {
    name: String,
    broker: String,
    archive: TempDir,
    sets: Vec<String>,
    partitions: i32,
}

impl Pipeline {
    /// A pipeline that no other test shares; `sets` are `section.key=value`, over the demo's.
    pub(crate) fn new(broker: &Broker, stem: &str, sets: &[&str]) -> Self {
        Self {
            name: unique(stem),
            broker: broker.address().to_owned(),
            archive: folder(),
            sets: sets.iter().map(|set| (*set).to_owned()).collect(),
            partitions: 4,
        }
    }

    /// The same with another number of partitions than four.
    pub(crate) fn with_partitions(self, partitions: i32) -> Self {
        Self { partitions, ..self }
    }

    /// The topic with the events.
    pub(crate) fn input(&self) -> String {
        format!("{}-in", self.name)
    }

    /// Starts writing `events` flights, going round the demo's, to the input topic; `rate` is
    /// in events per second.
    pub(crate) fn produce(&self, events: u64, rate: Option<u64>) -> Child {
        self.create_input(self.partitions);
        let flights = root().join("deploy/demo/flights.parquet");
        let (input, flights) = (self.input(), flights.to_string_lossy().into_owned());
        let (repeat, limit) = (events.div_ceil(FLIGHTS).to_string(), events.to_string());
        let rate = rate.map(|rate| rate.to_string());
        let mut arguments = vec!["produce", &input, &flights, "--brokers", &self.broker];
        arguments.extend(["--key", "id", "--repeat", &repeat, "--limit", &limit]);
        arguments.extend(rate.iter().flat_map(|rate| ["--rate", rate.as_str()]));
        Child::spawn(&arguments)
    }

    fn connection(&self) -> Connection {
        Connection {
            brokers: self.broker.clone(),
            properties: BTreeMap::from([("message.max.bytes".to_owned(), "2000000".to_owned())]),
            instance: "test".into(),
        }
    }

    /// Creates the input topic unless it is there, so that whatever starts next finds it.
    fn create_input(&self, partitions: i32) {
        let (connection, limit) = (self.connection(), Duration::from_secs(30));
        if ingest::topic_info(&connection, &self.input(), limit).is_err() {
            let new =
                CreateTopic { name: self.input(), partitions, replication: 1, settings: vec![] };
            ingest::create_topic(&connection, &new, limit).expect("the broker creates topics");
        }
    }

    /// Writes these values to the input topic, in order, on one partition.
    pub(crate) fn send(&self, values: &[Vec<u8>]) {
        let connection = self.connection();
        self.create_input(1);
        let limit = Duration::from_secs(30);
        let mut producer = Producer::new(&connection, &self.input(), limit).expect("a producer");
        let mut batch = Outgoing::new();
        for value in values {
            batch.push(Some(b"key"), value, Some(0));
        }
        producer.send(batch).expect("the broker takes them");
        producer.flush().expect("the broker acknowledges them");
    }

    /// The folder of its tables.
    pub(crate) fn archive(&self) -> &Path {
        self.archive.path()
    }

    /// Starts `tidegate run` as this instance.
    pub(crate) fn run(&self, instance: &str) -> Child {
        self.run_with(instance, &[])
    }

    /// Starts `tidegate run` as this instance with further settings.
    pub(crate) fn run_with(&self, instance: &str, sets: &[&str]) -> Child {
        let instance = format!("pipeline.instance={instance}");
        let mut flags = vec!["--set", instance.as_str()];
        flags.extend(sets.iter().flat_map(|set| ["--set", set]));
        let arguments = self.arguments(&["run"], &flags);
        Child::spawn(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Starts `tidegate run` as this instance; it ends itself, as by SIGKILL, at the `count`th
    /// passage of this place.
    pub(crate) fn run_until(&self, instance: &str, place: &str, count: u32) -> Child {
        let instance = format!("pipeline.instance={instance}");
        let arguments = self.arguments(&["run"], &["--set", instance.as_str()]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Child::spawn_with(&arguments, &[("TIDEGATE_FAILPOINT", &format!("{place}={count}"))])
    }

    /// Runs a command that takes a configuration to its end.
    pub(crate) fn command(&self, command: &[&str], flags: &[&str]) -> Output {
        let arguments = self.arguments(command, flags);
        run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The answer of a query with one value.
    pub(crate) fn sql(&self, query: &str) -> String {
        let output = self.command(&["sql"], &["--format", "csv", "-c", query]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{query}: {said}");
        let answer = String::from_utf8(output.stdout).expect("CSV is UTF-8");
        answer.lines().nth(1).unwrap_or_else(|| panic!("{query}: no row in {answer:?}")).to_owned()
    }

    fn arguments(&self, command: &[&str], flags: &[&str]) -> Vec<String> {
        let config = root().join("deploy/demo/tidegate.toml");
        let ours = [
            format!("pipeline.name={}", self.name),
            format!("kafka.brokers={}", self.broker),
            "kafka.session_timeout_ms=3000".into(),
            "kafka.max_poll_interval_ms=8000".into(),
            "kafka.transaction_timeout_ms=4000".into(),
            format!("input.topic={}", self.input()),
            format!("output.topic={}-out", self.name),
            format!("dead_letters.topic={}-dead", self.name),
            format!("archive.directory={}", self.archive.path().display()),
            "archive.roll_seconds=1".into(),
            "server.listen=".into(),
        ];
        let mut arguments: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        arguments.extend(["--config".into(), config.to_string_lossy().into_owned()]);
        for set in ours.iter().chain(&self.sets) {
            arguments.extend(["--set".into(), set.clone()]);
        }
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        arguments
    }
}

/// Fails with what a command printed, unless it ended with this exit code.
#[track_caller]
pub(crate) fn ended_with(output: &Output, code: i32) {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
}

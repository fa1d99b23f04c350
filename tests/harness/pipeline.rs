//! The demo's pipeline on topics of its own: same contract, model and configuration, short
//! time-outs, its own archive folder.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use ingest::{Connection, CreateTopic, Outgoing, Producer, ScanConfig, Stop, scan};
use schemas::MicroBatch;
use tempfile::TempDir;

use super::{
    Broker, Child, SmallDisk, add_partitions, delete_records, folder, root, run_with, unique,
};

/// Events in the demo's data.
pub(crate) const FLIGHTS: u64 = 7_320;

/// Events in bad_flights.jsonl.
const BAD_FLIGHTS: u64 = 6;

/// A few thousand events are written after so long, on a machine that does much else.
const WRITTEN: Duration = Duration::from_secs(120);

/// A pipeline and its topics.
pub(crate) struct Pipeline {
    name: String,
    broker: String,
    archive: TempDir,
    sets: Vec<String>,
    partitions: i32,
    environment: Vec<(String, String)>,
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
            environment: Vec::new(),
        }
    }

    /// The same with another number of partitions than four.
    pub(crate) fn with_partitions(self, partitions: i32) -> Self {
        Self { partitions, ..self }
    }

    /// The same with its archive on this disk.
    pub(crate) fn on(self, disk: &SmallDisk) -> Self {
        let archive = tempfile::tempdir_in(disk.path()).expect("it has space");
        Self { archive, ..self }
    }

    /// The same with another setting.
    pub(crate) fn with_set(mut self, set: String) -> Self {
        self.sets.push(set);
        self
    }

    /// The same with these environment variables in all of its processes.
    pub(crate) fn with_environment(mut self, environment: Vec<(String, String)>) -> Self {
        self.environment = environment;
        self
    }

    /// The topic with the events.
    pub(crate) fn input(&self) -> String {
        format!("{}-in", self.name)
    }

    /// Starts writing `events` flights, going round the demo's, to the input topic; `rate` is
    /// in events per second.
    pub(crate) fn produce(&self, events: u64, rate: Option<u64>) -> Child {
        self.produce_file("deploy/demo/flights.parquet", (events, FLIGHTS), rate, &["--key", "id"])
    }

    /// Writes `events` flights to the input topic, and returns when all of them are there.
    pub(crate) fn produced(&self, events: u64) {
        let mut producer = self.produce(events, None);
        assert!(producer.wait(WRITTEN).success(), "{}", producer.log());
    }

    /// Starts writing so many events that cannot be scored, each for another reason than the last.
    pub(crate) fn produce_bad(&self, events: u64, rate: Option<u64>) -> Child {
        self.produce_file("tests/harness/bad_flights.jsonl", (events, BAD_FLIGHTS), rate, &[])
    }

    /// Starts writing `events` of a file that has `lines` of them, round and round.
    fn produce_file(
        &self,
        file: &str,
        (events, lines): (u64, u64),
        rate: Option<u64>,
        flags: &[&str],
    ) -> Child {
        self.create_input(self.partitions);
        let (input, file) = (self.input(), root().join(file).to_string_lossy().into_owned());
        let (repeat, limit) = (events.div_ceil(lines).to_string(), events.to_string());
        let rate = rate.map(|rate| rate.to_string());
        let mut arguments = vec!["produce", &input, &file, "--brokers", &self.broker];
        arguments.extend(["--repeat", &repeat, "--limit", &limit]);
        arguments.extend(rate.iter().flat_map(|rate| ["--rate", rate.as_str()]));
        arguments.extend(flags);
        Child::spawn(&arguments)
    }

    pub(crate) fn connection(&self) -> Connection {
        Connection {
            brokers: self.broker.clone(),
            properties: BTreeMap::from([("message.max.bytes".to_owned(), "2000000".to_owned())]),
            instance: "test".into(),
        }
    }

    /// Creates the input topic unless it is there, so that whatever starts next finds it.
    fn create_input(&self, partitions: i32) {
        self.create(&self.input(), partitions);
    }

    /// Creates a topic unless it is there.
    pub(crate) fn create(&self, topic: &str, partitions: i32) {
        let (connection, limit) = (self.connection(), Duration::from_secs(30));
        if ingest::topic_info(&connection, topic, limit).is_err() {
            let name = topic.to_owned();
            let new = CreateTopic { name, partitions, replication: 1, settings: vec![] };
            ingest::create_topic(&connection, &new, limit).expect("the broker creates topics");
        }
    }

    /// Writes these values to the input topic, in order, on one partition.
    pub(crate) fn send(&self, values: &[Vec<u8>]) {
        let records: Vec<_> = values.iter().map(|value| (&b"key"[..], value.clone())).collect();
        self.send_with(1, 0, &records, &[]);
    }

    /// Writes these keys and values to one of so many partitions, each record with these headers.
    pub(crate) fn send_with(
        &self,
        partitions: i32,
        partition: i32,
        records: &[(&[u8], Vec<u8>)],
        headers: &[(&str, &str)],
    ) {
        let connection = self.connection();
        self.create_input(partitions);
        let limit = Duration::from_secs(30);
        let mut producer = Producer::new(&connection, &self.input(), limit).expect("a producer");
        let mut batch = Outgoing::new();
        records.iter().for_each(|(key, value)| batch.push(Some(key), value, Some(partition)));
        headers.iter().for_each(|(name, value)| batch.header(name, value.as_bytes()));
        producer.send(batch).expect("the broker takes them");
        producer.flush().expect("the broker acknowledges them");
    }

    /// Writes these values to one of so many partitions of another topic, which is created.
    pub(crate) fn send_to(&self, topic: &str, partitions: i32, partition: i32, values: &[Vec<u8>]) {
        let (connection, limit) = (self.connection(), Duration::from_secs(30));
        self.create(topic, partitions);
        let mut producer = Producer::new(&connection, topic, limit).expect("a producer");
        let mut batch = Outgoing::new();
        values.iter().for_each(|value| batch.push(None, value, Some(partition)));
        producer.send(batch).expect("the broker takes them");
        producer.flush().expect("the broker acknowledges them");
    }

    /// The topic with the results.
    pub(crate) fn output(&self) -> String {
        format!("{}-out", self.name)
    }

    /// The topic with the dead letters.
    pub(crate) fn dead(&self) -> String {
        format!("{}-dead", self.name)
    }

    /// Everything committed in one of its topics.
    pub(crate) fn read(&self, topic: &str) -> Vec<MicroBatch> {
        let mut read = Vec::new();
        let config = ScanConfig::new(self.connection(), topic);
        scan::scan(&config, &Stop::new(), |batch| {
            read.push(batch);
            Ok(())
        })
        .expect("the topic can be read");
        read
    }

    /// Deletes everything before the end of a topic's only partition, as retention would; returns
    /// that end.
    pub(crate) fn delete_all(&self, topic: &str) -> i64 {
        let info = ingest::topic_info(&self.connection(), topic, Duration::from_secs(30));
        let end = info.expect("the topic is there").partitions[0].high;
        delete_records(&self.broker, topic, end);
        end
    }

    /// How many positions a topic has, over all of its partitions.
    pub(crate) fn ends(&self, topic: &str) -> u64 {
        let info = ingest::topic_info(&self.connection(), topic, Duration::from_secs(30));
        let partitions = info.expect("the topic is there").partitions;
        partitions.iter().map(|partition| partition.high.unsigned_abs()).sum()
    }

    /// Grows the input and the output topic to so many partitions.
    pub(crate) fn add_partitions(&self, partitions: i32) {
        for topic in [self.input(), self.output()] {
            add_partitions(&self.broker, &topic, partitions);
        }
    }

    /// The pipeline's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
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
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        self.run_flags(instance, &sets)
    }

    /// Starts one hop of `tidegate run` as this instance.
    pub(crate) fn run_only(&self, instance: &str, hop: &str) -> Child {
        self.run_flags(instance, &["--only", hop])
    }

    /// The same with further flags.
    pub(crate) fn run_with_flags(&self, instance: &str, hop: &str, flags: &[&str]) -> Child {
        self.run_flags(instance, &[&["--only", hop], flags].concat())
    }

    fn run_flags(&self, instance: &str, more: &[&str]) -> Child {
        let instance = format!("pipeline.instance={instance}");
        let mut flags = vec!["--set", instance.as_str()];
        flags.extend(more);
        let arguments = self.arguments(&["run"], &flags);
        self.spawn(&arguments, &[])
    }

    fn spawn(&self, arguments: &[String], more: &[(&str, &str)]) -> Child {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let own = self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let environment: Vec<(&str, &str)> = own.chain(more.iter().copied()).collect();
        Child::spawn_with(&arguments, &environment)
    }

    /// Starts `tidegate run` as this instance; it ends itself, as by SIGKILL, at the `count`th
    /// passage of this place.
    pub(crate) fn run_until(&self, instance: &str, place: &str, count: u32) -> Child {
        self.run_until_with(instance, place, count, &[])
    }

    /// The same with further settings.
    pub(crate) fn run_until_with(
        &self,
        instance: &str,
        place: &str,
        count: u32,
        sets: &[&str],
    ) -> Child {
        self.run_at(instance, &format!("{place}={count}"), sets)
    }

    /// Starts `tidegate run` as this instance; one of its threads never returns from the `count`th passage
    /// of this place.
    pub(crate) fn run_hanging(&self, instance: &str, place: &str, count: u32) -> Child {
        self.run_at(instance, &format!("{place}=hang:{count}"), &[])
    }

    /// Starts `tidegate run` as this instance; the first thread that passes this place panics there.
    pub(crate) fn run_panicking(&self, instance: &str, place: &str) -> Child {
        self.run_at(instance, &format!("{place}=panic"), &[])
    }

    fn run_at(&self, instance: &str, failpoint: &str, sets: &[&str]) -> Child {
        let instance = format!("pipeline.instance={instance}");
        let mut flags = vec!["--set", instance.as_str()];
        flags.extend(sets.iter().flat_map(|set| ["--set", set]));
        let arguments = self.arguments(&["run"], &flags);
        self.spawn(&arguments, &[("TIDEGATE_FAILPOINT", failpoint)])
    }

    /// Starts a command that ends itself, as by SIGKILL, at the `count`th passage of this place.
    pub(crate) fn command_until(
        &self,
        command: &[&str],
        flags: &[&str],
        place: &str,
        count: u32,
    ) -> Child {
        let arguments = self.arguments(command, flags);
        self.spawn(&arguments, &[("TIDEGATE_FAILPOINT", &format!("{place}={count}"))])
    }

    /// Runs a command that takes a configuration to its end.
    pub(crate) fn command(&self, command: &[&str], flags: &[&str]) -> Output {
        let arguments = self.arguments(command, flags);
        run_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &self.environment)
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
            format!("output.topic={}", self.output()),
            format!("dead_letters.topic={}", self.dead()),
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

/// An event of the demo's contract; `rest` goes before its closing brace.
pub(crate) fn flight(id: &str, rest: &str) -> Vec<u8> {
    format!(
        r#"{{"id":"{id}","departed_at":"2013-06-01T12:00:00Z","carrier":"UA","flight":1,"tail":null,"origin":"EWR","dest":"IAH","weekday":6,"sched_dep":515,"dep_delay":2,"sched_arr":819,"distance":1400,"temp":39.0,"wind":12.7,"visib":10.0{rest}}}"#
    )
    .into_bytes()
}

/// Everything in the input topic has its result in the output topics, each once.
#[track_caller]
pub(crate) fn in_topics(pipeline: &Pipeline) {
    ended_with(&pipeline.command(&["verify"], &["--topics-only", "--wait", "60"]), 0);
}

/// Runs the pipeline over its records and stops it when `verify` is content.
pub(crate) fn scored(pipeline: &Pipeline) {
    let mut child = pipeline.run("a");
    ended_with(&pipeline.command(&["verify"], &["--wait", "60"]), 0);
    child.terminate();
    assert!(child.wait(Duration::from_secs(40)).success(), "{}", child.log());
}

/// Fails with what a command printed, unless it ended with this exit code.
#[track_caller]
pub(crate) fn ended_with(output: &Output, code: i32) {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
}

//! The demo's pipeline on topics of its own: same contract, model and configuration, short
//! time-outs, its own archive folder.

use std::process::Output;

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
}

impl Pipeline {
    /// A pipeline that no other test shares; `sets` are `section.key=value`, over the demo's.
    pub(crate) fn new(broker: &Broker, stem: &str, sets: &[&str]) -> Self {
        Self {
            name: unique(stem),
            broker: broker.address().to_owned(),
            archive: folder(),
            sets: sets.iter().map(|set| (*set).to_owned()).collect(),
        }
    }

    /// The topic with the events.
    pub(crate) fn input(&self) -> String {
        format!("{}-in", self.name)
    }

    /// Starts writing `events` flights, going round the demo's, to the input topic with four
    /// partitions; `rate` is in events per second.
    pub(crate) fn produce(&self, events: u64, rate: Option<u64>) -> Child {
        let flights = root().join("deploy/demo/flights.parquet");
        let (input, flights) = (self.input(), flights.to_string_lossy().into_owned());
        let (repeat, limit) = (events.div_ceil(FLIGHTS).to_string(), events.to_string());
        let rate = rate.map(|rate| rate.to_string());
        let mut arguments = vec!["produce", &input, &flights, "--brokers", &self.broker];
        arguments.extend(["--key", "id", "--create", "4", "--repeat", &repeat, "--limit", &limit]);
        arguments.extend(rate.iter().flat_map(|rate| ["--rate", rate.as_str()]));
        Child::spawn(&arguments)
    }

    /// Starts `tidegate run` as this instance.
    pub(crate) fn run(&self, instance: &str) -> Child {
        let arguments =
            self.arguments(&["run"], &["--set", &format!("pipeline.instance={instance}")]);
        Child::spawn(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
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

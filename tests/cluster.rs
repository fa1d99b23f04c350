//! `score --cluster` with a scheduler and executors as processes of their own: the rows of a local job, models
//! that only executors can load, kills, refusals.

mod script;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use batch::parquet_io::ParquetRows;
use serde_json::Value;

use crate::harness::{Child, FLIGHTS, binary, ended_with, folder, free_port, output, root};

/// Longest until processes answer, or have ended when they are asked to.
const SOON: Duration = Duration::from_secs(60);
/// Longest that a job may take whose executor was lost: it is missed for 20 s.
const JOB: Duration = Duration::from_secs(150);

fn demo(name: &str) -> PathBuf {
    root().join("deploy/demo").join(name)
}

fn ports<const N: usize>() -> [u16; N] {
    std::array::from_fn(|_| free_port())
}

/// A scheduler, and executors by the port that each listens at.
struct Cluster {
    scheduler: Child,
    executors: BTreeMap<u16, Child>,
    port: u16,
    work: tempfile::TempDir,
}

impl Cluster {
    fn start(models: &[&Path], threads: &str) -> Self {
        let [port, first, second] = ports();
        let work = folder();
        let scheduler = Child::spawn(&["scheduler", "--listen", &format!("127.0.0.1:{port}")]);
        let mut cluster = Self { scheduler, executors: BTreeMap::new(), port, work };
        for (models, listen) in models.iter().zip([first, second]) {
            cluster.join(models, listen, threads);
        }
        for executor in cluster.executors.values() {
            executor.wait_for("asking for parts", SOON);
        }
        cluster
    }

    fn join(&mut self, models: &Path, listen: u16, threads: &str) {
        let [scheduler, listening] = [self.port, listen].map(|port| format!("127.0.0.1:{port}"));
        let [models, work] = [models, self.work.path()].map(|path| path.to_string_lossy());
        let executor = Child::spawn(&[
            "executor",
            "--scheduler",
            &scheduler,
            "--listen",
            &listening,
            "--models",
            &models,
            "--threads",
            threads,
            "--work-dir",
            &work,
        ]);
        self.executors.insert(listen, executor);
    }

    fn url(&self) -> String {
        format!("df://127.0.0.1:{}", self.port)
    }

    /// Parts that each executor said it scored.
    fn scored(&self) -> Vec<usize> {
        let of = |executor: &Child| executor.whole_log().matches("scored a part").count();
        self.executors.values().map(of).collect()
    }

    /// What executors keep of rows.
    fn kept(&self) -> usize {
        let mut folders = vec![self.work.path().to_path_buf()];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            // Executors remove folders meanwhile.
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() { folders.push(entry.path()) } else { files += 1 }
            }
        }
        files
    }
}

fn command(input: &Path, output: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("score").args([input, output]).arg("--config").arg(demo("tidegate.toml"));
    command.args(more);
    command
}

/// A job on a cluster, by a process that could not score: it has no ONNX Runtime.
fn on(cluster: &str, input: &Path, to: &Path, more: &[&str]) -> Command {
    let mut command = command(input, to, &[&["--cluster", cluster], more].concat());
    command.env("TIDEGATE_ORT_LIB", root().join("no-such-library.so"));
    command
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("standard output is JSON")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every file of an output with all its rows, but for when they were scored.
fn rows(output: &Path) -> BTreeMap<String, RecordBatch> {
    let mut found = BTreeMap::new();
    for of in ["results", "rejects"] {
        for entry in fs::read_dir(output.join(of)).expect("it is there") {
            let path = entry.expect("readable").path();
            let rows = ParquetRows::open(&path, 4096).expect("Parquet");
            let batches: Vec<RecordBatch> = rows.map(|batch| batch.expect("whole")).collect();
            let Some(first) = batches.first() else { continue };
            let mut all = concat_batches(&first.schema(), &batches).expect("one schema");
            let times = all.schema().index_of("scored_at").expect("each row says when");
            all.remove_column(times);
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            found.insert(format!("{of}/{name}"), all);
        }
    }
    found
}

/// Input of three kinds with rows that are refused by the decoder or left out by a condition.
fn inputs(folder: &Path) -> [PathBuf; 3] {
    let [parquet, lines, csv] = ["parquet", "lines", "csv"].map(|name| folder.join(name));
    for copy in 0..8 {
        let day = parquet.join(format!("copy={copy}"));
        fs::create_dir_all(&day).expect("writable");
        fs::copy(demo("flights.parquet"), day.join("flights.parquet")).expect("copied");
    }
    let mut text = Vec::new();
    let given = batch::parquet_io::json_lines(&demo("flights.parquet"), &mut |line| {
        text.extend_from_slice(line);
        text.push(b'\n');
        std::ops::ControlFlow::Continue(())
    });
    assert_eq!(given.expect("there"), FLIGHTS);
    text.extend_from_slice(b"not json\n{\"id\":\"no-departure\"}\n");
    for folder in [&lines, &csv] {
        fs::create_dir_all(folder).expect("writable");
    }
    fs::write(lines.join("flights.jsonl"), text).expect("writable");
    let file = fs::File::create(csv.join("flights.csv")).expect("writable");
    let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(file);
    for batch in ParquetRows::open(&demo("flights.parquet"), 4096).expect("there") {
        writer.write(&batch.expect("whole")).expect("flat columns");
    }
    drop(writer);
    let mut csv_text = fs::read_to_string(csv.join("flights.csv")).expect("just written");
    let commas = csv_text.lines().next().expect("a header").matches(',').count();
    csv_text += &format!("no-departure{}\n", ",".repeat(commas));
    fs::write(csv.join("flights.csv"), csv_text).expect("writable");
    [parquet, lines, csv]
}

#[test]
fn a_cluster_gives_the_rows_of_a_local_job_and_scores_on_both_executors() {
    let folder = folder();
    let models = demo("models");
    let cluster = Cluster::start(&[&models, &models], "1");
    let mut rejected = 0;
    for (place, input) in inputs(folder.path()).iter().enumerate() {
        for (name, more) in [
            ("all", &["--include", "source"][..]),
            ("some", &["--where", "dep_delay > 0", "--columns", "id,dep_delay,carrier"]),
        ] {
            let [here, there] =
                ["here", "there"].map(|at| folder.path().join(format!("{at}-{name}-{place}")));
            ended_with(&output(&mut command(input, &here, more)), 0);
            let summary =
                output(&mut on(&cluster.url(), input, &there, &[more, &["--json"]].concat()));
            ended_with(&summary, 0);
            let summary = json(&summary);
            rejected += summary["rejected"].as_u64().expect("a number");
            let [ours, theirs] = [&here, &there].map(|at| rows(at));
            assert!(ours == theirs, "{name} of {}: rows differ", input.display());
            assert!(!ours.is_empty());
            let [ours, theirs] = [&here, &there]
                .map(|at| fs::read_to_string(at.join("manifest.json")).expect("there"));
            assert_eq!(ours, theirs, "one is gone on with by the other");
            // Whoever starts it again finds it done, here and there.
            let again = json(&output(&mut on(
                &cluster.url(),
                input,
                &there,
                &[more, &["--json"]].concat(),
            )));
            assert_eq!(again["parts"], again["parts_before"]);
        }
    }
    assert!(rejected > 0, "some rows were refused");
    let scored = cluster.scored();
    assert!(scored.iter().all(|parts| *parts > 0), "an executor had nothing to do: {scored:?}");
    let end = Instant::now() + SOON;
    while cluster.kept() > 0 {
        assert!(Instant::now() < end, "executors keep {} files of rows", cluster.kept());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_executor_that_is_killed_costs_time_and_no_row() {
    let folder = folder();
    let input = folder.path().join("in");
    fs::create_dir_all(&input).expect("writable");
    let files = 80;
    for copy in 0..files {
        let to = input.join(format!("{copy:03}.parquet"));
        fs::copy(demo("flights.parquet"), to).expect("copied");
    }
    let models = demo("models");
    let mut cluster = Cluster::start(&[&models, &models], "1");
    let [here, there] = ["here", "there"].map(|name| folder.path().join(name));
    let more = ["--include", "source", "--json"];
    // The job first: what it had asked for is nobody's then, and what it had published stays.
    let mut job = Child::of(&mut on(&cluster.url(), &input, &there, &more));
    let killed = *cluster.executors.keys().next().expect("two");
    cluster.executors[&killed].wait_for("scored a part", SOON);
    let published = || fs::read_dir(there.join("results")).map_or(0, Iterator::count);
    let end = Instant::now() + SOON;
    while published() == 0 {
        assert!(Instant::now() < end, "nothing was published: {}", job.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(job.running(), "there was work left when the job was killed");
    job.kill();
    let before = published();
    let mut job = Child::of(&mut on(&cluster.url(), &input, &there, &more));
    let end = Instant::now() + SOON;
    while published() == before {
        assert!(Instant::now() < end, "it does not go on: {}", job.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    cluster.executors.get_mut(&killed).expect("it is there").kill();
    assert!(job.running(), "there was work left when the executor was killed");
    assert!(job.wait(JOB).success(), "{}", job.log());
    let log = job.whole_log();
    let summary: Value = serde_json::from_str(&log[log.find('{').expect("JSON")..]).expect("JSON");
    assert_eq!(summary["parts_before"], before, "what was published is not scored again");
    assert_eq!(summary["rows"], FLIGHTS * files);
    ended_with(&output(&mut command(&input, &here, &more)), 0);
    assert!(rows(&here) == rows(&there), "rows differ");
    assert_eq!(published() as u64, files);
}

/// A folder of models in which the demo's has another descriptor.
fn other_models(folder: &Path) -> PathBuf {
    let to = folder.join("models/flight-delay/1");
    fs::create_dir_all(&to).expect("writable");
    for entry in fs::read_dir(demo("models/flight-delay/1")).expect("the demo's model") {
        let from = entry.expect("readable").path();
        fs::copy(&from, to.join(from.file_name().expect("a file"))).expect("copied");
    }
    let descriptor = to.join("model.toml");
    let text = fs::read_to_string(&descriptor).expect("a descriptor");
    let changed = text.replacen("max_batch_rows = ", "max_batch_rows = 1", 1);
    assert_ne!(text, changed);
    fs::write(descriptor, changed).expect("writable");
    folder.join("models")
}

#[test]
fn another_package_of_the_same_name_is_refused_and_so_is_none() {
    let folder = folder();
    let other = other_models(folder.path());
    let none = folder.path().join("none");
    fs::create_dir_all(&none).expect("writable");
    for (name, models, expected) in [
        ("other", &other, ["SHA-256", "flight-delay@1"]),
        ("none", &none, ["cannot be read", "flight-delay"]),
    ] {
        let cluster = Cluster::start(&[models], "1");
        let to = folder.path().join(name).join("out");
        let refused = output(&mut on(&cluster.url(), &demo("flights.parquet"), &to, &[]));
        ended_with(&refused, 1);
        let said = said(&refused);
        assert!(expected.iter().all(|word| said.contains(word)), "{said}");
        assert!(said.contains("executor 127.0.0.1:"), "it says which: {said}");
        let listed = fs::read_dir(to.join("results")).expect("there").count();
        assert_eq!(listed, 0, "no other numbers");
    }
}

#[test]
fn who_is_not_there_is_said_in_bounded_time() {
    let folder = folder();
    let to = folder.path().join("out");
    let [nobody] = ports();
    let flights = demo("flights.parquet");
    let began = Instant::now();
    let failed = output(&mut on(&format!("df://127.0.0.1:{nobody}"), &flights, &to, &[]));
    ended_with(&failed, 1);
    assert!(said(&failed).contains("tidegate scheduler"), "{}", said(&failed));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let cluster = Cluster::start(&[], "1");
    cluster.scheduler.wait_for("scheduling", SOON);
    let failed = output(&mut on(&cluster.url(), &flights, &to, &[]));
    ended_with(&failed, 1);
    assert!(said(&failed).contains("tidegate executor"), "{}", said(&failed));
    for (url, expected) in
        [("http://127.0.0.1:1", "df://HOST:PORT"), ("df://host", "df://HOST:PORT")]
    {
        let failed = output(&mut on(url, &flights, &to, &[]));
        ended_with(&failed, 2);
        assert!(said(&failed).contains(expected), "{}", said(&failed));
    }
    for arguments in [
        &["scheduler", "--listen", "0.0.0.0:0"][..],
        &["executor", "--listen", "0.0.0.0:0", "--models", "."],
    ] {
        let failed = output(Command::new(binary()).args(arguments));
        ended_with(&failed, 2);
        assert!(said(&failed).contains("--trust-network"), "{}", said(&failed));
    }
}

#[test]
fn what_is_hashed_goes_to_no_other_machine() {
    let folder = folder();
    let models = demo("models");
    let cluster = Cluster::start(&[&models], "1");
    let text = fs::read_to_string(demo("contract.toml")).expect("the demo's contract");
    let contract = folder.path().join("contract.toml");
    let hashed = text.replacen("role = \"key\"", "role = \"key\"\nsensitive = \"hash\"", 1);
    fs::write(&contract, hashed).expect("writable");
    let set = format!("contract.file={}", contract.display());
    let more = ["--set", &set, "--set", "contract.hash_salt=salt"];
    let flights = demo("flights.parquet");
    let at = |name: &str| folder.path().join(name);
    let refused = output(&mut on(&cluster.url(), &flights, &at("whole"), &more));
    ended_with(&refused, 2);
    assert!(said(&refused).contains("\"id\" is sensitive"), "{}", said(&refused));
    // Without the column it may: executors see the field only where it lies anyway.
    let without = [&more[..], &["--columns", "carrier"]].concat();
    ended_with(&output(&mut on(&cluster.url(), &flights, &at("without"), &without)), 0);
    assert_eq!(cluster.scored(), [1]);
}

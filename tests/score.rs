//! `tidegate score` as a user runs it: three formats, the stream's own numbers, kills, mistakes.

mod bits;
mod inputs;
mod memory;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::csv::WriterBuilder;
use arrow::datatypes::{Float32Type, Int64Type};
use batch::parquet_io::{ParquetRows, json_lines};
use serde_json::Value;

use crate::harness::{
    Broker, Child, FLIGHTS, Kills, Pipeline, SmallDisk, binary, ended_with, folder, kills, root,
    run, seed,
};

/// Longest that a start that is not killed may take.
const SOON: Duration = Duration::from_secs(120);

fn demo(name: &str) -> String {
    root().join("deploy/demo").join(name).to_string_lossy().into_owned()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn arguments(input: &str, output: &Path, more: &[&str]) -> Vec<String> {
    let config = demo("tidegate.toml");
    let mut all = vec!["score".to_owned(), input.to_owned(), text(output)];
    all.extend(["--config".to_owned(), config]);
    all.extend(more.iter().map(|word| (*word).to_owned()));
    all
}

fn score(input: &str, output: &Path, more: &[&str]) -> Output {
    let arguments = arguments(input, output, more);
    run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("standard output is JSON")
}

/// All rows below a folder.
fn rows(folder: &Path) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of results") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "parquet") {
                let rows = ParquetRows::open(&path, 8192).expect("Parquet");
                batches.extend(rows.map(|batch| batch.expect("whole")));
            }
        }
    }
    batches
}

/// Bits of the prediction by flight.
pub(crate) fn predictions(folder: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for batch in rows(folder) {
        let id = batch.column_by_name("id").expect("the key").as_string::<i32>().clone();
        let delay = batch.column_by_name("prediction_arr_delay").expect("the prediction");
        let delay = delay.as_primitive::<Float32Type>();
        for row in 0..batch.num_rows() {
            let before = found.insert(id.value(row).to_owned(), delay.value(row).to_bits());
            assert_eq!(before, None, "{} is there twice", id.value(row));
        }
    }
    found
}

/// The demo's flights as CSV.
fn csv(to: &Path) {
    let file = fs::File::create(to).expect("writable");
    let mut writer = WriterBuilder::new().with_header(true).build(file);
    for batch in ParquetRows::open(Path::new(&demo("flights.parquet")), 4096).expect("there") {
        writer.write(&batch.expect("whole")).expect("flat columns");
    }
}

fn lines(to: &Path) {
    let mut text = Vec::new();
    let given = json_lines(Path::new(&demo("flights.parquet")), &mut |line| {
        text.extend_from_slice(line);
        text.push(b'\n');
        ControlFlow::Continue(())
    });
    assert_eq!(given.expect("there"), FLIGHTS);
    fs::write(to, text).expect("writable");
}

#[test]
fn parquet_csv_and_json_lines_give_the_same_predictions() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    csv(&at("flights.csv"));
    lines(&at("flights.jsonl"));
    let mut found = Vec::new();
    for (name, input) in [
        ("parquet", demo("flights.parquet")),
        ("csv", text(&at("flights.csv"))),
        ("lines", text(&at("flights.jsonl"))),
    ] {
        let output = score(&input, &at(name), &["--json"]);
        ended_with(&output, 0);
        let summary = json(&output);
        assert_eq!(
            (&summary["scored"], &summary["rejected"]),
            (&FLIGHTS.into(), &0.into()),
            "{name}"
        );
        found.push(predictions(&at(name).join("results")));
    }
    assert_eq!(found[0].len() as u64, FLIGHTS);
    assert!(found[0] == found[1] && found[0] == found[2], "formats differ in a prediction");
}

#[test]
fn the_stream_and_the_job_give_the_same_bits() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "same-bits", &[]);
    pipeline.produced(FLIGHTS);
    crate::harness::scored(&pipeline);
    let archived = pipeline.archive().join("results");
    let streamed = predictions(&archived);
    assert_eq!(streamed.len() as u64, FLIGHTS);
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    ended_with(&score(&demo("flights.parquet"), &at("file"), &[]), 0);
    assert!(predictions(&at("file").join("results")) == streamed, "the file's rows differ");
    // The archive itself, scored again: its old predictions stay under another name.
    ended_with(&score(&text(&archived), &at("again"), &[]), 0);
    let again = rows(&at("again").join("results"));
    assert!(predictions(&at("again").join("results")) == streamed, "the archive's rows differ");
    for batch in &again {
        let [old, new] = ["previous_prediction_arr_delay", "prediction_arr_delay"]
            .map(|name| batch.column_by_name(name).expect("both are there"));
        assert_eq!(old, new);
        assert!(batch.column_by_name("source_partition").is_some(), "the folder's key is a column");
    }
}

/// A folder with copies of the demo's flights.
fn copies(folder: &Path, count: usize) -> PathBuf {
    let to = folder.join("in");
    fs::create_dir_all(&to).expect("writable");
    for copy in 0..count {
        fs::copy(demo("flights.parquet"), to.join(format!("{copy:03}.parquet"))).expect("copied");
    }
    to
}

/// Every row of every file is in the results exactly once.
fn each_row_once(output: &Path, files: usize) {
    let mut seen = BTreeSet::new();
    for batch in rows(&output.join("results")) {
        let file =
            batch.column_by_name("input_file").expect("asked for").as_string::<i32>().clone();
        let position = batch.column_by_name("input_position").expect("asked for");
        let position = position.as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let at = (file.value(row).to_owned(), position.value(row));
            assert!(
                seen.insert(at),
                "{} row {} is there twice",
                file.value(row),
                position.value(row)
            );
        }
        let model = batch.column_by_name("model_version").expect("it is there");
        assert_eq!(model.null_count(), 0);
    }
    assert_eq!(seen.len() as u64, files as u64 * FLIGHTS, "rows are missing");
    let left = fs::read_dir(output.join(".tidegate-tmp")).expect("it is there").count();
    assert_eq!(left, 0, "temporaries are left");
}

/// Kills at random of a job in a run of `make test`.
const KILLS: u64 = 8;

/// So many files of input that most lives end before the work does.
const FILES_PER_KILL: usize = 20;

#[test]
fn killed_at_random_it_goes_on_and_loses_and_doubles_nothing() {
    let (folder, kills) = (folder(), kills(KILLS));
    let files = FILES_PER_KILL * kills as usize;
    let input = text(&copies(folder.path(), files));
    let output = folder.path().join("out");
    let more = ["--include", "source", "--threads", "2"];
    let arguments = arguments(&input, &output, &more);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // At every step between a row and a published file, while there is much left to do,
    for step in ["created", "before_close", "before_sync", "before_publish", "published"] {
        let failpoint = format!("archive.{step}=2");
        let mut child = Child::spawn_with(&arguments, &[("TIDEGATE_FAILPOINT", &failpoint)]);
        assert!(!child.wait(SOON).success(), "it was killed at {step}");
    }
    // and at random.
    let lives = Duration::from_millis(50)..Duration::from_millis(500);
    let mut killed = 0;
    for life in Kills::new(seed(), lives).take(kills as usize) {
        let mut child = Child::spawn(&arguments);
        std::thread::sleep(life);
        if !child.running() {
            break;
        }
        child.kill();
        killed += 1;
    }
    let last = score(&input, &output, &[&more[..], &["--json"]].concat());
    ended_with(&last, 0);
    eprintln!("{killed} starts were killed at random, {} parts were left", {
        let summary = json(&last);
        summary["parts"].as_u64().unwrap_or(0) - summary["parts_before"].as_u64().unwrap_or(0)
    });
    each_row_once(&output, files);
}

#[test]
fn a_full_disk_costs_nothing_but_time() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    let (folder, files) = (folder(), 12);
    let input = text(&copies(folder.path(), files));
    let output = disk.path().join("out");
    // No room for a file, then for some of them.
    for room in [20_000, 400_000] {
        disk.fill_but(room);
        let refused = score(&input, &output, &["--include", "source"]);
        ended_with(&refused, 1);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("No space left on device"), "{said}");
        disk.empty();
    }
    ended_with(&score(&input, &output, &["--include", "source"]), 0);
    each_row_once(&output, files);
}

#[test]
fn a_finished_job_does_nothing_and_needs_no_model() {
    let folder = folder();
    let output = folder.path().join("out");
    let flights = demo("flights.parquet");
    ended_with(&score(&flights, &output, &["--where", "dep_delay > 0"]), 0);
    let file = output.join("results/000000.parquet");
    let before = fs::metadata(&file).expect("published").modified().expect("a time");
    let arguments = arguments(&flights, &output, &["--where", "dep_delay > 0", "--json"]);
    let mut command = Command::new(binary());
    command.args(&arguments).env("TIDEGATE_ORT_LIB", root().join("no-such-library.so"));
    let again = crate::harness::output(&mut command);
    ended_with(&again, 0);
    let summary = json(&again);
    assert_eq!(summary["parts"], summary["parts_before"]);
    assert_eq!(summary["rows"], FLIGHTS);
    let left_out = summary["left_out"].as_u64().expect("a number");
    assert!(left_out > 0 && left_out < FLIGHTS, "{summary}");
    assert_eq!(fs::metadata(&file).expect("there").modified().expect("a time"), before);
    // Another condition is another job.
    let other = score(&flights, &output, &[]);
    ended_with(&other, 2);
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(said.contains("dep_delay > 0") && said.contains("another folder"), "{said}");
}

#[test]
fn mistakes_are_named_before_the_first_row() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let whole = fs::read(demo("flights.parquet")).expect("the demo's flights");
    fs::write(at("cut.parquet"), &whole[..whole.len() / 2]).expect("writable");
    fs::write(at("other.csv"), "id,carrier\n1,UA\n").expect("writable");
    let flights = demo("flights.parquet");
    for (input, more, said) in [
        (text(&at("cut.parquet")), vec![], "cut.parquet"),
        (text(&at("other.csv")), vec![], "no column \"departed_at\""),
        (text(&at("nowhere.parquet")), vec![], "nowhere.parquet"),
        (flights.clone(), vec!["--model", "flight-delay@9"], "flight-delay/9"),
        (flights.clone(), vec!["--model", "../models"], "NAME@VERSION"),
        (flights.clone(), vec!["--model", "nothing"], "nothing"),
        (flights.clone(), vec!["--where", "no_such > 1"], "no_such > 1"),
        (flights.clone(), vec!["--columns", "id,no_such"], "no_such"),
    ] {
        let output = score(&input, &at("out"), &more);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{said}: {:?}", output.status);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(said) && !told.contains("panicked"), "{said}: {told}");
        assert!(!at("out").exists(), "{said}: something was written");
    }
    // The other model of the repository, by its name alone.
    let output = score(&flights, &at("late"), &["--model", "flight-late", "--json"]);
    ended_with(&output, 0);
    assert_eq!(json(&output)["model"], "flight-late@1");
}

#[test]
fn rows_that_are_no_events_are_put_aside() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    lines(&at("good.jsonl"));
    let good = fs::read_to_string(at("good.jsonl")).expect("just written");
    let mut lines = good.lines();
    let mut line = || lines.next().expect("there are many");
    let bad = [
        line().replace("\"weekday\":", "\"weekday\":\"x\",\"y\":"),
        line().replace("\"distance\":", "\"distances\":"),
        "{".to_owned(),
    ];
    let text = [&[line().to_owned()][..], &bad, &[line().to_owned()]].concat().join("\n");
    fs::write(at("in.jsonl"), &text).expect("writable");
    let output = score(&self::text(&at("in.jsonl")), &at("out"), &["--json"]);
    ended_with(&output, 0);
    let summary = json(&output);
    assert_eq!((&summary["scored"], &summary["rejected"]), (&2.into(), &3.into()), "{summary}");
    let rejects = rows(&at("out").join("rejects"));
    let column = |name: &str| rejects[0].column_by_name(name).expect("it is there").clone();
    let reasons = column("reason");
    for (row, word) in ["weekday", "distance", "JSON"].into_iter().enumerate() {
        let reason = reasons.as_string::<i32>().value(row);
        assert!(reason.contains(word), "{reason}");
    }
    assert_eq!(column("original").as_binary::<i32>().value(2), b"{");
}

#[test]
fn a_drift_report_lies_beside_the_results() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let (flights, reference) = (demo("flights.parquet"), text(&at("reference.parquet")));
    let fit = ["baseline", "fit", &flights, "-o", &reference, "--contract", &demo("contract.toml")];
    ended_with(&run(&fit), 0);
    for (name, condition, drift) in
        [("all", "distance > 0", false), ("late", "dep_delay > 60", true)]
    {
        let more = ["--where", condition, "--drift", "--reference", &reference, "--json"];
        let output = score(&flights, &at(name), &more);
        ended_with(&output, 0);
        assert_eq!(json(&output)["drift"], drift, "{name}");
        let read = |report: &str| fs::read_to_string(at(name).join(report)).expect("written");
        let report: Value = serde_json::from_str(&read("report.json")).expect("JSON");
        assert_eq!(
            (&report["drift"], &report["current"]["name"]),
            (&drift.into(), &(&*flights).into())
        );
        assert_eq!(report["current"]["rows"], json(&output)["scored"]);
        assert!(read("report.html").starts_with("<!doctype html>"));
        // Finished, it says what it said.
        assert_eq!(json(&score(&flights, &at(name), &more))["drift"], drift);
    }
    // The demo's model has no reference of its own.
    let output = score(&flights, &at("none"), &["--drift", "--model", "flight-late"]);
    ended_with(&output, 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("baseline fit"));
    assert!(!at("none").exists());
}

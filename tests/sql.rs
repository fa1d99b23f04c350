//! `tidegate sql` as a user runs it: every way in, the model and the statistics as functions, what a
//! query may leave unread.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use arrow::array::{Array, AsArray};
use arrow::datatypes::Float32Type;
use batch::parquet_io::ParquetRows;
use serde_json::Value;

use crate::harness::{binary, ended_with, folder, output, output_of, root, run};
use crate::monitor::archive;

/// The features of the demo's model, in the order of its package.
pub(crate) const FEATURES: &str =
    "weekday, sched_dep, sched_arr, dep_delay, distance, temp, wind, visib";

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn demo(name: &str) -> String {
    text(&root().join("deploy/demo").join(name))
}

/// `tidegate sql` on the archive in `folder`.
fn arguments(folder: &Path, more: &[&str]) -> Vec<String> {
    let state = format!("alerts.state={}", folder.join("alerts.db").display());
    let config = demo("tidegate.toml");
    let own = ["sql", "--config", &config, "--set", &state, "--directory", &text(folder)]
        .map(str::to_owned);
    own.into_iter().chain(more.iter().map(|word| (*word).to_owned())).collect()
}

fn sql(folder: &Path, more: &[&str]) -> Output {
    let arguments = arguments(folder, more);
    run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn ask(folder: &Path, query: &str) -> String {
    let output = sql(folder, &["-c", query, "--format", "csv"]);
    ended_with(&output, 0);
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().skip(1).collect::<Vec<_>>().join("\n")
}

fn refused(folder: &Path, query: &str) -> String {
    let output = sql(folder, &["-c", query]);
    ended_with(&output, 1);
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_reference_that_cannot_be_read_takes_only_its_tables_away() {
    let folder = folder();
    let data = folder.path().join("data");
    archive(&data, 0..2, 99);
    let asked = |query: &str| {
        sql(&data, &["--set", "monitor.reference=nowhere.parquet", "-c", query, "--format", "csv"])
    };
    let output = asked("SELECT count(*) > 0 FROM results");
    ended_with(&output, 0);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no tables counts and reports") && said.contains("nowhere"), "{said}");
    ended_with(&asked("SELECT count(*) FROM reports"), 1);
}

#[test]
fn predict_is_the_job_is_the_model() {
    let folder = folder();
    let data = folder.path().join("data");
    archive(&data, 0..3, 99);
    let scored = folder.path().join("scored");
    let config = demo("tidegate.toml");
    let results = text(&data.join("results"));
    ended_with(&run(&["score", &results, &text(&scored), "--config", &config]), 0);
    let mut expected = BTreeMap::new();
    for file in std::fs::read_dir(scored.join("results")).expect("scored") {
        let rows = ParquetRows::open(&file.expect("readable").path(), 4096).expect("Parquet");
        for batch in rows.map(|batch| batch.expect("whole")) {
            let id = batch.column_by_name("id").expect("the key").as_string::<i32>().clone();
            let delay = batch.column_by_name("prediction_arr_delay").expect("the prediction");
            let delay = delay.as_primitive::<Float32Type>();
            expected.extend(
                (0..id.len()).map(|row| (id.value(row).to_owned(), delay.value(row).to_bits())),
            );
        }
    }
    assert_eq!(expected.len(), 1800);
    for model in ["flight-delay", "flight-delay@1"] {
        let query = format!("SELECT id, predict('{model}', {FEATURES}) FROM results");
        let said = ask(&data, &query);
        let found: BTreeMap<String, u32> = said
            .lines()
            .map(|line| {
                let (id, delay) = line.split_once(',').expect("two columns");
                (id.to_owned(), delay.parse::<f32>().expect("a number").to_bits())
            })
            .collect();
        assert!(found == expected, "{model}: query and job differ");
    }
    // Two outputs are a struct, a row that the model refuses is null, and it works in a condition.
    let late = format!("predict('flight-late', {FEATURES})");
    let query = format!("SELECT count(*) FROM results WHERE {late}['late_probability'] > 0.5");
    let count: u64 = ask(&data, &query).parse().expect("a count");
    assert!((1..1800).contains(&count), "{count}");
    let null = "SELECT predict('flight-delay', 1, 2, 3, null, 5, 6, 7, 8) IS NULL";
    assert_eq!(ask(&data, null), "true");
    for (query, said) in [
        (
            format!("SELECT predict('flight-delay', {FEATURES}, id) FROM results"),
            "takes 8 features",
        ),
        (
            "SELECT predict('flight-delay', id, 2, 3, 4, 5, 6, 7, 8) FROM results".into(),
            "\"weekday\"",
        ),
        (format!("SELECT predict(id, {FEATURES}) FROM results"), "in quotes"),
        (format!("SELECT predict('nothing', {FEATURES}) FROM results"), "nothing"),
    ] {
        let told = refused(&data, &query);
        assert!(told.contains(said), "{query}: {told}");
    }
}

#[test]
fn psi_and_ks_are_those_of_a_report() {
    let folder = folder();
    let data = folder.path().join("data");
    archive(&data, 0..6, 4);
    let before = "event_time < '2013-06-01T04:00:00Z'";
    let results = text(&data.join("results"));
    let after = format!("NOT ({before})");
    let report = run(&[
        "drift",
        &results,
        &results,
        "--reference-where",
        before,
        "--where",
        &after,
        "--json",
    ]);
    ended_with(&report, 0);
    let report: Value = serde_json::from_slice(&report.stdout).expect("JSON");
    let columns = report["columns"].as_array().expect("columns");
    for name in ["dep_delay", "temp", "distance"] {
        let column = columns.iter().find(|column| column["name"] == name).expect("it is compared");
        let query = format!("SELECT psi({name}, {before}), ks({name}, {before}) FROM results");
        let said = ask(&data, &query);
        let (psi, ks) = said.split_once(',').expect("two numbers");
        let expected = (&column["psi"]["corrected"], &column["ks"]["exact"]["d"]);
        for (said, expected) in [(psi, expected.0), (ks, expected.1)] {
            let (said, expected) =
                (said.parse::<f64>().expect("a number"), expected.as_f64().expect("one"));
            assert!((said - expected).abs() < 1e-12, "{name}: {said} and {expected}");
        }
    }
    // A group of its own each; text is no number.
    let groups =
        format!("SELECT origin, ks(dep_delay, {before}) > 0.3 FROM results GROUP BY 1 ORDER BY 1");
    assert_eq!(ask(&data, &groups), "EWR,true\nJFK,true\nLGA,true");
    assert!(
        refused(&data, &format!("SELECT psi(origin, {before}) FROM results")).contains("no number")
    );
    let distinct = refused(&data, &format!("SELECT psi(DISTINCT temp, {before}) FROM results"));
    assert!(distinct.contains("DISTINCT"), "{distinct}");
}

#[test]
fn a_query_reads_the_folders_and_row_groups_that_it_must() {
    let folder = folder();
    let data = folder.path().join("data");
    archive(&data, 0..6, 99);
    let plan = ask(&data, "EXPLAIN SELECT id FROM results WHERE source_partition = 1");
    assert!(plan.contains("source_partition=1") && !plan.contains("source_partition=0"), "{plan}");
    // Statistics of the files: five of six hold no such hour.
    let query = "SELECT count(*) FROM results WHERE event_time >= '2013-06-01T05:00:00Z'";
    assert_eq!(ask(&data, query), "600");
    let analysed = ask(&data, &format!("EXPLAIN ANALYZE {query}"));
    let pruned = ["files_ranges_pruned_statistics", "row_groups_pruned_statistics"];
    let pruned: usize = pruned
        .iter()
        .flat_map(|metric| analysed.split(metric).skip(1))
        .filter_map(|rest| {
            // `name=6 total → 1 matched`: what is not matched was pruned.
            let counts = rest.trim_start_matches('=').split([',', ']']).next()?;
            let mut numbers =
                counts.split(|c: char| !c.is_ascii_digit()).filter(|it| !it.is_empty());
            let (total, matched) =
                (numbers.next()?.parse::<usize>().ok()?, numbers.next()?.parse::<usize>().ok()?);
            Some(total - matched)
        })
        .sum();
    assert!(pruned >= 5, "{pruned} files or row groups were pruned: {analysed}");
}

#[test]
fn every_way_in() {
    let folder = folder();
    let data = folder.path().join("data");
    archive(&data, 0..1, 99);
    let file = folder.path().join("query.sql");
    std::fs::write(&file, "SELECT count(*) AS n FROM results;\nSELECT count(*) AS n FROM alerts;")
        .expect("writable");
    let output = sql(&data, &["-f", &text(&file), "--format", "json"]);
    ended_with(&output, 0);
    assert_eq!(output.stdout, b"{\"n\":600}\n{\"n\":0}\n");
    let mut command = Command::new(binary());
    command.args(arguments(&data, &["--format", "csv"]));
    let output = output_of(&mut command, b"SELECT 1 AS one");
    assert_eq!(output.stdout, b"one\n1\n");
}

#[test]
fn what_is_too_large_is_refused_and_a_file_is_whole_or_not_there() {
    let folder = folder();
    let data = folder.path().join("data");
    archive(&data, 0..1, 99);
    // As deep as a query may be, on the stack that it needs; deeper ones are told so.
    let sum = |operators: usize| format!("SELECT {}1 AS n", "1+".repeat(operators));
    assert_eq!(ask(&data, &sum(3_990)), "3991");
    let said = refused(&data, &sum(60_000));
    assert!(said.contains("60000 operators") && said.contains("4000 are taken"), "{said}");
    let nested = format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    assert!(refused(&data, &nested).contains("50 levels"));
    let mut names = vec!["n0 AS (SELECT 1 AS v)".to_owned()];
    names.extend((0..40).map(|n| format!("n{} AS (SELECT n{n}.v FROM n{n}, n{n} x)", n + 1)));
    let doubled = format!("WITH {} SELECT count(*) FROM n40", names.join(", "));
    let said = refused(&data, &doubled);
    assert!(said.contains("1099511627776 tables") && said.contains("1000 are taken"), "{said}");
    let path = folder.path().join("answer");
    for format in ["csv", "json", "table", "parquet"] {
        let into =
            |query: &str| sql(&data, &["-c", query, "--format", format, "--output", &text(&path)]);
        for query in [
            "SELEC 1",
            "SELECT * FROM nothing",
            "SELECT 1 / (value - 5) FROM generate_series(1, 9)",
        ] {
            ended_with(&into(query), 1);
            assert!(!path.exists(), "{format}: {query}");
        }
        ended_with(&into("SELECT 1 AS one"), 0);
        std::fs::remove_file(&path).expect("it was made");
    }
    let left = std::fs::read_dir(folder.path()).expect("readable");
    let left: Vec<_> = left.map(|entry| entry.expect("readable").file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("answer")), "{left:?}");
    // The configuration's memory holds here, too.
    let all = "SELECT array_length(array_agg(value)) FROM generate_series(1, 30000000)";
    let output = sql(&data, &["-c", all, "--set", "sql.memory_mib=64"]);
    ended_with(&output, 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("raise sql.memory_mib"));
}

/// Types into a terminal of its own, a line at a prompt, and reads what it says until it ends;
/// `arguments` are the command's.
const TERMINAL: &str = r#"
import os, pty, select, sys, time
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
said = b""
end = time.monotonic() + 60
def read():
    if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
        sys.exit(f"nothing more after {said!r}")
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
# What is typed before a prompt stands may be lost with the terminal's former mode.
for line, answer, prompt in [("", b"", b"sql> "), ("SELECT 40 +", b"", b"-> "), ("2 AS answer;", b"42", b"sql> "),
                             ("selec;", b"rror", b"sql> "), ("\\d", b"dead_letters", b"sql> "),
                             ("SELECT 'x' || 'y';", b"xy", b"sql> ")]:
    if line:
        said = b""
        os.write(terminal, line.encode() + b"\r")
    while answer not in said or prompt not in said[said.find(answer):]:
        said += read()
os.write(terminal, b"\x04")
while more := read():
    said += more
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

#[test]
fn a_terminal_has_a_prompt_that_remembers() {
    let folder = folder();
    let data = folder.path().join("data");
    archive(&data, 0..1, 99);
    let mut command = Command::new("python3");
    command.args(["-c", TERMINAL]).arg(binary()).args(arguments(&data, &[]));
    command.env("XDG_STATE_HOME", folder.path().join("state")).env("TERM", "xterm");
    let output = output(&mut command);
    ended_with(&output, 0);
    let history = std::fs::read_to_string(folder.path().join("state/tidegate/sql_history"));
    let history = history.expect("it is kept");
    assert!(history.contains("answer") && history.contains("'x' || 'y'"), "{history}");
}

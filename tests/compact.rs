//! `tidegate compact` as a user runs it: killed, beside writers and readers, on a full disk, and what
//! `sql`, `verify`, the monitor and other programs see when old files are gone.

mod live;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{
    Broker, Child, FLIGHTS, Kills, Pipeline, SmallDisk, delete_records, ended_with, folder, output,
    root, run, scored, seed,
};
use crate::monitor::{Monitored, archive};

/// Longest that a start that is not killed may take.
const SOON: Duration = Duration::from_secs(60);
/// Rows that `archive` puts into the file of an hour.
const ROWS: i64 = 600;
/// A file of the compacted table of so many bytes makes a round of a few of those files.
const SMALL: &str = "30000";
/// Exit code of `verify`: positions that could not be checked.
const UNCHECKED: i32 = 4;

/// What holds of every row, and would not if one were missing, twice or another.
const EVERYTHING: &str = r#"SELECT count(*), count(DISTINCT "partition" * 10000000 + "offset"),
    sum("offset"), sum(dep_delay), count(temp), sum(source_partition) FROM results"#;

fn arguments(command: &[&str], data: &Path, more: &[&str]) -> Vec<String> {
    let config = root().join("deploy/demo/tidegate.toml").display().to_string();
    let directory = format!("archive.directory={}", data.display());
    let own = ["--config", &config, "--set", &directory];
    [command, &own, more].concat().iter().map(|word| (*word).to_owned()).collect()
}

fn tidegate(command: &[&str], data: &Path, more: &[&str]) -> Output {
    let arguments = arguments(command, data, more);
    run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn compact(data: &Path, more: &[&str]) -> Value {
    let output = tidegate(&["compact", "--json"], data, more);
    ended_with(&output, 0);
    serde_json::from_slice(&output.stdout).expect("--json prints JSON")
}

fn sql(data: &Path, query: &str) -> String {
    let output = tidegate(&["sql", "--format", "csv", "-c", query], data, &[]);
    ended_with(&output, 0);
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().skip(1).collect::<Vec<_>>().join("\n")
}

/// The newest record, where there is one.
fn record(data: &Path) -> Option<Value> {
    let records = fs::read_dir(data.join("compactions/results/flights-scored")).ok()?;
    let paths = records.map(|entry| entry.expect("readable").path());
    let newest = paths.filter(|path| path.extension().is_some_and(|end| end == "json")).max()?;
    Some(serde_json::from_slice(&fs::read(newest).expect("it is there")).expect("JSON"))
}

/// Start and path of each file of results/, by partition.
fn files(data: &Path) -> BTreeMap<String, Vec<(i64, PathBuf)>> {
    let mut found: BTreeMap<String, Vec<(i64, PathBuf)>> = BTreeMap::new();
    for folder in fs::read_dir(data.join("results/flights-scored")).expect("it is there") {
        let folder = folder.expect("readable").path();
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let partition = name.strip_prefix("source_partition=").expect("its folder").to_owned();
        for file in fs::read_dir(&folder).expect("a partition") {
            let path = file.expect("readable").path();
            let start = path.file_stem().expect("a name").to_string_lossy().parse();
            found.entry(partition.clone()).or_default().push((start.expect("a number"), path));
        }
    }
    found
}

/// Files of results/ that the newest record does not hold.
fn left(data: &Path) -> Vec<PathBuf> {
    let record = record(data);
    let upto = |partition: &str| {
        record.as_ref().and_then(|record| record["upto"][partition].as_i64()).unwrap_or(0)
    };
    let behind = |(partition, files): (String, Vec<(i64, PathBuf)>)| {
        let upto = upto(&partition);
        files.into_iter().filter(move |(start, _)| *start >= upto).map(|(_, path)| path)
    };
    files(data).into_iter().flat_map(behind).collect()
}

fn lying(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths.map(|path| if path.is_dir() { lying(&path) } else { 1 }).sum()
}

#[test]
fn killed_fifty_times_every_row_is_there_once_and_only_what_is_left_is_done() {
    let folder = folder();
    let data = folder.path();
    let mut hours = 240;
    archive(data, 0..hours, 99);
    let mut expected = sql(data, EVERYTHING);
    assert!(expected.starts_with(&format!("{0},{0},", hours * ROWS)), "{expected}");
    let arguments = arguments(&["compact", "--file-bytes", SMALL], data, &[]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut kills = 0;
    // At every step between a row and a record, while there is much left to do,
    for step in [
        "archive.created",
        "archive.before_close",
        "archive.before_sync",
        "compact.before_files",
        "archive.before_publish",
        "archive.published",
        "compact.files_published",
        "compact.before_record",
        "compact.recorded",
    ] {
        for count in [1, 2] {
            let failpoint = format!("{step}={count}");
            let mut child = Child::spawn_with(&arguments, &[("TIDEGATE_FAILPOINT", &failpoint)]);
            assert!(!child.wait(SOON).success(), "it was killed at {step}");
            assert_eq!(sql(data, EVERYTHING), expected, "killed at {failpoint}");
            kills += 1;
        }
    }
    // and at random.
    for life in Kills::new(seed(), Duration::from_millis(20)..Duration::from_millis(700)) {
        let mut child = Child::spawn(&arguments);
        std::thread::sleep(life);
        if child.running() {
            child.kill();
            kills += 1;
            assert_eq!(sql(data, EVERYTHING), expected, "after {kills} kills");
        } else {
            // Done: more to do.
            archive(data, hours..hours + 60, 99);
            hours += 60;
            expected = sql(data, EVERYTHING);
        }
        if kills >= 18 + 50 {
            break;
        }
    }
    let left = left(data).len() as u64;
    let last = compact(data, &["--file-bytes", SMALL]);
    assert_eq!(last["read"]["files"], left, "{last}");
    assert_eq!(last["compacted"]["rows"], hours * ROWS, "{last}");
    assert_eq!(sql(data, EVERYTHING), expected);
    assert_eq!(lying(&data.join(".tidegate-tmp/results_compacted")), 0);
    let named = record(data).expect("there is one")["files"].as_array().expect("files").len();
    assert_eq!(lying(&data.join("results_compacted")), named, "nothing is left behind");
    let again = compact(data, &[]);
    assert_eq!((&again["read"]["files"], &again["written"]["files"]), (&0.into(), &0.into()));
}

#[test]
fn beside_a_writer_and_readers_each_row_is_seen_once() {
    let folder = folder();
    let data = folder.path();
    archive(data, 0..4, 99);
    let written = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for hour in 4..120 {
                archive(data, hour..hour + 1, 99);
            }
            written.store(true, Ordering::Relaxed);
        });
        scope.spawn(|| {
            let mut before = 0;
            while !written.load(Ordering::Relaxed) {
                let said = sql(data, EVERYTHING);
                let numbers: Vec<i64> =
                    said.split(',').map(|number| number.parse().expect("a number")).collect();
                assert_eq!(numbers[0], numbers[1], "a row is there twice: {said}");
                assert!(numbers[0] >= before && numbers[0] % ROWS == 0, "{before}, then {said}");
                before = numbers[0];
            }
        });
        while !written.load(Ordering::Relaxed) {
            compact(data, &["--file-bytes", SMALL]);
        }
    });
    let expected = sql(data, EVERYTHING);
    assert!(expected.starts_with(&format!("{0},{0},", 120 * ROWS)), "{expected}");
    compact(data, &[]);
    assert_eq!(sql(data, EVERYTHING), expected);
}

#[test]
fn a_full_disk_costs_nothing_but_time() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    let data = disk.path();
    archive(data, 0..60, 99);
    let expected = sql(data, EVERYTHING);
    for room in [20_000, 200_000] {
        disk.fill_but(room);
        let refused = tidegate(&["compact"], data, &["--file-bytes", SMALL]);
        ended_with(&refused, 1);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("No space left on device"), "{said}");
        assert_eq!(sql(data, EVERYTHING), expected);
        disk.empty();
    }
    let done = compact(data, &["--file-bytes", SMALL]);
    assert_eq!(done["compacted"]["rows"], 60 * ROWS);
    assert_eq!(sql(data, EVERYTHING), expected);
    assert_eq!(lying(&data.join(".tidegate-tmp/results_compacted")), 0);
}

#[test]
fn what_is_not_counted_stays_and_the_monitor_works_without_the_originals() {
    let monitored = Monitored::new();
    let data = monitored.folder.path().join("data");
    archive(&data, 0..12, 8);
    monitored.fit(&["--where", "event_time < '2013-06-01T04:00:00Z'"]);
    let reference = format!("monitor.reference={}", monitored.path("reference.parquet"));
    let more = ["--set", &reference, "--set", "monitor.previous_seconds=3600"];
    let old = [&["--expire-originals", "1d"], &more[..]].concat();
    let dry = compact(&data, &[&old[..], &["--dry-run"]].concat());
    assert_eq!((&dry["pending"]["files"], &dry["compacted"]["files"]), (&12.into(), &0.into()));
    let kept = compact(&data, &old);
    assert_eq!(kept["originals"]["archive"]["files"], 0, "{kept}");
    assert_eq!(kept["originals"]["kept"]["uncounted"], 2, "{kept}");
    ended_with(&tidegate(&["monitor", "count"], &data, &more), 0);
    // Killed after the third file, the next start removes the others.
    let arguments = arguments(&["compact"], &data, &old);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut child = Child::spawn_with(&arguments, &[("TIDEGATE_FAILPOINT", "compact.expired=3")]);
    assert!(!child.wait(SOON).success(), "{}", child.log());
    assert_eq!(sql(&data, "SELECT count(*) FROM results"), (12 * ROWS).to_string());
    let went = compact(&data, &old);
    assert_eq!(went["originals"]["archive"]["files"], 7, "{went}");
    assert_eq!(files(&data).values().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(sql(&data, "SELECT count(*) FROM results"), (12 * ROWS).to_string());
    // All hours are judged, of their counts.
    let judged = tidegate(&["monitor", "evaluate", "--json"], &data, &more);
    ended_with(&judged, 0);
    let judged: Value = serde_json::from_slice(&judged.stdout).expect("JSON");
    assert!(judged["windows"].as_i64() >= Some(10), "{judged}");
    assert_eq!(judged["references"][0]["rows"], 12 * ROWS);
    // The archive goes on behind what is gone.
    archive(&data, 12..14, 8);
    assert_eq!(sql(&data, "SELECT count(*) FROM results"), (14 * ROWS).to_string());
}

#[test]
fn verify_tells_what_expiry_took_from_what_is_lost() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "expiry", &[]).with_partitions(1);
    let produce = || {
        pipeline.produced(FLIGHTS);
    };
    let verdict = |code| {
        let output = pipeline.command(&["verify"], &["--json", "--wait", "60"]);
        ended_with(&output, code);
        let verdict: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(verdict["waiting"], 0, "{verdict}");
        verdict
    };
    let compact = |flags: &[&str]| {
        let output = pipeline.command(&["compact"], &[&["--json"], flags].concat());
        ended_with(&output, 0);
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    // Two runs, two files at least, of results and of dead letters.
    for _ in 0..2 {
        produce();
        pipeline.send(&[b"{".to_vec()]);
        scored(&pipeline);
    }
    compact(&[]);
    verdict(0);
    std::thread::sleep(Duration::from_secs(1));
    let went = compact(&["--expire-originals", "1s"]);
    let rows = went["originals"]["archive"]["rows"].as_u64().expect("a number");
    assert!((FLIGHTS..=2 * FLIGHTS).contains(&rows), "{went}");
    let count = || pipeline.sql("SELECT count(DISTINCT \"offset\") FROM results");
    assert_eq!(count(), (2 * FLIGHTS).to_string());
    let checked = verdict(UNCHECKED);
    assert_eq!(checked["archives"][0]["positions_taken_by_expiry"], rows, "{checked}");
    assert_eq!(checked["findings"]["missing"], 0, "{checked}");

    // The topic forgets most of them, too: the compacted rows stand for their events.
    let low = went["compacted"]["rows"].as_i64().expect("a number") / 2 - 100;
    delete_records(broker.address(), &pipeline.output(), low);
    let checked = verdict(UNCHECKED);
    assert_eq!(checked["findings"]["missing"], 0, "{checked}");

    // Nothing is left that knows of them: not lost, not checked.
    let went = compact(&["--expire", "1s"]);
    assert!(went["expired"]["compacted"]["rows"].as_u64() > Some(0), "{went}");
    let dead = &went["others"]["dead_letters"]["archive"]["rows"];
    assert!(dead.as_u64() > Some(0), "{went}");
    let checked = verdict(UNCHECKED);
    assert!(checked["findings"]["missing"].as_i64() >= Some(low / 2), "{checked}");
    assert_eq!(checked["archives"][1]["positions_taken_by_expiry"], *dead, "{checked}");
    // And the stream goes on.
    produce();
    scored_again(&pipeline);
    assert!(count().parse::<u64>().expect("a number") >= FLIGHTS);
}

/// Runs the pipeline until nothing waits, where `verify` cannot check everything.
fn scored_again(pipeline: &Pipeline) {
    let mut child = pipeline.run("a");
    ended_with(&pipeline.command(&["verify"], &["--wait", "60"]), UNCHECKED);
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
}

/// Both folders as another program reads them: what the newest record names, and what lies behind it.
const READER: &str = r#"
import glob, json, os, sys
data, reader = sys.argv[1:]
topic = "flights-scored"
with open(max(glob.glob(f"{data}/compactions/results/{topic}/*.json"))) as file:
    record = json.load(file)
files = [f"{data}/results_compacted/{topic}/{file['path']}" for file in record["files"]]
for path in sorted(glob.glob(f"{data}/results/{topic}/*/*.parquet")):
    partition = os.path.dirname(path).rsplit("=", 1)[1]
    if int(os.path.basename(path).split(".")[0]) >= record["upto"].get(partition, 0):
        files.append(path)
folder = f"{data}/results_compacted/{topic}"
if reader == "duckdb":
    import duckdb
    ask = lambda files: duckdb.sql(f"""SELECT count(*), sum("offset"), sum(dep_delay), count(DISTINCT epoch_us(event_time) // 86400000000)
        FROM read_parquet({files!r}, union_by_name=true)""").fetchall()[0]
    days = duckdb.sql(f"""SELECT count(DISTINCT event_date) FROM read_parquet('{folder}/*/*.parquet')
        WHERE event_date >= DATE '2013-06-02'""").fetchall()[0]
else:
    import polars
    def ask(files):
        table = polars.concat([polars.read_parquet(file, hive_partitioning=False) for file in files], how="diagonal")
        return (table.height, table["offset"].sum(), table["dep_delay"].sum(), table["event_time"].dt.date().n_unique())
    table = polars.read_parquet(folder, hive_partitioning=True)
    days = [table.filter(polars.col("event_date").cast(polars.Date) >= polars.date(2013, 6, 2))["event_date"].n_unique()]
print(*[int(value) for value in ask(files)], *days)
"#;

#[test]
fn duckdb_and_polars_read_both_folders() {
    let folder = folder();
    let data = folder.path();
    archive(data, 0..60, 99);
    compact(data, &[]);
    archive(data, 60..66, 99);
    let expected = sql(
        data,
        "SELECT count(*), sum(\"offset\"), CAST(sum(dep_delay) AS BIGINT), \
         count(DISTINCT CAST(event_time AS DATE)) FROM results",
    );
    assert!(expected.starts_with(&format!("{},", 66 * ROWS)), "{expected}");
    // Of 60 hours two begin days that are not the first.
    let expected = format!("{} 2", expected.replace(',', " "));
    for reader in ["duckdb", "polars"] {
        let path = data.display().to_string();
        let said = output(Command::new("python3").args(["-c", READER, &path, reader]));
        let err = String::from_utf8_lossy(&said.stderr).into_owned();
        if !said.status.success() && err.contains("ModuleNotFoundError") {
            assert_ne!(
                std::env::var("CI").as_deref(),
                Ok("true"),
                "python3 with {reader} is needed"
            );
            eprintln!("SKIPPED: python3 has no {reader}");
            continue;
        }
        assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), expected, "{reader}: {err}");
    }
}

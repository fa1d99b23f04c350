//! What decides whether each event is there once, apart from `verify`: counts over the tables' files, by
//! Tidegate's SQL and by DuckDB, which knows nothing of ours.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Pipeline, output, required};

/// Both tables as one list of where their rows come from (offsets stay far below 10^12), and what is
/// counted in it.
const COUNTS: &str = "SELECT count(*) AS rows, count(DISTINCT place) AS events, \
     count(DISTINCT CASE WHEN scored THEN place END) AS results \
     FROM (SELECT CAST(input_partition AS BIGINT) * 1000000000000 + input_offset AS place, true AS scored \
     FROM results UNION ALL \
     SELECT CAST(input_partition AS BIGINT) * 1000000000000 + input_offset, false FROM dead_letters)";

/// Reads each folder as a table, and prints the answer as CSV.
const DUCKDB: &str = r#"
import duckdb, os, sys
data, question = sys.argv[1:]
# It would be printed before the answer.
duckdb.sql("SET enable_progress_bar = false")
for table in ("results", "dead_letters"):
    files = f"read_parquet('{data}/{table}/**/*.parquet', union_by_name = true)"
    empty = "(SELECT NULL::INTEGER AS input_partition, NULL::BIGINT AS input_offset WHERE false)"
    found = any(name.endswith(".parquet") for _, _, names in os.walk(f"{data}/{table}") for name in names)
    duckdb.sql(f"CREATE VIEW {table} AS SELECT input_partition, input_offset FROM {files if found else empty}")
print(*duckdb.sql(question).fetchall()[0], sep=",")
"#;

/// As [`each_once`], where brokers died beneath the producers: an idempotent one whose broker lost what it knew of
/// it may send records again, which are events of their own then. What came is what the input's offsets say.
#[track_caller]
pub(crate) fn each_once_as_it_came(pipeline: &Pipeline, scored: u64, rejected: u64) {
    let came = pipeline.ends(&pipeline.input());
    let again = came - (scored + rejected);
    let counted = pipeline.sql(COUNTS);
    let results = counted.rsplit(',').next().and_then(|text| text.parse().ok());
    let results: u64 = results.unwrap_or_else(|| panic!("three counts: {counted}"));
    assert!((scored..=scored + again).contains(&results), "{counted}, {again} came again");
    if again > 0 {
        eprintln!("{again} events came twice: {came} records for {} events", scored + rejected);
    }
    each_once(pipeline, results, came - results);
}

/// What `verify` finds when nothing is waiting any more: it waits no longer once it has found something.
#[track_caller]
pub(crate) fn verdict_at_last(pipeline: &Pipeline, bound: Duration) -> Value {
    let until = Instant::now() + bound;
    loop {
        let seen = pipeline.command(&["verify"], &["--json", "--wait", "20"]);
        let verdict: Value = serde_json::from_slice(&seen.stdout).expect("--json prints JSON");
        if (&verdict["waiting"], &verdict["archives"][0]["waiting"]) == (&0.into(), &0.into()) {
            return verdict;
        }
        assert!(Instant::now() < until, "{verdict:#}");
    }
}

/// Rows of the results in SQL, and of how many events.
#[track_caller]
pub(crate) fn rows_and_events(pipeline: &Pipeline) -> (u64, u64) {
    // As numbers: a set of pairs takes a gigabyte for 50,000 of them.
    let counted = pipeline.sql(
        "SELECT count(*), count(DISTINCT \
         CAST(input_partition AS BIGINT) * 1000000000000 + input_offset) FROM results",
    );
    let number = |text: &str| text.parse().expect("a count");
    counted
        .split_once(',')
        .map(|(rows, events)| (number(rows), number(events)))
        .expect("two counts")
}

/// Fails unless the archive holds `scored` results and `rejected` dead letters, each of another event.
#[track_caller]
pub(crate) fn each_once(pipeline: &Pipeline, scored: u64, rejected: u64) {
    let events = scored + rejected;
    let expected = format!("{events},{events},{scored}");
    if rejected == 0 {
        // A pipeline without a reject has no such table in SQL.
        assert_eq!(rows_and_events(pipeline), (events, events), "rows, and their events");
    } else {
        assert_eq!(pipeline.sql(COUNTS), expected, "{COUNTS}");
    }
    let data = pipeline.archive().display().to_string();
    let said = output(Command::new("python3").args(["-c", DUCKDB, &data, COUNTS]));
    let err = String::from_utf8_lossy(&said.stderr);
    let found = match err.contains("ModuleNotFoundError") {
        true => Err("make setup-readers fetches it, make test puts it on the path".to_owned()),
        false => Ok(()),
    };
    if required("python3 with DuckDB", found).is_some() {
        assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), expected, "DuckDB: {err}");
    }
}

//! Bad inputs of a scheduled run: the file is named, no output is to be seen, and mended it is made.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use batch::parquet_io::{NewParquet, ParquetRows};

use super::{Jobs, SOON, names, rows, said, stop};
use crate::harness::{FLIGHTS, ended_with, root};

/// Files of an input.
const FILES: usize = 4;
const DAY: &str = "2026-01-01";

/// Gives a file of the input this content and time at once: a reader sees the one or the other.
fn put(jobs: &Jobs, to: &Path, bytes: &[u8], modified: SystemTime) {
    let new = jobs.path("new");
    fs::write(&new, bytes).expect("writable");
    let file = fs::File::options().write(true).open(&new).expect("just written");
    file.set_modified(modified).expect("a time can be set");
    fs::rename(&new, to).expect("moved");
}

#[test]
fn damage_that_only_reading_finds_fails_the_run_and_mended_the_retry_goes_on() {
    let jobs = Jobs::new(
        "[[jobs]]\nname = 'one'\ncron = '0 0 1 1 *'\ninput = 'in'\noutput = 'out/{date}'\nthreads = 1\n\
         include = ['source']\nretries = 9\nretry_seconds = 1\n",
    );
    jobs.flights(FILES);
    let last = jobs.path("in/003.parquet");
    let whole = fs::read(&last).expect("just written");
    let modified = fs::metadata(&last).and_then(|file| file.modified()).expect("a time");
    // As a bad disk does it: a page in the middle, and neither size, time nor footer tells.
    let (mut damaged, half) = (whole.clone(), whole.len() / 2);
    damaged[half - 8192..half + 8192].fill(0);
    put(&jobs, &last, &damaged, modified);
    // Begun by hand and cut off; the scheduler goes on with it.
    let begun = [("TIDEGATE_FAILPOINT", "jobs.begun")];
    let mut child = jobs.spawn(&["jobs", "run", "one", "--date", DAY], &begun);
    assert!(!child.wait(SOON).success(), "{}", child.log());
    let child = jobs.spawn(&["run", "--only", "jobs"], &[]);
    let history = jobs.wait(&child, SOON, |history| history[0]["error"].is_string());
    let error = history[0]["error"].as_str().expect("it failed");
    assert!(error.contains("003.parquet"), "{error}");
    assert_eq!(names(&jobs.path("out")), [format!(".{DAY}.unfinished")]);
    let growing = jobs.path(&format!("out/.{DAY}.unfinished"));
    assert!(!growing.join("_SUCCESS").exists());
    let mut done = names(&growing.join("results"));
    done.sort_unstable();
    assert_eq!(done, ["000000.parquet", "000001.parquet", "000002.parquet"]);
    let time = |of: &Path| {
        let file = fs::metadata(of.join("results/000000.parquet")).expect("it is there");
        file.modified().expect("a time")
    };
    let before = time(&growing);

    put(&jobs, &last, &whole, modified);
    let history = jobs.wait(&child, SOON, |history| history[0]["outcome"] == "succeeded");
    stop(child);
    let run = &history[0];
    assert_eq!(history.len(), 1, "{history:#?}");
    assert!(run["failures"].as_u64() >= Some(1), "{run:#}");
    assert_eq!(run["made"]["scored"], FILES as u64 * FLIGHTS, "{run:#}");
    assert_eq!(names(&jobs.path("out")), [DAY]);
    let output = jobs.path(&format!("out/{DAY}"));
    assert!(output.join("_SUCCESS").is_file());
    assert_eq!(rows(&output), FILES as u64 * FLIGHTS);
    assert_eq!(time(&output), before, "what was done was done again");
}

#[test]
fn files_that_came_since_do_not_keep_a_killed_run_from_its_end() {
    let flights = root().join("deploy/demo/flights.parquet");
    let jobs = Jobs::new(&format!(
        "[[jobs]]\nname = 'one'\ncron = '0 0 1 1 *'\ninput = 'in'\noutput = 'out/{{date}}'\nthreads = 1\n\
         include = ['source']\ndrift = true\nreference = '{}'\nretries = 0\n",
        flights.display()
    ));
    jobs.flights(FILES);
    let run = ["jobs", "run", "one", "--date", DAY];
    // Cut off between its parts, and when its output is published and that is not written down.
    for (place, came) in [("archive.published=2", "half.parquet"), ("jobs.made", "more.parquet")] {
        let mut child = jobs.spawn(&run, &[("TIDEGATE_FAILPOINT", place)]);
        assert!(!child.wait(SOON).success(), "{place} was passed:\n{}", child.log());
        // Whoever opens it, for the drift report too, fails.
        fs::write(jobs.path("in").join(came), "PAR1 and no more").expect("writable");
    }
    assert_eq!(names(&jobs.path("out")), [DAY]);
    let again = jobs.run(&[&run[..], &["--json"]].concat());
    ended_with(&again, 0);
    let told = said(&again);
    assert!(told.contains("2 files came into the input since"), "{told}");
    let made: serde_json::Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!((&made["outcome"], &made["starts"]), (&"succeeded".into(), &3.into()));
    assert_eq!(made["made"]["scored"], FILES as u64 * FLIGHTS);
    assert_eq!(made["made"]["drift"], false, "files against their own copy");
    assert_eq!(rows(&jobs.path(&format!("out/{DAY}"))), FILES as u64 * FLIGHTS);
}

/// The demo's flights with their delay as text.
fn with_text(to: &Path) {
    let flights = root().join("deploy/demo/flights.parquet");
    let mut file = None;
    for batch in ParquetRows::open(&flights, 4096).expect("there") {
        let batch = batch.expect("whole");
        let at = batch.schema().index_of("dep_delay").expect("a field of the contract");
        let mut fields: Vec<Field> =
            batch.schema().fields().iter().map(|field| Field::clone(field)).collect();
        fields[at] = Field::new("dep_delay", DataType::Utf8, true);
        let mut columns = batch.columns().to_vec();
        columns[at] = cast(&columns[at], &DataType::Utf8).expect("a number has a text");
        let schema = Arc::new(Schema::new(fields));
        let changed = RecordBatch::try_new(Arc::clone(&schema), columns);
        let file =
            file.get_or_insert_with(|| NewParquet::create(to, &schema).expect("a free name"));
        file.write(&changed.expect("as many rows")).expect("writable");
    }
    file.expect("there are flights").publish().expect("writable");
}

#[test]
fn a_file_with_other_types_than_those_before_it_is_named_and_nothing_is_written() {
    let jobs = Jobs::new(
        "[[jobs]]\nname = 'one'\ncron = '@daily'\ninput = 'in'\noutput = 'out/{date}'\n\
         include = ['source']\nretries = 0\n",
    );
    jobs.flights(FILES);
    let (odd, away) = (jobs.path("in/002.parquet"), jobs.path("away.parquet"));
    fs::rename(&odd, &away).expect("moved");
    with_text(&odd);
    let run = ["jobs", "run", "one", "--date", DAY];
    ended_with(&jobs.run(&run), 1);
    let history = jobs.json(&["jobs", "history", "one"]);
    let error = history[0]["error"].as_str().expect("it failed");
    assert!(error.contains("002.parquet: its columns do not go with"), "{error}");
    assert!(error.contains("dep_delay"), "{error}");
    assert!(!jobs.path("out").exists(), "something was written");
    fs::rename(&away, &odd).expect("moved back");
    let made = jobs.json(&run);
    assert_eq!((&made["outcome"], &made["starts"]), (&"succeeded".into(), &2.into()));
    assert_eq!(rows(&jobs.path(&format!("out/{DAY}"))), FILES as u64 * FLIGHTS);
}

//! Inputs that go bad while a job has them, or do not go with the others: the file is named, nothing is whole,
//! and mended it is scored.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use batch::parquet_io::{NewParquet, ParquetRows};

use super::{SOON, arguments, copies, demo, each_row_once, json, score, text};
use crate::harness::{Child, FLIGHTS, ended_with, folder};

/// Files of an input; it goes wrong in the last one.
const FILES: usize = 4;
const LAST: &str = "003.parquet";
/// Files are published so slowly that a job is stopped behind its first one and before its last.
const SLOWLY: &str = "archive.published=delay:800";
const MORE: [&str; 4] = ["--include", "source", "--threads", "1"];

/// What lies in a file's place when it was moved away.
type Change = fn(&Path);

fn gone(at: &Path) {
    assert!(!at.exists(), "it was moved");
}

fn cut(at: &Path) {
    let whole = fs::read(demo("flights.parquet")).expect("the demo's flights");
    fs::write(at, &whole[..whole.len() / 2]).expect("writable");
}

/// Whole, and Parquet, and other columns.
fn another(at: &Path) {
    fs::copy(demo("reference.parquet"), at).expect("copied");
}

#[test]
fn an_input_that_changes_between_plan_and_reading_ends_the_job_and_put_back_it_goes_on() {
    let ways: [(&str, Change, &str); 3] = [
        ("gone", gone, "is gone, or cannot be read,"),
        ("cut", cut, "changed since the job was planned"),
        ("another", another, "changed since the job was planned"),
    ];
    for (way, change, said) in ways {
        let folder = folder();
        let input = copies(folder.path(), FILES);
        let (last, away) = (input.join(LAST), folder.path().join("away.parquet"));
        let (input, output) = (text(&input), folder.path().join("out"));
        let part = |number: usize| output.join(format!("results/{number:06}.parquet"));
        let whole = output.join("_SUCCESS");
        let arguments = arguments(&input, &output, &MORE);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut child = Child::spawn_with(&arguments, &[("TIDEGATE_FAILPOINT", SLOWLY)]);
        let end = Instant::now() + SOON;
        while !part(0).exists() {
            assert!(Instant::now() < end, "{way}: no part:\n{}", child.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        // Planned, and stopped before the last file is opened: one part is behind it, at most two.
        child.freeze();
        assert!(!part(2).exists(), "{way}: it was too fast to be stopped in time");
        fs::rename(&last, &away).expect("moved");
        change(&last);
        child.thaw();
        assert_eq!(child.wait(SOON).code(), Some(1), "{way}:\n{}", child.log());
        let log = child.whole_log();
        assert!(log.contains(LAST) && log.contains(said), "{way}:\n{log}");
        assert!(!log.contains("panicked"), "{way}:\n{log}");
        assert!(!whole.exists() && !part(FILES - 1).exists(), "{way}: something is whole");
        // The same command on what is there now is told so, and changes nothing.
        let refused = score(&input, &output, &MORE);
        ended_with(&refused, 2);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(told.contains(LAST), "{way}: {told}");
        assert!(!whole.exists() && !part(FILES - 1).exists(), "{way}: something is whole");
        // Put back, with the time it had, only the last part is left to do. The new name replaces what lies there.
        fs::rename(&away, &last).expect("moved back");
        let mended = score(&input, &output, &[&MORE[..], &["--json"]].concat());
        ended_with(&mended, 0);
        assert_eq!(json(&mended)["parts_before"], FILES - 1, "{way}");
        assert!(whole.is_file(), "{way}");
        each_row_once(&output, FILES);
    }
}

/// The demo's flights without a column.
fn without(column: &str, to: &Path) {
    let mut file = None;
    for batch in ParquetRows::open(Path::new(&demo("flights.parquet")), 8192).expect("there") {
        let mut batch = batch.expect("whole");
        batch.remove_column(batch.schema().index_of(column).expect("the demo has it"));
        let file = file
            .get_or_insert_with(|| NewParquet::create(to, &batch.schema()).expect("a free name"));
        file.write(&batch).expect("writable");
    }
    file.expect("there are flights").publish().expect("writable");
}

#[test]
fn a_file_without_a_required_column_is_refused_and_without_an_optional_one_it_is_scored() {
    let folder = folder();
    let input = copies(folder.path(), FILES);
    let (odd, output) = (input.join("002.parquet"), folder.path().join("out"));
    fs::remove_file(&odd).expect("it was copied");
    without("distance", &odd);
    let refused = score(&text(&input), &output, &MORE);
    ended_with(&refused, 2);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    for word in ["002.parquet", "no column \"distance\"", "make the field nullable"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert!(!output.exists(), "something was written");
    fs::remove_file(&odd).expect("it was written");
    without("wind", &odd);
    let scored = score(&text(&input), &output, &[&MORE[..], &["--json"]].concat());
    ended_with(&scored, 0);
    assert_eq!(json(&scored)["scored"], FILES as u64 * FLIGHTS);
    each_row_once(&output, FILES);
}

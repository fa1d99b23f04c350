//! Compaction on this machine's disk: what is written, what is joined, what is refused, what goes.

mod expiry;

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use expiry::{expiry, ten_days};

use super::testing::{DAY, Row, TOPIC, archive, config, open, schema};
use super::*;
use crate::sql::{self, SqlTable};

/// One row of whole numbers.
fn ask(root: &Path, sql: &str) -> Vec<i64> {
    let table = SqlTable::archive("results", root.to_path_buf(), TOPIC, schema(true));
    let mut found = Vec::new();
    sql::read(&[table], sql, 256 << 20, &mut |batch| {
        if batch.num_rows() > 0 {
            let columns = batch.columns().iter();
            found.extend(columns.map(|column| {
                let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Int64);
                column.unwrap().as_primitive::<Int64Type>().value(0)
            }));
        }
        Ok(())
    })
    .unwrap();
    found
}

/// Rows, distinct positions and a sum over everything in them.
fn everything(root: &Path) -> Vec<i64> {
    ask(
        root,
        r#"SELECT count(*), count(DISTINCT "partition" * 1000000 + "offset"),
           sum("offset" * (1 + source_partition)), count(event_time), count(text),
           sum(CAST(event_time AS BIGINT) % 1000003) FROM results"#,
    )
}

fn run(root: &Path) -> Compacted {
    open(root).run(&mut |_| {}).unwrap()
}

/// Rows about these days: some late, some without a time of their own.
fn days(from: i64, rows: i64) -> Vec<Row> {
    let event = |row: i64| match row % 11 {
        0 => None,
        1 => Some(from as f64 - 2.5),
        _ => Some(from as f64 + row as f64 / rows as f64),
    };
    (0..rows).map(|row| (from, event(row))).collect()
}

fn compacted_names(root: &Path) -> Vec<String> {
    let snapshot = Snapshot::read(root, "results", TOPIC).unwrap().unwrap();
    let folder = root.join("results_compacted").join(TOPIC);
    let name = |path: PathBuf| path.strip_prefix(&folder).unwrap().display().to_string();
    snapshot.compacted().map(name).collect()
}

/// Every file below a folder.
fn lying(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| if path.is_dir() { lying(&path) } else { 1 }).sum()
}

#[test]
fn both_parts_are_one_table_and_each_row_is_there_once() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for day in [100, 101, 103] {
        archive(root, 0, false, &days(day, 70));
        archive(root, 12, true, &days(day, 50));
    }
    let before = everything(root);
    assert_eq!(before[..2], [360, 360]);
    let done = run(root);
    assert_eq!((done.read.files, done.read.rows, done.written.rows), (6, 360, 360));
    assert_eq!(done.rounds, 1);
    assert_eq!(everything(root), before);
    let names = compacted_names(root);
    let day = |name: &String| name.split('/').next().unwrap().to_owned();
    let mut dates: Vec<String> = names.iter().map(day).collect();
    dates.dedup();
    assert_eq!(dates.len(), names.len(), "one file a day: {names:?}");
    assert_eq!(dates[0], "event_date=1970-04-08", "two and a half days late");

    assert_eq!(run(root), Compacted::default(), "nothing is new");
    assert_eq!(compacted_names(root), names);

    // The archive goes on, in an old and in a new partition.
    archive(root, 0, true, &days(103, 20));
    archive(root, 3, true, &days(104, 30));
    let grown = everything(root);
    assert_eq!(grown[..2], [410, 410]);
    let done = run(root);
    assert_eq!((done.read.files, done.written.rows), (2, 50), "only what is new");
    assert_eq!(everything(root), grown);
    assert_eq!(compacted_names(root)[..names.len()], names, "what was published stays");
    assert_eq!(lying(&root.join(".tidegate-tmp")), 0);
}

#[test]
fn rows_of_a_file_are_in_order_of_their_times_and_of_one_day() {
    let root = tempfile::tempdir().unwrap();
    for partition in 0..3 {
        archive(root.path(), partition, true, &days(200, 500));
    }
    run(root.path());
    for path in Snapshot::read(root.path(), "results", TOPIC).unwrap().unwrap().compacted() {
        let mut last = i64::MIN;
        for batch in ParquetRows::open(&path, 64).unwrap() {
            let batch = batch.unwrap();
            let time = |name: &str, row| {
                let column = batch.column_by_name(name).unwrap();
                let times = column.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
                arrow::array::Array::is_valid(times, row).then(|| times.value(row))
            };
            for row in 0..batch.num_rows() {
                let at = time("event_time", row).or_else(|| time("timestamp", row)).unwrap();
                assert!(at >= last);
                assert!(last == i64::MIN || at / DAY == last / DAY);
                last = at;
            }
        }
    }
}

#[test]
fn a_large_day_has_several_files_and_large_input_several_rounds() {
    let root = tempfile::tempdir().unwrap();
    for file in 0..20 {
        archive(root.path(), file % 2, true, &days(300, 400));
    }
    let before = everything(root.path());
    let config = CompactConfig { file_bytes: 4_000, ..config(root.path()) };
    let heard = RefCell::new(0);
    let mut compaction = Compaction::open(config).unwrap();
    let done = compaction.run(&mut |rows| *heard.borrow_mut() += rows).unwrap();
    assert!(done.rounds > 2 && done.written.files > 4, "{done:?}");
    assert_eq!((heard.into_inner(), done.read.rows), (8000, 8000));
    assert_eq!(compaction.compacted(), done.written);
    assert_eq!(everything(root.path()), before);
}

#[test]
fn a_sort_larger_than_its_memory_spills() {
    let root = tempfile::tempdir().unwrap();
    for partition in 0..4 {
        archive(root.path(), partition, true, &days(300, 150_000));
    }
    let before = everything(root.path());
    // 150,000 rows of a partition take 6 MB, and all of them half as much again as the sort has.
    let config =
        CompactConfig { file_bytes: 64 << 20, memory_bytes: 16 << 20, ..config(root.path()) };
    let done = Compaction::open(config).unwrap().run(&mut |_| {}).unwrap();
    assert_eq!((done.rounds, done.written.rows), (1, 600_000));
    assert_eq!(everything(root.path()), before);
}

#[test]
fn a_second_process_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let first = open(root.path());
    let refused = Compaction::open(config(root.path())).err().unwrap().to_string();
    assert!(refused.contains("another process"), "{refused}");
    drop(first);
    open(root.path());
}

#[test]
fn what_no_record_names_is_ignored_and_removed_and_a_missing_record_is_missed() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    archive(root, 0, true, &days(100, 30));
    run(root);
    let before = everything(root);
    let folder = root.join("results_compacted").join(TOPIC);
    let published = folder.join(&compacted_names(root)[0]);
    let record = Record::read(&LocalFiles, &Folders::of(root, "results", TOPIC).records);
    let generation = record.unwrap().unwrap().generation;
    let left = published.with_file_name(names::file(generation + 1, 0));
    fs::copy(&published, &left).unwrap();
    assert_eq!(everything(root), before);
    run(root);
    assert!(!left.exists() && published.exists());

    let ahead = published.with_file_name(names::file(generation + 2, 0));
    fs::copy(&published, &ahead).unwrap();
    let refused = open(root).run(&mut |_| {}).unwrap_err().to_string();
    assert!(refused.contains("a record that is missing"), "{refused}");
    fs::remove_file(&ahead).unwrap();

    let records = root.join("compactions/results").join(TOPIC);
    fs::rename(&records, root.join("elsewhere")).unwrap();
    let refused = open(root).run(&mut |_| {}).unwrap_err().to_string();
    assert!(refused.contains("a record that is missing") && published.exists(), "{refused}");
}

#[test]
fn a_hole_behind_what_is_compacted_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    archive(root, 0, true, &days(100, 10));
    run(root);
    for _ in 0..2 {
        archive(root, 0, true, &days(101, 10));
    }
    let file =
        |start: i64| root.join(format!("results/{TOPIC}/source_partition=0/{start:020}.parquet"));
    fs::remove_file(file(10)).unwrap();
    let refused = open(root).run(&mut |_| {}).unwrap_err();
    assert!(matches!(refused, StoreError::Chain { .. }), "{refused}");
}

#[test]
fn rows_that_are_not_those_of_the_input_are_not_published() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    archive(root, 0, true, &days(100, 10));
    run(root);
    let compaction = open(root);
    let Compaction { files, folders, record, .. } = &compaction;
    let newest = folders.data.join(&record.files[1].path);
    let rows = ParquetRows::open(&newest, 100).unwrap();
    let mut writer = Writer::new(files, folders, 9, rows.schema().clone(), vec![], 1 << 20);
    let mut before = Positions::default();
    commit::of_file(&newest, &mut before).unwrap();
    for batch in rows {
        // One row less, one twice: as many as before.
        let batch = batch.unwrap();
        let most = batch.slice(0, batch.num_rows() - 1);
        writer.write(&most.slice(0, 1)).unwrap();
        writer.write(&most).unwrap();
    }
    let written = writer.finish().unwrap();
    let mut next = record.clone();
    let refused =
        commit::commit(files, folders, &mut next, written, &before, &commit::of_file).unwrap_err();
    assert!(refused.to_string().contains("the archive stays"), "{refused}");
    assert_eq!(lying(&root.join(".tidegate-tmp")), 0);
    drop(compaction);
    assert_eq!(run(root), Compacted::default());
}

fn session(root: &Path) -> sql::Session {
    let config = sql::SqlConfig {
        tables: vec![SqlTable::archive("results", root.to_path_buf(), TOPIC, schema(true))],
        models: None,
        statistics: vec![],
        memory_bytes: 256 << 20,
        spill_bytes: 256 << 20,
    };
    sql::Session::open(&config).unwrap()
}

#[test]
fn an_open_session_reads_every_row_once_whatever_is_compacted_and_removed() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    ten_days(root);
    let session = session(root);
    let rows = || {
        let counts = "SELECT count(*), count(DISTINCT \"partition\" * 1000000 + \"offset\"), \
                      count(DISTINCT source_partition) FROM results WHERE \"offset\" >= 0";
        let mut said = Vec::new();
        session.query(counts, &sql::Format::Csv, &mut said).unwrap();
        String::from_utf8(said).unwrap().lines().nth(1).unwrap().to_owned()
    };
    assert_eq!(rows(), "60,60,3");
    for (more, expected) in [(0, "60,60,3"), (10, "70,70,3"), (5, "75,75,3")] {
        if more > 0 {
            archive(root, 1, true, &days(120, more));
        }
        assert_eq!(rows(), expected, "archived");
        run(root);
        assert_eq!(rows(), expected, "compacted");
        open(root).expire(&expiry(0, 1000)).unwrap();
        assert_eq!(rows(), expected, "the originals removed");
    }
    assert_eq!(lying(&root.join("results")), 3, "each partition's newest file");
}

#[test]
fn a_query_leaves_other_days_and_partitions_unread() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    ten_days(root);
    run(root);
    archive(root, 0, true, &days(120, 10));
    let day = |day: i64| {
        let at = jiff::Timestamp::from_second(day * DAY / 1_000_000).unwrap();
        format!("'{at}'")
    };
    let (from, to) = (day(104), day(105));
    let within = format!("event_time >= {from} AND event_time < {to}");
    assert_eq!(ask(root, &format!("SELECT count(*) FROM results WHERE {within}")), [3]);
    assert_eq!(ask(root, "SELECT count(*) FROM results WHERE source_partition = 2"), [20]);
    let session = session(root);
    for (condition, read) in [(within.as_str(), 1), ("source_partition = 7", 0)] {
        let mut said = Vec::new();
        let query = format!("EXPLAIN ANALYZE SELECT \"offset\" FROM results WHERE {condition}");
        session.query(&query, &sql::Format::Csv, &mut said).unwrap();
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("files_ranges_pruned_statistics"), "{said}");
        let matched = format!("→ {read} matched");
        assert!(said.contains(&matched), "{condition}: {said}");
    }
}

//! Queries over folders that the archive wrote.

use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use schemas::MicroBatch;

use super::*;
use crate::archive::testing::{batch, config, topic};
use crate::archive::{Archive, Table, topic_folder};
use crate::parquet_io::ParquetRows;

fn schema(columns: &[&str]) -> SchemaRef {
    let mut fields = vec![
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
    ];
    fields.extend(columns.iter().map(|name| Field::new(*name, DataType::Float64, true)));
    Arc::new(Schema::new(fields))
}

/// Rows whose extra columns hold the offset.
fn table(columns: &[&str]) -> Table {
    let schema = schema(columns);
    let of = schema.clone();
    Table::new(schema, columns.join(","), move |batch: &MicroBatch| {
        let records = batch.records();
        let partitions: Int32Array = records.iter().map(|r| Some(r.partition)).collect();
        let offsets: Int64Array = records.iter().map(|r| Some(r.offset)).collect();
        let same: Float64Array = records.iter().map(|r| Some(r.offset as f64)).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(partitions), Arc::new(offsets)];
        columns.resize(of.fields().len(), Arc::new(same));
        RecordBatch::try_new(of.clone(), columns).unwrap()
    })
}

fn archive(root: &Path, columns: &[&str], partition: i32, offsets: std::ops::Range<i64>) {
    let config = config(root, "a");
    let mut archive = Archive::open(config, topic(), table(columns), SystemTime::now()).unwrap();
    archive.position(partition).unwrap();
    let _ = archive.append(&batch(partition, offsets), Instant::now()).unwrap();
    let _ = archive.finish().unwrap();
}

fn results(root: &Path, schema: Option<SchemaRef>) -> [SqlTable; 1] {
    [SqlTable { name: "results".into(), folder: topic_folder(root, "results", "scored"), schema }]
}

fn ask(root: &Path, sql: &str, format: &Format) -> Result<String, StoreError> {
    let mut out = Vec::new();
    query(&results(root, None), sql, format, MEMORY_BYTES, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn sample() -> tempfile::TempDir {
    let root = tempfile::Builder::new().prefix("tide gate*?%").tempdir().unwrap();
    archive(root.path(), &["x"], 0, 0..10);
    archive(root.path(), &["x", "y"], 0, 10..15);
    archive(root.path(), &["x", "y"], 3, 0..5);
    root
}

#[test]
fn old_and_new_files_are_one_table_with_the_folder_as_a_column() {
    let root = sample();
    let sql = "select source_partition, count(*) n, count(x) x, count(y) y, max(\"offset\") last \
               from results group by 1 order by 1";
    let answer = ask(root.path(), sql, &Format::Csv).unwrap();
    assert_eq!(answer, "source_partition,n,x,y,last\n0,15,15,5,14\n3,5,5,5,4\n");
    let pruned = "select count(*) n from results where source_partition = 3 and y >= 2";
    assert_eq!(ask(root.path(), pruned, &Format::Json).unwrap(), "{\"n\":3}\n");
}

#[test]
fn every_format_and_several_statements() {
    let root = sample();
    let two = "select 1 as a; select 'x' as b, make_array(1, 2) as c;";
    assert_eq!(ask(root.path(), two, &Format::Csv).unwrap(), "a\n1\nb,c\nx,\"[1, 2]\"\n");
    assert_eq!(
        ask(root.path(), two, &Format::Json).unwrap(),
        "{\"a\":1}\n{\"b\":\"x\",\"c\":[1,2]}\n"
    );
    assert!(ask(root.path(), two, &Format::Table).unwrap().contains("| a |"));
    let file = Format::Parquet(root.path().join("answer.parquet"));
    assert!(ask(root.path(), two, &file).is_err(), "one file, one statement");
    ask(root.path(), "select x from results order by x", &file).unwrap();
    let rows = ParquetRows::open(&root.path().join("answer.parquet"), 100).unwrap();
    assert_eq!(rows.rows(), 20);
    let none = ask(root.path(), "select x from results where x < 0", &Format::Csv).unwrap();
    assert_eq!(none, "x\n");
}

#[test]
fn a_long_table_is_cut_and_says_so() {
    let root = sample();
    let answer =
        ask(root.path(), "select * from generate_series(1, 1234)", &Format::Table).unwrap();
    assert!(answer.ends_with("1000 of 1234 rows; csv and json write them all\n"), "{answer}");
}

#[test]
fn only_queries_are_answered() {
    let root = sample();
    let inside = root.path().join("x.csv");
    for sql in [
        "create table t as select 1",
        "create view v as select 1",
        "drop table results",
        "insert into results select * from results",
        &format!("copy results to '{}'", inside.display()),
        "create external table t stored as parquet location '/etc'",
        "set datafusion.execution.batch_size = 1",
        "select * from '/etc/passwd'",
        "",
        "selec 1",
        "select nothing from results",
    ] {
        let error = ask(root.path(), sql, &Format::Csv).expect_err(sql);
        assert!(matches!(error, StoreError::Query(_)), "{sql}: {error}");
    }
    assert!(!inside.exists());
}

#[test]
fn an_empty_folder_has_the_columns_it_will_have_or_says_so() {
    let root = tempfile::tempdir().unwrap();
    let error = ask(root.path(), "select 1", &Format::Csv).unwrap_err().to_string();
    assert!(error.contains("holds no files yet"), "{error}");
    let tables = results(root.path(), Some(schema(&["x"])));
    let mut out = Vec::new();
    let sql = "select source_partition, x from results";
    assert_eq!(query(&tables, sql, &Format::Csv, MEMORY_BYTES, &mut out).unwrap(), 0);
    assert_eq!(out, b"source_partition,x\n");
}

#[test]
fn memory_has_a_limit() {
    let root = sample();
    let sql = "select count(distinct value) from generate_series(1, 3000000)";
    let mut out = Vec::new();
    query(&results(root.path(), None), sql, &Format::Csv, MEMORY_BYTES, &mut out).unwrap();
    let limited = query(&results(root.path(), None), sql, &Format::Csv, 1 << 20, &mut out);
    assert!(limited.unwrap_err().to_string().contains("Resources exhausted"));
}

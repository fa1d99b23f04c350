//! Queries over folders that the archive wrote.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arrow::array::{ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use schemas::MicroBatch;

use super::*;
use crate::archive::testing::{batch, config, topic};
use crate::archive::{Archive, Table, topic_folder};
use crate::parquet_io::{NewParquet, ParquetRows, as_json_lines};

/// Plenty for what these tests ask.
const MEMORY_BYTES: usize = 1 << 30;
const SPILL_BYTES: u64 = 1 << 30;

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
    [SqlTable::folder("results", topic_folder(root, "results", "scored"), schema)]
}

fn query(
    tables: &[SqlTable],
    sql: &str,
    format: &Format,
    memory_bytes: usize,
    out: &mut dyn Write,
) -> Result<u64, StoreError> {
    let tables = tables.to_vec();
    let spill_bytes = SPILL_BYTES;
    let config = SqlConfig { tables, models: None, statistics: vec![], memory_bytes, spill_bytes };
    Session::open(&config)?.query(sql, format, out)
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
fn only_the_folders_of_the_dates_that_are_asked_for_are_read() {
    let root = tempfile::tempdir().unwrap();
    for (day, from) in [("2026-01-30", 0), ("2026-01-31", 10), ("2026-02-01", 20)] {
        let folder = root.path().join(format!("by_date/date={day}"));
        std::fs::create_dir_all(&folder).unwrap();
        let values: ArrayRef = Arc::new((from..from + 10).map(Some).collect::<Int64Array>());
        let batch = RecordBatch::try_from_iter([("n", values)]).unwrap();
        let mut file = NewParquet::create(&folder.join("x.parquet"), &batch.schema()).unwrap();
        file.write(&batch).unwrap();
        file.publish().unwrap();
    }
    let tables = [SqlTable::folder("by_date", root.path().join("by_date"), None)];
    let ask = |sql: &str| {
        let mut out = Vec::new();
        query(&tables, sql, &Format::Csv, MEMORY_BYTES, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let asked = "from by_date where date >= date '2026-01-31' and n < 15";
    assert_eq!(
        ask(&format!("select date, sum(n) s {asked} group by 1")),
        "date,s\n2026-01-31,60\n"
    );
    let read = ask(&format!("explain analyze select n {asked}"));
    assert!(!read.contains("date=2026-01-30") && read.contains("date=2026-01-31"), "{read}");
    // The file of February is named, and its statistics spare it the reading.
    assert!(read.contains("pruned_statistics=2 total"), "{read}");
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
fn a_parquet_file_of_answers_holds_text_and_bytes_and_no_views_of_them() {
    let root = sample();
    let path = root.path().join("answer.parquet");
    let ask = |sql: &str| {
        ask(root.path(), sql, &Format::Parquet(path.clone())).unwrap();
        let rows = ParquetRows::open(&path, 4096).unwrap();
        let schema = format!("{:?}", rows.schema());
        assert!(!schema.contains("View"), "{schema}");
        let batches: Vec<RecordBatch> = rows.map(Result::unwrap).collect();
        std::fs::remove_file(&path).unwrap();
        batches
    };
    let view = |text: &str| format!("arrow_cast('{text}', 'Utf8View')");
    let answer = ask(&format!(
        "select {} t, arrow_cast('b', 'BinaryView') b, make_array({}) l, named_struct('m', {}) s, 1 n",
        view("a"),
        view("c"),
        view("d")
    ));
    let text = String::from_utf8(as_json_lines(&answer[0]).unwrap()).unwrap();
    assert_eq!(text, "{\"t\":\"a\",\"b\":\"62\",\"l\":[\"c\"],\"s\":{\"m\":\"d\"},\"n\":1}\n");
    // More rows than are made plain together.
    let many =
        "select arrow_cast(cast(value as varchar), 'Utf8View') t from generate_series(1, 5000)";
    let mut texts: Vec<String> = Vec::new();
    for batch in ask(many) {
        texts.extend(batch["t"].as_string::<i32>().iter().map(|text| text.unwrap().to_owned()));
    }
    texts.sort_by_key(|text| text.parse::<u32>().unwrap());
    assert_eq!(texts, (1..=5000).map(|value| value.to_string()).collect::<Vec<_>>());
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
fn a_statistic_sees_both_sides_of_each_group_and_rows_at_hand_are_a_table() {
    let x = Float64Array::from(vec![Some(1.0), None, Some(3.0), Some(4.0), Some(5.0)]);
    let side = arrow::array::BooleanArray::from(vec![
        Some(true),
        Some(true),
        Some(false),
        None,
        Some(false),
    ]);
    let group = Int64Array::from(vec![1, 1, 1, 1, 2]);
    let columns: [(&str, ArrayRef); 3] =
        [("x", Arc::new(x)), ("side", Arc::new(side)), ("g", Arc::new(group))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    // So many values on each side, a null among them, and their sums.
    let told = |reference: &[f64], current: &[f64]| {
        let sum = |values: &[f64]| values.iter().filter(|value| !value.is_nan()).sum::<f64>();
        let counts = (reference.len() * 100 + current.len() * 10) as f64;
        (!current.is_empty()).then(|| counts + sum(reference) + sum(current) / 10.0)
    };
    let config = SqlConfig {
        tables: vec![SqlTable::rows("t", batch)],
        models: None,
        statistics: vec![TwoSample::new("told", Arc::new(told))],
        memory_bytes: MEMORY_BYTES,
        spill_bytes: SPILL_BYTES,
    };
    let session = Session::open(&config).unwrap();
    let ask = |sql: &str| {
        let mut out = Vec::new();
        session.query(sql, &Format::Csv, &mut out).map(|_| String::from_utf8(out).unwrap())
    };
    assert_eq!(ask("select told(x, side) s from t").unwrap(), "s\n221.8\n");
    let groups = "select g, told(x, side) s, told(x, g = 9) n from t group by g order by g";
    assert_eq!(ask(groups).unwrap(), "g,s,n\n1,211.3,40.8\n2,10.5,10.5\n");
    assert_eq!(ask("select told(x, true) s from t").unwrap(), "s\n\"\"\n");
    let error = ask("select told('a', side) from t").unwrap_err().to_string();
    assert!(error.contains("no number"), "{error}");
    let error = ask("select told(x, 1) from t").unwrap_err().to_string();
    assert!(error.contains("a condition"), "{error}");
    assert!(ask("explain select told(x, side) from t").unwrap().contains("told"));
}

#[test]
fn memory_has_a_limit() {
    let root = sample();
    let sql = "select count(distinct value) from generate_series(1, 3000000)";
    let mut out = Vec::new();
    query(&results(root.path(), None), sql, &Format::Csv, MEMORY_BYTES, &mut out).unwrap();
    let limited = query(&results(root.path(), None), sql, &Format::Csv, 1 << 20, &mut out);
    let said = limited.unwrap_err().to_string();
    assert!(said.contains("Resources exhausted") && said.contains("sql.memory_mib"), "{said}");
}

#[test]
fn names_that_double_each_other_and_deep_queries_are_refused_before_they_are_planned() {
    let root = sample();
    let mut names = vec!["n0 as (select 1 as v)".to_owned()];
    names.extend((0..40).map(|n| format!("n{} as (select n{n}.v from n{n}, n{n} x)", n + 1)));
    let doubled = |levels: usize| {
        format!("with {} select count(*) n from n{levels}", names[..=levels].join(", "))
    };
    assert_eq!(ask(root.path(), &doubled(3), &Format::Csv).unwrap(), "n\n1\n");
    let nested = format!("select {}1{}", "(".repeat(5000), ")".repeat(5000));
    let within = format!("{}select 1{}", "select * from (".repeat(60), ")".repeat(60));
    let chain = format!("select {}1", "1 + ".repeat(5000));
    for (sql, said) in [
        (&doubled(40), ["1099511627776 tables", "1000 are taken"]),
        (&format!("explain {}", doubled(40)), ["1099511627776 tables", "1000 are taken"]),
        (&nested, ["50 levels", "fewer parentheses"]),
        (&within, ["50 levels", "fewer parentheses"]),
        (&chain, ["5000 operators", "4000 are taken"]),
    ] {
        let error = ask(root.path(), sql, &Format::Csv).expect_err(&sql[..20]).to_string();
        assert!(said.iter().all(|word| error.contains(word)), "{error}");
    }
}

#[test]
fn names_made_of_each_other_twice_are_selected_at_once_and_refused_in_a_condition() {
    let root = sample();
    let asked = |levels: usize, rest: &str| {
        let names: String = (1..=levels)
            .map(|level| format!(", c{level} as (select x + x as x from c{})", level - 1))
            .collect();
        let first = "c0 as (select x from results where x = 14)";
        format!("with {first}{names} select x from c{levels}{rest}")
    };
    let (plain, small) = (asked(30, ""), asked(8, " where x > 1"));
    let too_large = asked(30, " where x > 1");
    let answer = |sql: &str| ask(root.path(), sql, &Format::Csv);
    let begun = Instant::now();
    // On a stack like the program's own: a plan of sixty nodes is deep for a build without optimisations.
    std::thread::scope(|threads| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let all = || {
            assert_eq!(answer(&plain).unwrap(), "x\n15032385536.0\n");
            assert_eq!(answer(&small).unwrap(), "x\n3584.0\n");
            let said = answer(&too_large).unwrap_err().to_string();
            assert!(said.contains("1073741823 columns more"), "{said}");
        };
        thread.spawn_scoped(threads, all).unwrap().join().unwrap();
    });
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn a_file_of_answers_is_whole_or_not_there() {
    let root = sample();
    let [table] = results(root.path(), None);
    let config = SqlConfig {
        tables: vec![table],
        models: None,
        statistics: vec![],
        memory_bytes: MEMORY_BYTES,
        spill_bytes: SPILL_BYTES,
    };
    let session = Session::open(&config).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answer.csv");
    let files = || std::fs::read_dir(folder.path()).unwrap().count();
    // A typo, a table that is not there, an error after the first answer, one among the rows.
    for sql in [
        "selec 1",
        "select * from nothing",
        "select 1 as a; select * from nothing",
        "select 1 / (value - 5) from generate_series(1, 9)",
    ] {
        assert!(session.query_into(sql, &Format::Csv, &path).is_err(), "{sql}");
        assert_eq!(files(), 0, "{sql}");
    }
    session.query_into("select 1 as a; select 2 as b", &Format::Csv, &path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\n1\nb\n2\n");
    let taken = session.query_into("select 3 as c", &Format::Csv, &path).unwrap_err().to_string();
    assert!(taken.contains("a name that is free"), "{taken}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\n1\nb\n2\n");
    assert_eq!(files(), 1);
}

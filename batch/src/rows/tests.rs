//! The same rows from every format, in order, and clear words about what cannot be read.

use std::path::Path;

use arrow::array::{AsArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Int64Type};

use super::*;
use crate::parquet_io::NewParquet;

fn parquet(path: &Path, first: i64, rows: i64) {
    let fields = vec![
        Field::new("n", DataType::Int64, true),
        Field::new("a.b \"c\"", DataType::Float64, true),
    ];
    let batch = RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        vec![
            Arc::new(Int64Array::from_iter_values(first..first + rows)),
            Arc::new(Float64Array::from_iter((0..rows).map(|n| (n % 3 > 0).then_some(n as f64)))),
        ],
    )
    .unwrap();
    let mut file = NewParquet::create(path, &batch.schema()).unwrap();
    file.write(&batch).unwrap();
    file.publish().unwrap();
}

fn open(inputs: &[&Path], predicate: Option<&str>) -> Result<Rows, StoreError> {
    Rows::open(&RowsConfig {
        inputs: inputs.iter().map(|path| path.to_path_buf()).collect(),
        predicate: predicate.map(str::to_owned),
        declared: vec![Field::new("zip", DataType::Utf8, true)],
    })
}

fn numbers(rows: &Rows) -> Vec<i64> {
    let batches = rows.read(&["n"]).unwrap();
    batches
        .flat_map(|batch| batch.unwrap().column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect()
}

#[test]
fn a_folder_is_read_in_the_order_of_its_paths() {
    let folder = tempfile::Builder::new().prefix("rows *?%[").tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("p=1/deep")).unwrap();
    parquet(&at("p=1/deep/b.parquet"), 20_000, 5);
    parquet(&at("p=1/a.parquet"), 0, 20_000);
    parquet(&at(".hidden.parquet"), 1, 1);
    std::fs::write(at("notes.txt"), "no table").unwrap();
    let rows = open(&[folder.path()], None).unwrap();
    assert_eq!(rows.count().unwrap(), 20_005);
    assert_eq!(numbers(&rows), (0..20_005).collect::<Vec<_>>());
    assert_eq!(rows.files().len(), 2);
    let some =
        open(&[folder.path()], Some("n >= 20000 and \"a.b \"\"c\"\"\" is not null")).unwrap();
    assert_eq!(numbers(&some), [20_001, 20_002, 20_004]);
    assert_eq!(some.count().unwrap(), 3);
    let odd = rows.read(&["a.b \"c\""]).unwrap().map(|batch| batch.unwrap().num_rows());
    assert_eq!(odd.sum::<usize>(), 20_005);
}

#[test]
fn a_pattern_names_files() {
    let folder = tempfile::tempdir().unwrap();
    for (name, first) in [("a1.parquet", 0), ("a2.parquet", 10), ("b1.parquet", 20)] {
        parquet(&folder.path().join(name), first, 2);
    }
    let rows = open(&[&folder.path().join("a*.parquet")], None).unwrap();
    assert_eq!(numbers(&rows), [0, 1, 10, 11]);
}

#[test]
fn text_files_give_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("t.csv");
    std::fs::write(&csv, "n,zip,x\n1,007,0.5\n2,,\n").unwrap();
    let lines = folder.path().join("t.jsonl");
    std::fs::write(
        &lines,
        "{\"n\":1,\"zip\":\"007\",\"x\":0.5}\n{\"n\":2,\"zip\":null,\"x\":null}\n",
    )
    .unwrap();
    for path in [&csv, &lines] {
        let rows = open(&[path], None).unwrap();
        assert_eq!(numbers(&rows), [1, 2]);
        let batch = rows.read(&["zip", "x"]).unwrap().next().unwrap().unwrap();
        assert_eq!(batch.column(0).as_ref(), &StringArray::from(vec![Some("007"), None]));
        assert_eq!(batch.column(1).as_ref(), &Float64Array::from(vec![Some(0.5), None]));
    }
    assert!(open(&[folder.path()], None).is_err(), "two formats in one input");
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("empty")).unwrap();
    std::fs::write(at("broken.parquet"), "no").unwrap();
    std::fs::write(at("table.xlsx"), "no").unwrap();
    parquet(&at("good.parquet"), 0, 3);
    for (input, predicate, said) in [
        ("missing.parquet", None, "no such file"),
        ("none*.parquet", None, "holds no .parquet"),
        ("empty", None, "holds no .parquet"),
        ("table.xlsx", None, "must end in"),
        ("broken.parquet", None, "broken.parquet"),
        ("good.parquet", Some("m > 1"), "`m > 1`"),
        ("good.parquet", Some("n >"), "`n >`"),
    ] {
        let error = open(&[&at(input)], predicate).err().expect("refused").to_string();
        assert!(error.contains(said), "{input}: {error}");
    }
}

#[test]
fn objects_are_found_as_files_are() {
    let store = Arc::new(object_store::memory::InMemory::new());
    files::put_for_tests("test-find", store);
    let files = files::of(Path::new("s3://test-find")).unwrap();
    let beside = Path::new("s3://test-find/.tmp");
    for key in
        ["a.csv", "in/x.csv", "in/day=1/y.csv", "in/.part/z.csv", "in/notes.txt", "in2/w.csv"]
    {
        files.create(beside).unwrap().write_all(b"n\n1\n").unwrap();
        files.publish(beside, &Path::new("s3://test-find").join(key)).unwrap();
    }
    let cases: [(&str, &[&str]); 9] = [
        ("a.csv", &["a.csv"]),
        ("in", &["in/day=1/y.csv", "in/x.csv"]),
        ("in/", &["in/day=1/y.csv", "in/x.csv"]),
        ("in/*.csv", &["in/x.csv"]),
        ("in*/?.csv", &["in/x.csv", "in2/w.csv"]),
        ("in/day=*", &["in/day=1/y.csv"]),
        ("**/y.csv", &["in/day=1/y.csv"]),
        ("nothing", &[]),
        ("in/*.parquet", &[]),
    ];
    for (input, expected) in cases {
        let input = PathBuf::from(format!("s3://test-find/{input}"));
        let found = find::find(std::slice::from_ref(&input)).map(|found| found.files);
        let expected: Vec<PathBuf> =
            expected.iter().map(|key| Path::new("s3://test-find").join(key)).collect();
        assert_eq!(found.unwrap_or_default(), expected, "{}", input.display());
    }
    let inputs = vec![PathBuf::from("s3://test-find/in/x.csv")];
    let rows = Rows::open(&RowsConfig { inputs, ..RowsConfig::default() }).unwrap();
    assert_eq!(rows.count().unwrap(), 1);
}

#[test]
fn each_file_is_read_once_however_many_inputs_mean_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for file in ["a.csv", "in/b.csv", "in/deep/c.csv", "in/x.csv/part-0.csv", "in/.tmp/d.csv"] {
        std::fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
        std::fs::write(root.join(file), "n\n1\n").unwrap();
    }
    let below = ["in/b.csv", "in/deep/c.csv", "in/x.csv/part-0.csv"];
    let cases: [(&[&str], &[&str]); 8] = [
        (&["in"], &below),
        (&["in/**/*"], &below),
        // Such a pattern means folders.
        (&["in/**"], &below[1..]),
        (&["in/**/*.csv"], &below),
        (&["in/*"], &below),
        (&["in/./b.csv", "in/b.csv"], &["in/./b.csv"]),
        (&["in/deep", "in"], &["in/deep/c.csv", "in/b.csv", "in/x.csv/part-0.csv"]),
        // A hidden folder that is named is meant.
        (&["in/.tmp/*.csv"], &["in/.tmp/d.csv"]),
    ];
    for (inputs, expected) in cases {
        let inputs: Vec<PathBuf> = inputs.iter().map(|input| root.join(input)).collect();
        let expected: Vec<PathBuf> = expected.iter().map(|file| root.join(file)).collect();
        assert_eq!(find::find(&inputs).unwrap().files, expected, "{inputs:?}");
    }
}

//! Jobs over small files with a model that doubles, and refuses what is negative.

use std::fs;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use schemas::{Contract, PredictError, Predictor};

use super::*;
use crate::parquet_io::ParquetRows;

mod again;
mod shapes;
mod together;

pub(super) const CONTRACT: &str = "name = 'c'\n[[fields]]\nname = 'id'\ntype = 'string'\n[[fields]]\nname = 'x'\n\
    type = 'float64'\nnullable = true\n[[fields]]\nname = 'n'\ntype = 'int16'\n";

pub(super) struct Doubler;

impl Predictor for Doubler {
    fn outputs(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("twice", DataType::Float64, true)]))
    }

    fn predict(&mut self, events: &RecordBatch) -> Result<RecordBatch, PredictError> {
        let values = events.column_by_name("x").unwrap().as_primitive::<Float64Type>();
        if values.iter().flatten().any(|value| value < 0.0) {
            return Err(PredictError::Rows("negative".into()));
        }
        let twice: Float64Array =
            values.iter().map(|value| value.map(|value| value * 2.0)).collect();
        Ok(RecordBatch::try_new(self.outputs(), vec![Arc::new(twice)]).unwrap())
    }
}

pub(super) fn model(contract: &str) -> Arc<Model> {
    Arc::new(Model {
        name: "double".into(),
        version: "1".into(),
        sha256: "0".into(),
        package: "00".into(),
        contract: Contract::from_toml(contract).unwrap(),
        outputs: Doubler.outputs(),
        sessions: Sessions::new(2, Box::new(|| Ok(Box::new(Doubler)))),
    })
}

fn config(folder: &Path, inputs: &[&str]) -> ScoreConfig {
    ScoreConfig {
        inputs: inputs.iter().map(|name| folder.join(name)).collect(),
        output: folder.join("out"),
        ..ScoreConfig::default()
    }
}

fn run(config: ScoreConfig) -> Result<State, StoreError> {
    let mut job = Job::open(config, model(CONTRACT))?;
    job.run(2, SystemTime::UNIX_EPOCH, &|_| {}, &|| false)?;
    Ok(job.state())
}

fn refused(config: ScoreConfig) -> String {
    Job::open(config, model(CONTRACT)).err().expect("refused").to_string()
}

/// Every row of a folder of the output, in the order of the files.
fn rows(folder: &Path, of: &str) -> Vec<RecordBatch> {
    let mut files: Vec<_> = fs::read_dir(folder.join("out").join(of))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let batches = files.iter().flat_map(|file| ParquetRows::open(file, 1000).unwrap());
    batches.map(Result::unwrap).collect()
}

fn texts(batches: &[RecordBatch], column: &str) -> Vec<String> {
    let of = |batch: &RecordBatch| -> Vec<String> {
        let column = batch.column_by_name(column).unwrap_or_else(|| panic!("no {column}"));
        (0..column.len())
            .map(|row| arrow::util::display::array_value_to_string(column, row).unwrap())
            .collect()
    };
    batches.iter().flat_map(of).collect()
}

/// A Parquet file of wide types, in row groups of three rows: `id`, `x`, `n`, and `other`.
fn parquet(path: &Path, from: i64, rows: i64) {
    let range = || from..from + rows;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(range().map(|n| Some(format!("r{n}"))).collect::<StringArray>())),
        (
            "x",
            Arc::new(range().map(|n| (n % 5 != 0).then_some(n as f64)).collect::<Float64Array>()),
        ),
        ("n", Arc::new(range().collect::<Int64Array>())),
        ("other", Arc::new(range().map(|n| -n).collect::<Int64Array>())),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(3)).build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

const LINES: &str = "{\"id\":\"r0\",\"x\":null,\"n\":0}\n{\"id\":\"r1\",\"x\":1,\"n\":1,\"other\":-1}\n\n\
    not json\n{\"id\":\"r2\",\"x\":-2.5,\"n\":2}\n{\"id\":\"r3\",\"x\":3e0,\"n\":70000}\n{\"id\":\"r4\",\"x\":4,\"n\":4}";
const CSV: &str = "n,id,x,other\n0,r0,,a\n1,r1,1,b\nx,,,\n2,r2,-2.5,d\n70000,r3,3e0,e\n4,r4,4,f\n";

#[test]
fn every_row_is_scored_or_rejected_with_its_reason() {
    for (name, text) in [("in.jsonl", LINES), ("in.csv", CSV)] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        let state = run(config(folder.path(), &[name])).unwrap();
        assert_eq!((state.files, state.parts, state.parts_done), (1, 1, 1), "{name}");
        assert_eq!(state.counts, Counts { rows: 6, scored: 3, rejected: 3 }, "{name}");
        let results = rows(folder.path(), "results");
        assert_eq!(texts(&results, "id"), ["r0", "r1", "r4"]);
        assert_eq!(texts(&results, "prediction_twice"), ["", "2.0", "8.0"]);
        assert_eq!(texts(&results, "model_version"), ["1", "1", "1"]);
        let rejects = rows(folder.path(), "rejects");
        assert_eq!(texts(&rejects, "stage"), ["decode", "model", "decode"]);
        let reasons = texts(&rejects, "reason");
        assert_eq!(reasons[1], "negative");
        assert!(reasons[2].contains("\"n\"") && reasons[2].contains("int16"), "{reasons:?}");
        let positions = texts(&rejects, "input_position");
        match name {
            "in.csv" => {
                assert_eq!(positions, ["2", "3", "4"]);
                assert_eq!(texts(&results, "other"), ["a", "b", "f"]);
            }
            _ => {
                let original = rejects[0].column_by_name("original").unwrap().as_binary::<i32>();
                assert_eq!(original.value(0), b"not json");
                let at: usize = positions[0].parse().unwrap();
                assert!(text[at..].starts_with("not json"));
            }
        }
        assert!(texts(&rejects, "input_file")[0].ends_with(name));
    }
}

#[test]
fn parquet_in_folders_with_a_condition() {
    let folder = tempfile::tempdir().unwrap();
    for (day, from) in [("1", 0), ("2", 10)] {
        parquet(&folder.path().join(format!("in/day={day}/x.parquet")), from, 10);
    }
    let asked = ScoreConfig {
        predicate: Some("day = '2' and other < -11 or n = 4".into()),
        columns: vec!["id".into(), "day".into()],
        coordinates: true,
        ..config(folder.path(), &["in"])
    };
    let state = run(asked).unwrap();
    assert_eq!(state.counts, Counts { rows: 20, scored: 9, rejected: 0 });
    assert_eq!(state.counts.left_out(), 11);
    let results = rows(folder.path(), "results");
    assert_eq!(texts(&results, "id")[..3], ["r4", "r12", "r13"]);
    assert_eq!(texts(&results, "day")[..2], ["1", "2"]);
    assert_eq!(texts(&results, "prediction_twice")[..4], ["8.0", "24.0", "26.0", "28.0"]);
    assert_eq!(texts(&results, "input_position")[..3], ["4", "2", "3"]);
    assert!(results[0].column_by_name("other").is_none());
    assert!(rows(folder.path(), "rejects").is_empty());
}

#[test]
fn a_stretch_of_a_file_is_read_once_wherever_it_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (path, model) = (folder.path().join("in.jsonl"), model(CONTRACT));
    fs::write(&path, LINES).unwrap();
    let whole = parts::plan(&[path], &model.contract).unwrap();
    for cut in (1..LINES.len() as u64).step_by(3) {
        let mut planned = parts::plan(&[folder.path().join("in.jsonl")], &model.contract).unwrap();
        let part = whole.parts[0].clone();
        let end = part.range.end;
        planned.parts = vec![
            parts::Part { range: 0..cut, ..part.clone() },
            parts::Part { range: cut..end, ..part },
        ];
        let columns = Columns::new(&model, &planned.shape.schema, &[], false, b"").unwrap();
        let plan = plan(&model, &ScoreConfig::default(), &planned, &columns).unwrap();
        let worker = Worker::here(&model, plan, &planned, &columns).unwrap();
        let out = tempfile::tempdir().unwrap();
        let folders = Folders::below(out.path()).unwrap();
        folders.make(&[]).unwrap();
        let mut counts = Counts::default();
        for part in [0, 1] {
            let done = worker.part(part, &folders, 0, &|_| {}, &|| false).unwrap();
            counts.add(done.expect("nobody stopped it"));
        }
        assert_eq!(counts, Counts { rows: 6, scored: 3, rejected: 3 }, "cut at {cut}");
    }
}

#[test]
fn a_job_goes_on_with_what_is_left_and_a_finished_one_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..5 {
        parquet(&folder.path().join(format!("in/{number}.parquet")), number * 10, 10);
    }
    let asked = || config(folder.path(), &["in"]);
    let first = run(asked()).unwrap();
    assert_eq!((first.parts, first.counts.scored), (5, 50));
    let results = folder.path().join("out/results");
    let changed = |name: &str| fs::metadata(results.join(name)).unwrap().modified().unwrap();
    let before = changed("000000.parquet");
    fs::remove_file(results.join("000003.parquet")).unwrap();
    // Left by a killed job: rejects without results, and a temporary.
    fs::write(folder.path().join("out/rejects/000003.parquet"), "old").unwrap();
    fs::write(folder.path().join("out/.tidegate-tmp/results-000003.parquet"), "cut").unwrap();
    let job = Job::open(asked(), model(CONTRACT)).unwrap();
    assert_eq!((job.state().parts_done, job.state().rows_left), (4, Some(10)));
    assert!(refused(asked()).contains("another job"), "it is one job's at a time");
    drop(job);
    assert_eq!(run(asked()).unwrap(), first);
    assert_eq!(changed("000000.parquet"), before, "what was done stays");
    let ids = texts(&rows(folder.path(), "results"), "id");
    assert_eq!(ids, (0..50).map(|n| format!("r{n}")).collect::<Vec<_>>());
    assert!(rows(folder.path(), "rejects").is_empty());
}

#[test]
fn another_job_is_refused_and_told_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    parquet(&folder.path().join("in/a.parquet"), 0, 4);
    let asked = || config(folder.path(), &["in"]);
    run(asked()).unwrap();
    let differing = [
        (
            ScoreConfig { predicate: Some("n > 1".into()), ..asked() },
            "--where: none then, n > 1 now",
        ),
        (ScoreConfig { columns: vec!["id".into()], ..asked() }, "--columns"),
        (ScoreConfig { coordinates: true, ..asked() }, "--include"),
    ];
    for (config, expected) in differing {
        let said = refused(config);
        assert!(said.contains(expected) && said.contains("name another folder"), "{said}");
    }
    // Of its files none is there: it is another input, whatever its folder is called.
    let (own, away) = (folder.path().join("in/a.parquet"), folder.path().join("away.parquet"));
    fs::rename(&own, &away).unwrap();
    parquet(&folder.path().join("in/b.parquet"), 4, 4);
    assert!(refused(asked()).contains("b.parquet is new"));
    fs::rename(&away, &own).unwrap();
    parquet(&own, 0, 5);
    assert!(refused(asked()).contains("a.parquet changed"));
}

#[test]
fn what_cannot_be_scored_is_said_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    parquet(&folder.path().join("in/a.parquet"), 0, 4);
    fs::write(folder.path().join("half.parquet"), "PAR1 and no more").unwrap();
    fs::write(folder.path().join("less.csv"), "id,x\na,1\n").unwrap();
    fs::write(folder.path().join("twice.csv"), "id,x,n,x\na,1,1,2\n").unwrap();
    fs::write(folder.path().join("empty.csv"), "").unwrap();
    let with = |inputs: &[&str]| config(folder.path(), inputs);
    for (config, expected) in [
        (with(&["half.parquet"]), "half.parquet"),
        (with(&["less.csv"]), "no column \"n\""),
        (with(&["twice.csv"]), "two columns are called \"x\""),
        (with(&["nowhere"]), "no such file"),
        (ScoreConfig { predicate: Some("nothing > 1".into()), ..with(&["in"]) }, "nothing > 1"),
        (ScoreConfig { columns: vec!["y".into()], ..with(&["in"]) }, "\"y\""),
        (ScoreConfig { output: folder.path().join("in/out"), ..with(&["in"]) }, "lies in one"),
        (ScoreConfig { output: folder.path().join("less.csv"), ..with(&["in"]) }, "it is a file"),
        (
            ScoreConfig { output: folder.path().to_path_buf(), ..with(&["in/a.parquet"]) },
            "no job's",
        ),
    ] {
        let said = refused(config);
        assert!(said.contains(expected), "{expected}: {said}");
        assert!(!folder.path().join("out").exists(), "{expected}");
    }
    assert!(refused(with(&["empty.csv"])).contains("empty.csv"));
    fs::write(folder.path().join("cut.csv"), "id,x,n\na,1,1\nb,2\n").unwrap();
    let said = run(with(&["cut.csv"])).unwrap_err().to_string();
    assert!(said.contains("cut.csv") && said.contains("cut off"), "{said}");
}

#[test]
fn a_file_that_goes_or_changes_midway_ends_the_job_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join("in").join(name);
    for name in ["a.parquet", "b.parquet"] {
        parquet(&path(name), 0, 4);
    }
    let mut job = Job::open(config(folder.path(), &["in"]), model(CONTRACT)).unwrap();
    fs::remove_file(path("b.parquet")).unwrap();
    let said = job.run(1, SystemTime::now(), &|_| {}, &|| false).unwrap_err().to_string();
    assert!(said.contains("b.parquet is gone"), "{said}");
    drop(job);
    parquet(&path("b.parquet"), 0, 5);
    let said = refused(config(folder.path(), &["in"]));
    assert!(said.contains("b.parquet changed"), "{said}");
}

#[test]
fn a_text_file_that_is_cut_short_while_it_is_read_ends_its_part() {
    let folder = tempfile::tempdir().unwrap();
    let (path, model) = (folder.path().join("in.jsonl"), model(CONTRACT));
    fs::write(&path, LINES).unwrap();
    let mut planned = parts::plan(&[path], &model.contract).unwrap();
    // As if the rest had been there when the job was planned, and when the part was begun.
    planned.parts[0].range.end += 100;
    let columns = Columns::new(&model, &planned.shape.schema, &[], false, b"").unwrap();
    let plan = plan(&model, &ScoreConfig::default(), &planned, &columns).unwrap();
    let worker = Worker::here(&model, plan, &planned, &columns).unwrap();
    let folders = Folders::below(&folder.path().join("out")).unwrap();
    folders.make(&[]).unwrap();
    let cut = worker.part(0, &folders, 0, &|_| {}, &|| false).unwrap_err().to_string();
    assert!(cut.contains(&format!("ends at byte {}", LINES.len())), "{cut}");
}

#[test]
fn asked_to_end_it_leaves_whole_files_and_goes_on_later() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.parquet", "b.parquet"] {
        parquet(&folder.path().join("in").join(name), 0, 4);
    }
    let asked = config(folder.path(), &["in"]);
    let mut job = Job::open(asked.clone(), model(CONTRACT)).unwrap();
    let files = folder.path().join("out/results");
    let one_is_there = || fs::read_dir(&files).unwrap().count() > 0;
    job.run(1, SystemTime::now(), &|_| {}, &one_is_there).unwrap();
    assert_eq!(job.state().parts_done, 1);
    drop(job);
    assert_eq!(run(asked).unwrap().counts.scored, 8);
}

#[test]
fn temporaries_are_swept_only_where_no_other_job_can_be() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.csv"), CSV).unwrap();
    let bucket = Arc::new(object_store::memory::InMemory::new());
    crate::files::put_for_tests("test-sweep", bucket);
    let here = config(folder.path(), &["in.csv"]);
    let there = ScoreConfig { output: "s3://test-sweep/out".into(), ..here.clone() };
    for (config, stays) in [(here, false), (there, true)] {
        let folders = Folders::below(&config.output).unwrap();
        folders.make(&config.inputs).unwrap();
        let of = |name| folders.temporaries.join(name);
        let (left, foreign) = (of("results-000000.parquet"), of("mine.parquet"));
        for name in [&left, &foreign] {
            let being_written = of("being-written");
            folders.files.create(&being_written).unwrap().write_all(b"x").unwrap();
            folders.files.publish(&being_written, name).unwrap();
        }
        drop(Job::open(config, model(CONTRACT)).unwrap());
        assert_eq!(folders.files.stat(&left).is_ok(), stays, "{}", left.display());
        assert!(folders.files.stat(&foreign).is_ok(), "{}", foreign.display());
    }
}

#[test]
fn sensitive_columns_and_names_of_the_outputs_own() {
    let contract = "name = 'c'\n[[fields]]\nname = 'id'\ntype = 'string'\nsensitive = 'hash'\n[[fields]]\n\
        name = 'x'\ntype = 'float64'\n[[fields]]\nname = 'pin'\ntype = 'string'\nsensitive = 'drop'\n";
    let folder = tempfile::tempdir().unwrap();
    let csv = "id,x,pin,model_name,prediction_twice\na,1,p,old,7\nb,-1,q,old,8\n";
    fs::write(folder.path().join("in.csv"), csv).unwrap();
    let asked = ScoreConfig { salt: b"s".to_vec(), ..config(folder.path(), &["in.csv"]) };
    let error = Job::open(config(folder.path(), &["in.csv"]), model(contract)).err();
    assert!(error.expect("no salt").to_string().contains("hash_salt"));
    let mut job = Job::open(asked.clone(), model(contract)).unwrap();
    job.run(1, SystemTime::now(), &|_| {}, &|| false).unwrap();
    let results = rows(folder.path(), "results");
    let hash = texts(&results, "id").remove(0);
    let expected = schemas::hashed(&(Arc::new(StringArray::from(vec!["a"])) as ArrayRef), b"s");
    assert_eq!(hash, expected.as_string::<i32>().value(0));
    assert_eq!(texts(&results, "previous_prediction_twice"), ["7"]);
    assert_eq!(texts(&results, "previous_model_name"), ["old"]);
    assert_eq!(texts(&results, "model_name"), ["double"]);
    let rejects = rows(folder.path(), "rejects");
    for batches in [&results, &rejects] {
        assert!(batches[0].column_by_name("pin").is_none());
    }
    assert!(rejects[0].column_by_name("id").is_none());
    assert_eq!(rejects[0].column_by_name("original").unwrap().null_count(), 1);
    let positions = rejects[0].column_by_name("input_position").unwrap();
    assert_eq!(positions.as_primitive::<Int64Type>().value(0), 1);
    drop(job);
    let other = Job::open(ScoreConfig { salt: b"t".to_vec(), ..asked }, model(contract));
    assert!(other.err().expect("refused").to_string().contains("another salt"));
}

//! The demo's flights three ways, for each of its models: the stream, `score` and SQL's `predict` answer
//! with the same bits.

use std::collections::BTreeMap;
use std::fs;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type};

use super::{demo, rows, score, text};
use crate::harness::{Broker, FLIGHTS, Pipeline, ended_with, folder, scored};
use crate::sql::FEATURES;

/// What stands where there is no answer.
const NULL: &str = "null";

/// Answers of a flight by its key: a number as its bits in hex, a label as it is.
type Answers = BTreeMap<String, Vec<String>>;

fn words(column: &ArrayRef) -> Vec<String> {
    let texts = cast(column, &DataType::Utf8).expect("whatever it is, it has a text");
    let texts = texts.as_string::<i32>();
    texts.iter().map(|text| text.unwrap_or(NULL).to_owned()).collect()
}

fn bits(column: &ArrayRef) -> Vec<String> {
    if column.data_type() != &DataType::Float32 {
        return words(column);
    }
    let numbers = column.as_primitive::<Float32Type>().iter();
    numbers
        .map(|number| number.map_or(NULL.to_owned(), |it| format!("{:08x}", it.to_bits())))
        .collect()
}

fn answers(batches: &[RecordBatch], columns: &[String]) -> Answers {
    let mut found = Answers::new();
    for batch in batches {
        let column = |name: &str| {
            batch.column_by_name(name).unwrap_or_else(|| panic!("no {name} in {}", batch.schema()))
        };
        let given: Vec<Vec<String>> = columns.iter().map(|name| bits(column(name))).collect();
        for (row, id) in words(column("id")).into_iter().enumerate() {
            let answer = given.iter().map(|column| column[row].clone()).collect();
            let before = found.insert(id.clone(), answer);
            assert_eq!(before, None, "{id} is there twice");
        }
    }
    found
}

#[track_caller]
fn same(way: &str, found: &Answers, streamed: &Answers) {
    let other = streamed.iter().find(|(id, answer)| found.get(*id) != Some(*answer));
    let (id, answer) = other.unzip();
    let theirs = id.and_then(|id| found.get(id));
    assert!(other.is_none(), "{way}: {theirs:?} of {id:?}, and the stream said {answer:?}");
    assert_eq!(found.len(), streamed.len(), "{way}");
}

/// Answers of a model, once they are the same whichever way; `outputs` are its outputs, each as `predict`'s
/// answer `p` gives it. `None` without Kafka.
fn any_way(model: &str, outputs: &[(&str, &str)]) -> Option<Answers> {
    let broker = Broker::shared()?;
    let columns: Vec<String> =
        outputs.iter().map(|(name, _)| format!("prediction_{name}")).collect();
    // Batches that end at other rows than those of a file and of a query do.
    let name = format!("model.name={model}");
    let pipeline = Pipeline::new(broker, model, &[&name, "batch.max_rows=97"]);
    pipeline.produced(FLIGHTS);
    scored(&pipeline);
    let streamed = answers(&rows(&pipeline.archive().join("results")), &columns);
    assert_eq!(streamed.len() as u64, FLIGHTS);

    let folder = folder();
    let job = folder.path().join("job");
    ended_with(&score(&demo("flights.parquet"), &job, &["--model", model]), 0);
    same("score", &answers(&rows(&job.join("results")), &columns), &streamed);

    // Into a file: what is printed is rounded, or may be.
    let query = folder.path().join("query");
    fs::create_dir(&query).expect("writable");
    let file = text(&query.join("answers.parquet"));
    let named: Vec<String> =
        outputs.iter().zip(&columns).map(|((_, of), column)| format!("{of} AS {column}")).collect();
    let asked = format!(
        "WITH s AS (SELECT id, predict('{model}', {FEATURES}) AS p FROM results) \
         SELECT id, {} FROM s",
        named.join(", ")
    );
    let flags = ["-c", &asked, "--format", "parquet", "--output", &file];
    ended_with(&pipeline.command(&["sql"], &flags), 0);
    same("predict", &answers(&rows(&query), &columns), &streamed);
    Some(streamed)
}

/// How many different answers there are in a place.
fn different(answers: &Answers, place: usize) -> usize {
    let mut all: Vec<&String> = answers.values().map(|answer| &answer[place]).collect();
    all.sort_unstable();
    all.dedup();
    assert!(all.iter().all(|answer| *answer != NULL), "an answer is missing");
    all.len()
}

#[test]
fn the_delay_has_the_same_bits_from_stream_job_and_query() {
    let Some(answers) = any_way("flight-delay", &[("arr_delay", "p")]) else { return };
    assert!(different(&answers, 0) as u64 > FLIGHTS / 2, "one answer for most flights says little");
}

#[test]
fn the_class_and_its_probability_have_the_same_bits_from_stream_job_and_query() {
    let outputs = [("late_probability", "p['late_probability']"), ("verdict", "p['verdict']")];
    let Some(answers) = any_way("flight-late", &outputs) else { return };
    assert!(different(&answers, 0) as u64 > FLIGHTS / 2, "one answer for most flights says little");
    assert_eq!(different(&answers, 1), 2, "on_time and late");
}

//! Every kind of model against the answers its framework gave in Python: all rows at once, in
//! sevens and alone; and the same rows as golden rows of `Package::check`.

mod common;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use common::{borrowed, contract, golden, numbered, package, runtime};
use infer::OnnxPredictor;
use schemas::{Contract, Predictor};

const MATRIX: &str = r#"
[[inputs]]
tensor = "X"
dtype = "float32"
shape = [-1, 4]
features = ["f0", "f1", "f2", "f3"]
"#;

/// Scores the model's golden rows in parts of several sizes and compares; then runs `check`.
fn holds(model: &str, head: &str, body: &str, contract: &Contract, tolerance: f64) {
    let Some(runtime) = runtime() else { return };
    let package = package(model, head, body);
    let (events, expected) = golden(model, contract);
    let mut predictor = OnnxPredictor::new(&runtime, &package, contract).unwrap();
    assert_eq!(predictor.outputs(), package.output_schema());
    for size in [events.num_rows(), 7, 1] {
        let parts: Vec<RecordBatch> = (0..events.num_rows())
            .step_by(size)
            .map(|start| events.slice(start, size.min(events.num_rows() - start)))
            .map(|part| predictor.predict(&part).unwrap())
            .collect();
        let answers = concat_batches(&predictor.outputs(), &parts).unwrap();
        for (name, expected) in &expected {
            compare(model, name, answers.column_by_name(name).unwrap(), expected, tolerance);
        }
    }
    let report = package.check(&runtime, contract, Some(&with_expected(&events, &expected)));
    assert!(report.passed(), "{report}");
    assert_eq!(report.golden.unwrap().outputs.len(), expected.len());
}

fn compare(model: &str, name: &str, have: &ArrayRef, expected: &ArrayRef, tolerance: f64) {
    assert_eq!(have.len(), expected.len(), "{model} {name}");
    if let Some(lists) = have.as_list_opt::<i32>() {
        return compare(model, name, lists.values(), expected.as_list::<i32>().values(), tolerance);
    }
    if *expected.data_type() != DataType::Float64 {
        assert_eq!(&cast(have, expected.data_type()).unwrap(), expected, "{model} {name}");
        return;
    }
    let have = cast(have, &DataType::Float64).unwrap();
    let pairs =
        have.as_primitive::<Float64Type>().iter().zip(expected.as_primitive::<Float64Type>());
    for (row, (have, expected)) in pairs.enumerate() {
        let (have, expected) = (have.unwrap(), expected.unwrap());
        let error = (have - expected).abs() / expected.abs().max(1.0);
        assert!(error <= tolerance, "{model} {name} row {row}: {have}, {expected} was expected");
    }
}

fn with_expected(events: &RecordBatch, expected: &[(String, ArrayRef)]) -> RecordBatch {
    let mut fields: Vec<Arc<Field>> = events.schema().fields().iter().cloned().collect();
    let mut columns = events.columns().to_vec();
    for (name, column) in expected {
        fields.push(Arc::new(Field::new(
            format!("expected_{name}"),
            column.data_type().clone(),
            true,
        )));
        columns.push(column.clone());
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn four() -> Contract {
    // Other types than the tensor's: they are converted.
    contract(&[
        ("f0", "float32"),
        ("f1", "float64"),
        ("spare", "string?"),
        ("f2", "float32"),
        ("f3", "float64"),
    ])
}

/// The golden files have no column for fields that no feature uses.
fn four_used() -> Contract {
    contract(&[("f0", "float32"), ("f1", "float64"), ("f2", "float32"), ("f3", "float64")])
}

#[test]
fn a_matrix_and_a_regression() {
    let fields = numbered("f", 15, "float32");
    let body = format!(
        "[[inputs]]\ntensor = \"X\"\ndtype = \"float32\"\nshape = [-1, 15]\nfeatures = {:?}\n\
         [[outputs]]\nname = \"value\"\ntensor = \"variable\"\ndtype = \"float32\"\nkind = \"value\"\n",
        fields.iter().map(|(name, _)| name).collect::<Vec<_>>()
    );
    holds("mlp", "", &body, &contract(&borrowed(&fields)), 1e-5);
    let small = "max_batch_rows = 3";
    holds("mlp", small, &body, &contract(&borrowed(&fields)), 1e-5);
}

#[test]
fn a_classifier_with_zipmap() {
    let body = format!(
        r#"{MATRIX}
[[outputs]]
name = "late"
tensor = "output_probability"
dtype = "float32"
kind = "probability"
class = "late"
classes = ["early", "late", "on_time"]
[[outputs]]
name = "label"
tensor = "output_label"
dtype = "string"
kind = "label"
[[outputs]]
name = "decided"
tensor = "output_probability"
dtype = "float32"
kind = "label"
classes = ["early", "late", "on_time"]
"#
    );
    holds("boosted_zipmap", "", &body, &four_used(), 1e-5);
}

#[test]
fn a_classifier_without_zipmap_decides_as_its_label_says() {
    let body = format!(
        r#"{MATRIX}
[[outputs]]
name = "late"
tensor = "probabilities"
dtype = "float32"
kind = "probability"
index = 1
[[outputs]]
name = "label"
tensor = "probabilities"
dtype = "float32"
kind = "label"
classes = ["early", "late", "on_time"]
"#
    );
    holds("boosted", "", &body, &four_used(), 1e-5);
}

#[test]
fn integer_classes_in_a_zipmap() {
    let body = format!(
        r#"{MATRIX}
[[outputs]]
name = "seven"
tensor = "output_probability"
dtype = "float32"
kind = "probability"
class = "7"
classes = ["0", "7"]
[[outputs]]
name = "label"
tensor = "output_label"
dtype = "int64"
kind = "label"
"#
    );
    holds("integer_zipmap", "", &body, &four_used(), 1e-5);
}

#[test]
fn one_input_per_column_with_text_and_integers() {
    let body = r#"
[[inputs]]
tensor = "month"
dtype = "int64"
shape = [-1, 1]
features = ["month"]
[[inputs]]
tensor = "carrier"
dtype = "string"
shape = [-1, 1]
features = ["carrier"]
[[inputs]]
tensor = "distance"
dtype = "float32"
shape = [-1, 1]
features = ["distance"]
[[outputs]]
name = "late"
tensor = "probabilities"
dtype = "float32"
kind = "probability"
class = "late"
classes = ["on_time", "late"]
[[outputs]]
name = "label"
tensor = "label"
dtype = "int64"
kind = "label"
classes = ["on_time", "late"]
"#;
    let contract = contract(&[("carrier", "string"), ("month", "int8"), ("distance", "float32")]);
    holds("columns", "", body, &contract, 1e-5);
}

#[test]
fn bytes_bools_and_a_threshold() {
    let body = r#"
[[inputs]]
tensor = "pixels"
dtype = "uint8"
shape = [-1, 4]
features = ["p0", "p1", "p2", "p3"]
[[inputs]]
tensor = "flag"
dtype = "bool"
shape = [-1]
features = ["flag"]
[[outputs]]
name = "on"
tensor = "probability"
dtype = "float32"
kind = "probability"
[[outputs]]
name = "label"
tensor = "probability"
dtype = "float32"
kind = "label"
classes = ["off", "on"]
threshold = 0.6
"#;
    let fields =
        [("p0", "uint8"), ("p1", "int32"), ("p2", "uint8"), ("p3", "uint8"), ("flag", "bool")];
    holds("pixels", "", body, &contract(&fields), 1e-5);
}

#[test]
fn lists_in_and_several_outputs() {
    let body = r#"
[[inputs]]
tensor = "vector"
dtype = "float32"
shape = [-1, 4]
features = ["vector"]
[[inputs]]
tensor = "weight"
dtype = "float32"
shape = [-1, 1]
features = ["weight"]
[[outputs]]
name = "unit"
tensor = "unit"
dtype = "float32"
kind = "list"
[[outputs]]
name = "norm"
tensor = "norm"
dtype = "float32"
kind = "value"
[[outputs]]
name = "largest"
tensor = "largest"
dtype = "int64"
kind = "value"
"#;
    for vector in ["float32[4]", "list<float32>", "list<float64>", "float64[4]"] {
        holds("lists", "", body, &contract(&[("vector", vector), ("weight", "float32")]), 1e-5);
    }
}

#[test]
fn lists_of_any_length() {
    let body = r#"
[[inputs]]
tensor = "series"
dtype = "float32"
shape = [-1, -1]
features = ["series"]
[[outputs]]
name = "mean"
tensor = "mean"
dtype = "float32"
kind = "value"
"#;
    for series in ["list<float32>", "list<float64>"] {
        holds("means", "", body, &contract(&[("series", series)]), 1e-5);
    }
}

#[test]
fn a_fixed_batch_is_padded_and_cut() {
    let body = r#"
[[inputs]]
tensor = "X"
dtype = "float32"
shape = [8, 3]
features = ["f0", "f1", "f2"]
[[outputs]]
name = "score"
tensor = "score"
dtype = "float32"
kind = "value"
"#;
    let contract = contract(&[("f0", "float32"), ("f1", "float32"), ("f2", "float32")]);
    holds("fixed", "", body, &contract, 1e-5);
    let Some(mut model) = common::predictor("fixed", "", body, &contract) else { return };
    let (events, _) = golden("fixed", &contract);
    let many = concat_batches(&events.schema(), [&events, &events, &events.slice(0, 3)]).unwrap();
    let answers = model.predict(&many).unwrap();
    let first = model.predict(&events.slice(0, 3)).unwrap();
    assert_eq!((answers.num_rows(), answers.slice(16, 3)), (19, first));
}

#[test]
fn half_and_double_precision() {
    let body = r#"
[[inputs]]
tensor = "half"
dtype = "float16"
shape = [-1, 3]
features = ["h0", "h1", "h2"]
[[inputs]]
tensor = "double"
dtype = "float64"
shape = [-1, 2]
features = ["d0", "d1"]
[[outputs]]
name = "half"
tensor = "half_sum"
dtype = "float16"
kind = "value"
[[outputs]]
name = "double"
tensor = "double_sum"
dtype = "float64"
kind = "value"
"#;
    let fields = [
        ("h0", "float16"),
        ("h1", "float32"),
        ("h2", "float64"),
        ("d0", "float64"),
        ("d1", "float64"),
    ];
    holds("precisions", "[golden]\ntolerance = 1e-3", body, &contract(&fields), 1e-3);
}

#[test]
fn text_out() {
    let body = r#"
[[inputs]]
tensor = "text"
dtype = "string"
shape = [-1]
features = ["text"]
[[outputs]]
name = "same"
tensor = "same"
dtype = "string"
kind = "value"
"#;
    holds("echo", "", body, &contract(&[("text", "string")]), 0.0);
}

#[test]
fn fields_that_are_no_features_do_not_matter() {
    let body = format!(
        "{MATRIX}\n[[outputs]]\nname = \"label\"\ntensor = \"label\"\ndtype = \"string\"\nkind = \"label\"\n"
    );
    let Some(mut model) = common::predictor("boosted", "", &body, &four()) else { return };
    let (events, expected) = golden("boosted", &four_used());
    let mut columns = events.columns().to_vec();
    columns.insert(2, arrow::array::new_null_array(&DataType::Utf8, events.num_rows()));
    let wide = RecordBatch::try_new(four().arrow_schema(), columns).unwrap();
    for events in [wide, events] {
        assert_eq!(model.predict(&events).unwrap().column(0), &expected[0].1);
    }
}

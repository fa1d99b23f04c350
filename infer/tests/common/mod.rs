//! What the tests of models share: the runtime or a reason to skip, packages made from test data,
//! golden rows as record batches.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, new_null_array,
};
use arrow::compute::{cast, concat};
use arrow::datatypes::DataType;
use infer::{OnnxPredictor, Package, Runtime};
use schemas::Contract;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The runtime, or `None` after saying why the test is skipped; with `CI=true` a missing one fails.
pub(crate) fn runtime() -> Option<Runtime> {
    match Runtime::find() {
        Ok(runtime) => Some(runtime),
        Err(error) if std::env::var_os("CI").is_some_and(|value| value == "true") => {
            panic!("{error}")
        }
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

pub(crate) fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(file)
}

/// A contract of these fields: `name: type`, with `?` behind the type of a nullable one.
pub(crate) fn contract(fields: &[(&str, &str)]) -> Contract {
    let mut text = String::from("name = \"test\"\n");
    for (name, kind) in fields {
        let (kind, nullable) = (kind.trim_end_matches('?'), kind.ends_with('?'));
        text += &format!("[[fields]]\nname = {name:?}\ntype = {kind:?}\nnullable = {nullable}\n");
    }
    Contract::from_toml(&text).unwrap()
}

/// `count` fields of one type: `f0`, `f1`, ...
pub(crate) fn numbered(
    prefix: &str,
    count: usize,
    kind: &'static str,
) -> Vec<(String, &'static str)> {
    (0..count).map(|index| (format!("{prefix}{index}"), kind)).collect()
}

pub(crate) fn borrowed<'a>(fields: &'a [(String, &'static str)]) -> Vec<(&'a str, &'static str)> {
    fields.iter().map(|(name, kind)| (name.as_str(), *kind)).collect()
}

/// A package folder `models/<model>/1` made of a test model and the inputs and outputs in `body`.
pub(crate) struct Folder {
    _root: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

pub(crate) fn folder(model: &str, head: &str, body: &str) -> Folder {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("models").join(model).join("1");
    std::fs::create_dir_all(&path).unwrap();
    let bytes = std::fs::read(data(&format!("{model}.onnx"))).unwrap();
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(path.join("model.onnx"), bytes).unwrap();
    let mut text = format!("format = \"onnx\"\nsha256 = {sha256:?}\n");
    for (key, value) in [("opset", "17"), ("max_batch_rows", "1024")] {
        if !head.contains(key) {
            text += &format!("{key} = {value}\n");
        }
    }
    std::fs::write(path.join("model.toml"), format!("{text}{head}\n{body}")).unwrap();
    Folder { _root: root, path }
}

pub(crate) fn package(model: &str, head: &str, body: &str) -> Package {
    Package::open(&folder(model, head, body).path).unwrap()
}

pub(crate) fn predictor(
    model: &str,
    head: &str,
    body: &str,
    contract: &Contract,
) -> Option<OnnxPredictor> {
    Some(OnnxPredictor::new(&runtime()?, &package(model, head, body), contract).unwrap())
}

/// The golden rows of a test model: events of the contract, and the expected columns.
pub(crate) fn golden(model: &str, contract: &Contract) -> (RecordBatch, Vec<(String, ArrayRef)>) {
    let text = std::fs::read_to_string(data(&format!("{model}.json"))).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let schema = contract.arrow_schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| cast(&column(&golden["inputs"][field.name()]), field.data_type()).unwrap());
    let events = RecordBatch::try_new(schema.clone(), columns.collect()).unwrap();
    let expected = golden["expected"].as_object().unwrap();
    let expected = expected.iter().map(|(name, values)| (name.clone(), column(values)));
    (events, expected.collect())
}

/// A JSON array as the widest column that holds it.
pub(crate) fn column(values: &Value) -> ArrayRef {
    let values = values.as_array().unwrap();
    match values.iter().find(|value| !value.is_null()) {
        Some(Value::Bool(_)) => {
            Arc::new(values.iter().map(Value::as_bool).collect::<BooleanArray>())
        }
        Some(Value::String(_)) => {
            Arc::new(values.iter().map(Value::as_str).collect::<StringArray>())
        }
        Some(Value::Number(number)) if number.is_i64() => {
            Arc::new(values.iter().map(Value::as_i64).collect::<Int64Array>())
        }
        Some(Value::Number(_)) => {
            Arc::new(values.iter().map(Value::as_f64).collect::<Float64Array>())
        }
        Some(Value::Array(_)) => {
            let none = Value::Array(vec![]);
            let list = |value| if Value::is_null(value) { &none } else { value };
            let items: Vec<ArrayRef> = values.iter().map(|value| column(list(value))).collect();
            let parts: Vec<&dyn arrow::array::Array> = items.iter().map(AsRef::as_ref).collect();
            let offsets =
                arrow::buffer::OffsetBuffer::from_lengths(items.iter().map(|item| item.len()));
            let field = Arc::new(arrow::datatypes::Field::new("item", DataType::Float64, false));
            let nulls: arrow::buffer::NullBuffer =
                values.iter().map(|value| !value.is_null()).collect::<Vec<bool>>().into();
            let nulls = Some(nulls).filter(|nulls| nulls.null_count() > 0);
            Arc::new(arrow::array::ListArray::new(field, offsets, concat(&parts).unwrap(), nulls))
        }
        _ => new_null_array(&DataType::Float64, values.len()),
    }
}

/// Events of the contract, from one JSON array per field.
pub(crate) fn events(contract: &Contract, columns: Value) -> RecordBatch {
    let schema = contract.arrow_schema();
    let made = schema.fields().iter().map(|field| {
        let values = column(&columns[field.name()]);
        cast(&values, field.data_type()).unwrap()
    });
    RecordBatch::try_new(schema.clone(), made.collect()).unwrap()
}

//! What `model check`, `model init` and opening a package refuse, and that they say what to do.

mod common;

use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use common::{borrowed, contract, data, folder, golden, numbered, package, runtime};
use infer::check::CheckReport;
use infer::{Descriptor, OnnxPredictor, Package, SessionError, init};
use schemas::Contract;

fn fifteen() -> Contract {
    contract(&borrowed(&numbered("f", 15, "float32")))
}

fn matrix(shape: &str, dtype: &str, count: usize) -> String {
    let features: Vec<String> = (0..count).map(|index| format!("f{index}")).collect();
    format!(
        "[[inputs]]\ntensor = \"X\"\ndtype = \"{dtype}\"\nshape = {shape}\nfeatures = {features:?}\n\
         [[outputs]]\nname = \"value\"\ntensor = \"variable\"\ndtype = \"float32\"\nkind = \"value\"\n"
    )
}

fn places(report: &CheckReport) -> Vec<&str> {
    report.problems.iter().map(|problem| problem.place.as_str()).collect()
}

#[test]
fn a_quantised_model_whose_answers_depend_on_the_batch_is_refused() {
    let Some(runtime) = runtime() else { return };
    let body = matrix("[-1, 15]", "float32", 15);
    let (events, _) = golden("quantised", &fifteen());
    let mut refused = 0;
    for rows in [None, Some(&with_value(&events, 0.0))] {
        let report = package("quantised", "", &body).check(&runtime, &fifteen(), rows);
        assert!(places(&report).contains(&"neighbours"), "{report}");
        assert!(report.to_string().contains("allow_batch_dependence"), "{report}");
        refused += 1;
    }
    assert_eq!(refused, 2);
    let allowed = package("quantised", "allow_batch_dependence = true", &body).check(
        &runtime,
        &fifteen(),
        None,
    );
    assert!(allowed.passed() && allowed.neighbours.as_ref().unwrap().dependent, "{allowed}");
    let exact = package("mlp", "", &body).check(&runtime, &fifteen(), None);
    assert!(exact.passed() && !exact.neighbours.as_ref().unwrap().dependent, "{exact}");
}

fn with_value(events: &RecordBatch, value: f64) -> RecordBatch {
    let mut fields: Vec<Arc<Field>> = events.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("expected_value", DataType::Float64, false)));
    let mut columns = events.columns().to_vec();
    columns.push(Arc::new(Float64Array::from(vec![value; events.num_rows()])));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[test]
fn golden_rows_that_come_out_otherwise_are_refused() {
    let Some(runtime) = runtime() else { return };
    let (events, _) = golden("mlp", &fifteen());
    let body = matrix("[-1, 15]", "float32", 15);
    let check = |head: &str, rows: &RecordBatch| {
        package("mlp", head, &body).check(&runtime, &fifteen(), Some(rows))
    };
    let report = check("", &with_value(&events, 1000.0));
    assert_eq!(places(&report), ["golden"], "{report}");
    assert!(report.to_string().contains("golden.tolerance"), "{report}");
    assert!(check("[golden]\ntolerance = 1e9", &with_value(&events, 1000.0)).passed());
    let report = check("", &events);
    assert!(report.to_string().contains("expected_value"), "{report}");
    let report = check("", &with_value(&events.project(&[0, 1]).unwrap(), 0.0));
    assert!(places(&report).contains(&"golden \"f2\""), "{report}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["model"], "mlp");
}

#[test]
fn descriptors_that_do_not_fit_contract_or_model() {
    let Some(runtime) = runtime() else { return };
    let good = matrix("[-1, 15]", "float32", 15);
    for (body, place, part) in [
        (
            matrix("[-1, 15]", "float64", 15),
            "inputs[0] \"X\"",
            "float64[-1, 15] was found, the model takes float32[?,15]",
        ),
        (matrix("[-1, 14]", "float32", 14), "inputs[0] \"X\"", "the model takes float32[?,15]"),
        (
            matrix("[-1, 15]", "float32", 14),
            "inputs[0] \"X\".shape",
            "holds 15 elements a row, but the features give 14",
        ),
        (
            matrix("[-1, 15]", "int64", 15),
            "inputs[0] \"X\".features",
            "a float goes to a float tensor",
        ),
        (
            good.replace("\"f3\"", "\"f99\""),
            "inputs[0] \"X\".features",
            "\"f99\" is not a field of contract",
        ),
        (
            good.replace("\"variable\"", "\"value\""),
            "outputs[0] \"value\"",
            "its outputs are [\"variable\"]",
        ),
        (
            good.replace("tensor = \"X\"", "tensor = \"Y\""),
            "inputs[0] \"Y\"",
            "its inputs are [\"X\"]",
        ),
        (
            good.replace("kind = \"value\"", "kind = \"value\"\nindex = 1"),
            "outputs[0] \"value\"",
            "a row has 1",
        ),
    ] {
        let package = package("mlp", "", &body);
        let report = package.check(&runtime, &fifteen(), None);
        let found = report.problems.iter().find(|problem| problem.place == place);
        assert!(
            found.is_some_and(|problem| problem.message.contains(part)),
            "{place} {part}: {report}"
        );
        assert!(matches!(
            OnnxPredictor::new(&runtime, &package, &fifteen()),
            Err(SessionError::Unfit(_))
        ));
    }
    let report = package("mlp", "opset = 18", &good).check(&runtime, &fifteen(), None);
    assert_eq!(places(&report), ["opset"], "{report}");
}

#[test]
fn a_nullable_feature_needs_a_rule() {
    let Some(runtime) = runtime() else { return };
    let mut fields = numbered("f", 15, "float32");
    fields[3].1 = "float32?";
    let nullable = contract(&borrowed(&fields));
    let body = matrix("[-1, 15]", "float32", 15);
    let report = package("mlp", "", &body).check(&runtime, &nullable, None);
    assert_eq!(places(&report), ["inputs[0] \"X\".null"], "{report}");
    assert!(report.to_string().contains("\"f3\" is nullable"), "{report}");
    let body = body.replacen("[[outputs]]", "null = \"nan\"\n[[outputs]]", 1);
    assert!(package("mlp", "", &body).check(&runtime, &nullable, None).passed());
}

#[test]
fn a_package_that_is_damaged_or_missing() {
    let body = matrix("[-1, 15]", "float32", 15);
    let open = |change: &dyn Fn(&std::path::Path)| {
        let folder = folder("mlp", "", &body);
        change(&folder.path);
        Package::open(&folder.path).unwrap_err().to_string()
    };
    let bytes = std::fs::read(data("mlp.onnx")).unwrap();
    for (change, part) in [
        (
            &|path: &std::path::Path| std::fs::remove_file(path.join("model.toml")).unwrap() as _,
            "model.toml cannot be read",
        ),
        (
            &|path| std::fs::remove_file(path.join("model.onnx")).unwrap(),
            "model.onnx cannot be read",
        ),
        (
            &|path| std::fs::write(path.join("model.onnx"), &bytes[..9000]).unwrap(),
            "model.toml says",
        ),
        (&|path| std::fs::write(path.join("model.toml"), "format = 1").unwrap(), "problems:"),
        (
            &|path| std::fs::write(path.join("model.toml"), [0xff, 0xfe]).unwrap(),
            "model.toml cannot be read",
        ),
    ] as [(&dyn Fn(&std::path::Path), &str); 5]
    {
        let message = open(change);
        assert!(message.contains(part), "{message}");
    }
    assert!(Package::open(std::path::Path::new("/no/such/model/1")).is_err());
}

#[test]
fn truncated_bytes_with_a_right_checksum_are_an_error() {
    let bytes = std::fs::read(data("mlp.onnx")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for length in [0, 1, 100, 9000, bytes.len() - 1] {
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, &bytes[..length]).unwrap();
        let error = init(&path, None).unwrap_err().to_string();
        assert!(error.contains("not an ONNX model"), "{error}");
    }
}

#[test]
fn a_first_descriptor_from_the_model_passes_its_check() {
    let Some(runtime) = runtime() else { return };
    let matrix = numbered("f", 4, "float32");
    let fifteen = numbered("f", 15, "float32");
    for (model, fields) in [
        ("mlp", borrowed(&fifteen)),
        ("boosted_zipmap", borrowed(&matrix)),
        ("boosted", borrowed(&matrix)),
        ("integer_zipmap", borrowed(&matrix)),
        ("columns", vec![("carrier", "string"), ("month", "int64"), ("distance", "float32?")]),
        ("lists", vec![("vector", "float32[4]"), ("weight", "float32")]),
        ("fixed", vec![("a", "float32"), ("b", "float32"), ("c", "float32")]),
        ("means", vec![("series", "list<float32>")]),
        ("echo", vec![("text", "string")]),
    ] {
        let contract = contract(&fields);
        let descriptor = init(&data(&format!("{model}.onnx")), Some(&contract)).unwrap();
        let text = descriptor.to_toml();
        assert_eq!(Descriptor::from_toml(&text).unwrap(), descriptor, "{text}");
        let folder = folder(model, "", "");
        std::fs::write(folder.path.join("model.toml"), &text).unwrap();
        let report = Package::open(&folder.path).unwrap().check(&runtime, &contract, None);
        assert!(report.passed(), "{report}\n{text}");
    }
    let lonely = init(&data("mlp.onnx"), None).unwrap();
    assert_eq!(lonely.inputs[0].features.len(), 15);
}

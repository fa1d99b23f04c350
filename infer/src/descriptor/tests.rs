//! Descriptors: what is read, refused and written back.

use super::*;

const DELAYS: &str = r#"
format = "onnx"
purpose = "minutes of delay"
owner = "ops"
licence = "CC0"
framework = "scikit-learn 1.9"
training_data = "flights 2013-01..03"
sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
opset = 17
max_batch_rows = 1024
allow_batch_dependence = true

[golden]
tolerance = 0.01
flip_rate = 0.001

[metrics]
rmse = 12.5
"mean absolute" = 7

[[inputs]]
tensor = "X"
dtype = "float32"
shape = [-1, 5]
features = ["distance", "carrier", "month"]
null = "reject"
nulls = { distance = { value = 0.0 }, "month" = "nan" }

[[inputs.categories]]
feature = "carrier"
values = ["AA", "say \"UA\""]
coding = "one_hot"
unknown = "ignore"

[[inputs]]
tensor = "batch"
dtype = "string"
shape = [8]
features = ["origin"]
null = { value = "?" }

[[outputs]]
name = "delay"
tensor = "variable"
dtype = "float32"
kind = "value"
index = 0

[[outputs]]
name = "late"
tensor = "p"
dtype = "float64"
kind = "probability"
class = "late"
classes = ["on_time", "late"]

[[outputs]]
name = "verdict"
tensor = "p"
dtype = "float64"
kind = "label"
classes = ["on_time", "late"]
threshold = 0.3

[[outputs]]
name = "vector"
tensor = "v"
dtype = "float16"
kind = "list"
"#;

#[test]
fn toml_round_trip() {
    let descriptor = Descriptor::from_toml(DELAYS).unwrap();
    assert_eq!(Descriptor::from_toml(&descriptor.to_toml()).unwrap(), descriptor);
    assert_eq!(descriptor.inputs[0].null_rule("carrier"), Some(&NullRule::Reject));
    assert_eq!(descriptor.inputs[0].null_rule("month"), Some(&NullRule::Nan));
    assert_eq!(descriptor.metrics["mean absolute"], 7.0);
}

#[test]
fn the_outputs_columns() {
    let outputs = Descriptor::from_toml(DELAYS).unwrap().outputs;
    let types: Vec<DataType> =
        outputs.iter().map(|output| output.arrow_field().data_type().clone()).collect();
    let list = DataType::new_list(DataType::Float32, false);
    assert_eq!(types, [DataType::Float32, DataType::Float64, DataType::Utf8, list]);
    let nullable = outputs.iter().map(|output| output.arrow_field().is_nullable());
    assert_eq!(nullable.collect::<Vec<_>>(), [false, false, true, false], "only a decided label");
}

#[test]
fn all_problems_are_reported_at_once() {
    let text = r#"
format = "pickle"
sha256 = 3
opset = 17
max_batch_rows = 0
colour = "red"
[[inputs]]
tensor = "X"
dtype = "float31"
shape = [-1, "a"]
features = ["a"]
nulls = { a = "zero" }
[[outputs]]
name = "y"
tensor = "Y"
dtype = "float32"
kind = "guess"
treshold = 0.5
"#;
    let Problems(problems) = Descriptor::from_toml(text).unwrap_err();
    let places: Vec<&str> = problems.iter().map(|problem| problem.place.as_str()).collect();
    for place in [
        "format",
        "sha256",
        "inputs[0] \"X\".dtype",
        "inputs[0] \"X\".shape",
        "inputs[0] \"X\".nulls.a",
        "outputs[0] \"y\".kind",
        "outputs[0] \"y\".treshold",
        "colour",
    ] {
        assert!(places.contains(&place), "{place} is missing from {places:#?}");
    }
    let shown = Problems(problems).to_string();
    assert!(shown.contains("\"float31\" was found: one of bool, int8"), "{shown}");
    assert!(shown.contains("`treshold` is not a key here: name, tensor, dtype, kind"), "{shown}");
}

#[test]
fn what_must_hold_between_keys() {
    for (from, to, place) in [
        ("e3b0c4", "E3B0C4", "sha256"),
        ("max_batch_rows = 1024", "max_batch_rows = 0", "max_batch_rows"),
        ("opset = 17", "opset = 0", "opset"),
        ("flip_rate = 0.001", "flip_rate = 2", "golden.flip_rate"),
        ("shape = [-1, 5]", "shape = [0, 5]", "inputs[0] \"X\".shape"),
        ("shape = [-1, 5]", "shape = [-1, -1, -1]", "inputs[0] \"X\".shape"),
        ("shape = [8]", "shape = []", "inputs[1] \"batch\".shape"),
        ("features = [\"origin\"]", "features = []", "inputs[1] \"batch\".features"),
        ("null = { value = \"?\" }", "null = { value = 1 }", "inputs[1] \"batch\".null"),
        ("null = { value = \"?\" }", "null = \"nan\"", "inputs[1] \"batch\".null"),
        ("\"month\" = \"nan\"", "\"moth\" = \"nan\"", "inputs[0] \"X\".nulls.moth"),
        ("\"month\" = \"nan\"", "carrier = \"nan\"", "inputs[0] \"X\".nulls.carrier"),
        ("\"month\" = \"nan\"", "carrier = { value = \"DL\" }", "inputs[0] \"X\".nulls.carrier"),
        ("feature = \"carrier\"", "feature = \"carriers\"", "inputs[0] \"X\".categories[0]"),
        ("tensor = \"batch\"", "tensor = \"X\"", "inputs[1] \"X\".tensor"),
        ("name = \"late\"", "name = \"delay\"", "outputs[1] \"delay\".name"),
        ("class = \"late\"", "class = \"later\"", "outputs[1] \"late\".class"),
        ("threshold = 0.3", "threshold = 1.0", "outputs[2] \"verdict\".threshold"),
        ("kind = \"list\"", "kind = \"list\"\nindex = 1", "outputs[3] \"vector\".index"),
        ("kind = \"list\"", "kind = \"label\"", "outputs[3] \"vector\".classes"),
    ] {
        let changed = DELAYS.replacen(from, to, 1);
        assert_ne!(changed, DELAYS, "{from}");
        let Problems(problems) = Descriptor::from_toml(&changed).unwrap_err();
        assert_eq!(
            problems.iter().map(|p| p.place.as_str()).collect::<Vec<_>>(),
            [place],
            "{problems:#?}"
        );
    }
}

#[test]
fn a_text_that_is_not_toml_says_where() {
    let text = Descriptor::from_toml("format = 'onnx'\nopset").unwrap_err().to_string();
    assert!(text.contains("line 2"), "{text}");
}

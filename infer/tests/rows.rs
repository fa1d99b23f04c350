//! Rows that a model cannot be given or fails on: rejected one by one with the field named, while
//! their neighbours are scored; and the rules that turn nulls and categories into values.

mod common;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float32Type;
use common::{contract, events, predictor};
use schemas::{Contract, PredictError, Predicted, Predictor, predict_isolating};
use serde_json::json;

/// Output `unit` of model `lists` shows what was fed: the vector times the weight, over its norm.
fn lists(inputs: &str) -> String {
    let norm =
        "[[outputs]]\nname = \"norm\"\ntensor = \"norm\"\ndtype = \"float32\"\nkind = \"value\"\n";
    let weight = "[[inputs]]\ntensor = \"weight\"\ndtype = \"float32\"\nshape = [-1, 1]\nfeatures = [\"w\"]\n";
    format!("{inputs}\n{weight}\n{norm}")
}

fn norms(answers: &RecordBatch) -> Vec<f32> {
    answers.column(0).as_primitive::<Float32Type>().values().to_vec()
}

fn isolated(body: &str, contract: &Contract, events: &RecordBatch) -> Option<Predicted> {
    let mut model = predictor("lists", "", body, contract)?;
    Some(predict_isolating(&mut model, events).unwrap())
}

#[test]
fn null_rules() {
    let vector = |rule: &str| {
        lists(&format!(
            "[[inputs]]\ntensor = \"vector\"\ndtype = \"float32\"\nshape = [-1, 4]\n\
             features = [\"a\", \"b\", \"c\", \"d\"]\n{rule}\n"
        ))
    };
    let contract = contract(&[
        ("a", "float32"),
        ("b", "int32?"),
        ("c", "bool"),
        ("d", "float64?"),
        ("w", "float32"),
    ]);
    let events = events(
        &contract,
        json!({
            "a": [3.0, 3.0, 0.0, 0.0], "b": [4, null, 0, 0], "c": [false, false, true, false],
            "d": [0.0, 0.0, null, 2.5], "w": [1.0, 1.0, 1.0, 2.0]
        }),
    );
    let values = vector("nulls = { b = { value = 4 }, d = { value = 0.0 } }");
    let Some(scored) = isolated(&values, &contract, &events) else { return };
    assert_eq!(norms(&scored.outputs), [5.0, 5.0, 1.0, 5.0]);

    let scored = isolated(&vector("null = \"reject\""), &contract, &events).unwrap();
    assert_eq!(norms(&scored.outputs), [5.0, 5.0]);
    let rows: Vec<usize> = scored.poison.iter().map(|(row, _)| *row).collect();
    assert_eq!(rows, [1, 2]);
    for ((_, reason), feature) in scored.poison.iter().zip(["`b`", "`d`"]) {
        assert!(reason.contains(feature) && reason.contains("null rule"), "{reason}");
    }

    let scored = isolated(&vector("null = \"nan\""), &contract, &events).unwrap();
    assert!(scored.poison.is_empty() && norms(&scored.outputs)[1].is_nan());
}

#[test]
fn scores_that_are_nan_decide_for_no_class() {
    let body = "[[inputs]]\ntensor = \"vector\"\ndtype = \"float32\"\nshape = [-1, 4]\n\
        features = [\"a\", \"b\", \"c\", \"d\"]\nnull = \"nan\"\n\
        [[inputs]]\ntensor = \"weight\"\ndtype = \"float32\"\nshape = [-1, 1]\nfeatures = [\"w\"]\n\
        [[outputs]]\nname = \"class\"\ntensor = \"unit\"\ndtype = \"float32\"\nkind = \"label\"\n\
        classes = [\"A\", \"B\", \"C\", \"D\"]\n";
    let contract = contract(&[
        ("a", "float32?"),
        ("b", "float32"),
        ("c", "float32"),
        ("d", "float32"),
        ("w", "float32"),
    ]);
    let events = events(
        &contract,
        json!({
            "a": [1.0, null, 0.0], "b": [0.0, 2.0, 3.0], "c": [0.0, 0.0, 1.0], "d": [0.0, 0.0, 0.0],
            "w": [1.0, 1.0, 1.0]
        }),
    );
    let Some(scored) = isolated(body, &contract, &events) else { return };
    let classes: Vec<_> = scored.outputs.column(0).as_string::<i32>().iter().collect();
    assert_eq!(classes, [Some("A"), None, Some("B")]);
}

#[test]
fn categories_become_codes() {
    let body = |coding: &str, unknown: &str| {
        let others = if coding == "one_hot" {
            "[\"text\", \"rest\"]"
        } else {
            "[\"text\", \"rest\", \"rest\", \"rest\"]"
        };
        lists(&format!(
            "[[inputs]]\ntensor = \"vector\"\ndtype = \"float32\"\nshape = [-1, 4]\nfeatures = {others}\n\
             null = {{ value = \"z\" }}\nnulls = {{ rest = \"reject\" }}\n[[inputs.categories]]\nfeature = \"text\"\n\
             values = [\"x\", \"y\", \"z\"]\ncoding = \"{coding}\"\nunknown = \"{unknown}\"\n"
        ))
    };
    let contract = contract(&[("text", "string?"), ("rest", "float32"), ("w", "float32")]);
    let events = events(
        &contract,
        json!({"text": ["x", "y", null, "?"], "rest": [0.0, 0.0, 0.0, 0.0], "w": [1.0, 1.0, 1.0, 1.0]}),
    );
    for (coding, unknown, expected, rejected) in [
        ("index", "ignore", vec![0.0, 1.0, 2.0, 1.0], vec![]),
        ("index", "reject", vec![0.0, 1.0, 2.0], vec![3]),
        ("one_hot", "ignore", vec![1.0, 1.0, 1.0, 0.0], vec![]),
        ("one_hot", "reject", vec![1.0, 1.0, 1.0], vec![3]),
    ] {
        let Some(scored) = isolated(&body(coding, unknown), &contract, &events) else { return };
        assert_eq!(norms(&scored.outputs), expected, "{coding} {unknown}");
        let rows: Vec<usize> = scored.poison.iter().map(|(row, _)| *row).collect();
        assert_eq!(rows, rejected);
        assert!(
            scored.poison.iter().all(|(_, reason)| reason.contains("`text`")),
            "{:?}",
            scored.poison
        );
    }
}

const EMBEDDING: &str = "[[inputs]]\ntensor = \"index\"\ndtype = \"int64\"\nshape = [-1]\nfeatures = [\"index\"]\n\
    [[outputs]]\nname = \"second\"\ntensor = \"vector\"\ndtype = \"float32\"\nkind = \"value\"\nindex = 1\n";

#[test]
fn a_row_the_model_fails_on_stands_alone() {
    let contract = contract(&[("index", "int64")]);
    let events = events(&contract, json!({"index": [1, 2, 77, 3, 4, -99, 5]}));
    let Some(mut model) = predictor("embedding", "", EMBEDDING, &contract) else { return };
    assert!(matches!(model.predict(&events), Err(PredictError::Rows(_))));
    let scored = predict_isolating(&mut model, &events).unwrap();
    let rows: Vec<usize> = scored.poison.iter().map(|(row, _)| *row).collect();
    assert_eq!((rows, scored.outputs.num_rows()), (vec![2, 5], 5));
    assert!(scored.poison[0].1.contains("the model failed on the row"), "{:?}", scored.poison);
}

#[test]
fn a_sensitive_value_stays_out_of_the_reason() {
    let text =
        "name = \"t\"\n[[fields]]\nname = \"index\"\ntype = \"int64\"\nsensitive = \"drop\"\n";
    let contract = Contract::from_toml(text).unwrap();
    let events = events(&contract, json!({"index": [1, 770077]}));
    let Some(mut model) = predictor("embedding", "", EMBEDDING, &contract) else { return };
    let scored = predict_isolating(&mut model, &events).unwrap();
    assert_eq!(scored.poison.len(), 1);
    assert!(!scored.poison[0].1.contains("770077"), "{:?}", scored.poison);
}

#[test]
fn integers_that_do_not_fit_and_lists_of_another_length() {
    let pixels = "[[inputs]]\ntensor = \"pixels\"\ndtype = \"uint8\"\nshape = [-1, 4]\nfeatures = [\"pixels\"]\n\
        [[inputs]]\ntensor = \"flag\"\ndtype = \"bool\"\nshape = [-1]\nfeatures = [\"flag\"]\n\
        [[outputs]]\nname = \"on\"\ntensor = \"probability\"\ndtype = \"float32\"\nkind = \"probability\"\n";
    let contract = contract(&[("pixels", "list<int16>"), ("flag", "bool")]);
    let events = events(
        &contract,
        json!({
            "pixels": [[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 256.0], [1.0, 2.0], [0.0, 0.0, 0.0, 255.0]],
            "flag": [true, false, true, false]
        }),
    );
    let Some(mut model) = predictor("pixels", "", pixels, &contract) else { return };
    let scored = predict_isolating(&mut model, &events).unwrap();
    let reasons: Vec<&str> = scored.poison.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(scored.poison.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 2]);
    assert!(
        reasons[0].contains("256 does not fit in input `pixels`, which is uint8"),
        "{reasons:?}"
    );
    assert!(reasons[1].contains("`pixels` has 2 items, 4 were expected"), "{reasons:?}");
}

/// Rows of an open-length list that is empty, or null, behind one that left its items in the buffer.
#[test]
fn empty_and_null_lists_of_any_length() {
    let means = "[[inputs]]\ntensor = \"series\"\ndtype = \"float32\"\nshape = [-1, -1]\nfeatures = [\"series\"]\nnull = \"reject\"\n\
        [[outputs]]\nname = \"mean\"\ntensor = \"mean\"\ndtype = \"float32\"\nkind = \"value\"\n";
    let contract = contract(&[("series", "list<float64>?")]);
    let events = events(&contract, json!({"series": [[1.0, 2.0, 3.0], [], null, [4.0], []]}));
    let Some(mut model) = predictor("means", "", means, &contract) else { return };
    let scored = predict_isolating(&mut model, &events).unwrap();
    assert_eq!(scored.poison.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [2]);
    assert!(scored.poison[0].1.contains("null rule"), "{:?}", scored.poison);
    let answers = norms(&scored.outputs);
    assert_eq!((answers.len(), answers[0], answers[2]), (4, 2.0, 4.0), "{answers:?}");
}

#[test]
fn texts_that_c_cannot_hold_and_columns_that_are_not_there() {
    let echo = "[[inputs]]\ntensor = \"text\"\ndtype = \"string\"\nshape = [-1]\nfeatures = [\"text\"]\n\
        [[outputs]]\nname = \"same\"\ntensor = \"same\"\ndtype = \"string\"\nkind = \"value\"\n";
    let text = contract(&[("text", "string")]);
    let Some(mut model) = predictor("echo", "", echo, &text) else { return };
    let scored =
        predict_isolating(&mut model, &events(&text, json!({"text": ["a", "b\u{0}c", "d"]})))
            .unwrap();
    assert_eq!(scored.poison.len(), 1);
    assert!(scored.poison[0].1.contains("`text` holds a zero byte"), "{:?}", scored.poison);
    for (fields, part) in [
        ([("other", "string")], "no column \"text\""),
        ([("text", "int64")], "the contract says Utf8"),
    ] {
        let values = if fields[0].1 == "string" { json!(["a"]) } else { json!([1]) };
        let events = events(&contract(&fields), json!({ fields[0].0: values }));
        let error = model.predict(&events).unwrap_err();
        assert!(
            matches!(&error, PredictError::Model(message) if message.contains(part)),
            "{error}"
        );
    }
}

#[test]
fn no_rows_are_no_call() {
    let contract = contract(&[("index", "int64")]);
    let Some(mut model) = predictor("embedding", "", EMBEDDING, &contract) else { return };
    let answers = model.predict(&events(&contract, json!({"index": []}))).unwrap();
    assert_eq!((answers.num_rows(), answers.schema()), (0, model.outputs()));
}

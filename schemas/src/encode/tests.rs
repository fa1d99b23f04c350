//! The promised text, and what must hold of any batch.

use std::sync::Arc;

use arrow::array::types::Float32Type;
use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::array::{FixedSizeListArray, ListArray};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{EncodeError, Encoder, Members, Stamp};
use crate::{Contract, Decoder, MicroBatch, Predicted, ScoredBatch, Stage};

const CONTRACT: &str = r#"
    name = "flights"
    fields = [
        { name = "flight", type = "int32" },
        { name = "carrier", type = "string", nullable = true },
        { name = "at", type = "timestamp", nullable = true, formats = ["rfc3339", "epoch_seconds"] },
        { name = "shape", type = "float32[2]", nullable = true },
        { name = "raw", type = "bytes", nullable = true },
        { name = "late", type = "bool", nullable = true },
        { name = "seconds", type = "timestamp", nullable = true, formats = ["epoch_seconds"] },
        { name = "half", type = "float16", nullable = true },
    ]
"#;

fn contract() -> Contract {
    Contract::from_toml(CONTRACT).unwrap()
}

fn stamp() -> Stamp {
    Stamp {
        model_name: "del\"ay".into(),
        model_version: "3".into(),
        arm: "stable".into(),
        scored_at: "2026-01-02T03:04:05.6789Z".parse().unwrap(),
    }
}

fn batch<'a>(events: impl IntoIterator<Item = &'a str>) -> MicroBatch {
    let mut batch = MicroBatch::with_capacity("flights.in".into(), 0, 0);
    for (offset, event) in (40..).zip(events) {
        let timestamp = if offset == 41 { -1 } else { 1_700_000_000_000 + offset };
        batch.push(2, offset, timestamp, None, Some(event.as_bytes())).unwrap();
    }
    batch
}

/// Every type of output, for `rows` rows; odd rows are not finite.
fn outputs(rows: usize) -> RecordBatch {
    let number = |row: usize| if row.is_multiple_of(2) { row as f32 + 0.1 } else { f32::NAN };
    let list = |row: usize| Some([Some(0.25), Some(number(row))]);
    let lists = ListArray::from_iter_primitive::<Float32Type, _, _>((0..rows).map(list));
    let fixed =
        FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>((0..rows).map(list), 2);
    let columns: [(&str, ArrayRef); 7] = [
        ("delay", Arc::new(Float32Array::from_iter_values((0..rows).map(number)))),
        (
            "wide",
            Arc::new(Float64Array::from_iter_values(
                (0..rows).map(|row| 1e-7 / (row as f64 - 1.0)),
            )),
        ),
        (
            "class",
            Arc::new(StringArray::from_iter(
                (0..rows).map(|row| (row != 2).then_some("on \"time\"")),
            )),
        ),
        ("rank", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| -(row as i64))))),
        ("late", Arc::new(BooleanArray::from_iter((0..rows).map(|row| Some(row % 2 == 0))))),
        ("list", Arc::new(lists)),
        ("fixed", Arc::new(fixed)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

fn encode(members: Members, source: MicroBatch, poison: Vec<(usize, String)>) -> ScoredBatch {
    let contract = contract();
    let decoded = Decoder::new(&contract).decode(&source);
    let outputs = outputs(decoded.rows.len() - poison.len());
    let mut encoder = Encoder::new(&contract, &outputs.schema(), members, b"").unwrap();
    encoder.encode(source, decoded, Predicted { outputs, poison }, &stamp())
}

fn lines(scored: &ScoredBatch) -> String {
    let line = |row: &crate::ScoredRow| {
        format!("{}\n", std::str::from_utf8(row.value.of(scored.values())).unwrap())
    };
    scored.results().iter().map(line).collect()
}

const EVENTS: [&str; 4] = [
    r#"{"flight":1545,"carrier":"U\u0041","at":"2013-01-01T05:15:00.25-05:00","shape":[0.1,-2],"raw":"AAH/","late":true,"seconds":1357035300.25,"half":0.1,"unknown":{"a":[1]}}"#,
    r#" { "flight" : 1, "carrier":"a\"\\\n\u0001é😀" } "#,
    r#"{"flight":-7,"carrier":null,"seconds":-0.5,"at":12}"#,
    r#"{"flight":2,"late":false}"#,
];

fn golden(name: &str, have: &str) {
    let path = format!("{}/goldens/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&path, have).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        have == want,
        "{name} differs: UPDATE_GOLDENS=1 blesses it\n--- have\n{have}\n--- want\n{want}"
    );
}

#[test]
fn the_promised_output_record() {
    let all = encode(Members::All, batch(EVENTS), vec![]);
    assert_eq!(all.rejects(), []);
    golden("output_records.jsonl", &lines(&all));
    let names = ["half", "seconds", "late", "raw", "shape", "at", "carrier", "flight"];
    let listed = Members::Listed(names.map(String::from).to_vec());
    golden("output_records_listed.jsonl", &lines(&encode(listed, batch(EVENTS), vec![])));
}

#[test]
fn an_event_without_members_has_no_leading_comma() {
    let contract =
        Contract::from_toml("name='c'\n[[fields]]\nname='a'\ntype='bool'\nnullable=true").unwrap();
    for outputs in [outputs(3), outputs(3).project(&[]).unwrap()] {
        for members in [Members::All, Members::Listed(vec![])] {
            let source = batch(["{}", " { } ", "{\t\n}"]);
            let decoded = Decoder::new(&contract).decode(&source);
            let mut encoder = Encoder::new(&contract, &outputs.schema(), members, b"").unwrap();
            let predicted = Predicted { outputs: outputs.clone(), poison: vec![] };
            let scored = encoder.encode(source, decoded, predicted, &stamp());
            for line in lines(&scored).lines() {
                assert!(line.starts_with("{\"prediction\":{"), "{line}");
                let value: Value = serde_json::from_str(line).unwrap();
                assert_eq!(value.as_object().unwrap().len(), 5);
            }
        }
    }
}

#[test]
fn rejects_of_decode_and_model_are_in_record_order() {
    let events = [
        "x",
        r#"{"flight":1}"#,
        r#"{"flight":2}"#,
        "y",
        r#"{"flight":3}"#,
        r#"{"flight":4,"arm":1}"#,
    ];
    let poison = vec![(0, "bad".to_owned()), (2, "worse".to_owned())];
    let scored = encode(Members::All, batch(events), poison.clone());
    let rejects: Vec<_> =
        scored.rejects().iter().map(|reject| (reject.row, reject.stage)).collect();
    let (decode, model, encode_) = (Stage::Decode, Stage::Model, Stage::Encode);
    assert_eq!(rejects, [(0, decode), (1, model), (3, decode), (4, model), (5, encode_)]);
    assert_eq!((&*scored.rejects()[1].reason, &*scored.rejects()[3].reason), ("bad", "worse"));
    let [result] = scored.results() else { panic!("{:?}", scored.results()) };
    let value: Value = serde_json::from_slice(result.value.of(scored.values())).unwrap();
    assert_eq!((&value["flight"], &value["source"]["offset"]), (&json!(2), &json!(42)));
    assert_eq!(
        value["prediction"]["rank"],
        json!(0),
        "the first prediction is of the first scored row"
    );
}

#[test]
fn the_models_words_on_a_row_of_sensitive_fields_are_withheld() {
    let text = "name='c'\n[[fields]]\nname='a'\ntype='string'\nsensitive='drop'";
    let contract = Contract::from_toml(text).unwrap();
    let source = batch([r#"{"a":"secret"}"#]);
    let decoded = Decoder::new(&contract).decode(&source);
    let outputs = outputs(0);
    let mut encoder = Encoder::new(&contract, &outputs.schema(), Members::All, b"").unwrap();
    let predicted = Predicted { outputs, poison: vec![(0, "cannot cast \"secret\"".into())] };
    let scored = encoder.encode(source, decoded, predicted, &stamp());
    assert!(scored.rejects()[0].reason.contains("withheld"));
    assert!(!format!("{:?}", scored.rejects()).contains("secret"));
}

#[test]
fn sensitive_members_are_hashed_or_left_out_and_so_is_the_key() {
    let record = |key: &str, members: Members| {
        let contract = Contract::from_toml(&format!(
            "name='c'\nfields=[{{name='a',type='string',role='key'{key}}},\
             {{name='b',type='int32',nullable=true,sensitive='hash'}},\
             {{name='c',type='string',sensitive='drop'}}]"
        ))
        .unwrap();
        let mut source = MicroBatch::with_capacity("in".into(), 0, 0);
        let event = br#"{"a":"key","b":7,"c":"secret","unknown":"secret"}"#;
        source.push(0, 0, 0, Some(b"key"), Some(event)).unwrap();
        let decoded = Decoder::new(&contract).decode(&source);
        let outputs = outputs(1);
        let mut encoder = Encoder::new(&contract, &outputs.schema(), members, b"salt").unwrap();
        let predicted = Predicted { outputs, poison: vec![] };
        let scored = encoder.encode(source, decoded, predicted, &stamp());
        let text = String::from_utf8(scored.values().to_vec()).unwrap();
        let key = scored.source().key(0).map(|key| String::from_utf8(key.to_vec()).unwrap());
        assert!(!text.contains("secret"), "{text}");
        (key, text)
    };
    let hash = |text: &str| crate::sensitive::hash(b"salt", text.as_bytes());
    let (key, text) = record("", Members::All);
    assert_eq!(key.as_deref(), Some("key"));
    let start = format!(r#"{{"a":"key","b":"{}","prediction":"#, hash("7"));
    assert!(text.starts_with(&start), "{text}");
    let (key, text) = record(",sensitive='hash'", Members::Listed(vec!["a".into()]));
    assert_eq!(key, Some(hash("key")));
    assert!(text.starts_with(&format!(r#"{{"a":"{}","prediction":"#, hash("key"))), "{text}");
    assert_eq!(record(",sensitive='drop'", Members::All).0, None);
}

#[test]
fn names_that_clash_are_refused_with_the_fix() {
    let named = |name: &str| {
        Contract::from_toml(&format!("name='c'\n[[fields]]\nname='{name}'\ntype='bool'")).unwrap()
    };
    let empty = outputs(0).schema();
    let refused = |contract: &Contract, outputs: &_, members: &[&str]| {
        let members = match members {
            [] => Members::All,
            names => Members::Listed(names.iter().map(|name| (*name).to_owned()).collect()),
        };
        Encoder::new(contract, outputs, members, b"").err().expect("it is refused")
    };
    for reserved in crate::RESERVED_MEMBERS {
        let error = refused(&named(reserved), &empty, &[]);
        assert_eq!(error, EncodeError::ReservedField { field: reserved.into() });
        assert!(error.to_string().contains("rename the event's member"));
    }
    let error = refused(&named("a"), &empty, &["b"]);
    assert_eq!(
        error.to_string(),
        "output member \"b\" is not a field of the contract: its fields are a"
    );
    assert!(matches!(refused(&named("a"), &empty, &["a", "a"]), EncodeError::MemberTwice { .. }));
    let treated = |how: &str| {
        let text = format!("name='c'\n[[fields]]\nname='a'\ntype='bool'\nsensitive='{how}'");
        Contract::from_toml(&text).unwrap()
    };
    let dropped = refused(&treated("drop"), &empty, &["a"]);
    assert_eq!(dropped, EncodeError::DroppedMember { member: "a".into() });
    assert_eq!(
        refused(&treated("hash"), &empty, &[]),
        EncodeError::EmptySalt { field: "a".into() }
    );
    let output = |kind| arrow::datatypes::Field::new("y", kind, true);
    let schema = |fields: Vec<_>| Arc::new(arrow::datatypes::Schema::new(fields));
    use arrow::datatypes::DataType::{Binary, Int8};
    let error = refused(&named("a"), &schema(vec![output(Binary)]), &[]);
    assert!(error.to_string().contains("\"y\" is Binary"), "{error}");
    let twice = schema(vec![output(Int8), output(Int8)]);
    assert!(matches!(refused(&named("a"), &twice, &[]), EncodeError::OutputTwice { .. }));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Eighths: serde_json reads longer fractions back a little off.
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z\"\\\\{}]{0,5}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_record_is_the_event_and_what_is_added(
        extras in proptest::collection::vec(proptest::collection::btree_map("x[a-z\"{}é]{0,4}", any_json(), 0..4), 0..6),
        pretty in any::<bool>(),
    ) {
        let events: Vec<Value> = extras
            .into_iter()
            .enumerate()
            .map(|(flight, extra)| {
                let mut event: serde_json::Map<String, Value> = extra.into_iter().collect();
                event.insert("flight".into(), flight.into());
                Value::Object(event)
            })
            .collect();
        let write = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
        let texts: Vec<_> = events.iter().map(|event| write(event).unwrap()).collect();
        let source = batch(texts.iter().map(String::as_str));
        let scored = encode(Members::All, source, vec![]);
        prop_assert_eq!(scored.results().len(), events.len());
        for (row, mut expected) in scored.results().iter().zip(events) {
            let text = row.value.of(scored.values());
            let mut value: Value = serde_json::from_slice(text).unwrap();
            let at = row.row as usize;
            let offset = 40 + at as i64;
            let timestamp = if offset == 41 { Value::Null } else { json!(1_700_000_000_000 + offset) };
            expected["prediction"] = value["prediction"].take();
            expected["model"] = json!({"name": "del\"ay", "version": "3"});
            expected["arm"] = json!("stable");
            expected["scored_at"] = json!("2026-01-02T03:04:05.678Z");
            expected["source"] = json!({"topic": "flights.in", "partition": 2, "offset": offset, "timestamp": timestamp});
            value["prediction"] = expected["prediction"].clone();
            prop_assert_eq!(&value, &expected);
            prop_assert_eq!(&value["prediction"]["rank"], &json!(-(at as i64)));
            prop_assert_eq!(value["prediction"]["delay"].is_null(), at % 2 == 1);
            let found = crate::source_coordinates(text).unwrap();
            prop_assert_eq!((&*found.topic, found.partition, found.offset), ("flights.in", 2, offset));
        }
    }
}

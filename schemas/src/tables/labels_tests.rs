//! Label records as rows: what is read, what is not, and what is kept out of sight.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};

use super::labels::{LabelMembers, LabelTable, LabelsError, MAX_LABEL_BYTES};
use crate::sensitive::sha256_hex;
use crate::{Contract, MicroBatch};

fn contract(key: &str) -> Contract {
    let text = format!(
        "name = \"c\"\nfields = [{{ name = \"id\", {key} }}, {{ name = \"late\", type = \"bool\", \
         nullable = true, role = \"label\" }}]"
    );
    Contract::from_toml(&text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn members(time: Option<&str>) -> LabelMembers {
    LabelMembers { key: "id".into(), label: "late".into(), time: time.map(str::to_owned) }
}

fn table(key: &str, time: Option<&str>) -> LabelTable {
    LabelTable::new(&contract(key), members(time), b"salt").unwrap()
}

const STRING_KEY: &str = "type = \"string\", role = \"key\"";

#[test]
fn every_record_is_a_row_and_bad_ones_say_why() {
    type Read<'a> = Result<(&'a str, Option<&'a str>, Option<f64>), &'a str>;
    let long = format!(r#"{{"id":"a","late":"{}"}}"#, "x".repeat(MAX_LABEL_BYTES + 1));
    let cases: [(Option<&str>, Read<'_>); 14] = [
        (Some(r#"{"id":"a","late":"yes"}"#), Ok(("a", Some("yes"), None))),
        (Some(r#"{"id":7,"late":true,"more":[1]}"#), Ok(("7", Some("true"), None))),
        (Some(r#"{"id":"a","late":1}"#), Ok(("a", Some("1"), Some(1.0)))),
        (Some(r#"{"id":"a","late":-2.5e1}"#), Ok(("a", Some("-25.0"), Some(-25.0)))),
        (Some(r#"{"id":"a","late":" 12.5"}"#), Ok(("a", Some(" 12.5"), Some(12.5)))),
        (Some(r#"{"id":"a","late":"NaN"}"#), Ok(("a", Some("NaN"), None))),
        (Some(r#"{"id":"a","late":null}"#), Ok(("a", None, None))),
        (None, Err("no value")),
        (Some("[1]"), Err("no JSON object")),
        (Some(r#"{"id":"a"#), Err("no JSON object")),
        (Some(r#"{"late":1}"#), Err("\"id\" (the label's) is missing")),
        (Some(r#"{"id":1.5,"late":1}"#), Err("\"id\" is a number where a string or an integer")),
        (Some(r#"{"id":"a","late":[1]}"#), Err("\"late\" is an array")),
        (Some(&long), Err("\"late\" has 1025 bytes")),
    ];
    let mut batch = MicroBatch::with_capacity("labels".into(), 0, 0);
    for (offset, (value, _)) in (0..).zip(&cases) {
        batch.push(2, offset, 1_000 + offset, Some(b"k"), value.map(str::as_bytes)).unwrap();
    }
    let rows = table(STRING_KEY, None).rows(&batch);
    let text = |name: &str, row| {
        let column = rows[name].as_string::<i32>();
        column.is_valid(row).then(|| column.value(row))
    };
    for (row, (value, expected)) in cases.iter().enumerate() {
        let number = rows["label_number"].as_primitive::<Float64Type>();
        let number = number.is_valid(row).then(|| number.value(row));
        let bytes = rows["undecodable"].as_binary::<i32>();
        match expected {
            Ok((key, label, wanted)) => {
                assert_eq!((text("label_key", row), text("label", row)), (Some(*key), *label));
                assert_eq!((number, text("undecodable_reason", row)), (*wanted, None), "{value:?}");
                let times = rows["label_time"].as_primitive::<TimestampMicrosecondType>();
                assert_eq!(times.value(row), (1_000 + row as i64) * 1_000);
                assert!(bytes.is_null(row));
            }
            Err(reason) => {
                let said = text("undecodable_reason", row).unwrap_or_default();
                assert!(said.contains(reason), "{value:?}: {said}");
                assert_eq!(
                    (text("label_key", row), text("label", row), number),
                    (None, None, None)
                );
                assert_eq!(bytes.is_valid(row).then(|| bytes.value(row)), value.map(str::as_bytes));
            }
        }
    }
}

#[test]
fn a_label_may_say_when_it_was_known() {
    let mut batch = MicroBatch::with_capacity("labels".into(), 0, 0);
    let records = [
        r#"{"id":"a","late":1,"at":"2013-06-01T00:00:00Z"}"#,
        r#"{"id":"a","late":1,"at":1370044800000}"#,
        r#"{"id":"a","late":1,"at":"yesterday"}"#,
        r#"{"id":"a","late":1}"#,
    ];
    for (offset, record) in (0..).zip(records) {
        batch.push(0, offset, 5, None, Some(record.as_bytes())).unwrap();
    }
    let rows = table(STRING_KEY, Some("at")).rows(&batch);
    let times: Vec<_> =
        rows["label_time"].as_primitive::<TimestampMicrosecondType>().iter().collect();
    let at = Some(1_370_044_800_000_000);
    assert_eq!(times, [at, at, None, None]);
    let reasons: Vec<_> = rows["undecodable_reason"].as_string::<i32>().iter().collect();
    assert!(reasons[2].unwrap().contains("\"at\" is no instant"));
    assert!(reasons[3].unwrap().contains("\"at\" (the label's) is missing"));
}

#[test]
fn hashed_keys_are_hashed_as_the_results_are_and_nothing_is_kept_in_the_clear() {
    let mut batch = MicroBatch::with_capacity("labels".into(), 0, 0);
    batch.push(0, 0, 5, Some(b"ann"), Some(br#"{"id":"ann","late":true}"#)).unwrap();
    batch.push(0, 1, 5, Some(b"ann"), Some(br#"{"id":"ann","late":{}}"#)).unwrap();
    let mut table = table("type = \"string\", role = \"key\", sensitive = \"hash\"", None);
    let rows = table.rows(&batch);
    let hash = sha256_hex(&[b"salt", b"ann"]);
    assert_eq!(rows["label_key"].as_string::<i32>().value(0), hash);
    assert_eq!(rows["key"].as_binary::<i32>().value(0), hash.as_bytes());
    assert!(rows["undecodable"].is_null(1) && rows["undecodable_reason"].is_valid(1));
    assert_ne!(table.id(), self::table(STRING_KEY, None).id());
}

#[test]
fn labels_that_cannot_be_joined_or_kept() {
    let of = |contract: &Contract| LabelTable::new(contract, members(None), b"salt").err();
    for (key, expected) in [
        (STRING_KEY, None),
        ("type = \"int64\", role = \"key\"", None),
        ("type = \"string\"", Some(LabelsError::NoKey)),
        (
            "type = \"float32\", role = \"key\"",
            Some(LabelsError::KeyType { field: "id".into(), kind: "float32".into() }),
        ),
        (
            "type = \"string\", role = \"key\", sensitive = \"drop\"",
            Some(LabelsError::DroppedKey { field: "id".into() }),
        ),
    ] {
        assert_eq!(of(&contract(key)), expected, "{key}");
    }
    let secret = "name = \"c\"\nfields = [{ name = \"id\", type = \"string\", role = \"key\" }, \
                  { name = \"late\", type = \"bool\", sensitive = \"hash\" }]";
    let error = of(&Contract::from_toml(secret).unwrap());
    assert_eq!(error, Some(LabelsError::SensitiveLabel { field: "late".into() }));
}

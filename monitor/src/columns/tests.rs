//! What becomes of which column, and of its values.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, DictionaryArray, Float32Array, Float64Array, Int64Array,
    StringArray, TimestampMillisecondArray, UInt8Array,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, TimeUnit};
use schemas::Contract;

use super::*;

const CONTRACT: &str = r#"
    name = "people"
    fields = [
        { name = "id", type = "string", role = "key" },
        { name = "at", type = "timestamp", role = "event_time" },
        { name = "grade", type = "int8", categories = [1, 2, 3] },
        { name = "phone", type = "string", sensitive = "hash" },
        { name = "name", type = "string", sensitive = "drop" },
        { name = "offset", type = "float64" },
    ]
"#;

fn schema(columns: &[(&str, DataType)]) -> Schema {
    Schema::new(
        columns
            .iter()
            .map(|(name, kind)| Field::new(*name, kind.clone(), true))
            .collect::<Vec<_>>(),
    )
}

fn people() -> Schema {
    schema(&[
        ("id", DataType::Utf8),
        ("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("grade", DataType::Int8),
        ("phone", DataType::Utf8),
        ("name", DataType::Utf8),
        ("offset", DataType::Float64),
        ("extra", DataType::List(Arc::new(Field::new("item", DataType::Int8, true)))),
    ])
}

fn kinds(planned: &[Planned]) -> Vec<(&str, &'static str)> {
    planned
        .iter()
        .map(|column| {
            let kind = match column.treatment {
                Treatment::Numeric => "numeric",
                Treatment::Categorical(Hashing::No) => "categorical",
                Treatment::Categorical(Hashing::Done) => "hashes",
                Treatment::Categorical(Hashing::Wanted(_)) => "to hash",
                Treatment::LeftOut(_) => "left out",
                Treatment::Dropped => "dropped",
            };
            (column.name.as_str(), kind)
        })
        .collect()
}

#[test]
fn types_decide_where_no_contract_does() {
    let schema = schema(&[
        ("f", DataType::Float32),
        ("d", DataType::Decimal128(10, 2)),
        ("b", DataType::Boolean),
        ("s", DataType::Utf8View),
        ("t", DataType::Date32),
        ("x", DataType::Binary),
        ("dict", DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))),
        ("scored_at", DataType::Int64),
    ]);
    let planned = plan(&schema, Wishes::default()).unwrap();
    let expected = [
        ("f", "numeric"),
        ("d", "numeric"),
        ("b", "categorical"),
        ("s", "categorical"),
        ("t", "left out"),
        ("x", "left out"),
        ("dict", "categorical"),
        ("scored_at", "numeric"),
    ];
    assert_eq!(kinds(&planned), expected);
}

#[test]
fn the_contract_goes_before_types() {
    let contract = Contract::from_toml(CONTRACT).unwrap();
    let planning = |columns: &[&str]| {
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        plan(&people(), Wishes { contract: Some(&contract), columns: &columns })
    };
    let planned = planning(&[]).unwrap();
    let expected = [
        ("id", "left out"),
        ("at", "left out"),
        ("grade", "categorical"),
        ("phone", "to hash"),
        ("name", "dropped"),
        ("offset", "numeric"),
        ("extra", "left out"),
    ];
    assert_eq!(kinds(&planned), expected);

    let planned = planning(&["id", "at"]).unwrap();
    assert_eq!(kinds(&planned), [("id", "categorical"), ("at", "numeric")]);
    let dropped = planning(&["name"]).unwrap_err();
    assert_eq!(dropped, PlanError::Dropped("name".to_owned()));
    let unknown = planning(&["nmae"]).unwrap_err().to_string();
    assert!(unknown.contains("\"nmae\"") && unknown.contains("\"grade\""), "{unknown}");
}

#[test]
fn the_archives_own_columns_are_left_out() {
    let mut columns: Vec<(&str, DataType)> =
        ["input_topic", "input_partition", "input_offset", "scored_at", "contract_id", "partition"]
            .map(|name| (name, DataType::Int64))
            .to_vec();
    columns.extend([
        ("phone", DataType::Utf8),
        ("field_offset", DataType::Float64),
        ("prediction_delay", DataType::Float32),
    ]);
    let contract = Contract::from_toml(CONTRACT).unwrap();
    let wishes = Wishes { contract: Some(&contract), columns: &[] };
    let planned = plan(&schema(&columns), wishes).unwrap();
    assert!(kinds(&planned)[..6].iter().all(|(_, kind)| *kind == "left out"));
    let rest = [("phone", "hashes"), ("field_offset", "numeric"), ("prediction_delay", "numeric")];
    assert_eq!(kinds(&planned)[6..], rest);
}

#[test]
fn everything_numeric_becomes_doubles() {
    let check = |column: ArrayRef, expected: &[Option<f64>]| {
        assert!(is_number_like(column.data_type()));
        assert_eq!(numbers(&column).unwrap(), Float64Array::from(expected.to_vec()));
    };
    check(Arc::new(UInt8Array::from(vec![Some(255), None])), &[Some(255.0), None]);
    check(Arc::new(Float32Array::from(vec![0.5])), &[Some(0.5)]);
    check(Arc::new(TimestampMillisecondArray::from(vec![1500])), &[Some(1.5)]);
    check(Arc::new(Date32Array::from(vec![1])), &[Some(86_400.0)]);
    check(Arc::new(StringArray::from(vec!["2.5", "x"])), &[Some(2.5), None]);
}

#[test]
fn everything_named_becomes_text() {
    let check = |column: ArrayRef, expected: &[Option<&str>]| {
        let found = texts(&column, Hashing::No, b"").unwrap();
        assert_eq!(found, StringArray::from(expected.to_vec()));
    };
    check(Arc::new(BooleanArray::from(vec![Some(true), None])), &[Some("true"), None]);
    check(Arc::new(Int64Array::from(vec![-3])), &[Some("-3")]);
    let coded: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
    check(Arc::new(coded), &[Some("a"), None, Some("a")]);
}

#[test]
fn a_hash_is_the_archives_and_hides_the_value() {
    let contract = Contract::from_toml(CONTRACT).unwrap();
    let kind = contract.field("phone").unwrap().kind;
    let column: ArrayRef = Arc::new(StringArray::from(vec![Some("555"), None]));
    let hashes = texts(&column, Hashing::Wanted(kind), b"salt").unwrap();
    // printf salt555 | sha256sum
    let expected = "33cad5981660763516c93e0f39108bdf8edef7a91fe46d521d255c0ac20fadce";
    assert_eq!(hashes.value(0), expected);
    assert!(arrow::array::Array::is_null(&hashes, 1));
}

#[test]
fn distinct_values_have_a_limit() {
    let treatment = Treatment::Categorical(Hashing::No);
    let mut gathered = Gathered::new(&treatment, 0).unwrap();
    let long = "x".repeat(1 << 20);
    for n in 0..=(MAX_TEXT_BYTES >> 20) {
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some(format!("{n}{long}")), None]));
        gathered.push(&column, &treatment, b"").unwrap();
    }
    let Gathered::Texts(texts) = gathered else { panic!("a categorical column") };
    assert_eq!((texts.distinct(), texts.counts().count()), (None, 0));
    assert_eq!(texts.rows(), 2 * texts.nulls());
}

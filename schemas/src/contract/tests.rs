//! Contracts: every problem at once, round trips, ids.

use arrow::datatypes::DataType;

use super::*;

const FLIGHTS: &str = r#"
name = "flights"

[[fields]]
name = "flight"
type = "int32"
role = "key"
range = [1, 9999]

[[fields]]
name = "carrier"
type = "string"
categories = ["UA", "B6"]
description = "IATA \"code\""

[[fields]]
name = "at"
type = "timestamp"
formats = ["rfc3339", "epoch_millis"]
role = "event_time"

[[fields]]
name = "embedding"
type = "float16[3]"
nullable = true

[[fields]]
name = "passenger"
type = "list<uint8>"
sensitive = "hash"

[[fields]]
name = "delay"
type = "float64"
nullable = true
role = "label"
"#;

#[test]
fn toml_round_trip() {
    let contract = Contract::from_toml(FLIGHTS).unwrap();
    let again = Contract::from_toml(&contract.to_toml()).unwrap();
    assert_eq!(contract, again);
    assert_eq!(contract.key().map(|f| f.name.as_str()), Some("flight"));
    assert_eq!(contract.event_time().map(|f| f.name.as_str()), Some("at"));
    assert_eq!(contract.label().map(|f| f.name.as_str()), Some("delay"));
    assert!(contract.has_sensitive());
    let schema = contract.arrow_schema();
    assert_eq!(schema.field(0).data_type(), &DataType::Int32);
    assert!(matches!(schema.field(3).data_type(), DataType::FixedSizeList(item, 3)
        if item.data_type() == &DataType::Float16 && !item.is_nullable()));
    assert!(schema.field(5).is_nullable() && !schema.field(1).is_nullable());
}

#[test]
fn the_id_follows_the_meaning_only() {
    let id = |text: &str| Contract::from_toml(text).unwrap().id().to_owned();
    let first = id(FLIGHTS);
    assert_eq!(first.len(), 16);
    for (from, to, same) in [
        ("range = [1, 9999]", "range = [1, 10]", true),
        ("\"UA\", ", "", true),
        ("code", "kode", true),
        ("name = \"flights\"", "name = \"f\"", true),
        ("\"int32\"", "\"int64\"", false),
        ("\"epoch_millis\"", "\"epoch_micros\"", false),
        ("\"hash\"", "\"drop\"", false),
        ("nullable = true\n\n", "\n", false),
        ("role = \"label\"", "", false),
        ("\"carrier\"", "\"airline\"", false),
    ] {
        let changed = FLIGHTS.replacen(from, to, 1);
        assert_ne!(changed, FLIGHTS, "{from}");
        assert_eq!(id(&changed) == first, same, "{from} -> {to}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let text = r#"
nmae = "x"
[[fields]]
name = "a"
type = "int33"
range = [1, 2]
[[fields]]
name = "a"
type = "string"
nullable = "yes"
range = [0, 1]
colour = 3
[[fields]]
name = "t"
type = "timestamp"
formats = ["epoch_seconds", "epoch_millis", "iso"]
sensitive = "mask"
[[fields]]
name = "n"
type = "float32[0]"
[[fields]]
name = "k"
type = "float32"
categories = ["x"]
role = "event_time"
range = [2, 1]
[[fields]]
type = "bool"
formats = ["rfc3339"]
"#;
    let ContractErrors(problems) = Contract::from_toml(text).unwrap_err();
    let places: Vec<&str> = problems.iter().map(|problem| problem.place.as_str()).collect();
    for place in [
        "nmae",
        "name",
        "fields[0] \"a\".type",
        "fields[1] \"a\".name",
        "fields[1] \"a\".nullable",
        "fields[1] \"a\".range",
        "fields[1] \"a\".colour",
        "fields[2] \"t\".formats",
        "fields[2] \"t\".sensitive",
        "fields[3] \"n\".type",
        "fields[4] \"k\".categories",
        "fields[4] \"k\".role",
        "fields[4] \"k\".range",
        "fields[5] \"\".name",
        "fields[5] \"\".formats",
    ] {
        assert!(places.contains(&place), "{place} is missing from {places:#?}");
    }
    assert_eq!(places.iter().filter(|place| place.ends_with(".formats")).count(), 3);
    assert_eq!(places.len(), 16, "{places:#?}");
    let text = ContractErrors(problems).to_string();
    assert!(text.contains("\"int33\" is not a type: bool, int8"), "{text}");
    assert!(text.contains("`colour` is not a key here: name, type"), "{text}");
}

#[test]
fn a_text_that_is_not_toml_says_where() {
    let text = Contract::from_toml("name = \"x\nfields").unwrap_err().to_string();
    assert!(text.contains("line 2, column 7"), "{text}");
}

#[test]
fn json_schema_rejects_only_what_the_type_cannot_hold() {
    let schema = Contract::from_toml(FLIGHTS).unwrap().json_schema();
    let flight = &schema["properties"]["flight"];
    assert_eq!(flight["maximum"], i64::from(i32::MAX));
    assert_eq!(flight["x-tidegate-range"][1], 9999.0);
    assert_eq!(schema["properties"]["delay"]["type"], serde_json::json!(["number", "null"]));
    assert_eq!(schema["properties"]["at"]["type"], serde_json::json!(["string", "number"]));
    assert_eq!(schema["required"], serde_json::json!(["flight", "carrier", "at", "passenger"]));
}

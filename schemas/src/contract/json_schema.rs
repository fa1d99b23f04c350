//! A contract as JSON Schema (draft 2020-12), for producers and editors.
//!
//! Documented ranges and categories never reject, so they are annotations (`x-tidegate-…`), not
//! `minimum` or `enum`. JSON Schema's `integer` takes `1.0`, the decoder does not.

use serde_json::{Map, Value, json};

use super::{Category, Contract, Field, FieldType, NumberType, TimestampForms};

pub(super) fn json_schema(contract: &Contract) -> Value {
    let properties: Map<String, Value> =
        contract.fields().iter().map(|field| (field.name.clone(), property(field))).collect();
    let required: Vec<&str> = contract
        .fields()
        .iter()
        .filter(|field| !field.nullable)
        .map(|field| field.name.as_str())
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": contract.name(),
        "x-tidegate-contract": contract.id(),
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": true,
    })
}

fn property(field: &Field) -> Value {
    let mut value = match field.kind {
        FieldType::Bool => json!({ "type": "boolean" }),
        FieldType::Number(kind) => number(kind),
        FieldType::String => json!({ "type": "string" }),
        FieldType::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        FieldType::Timestamp(forms) => timestamp(forms),
        FieldType::List(kind) => json!({ "type": "array", "items": number(kind) }),
        FieldType::FixedList(kind, len) => {
            json!({ "type": "array", "items": number(kind), "minItems": len, "maxItems": len })
        }
    };
    let object = value.as_object_mut().expect("every property is built as an object");
    if field.nullable {
        let one = object.insert("type".into(), Value::Null).unwrap_or(Value::Null);
        let mut types = one.as_array().cloned().unwrap_or_else(|| vec![one]);
        types.push("null".into());
        object.insert("type".into(), types.into());
    }
    if let Some(description) = &field.description {
        object.insert("description".into(), description.as_str().into());
    }
    if let Some((low, high)) = field.range {
        object.insert("x-tidegate-range".into(), json!([low, high]));
    }
    if !field.categories.is_empty() {
        let categories = field.categories.iter().map(|category| match category {
            Category::Text(text) => Value::from(text.as_str()),
            Category::Integer(value) => Value::from(*value),
        });
        object.insert("x-tidegate-categories".into(), categories.collect());
    }
    if let Some(role) = field.role {
        object.insert("x-tidegate-role".into(), role.name().into());
    }
    if let Some(sensitive) = field.sensitive {
        object.insert("x-tidegate-sensitive".into(), sensitive.name().into());
    }
    value
}

fn number(kind: NumberType) -> Value {
    match kind.integer_range() {
        Some((low, high)) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        None => json!({ "type": "number" }),
    }
}

fn timestamp(forms: TimestampForms) -> Value {
    match (forms.rfc3339, forms.epoch) {
        (true, None) => json!({ "type": "string", "format": "date-time" }),
        (true, Some(unit)) => {
            json!({ "type": ["string", "number"], "format": "date-time", "x-tidegate-unit": unit.name() })
        }
        (false, Some(unit)) => json!({ "type": "number", "x-tidegate-unit": unit.name() }),
        (false, None) => unreachable!("a timestamp has a form (checked with the contract)"),
    }
}

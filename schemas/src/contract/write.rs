//! A contract as TOML text, in the order of its fields and with only what was said.

use std::fmt::Write as _;

use toml::Value;

use super::{Category, Contract, Field, Role, Sensitive, TimestampForms};

pub(super) fn to_toml(contract: &Contract) -> String {
    let mut text = format!("name = {}\n", quoted(contract.name()));
    for field in contract.fields() {
        write_field(&mut text, field);
    }
    text
}

fn write_field(text: &mut String, field: &Field) {
    let mut line = |key: &str, value: String| {
        let _ = writeln!(text, "{key} = {value}");
    };
    line("\n[[fields]]\nname", quoted(&field.name));
    line("type", quoted(&field.kind.to_string()));
    if field.nullable {
        line("nullable", "true".into());
    }
    if let Some(forms) =
        field.kind.timestamp_forms().filter(|forms| *forms != TimestampForms::RFC3339)
    {
        line("formats", array(forms.names().into_iter().map(quoted)));
    }
    if let Some((low, high)) = field.range {
        line("range", array([low, high].into_iter().map(|end| Value::Float(end).to_string())));
    }
    if !field.categories.is_empty() {
        line("categories", array(field.categories.iter().map(category)));
    }
    if let Some(role) = field.role.map(Role::name) {
        line("role", quoted(role));
    }
    if let Some(sensitive) = field.sensitive.map(Sensitive::name) {
        line("sensitive", quoted(sensitive));
    }
    if let Some(description) = &field.description {
        line("description", quoted(description));
    }
}

fn quoted(text: &str) -> String {
    Value::String(text.into()).to_string()
}

fn category(category: &Category) -> String {
    match category {
        Category::Text(text) => quoted(text),
        Category::Integer(value) => value.to_string(),
    }
}

fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

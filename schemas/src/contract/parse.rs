//! Contract TOML to fields. Goes on after a problem, so that one reading reports them all.

use toml::{Table, Value};

use super::problems::{check, place};
use super::{
    Category, Contract, ContractErrors, ContractProblem, EpochUnit, Field, FieldType, NumberType,
    Role, Sensitive, TimestampForms,
};

const FIELD_KEYS: &str =
    "name, type, nullable, range, categories, role, sensitive, formats, description";
const FORMATS: &str = "\"rfc3339\", \"epoch_seconds\", \"epoch_millis\" or \"epoch_micros\"";

pub(super) fn parse(text: &str) -> Result<Contract, ContractErrors> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        ContractErrors(vec![ContractProblem::new("the file", error.to_string().trim_end())])
    })?;
    let mut problems = Vec::new();
    let (mut name, mut fields) = (String::new(), Vec::new());
    for (key, value) in &table {
        match (key.as_str(), value) {
            ("name", Value::String(text)) => name.clone_from(text),
            ("fields", Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    fields.push(Reader::field(index, item, &mut problems));
                }
            }
            ("name" | "fields", other) => {
                let accepted = if key == "name" { "a string" } else { "[[fields]] tables" };
                problems.push(ContractProblem::new(key, found(other, accepted)));
            }
            (_, _) => problems.push(unknown(key, "name and [[fields]]")),
        }
    }
    for required in ["name", "fields"] {
        if !table.contains_key(required) {
            problems.push(ContractProblem::new(required, "missing, and required"));
        }
    }
    // A part that could not be read was reported above; its placeholder must not be reported again.
    let unread: Vec<String> = problems.iter().map(|problem| problem.place.clone()).collect();
    problems.extend(check(&name, &fields).into_iter().filter(|late| {
        !unread
            .iter()
            .any(|place| late.place.starts_with(place.as_str()) || hangs_on(place, &late.place))
    }));
    if problems.is_empty() { Contract::new(name, fields) } else { Err(ContractErrors(problems)) }
}

/// Whether a later problem at `late` may only follow from an unread type at `place`.
fn hangs_on(place: &str, late: &str) -> bool {
    place
        .strip_suffix(".type")
        .is_some_and(|field| late.starts_with(field) && !late.ends_with(".name"))
}

/// Reads one `[[fields]]` table, collecting problems.
struct Reader<'a> {
    place: String,
    problems: &'a mut Vec<ContractProblem>,
}

impl Reader<'_> {
    fn field(index: usize, item: &Value, problems: &mut Vec<ContractProblem>) -> Field {
        // Distinct placeholder names keep unreadable fields from clashing with each other.
        let mut field = Field::new(format!("#{index}"), FieldType::Bool);
        let Value::Table(table) = item else {
            problems.push(ContractProblem::new(format!("fields[{index}]"), found(item, "a table")));
            return field;
        };
        let name = table.get("name").and_then(Value::as_str).unwrap_or("");
        let mut reader = Reader { place: place(index, name), problems };
        for required in ["name", "type"] {
            if !table.contains_key(required) {
                reader.say(required, "missing, and required".into());
            }
        }
        for (key, value) in table {
            reader.key(key, value, &mut field);
        }
        if let Some(value) = table.get("formats") {
            reader.formats(value, &mut field, table.contains_key("type"));
        }
        field
    }

    fn key(&mut self, key: &str, value: &Value, field: &mut Field) {
        match (key, value) {
            ("name", Value::String(text)) => field.name.clone_from(text),
            ("description", Value::String(text)) => field.description = Some(text.clone()),
            ("nullable", Value::Boolean(nullable)) => field.nullable = *nullable,
            ("type", Value::String(text)) => match FieldType::parse(text) {
                Some(kind) => field.kind = kind,
                None => self.say(key, format!("{text:?} is not a type: {} are accepted", types())),
            },
            ("range", Value::Array(ends)) => {
                match ends.iter().map(number).collect::<Vec<_>>()[..] {
                    [Some(low), Some(high)] => field.range = Some((low, high)),
                    _ => self.say(key, found(value, "two numbers, [smallest, largest],")),
                }
            }
            ("categories", Value::Array(items)) => {
                for item in items {
                    match item {
                        Value::String(text) => field.categories.push(Category::Text(text.clone())),
                        Value::Integer(value) => field.categories.push(Category::Integer(*value)),
                        other => self.say(key, found(other, "a string or an integer")),
                    }
                }
            }
            ("role", Value::String(text)) => match text.as_str() {
                "key" => field.role = Some(Role::Key),
                "event_time" => field.role = Some(Role::EventTime),
                "label" => field.role = Some(Role::Label),
                _ => self.say(key, found(value, "\"key\", \"event_time\" or \"label\"")),
            },
            ("sensitive", Value::String(text)) => match text.as_str() {
                "drop" => field.sensitive = Some(Sensitive::Drop),
                "hash" => field.sensitive = Some(Sensitive::Hash),
                _ => self.say(key, found(value, "\"drop\" or \"hash\"")),
            },
            ("formats", _) => {}
            ("nullable", _) => self.say(key, found(value, "true or false")),
            ("range" | "categories", _) => self.say(key, found(value, "an array")),
            ("name" | "type" | "description" | "role" | "sensitive", _) => {
                self.say(key, found(value, "a string"));
            }
            (_, _) => {
                let ContractProblem { message, .. } = unknown(key, FIELD_KEYS);
                self.say(key, message);
            }
        }
    }

    fn formats(&mut self, value: &Value, field: &mut Field, has_type: bool) {
        let (Value::Array(items), FieldType::Timestamp(_)) = (value, field.kind) else {
            if value.is_array() && has_type {
                self.say(
                    "formats",
                    format!("a {} has no formats; only a timestamp has", field.kind),
                );
            } else if !value.is_array() {
                self.say("formats", found(value, "an array"));
            }
            return;
        };
        let mut forms = TimestampForms { rfc3339: false, epoch: None };
        for item in items {
            let epoch = match item.as_str() {
                Some("rfc3339") => {
                    forms.rfc3339 = true;
                    continue;
                }
                Some("epoch_seconds") => EpochUnit::Seconds,
                Some("epoch_millis") => EpochUnit::Millis,
                Some("epoch_micros") => EpochUnit::Micros,
                _ => {
                    self.say("formats", found(item, FORMATS));
                    continue;
                }
            };
            if let Some(other) = forms.epoch.replace(epoch) {
                let pair = format!("\"{}\" and \"{}\"", other.name(), epoch.name());
                self.say(
                    "formats",
                    format!("{pair} cannot be told apart; one epoch form is accepted"),
                );
            }
        }
        field.kind = FieldType::Timestamp(forms);
    }

    fn say(&mut self, key: &str, message: String) {
        self.problems.push(ContractProblem::new(format!("{}.{key}", self.place), message));
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(value) => Some(*value as f64),
        Value::Float(value) => Some(*value),
        _ => None,
    }
}

fn found(value: &Value, accepted: &str) -> String {
    format!("{value} was found: {accepted} is accepted")
}

fn unknown(key: &str, accepted: &str) -> ContractProblem {
    ContractProblem::new(key, format!("`{key}` is not a key here: {accepted} are accepted"))
}

fn types() -> String {
    let numbers = NumberType::ALL.map(NumberType::name).join(", ");
    format!("bool, {numbers}, string, bytes, timestamp, list<NUMBER> and NUMBER[LENGTH]")
}

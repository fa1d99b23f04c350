//! What is wrong with a contract, all of it at once, each with its place, value and remedy.

use std::collections::HashMap;
use std::fmt;

use super::{Category, Field, FieldType, MAX_FIELDS, MAX_NAME_BYTES, Role};

/// Everything that is wrong with a contract, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractErrors(pub Vec<ContractProblem>);

/// One thing wrong: where, and what value was found and would be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractProblem {
    /// Place in the file, such as `fields[2] "delay".type`.
    pub place: String,
    /// The value found and what would be accepted.
    pub message: String,
}

impl fmt::Display for ContractErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(out, "{separator}{}: {}", problem.place, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ContractErrors {}

impl ContractProblem {
    pub(super) fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

/// `fields[2] "delay"`: how a field is named in problems.
pub(super) fn place(index: usize, name: &str) -> String {
    format!("fields[{index}] {name:?}")
}

/// What holds between fields and between the parts of one field.
pub(super) fn check(name: &str, fields: &[Field]) -> Vec<ContractProblem> {
    let mut problems = Vec::new();
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        let message = format!("{name:?} is not a name: 1 to {MAX_NAME_BYTES} bytes are accepted");
        problems.push(ContractProblem::new("name", message));
    }
    if fields.is_empty() || fields.len() > MAX_FIELDS {
        let message = format!("{} fields: 1 to {MAX_FIELDS} [[fields]] are accepted", fields.len());
        problems.push(ContractProblem::new("fields", message));
    }
    let (mut names, mut roles) = (HashMap::new(), HashMap::new());
    for (index, field) in fields.iter().enumerate() {
        let place = place(index, &field.name);
        let mut say = |key: &str, message: String| {
            problems.push(ContractProblem::new(format!("{place}.{key}"), message));
        };
        check_field(field, &mut say);
        if let Some(first) = names.insert(field.name.as_str(), index) {
            say("name", format!("fields[{first}] has this name too; names must differ"));
        }
        if let Some(role) = field.role
            && let Some(first) = roles.insert(role, &field.name)
        {
            let role = role.name();
            say("role", format!("{role:?} is held by {first:?} too; one field may hold it"));
        }
    }
    problems
}

fn check_field(field: &Field, say: &mut impl FnMut(&str, String)) {
    let (name, kind) = (&field.name, field.kind);
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        let accepted =
            format!("1 to {MAX_NAME_BYTES} bytes without control characters are accepted");
        say("name", format!("{name:?} is not a name: {accepted}"));
    }
    if let FieldType::Timestamp(forms) = kind
        && forms.names().is_empty()
    {
        say("formats", "no format: name at least one of \"rfc3339\", \"epoch_millis\", ...".into());
    }
    if let Some((low, high)) = field.range {
        if kind.number().is_none() {
            say("range", format!("a {kind} has no range; remove it or make the field a number"));
        } else if !(low.is_finite() && high.is_finite() && low <= high) {
            say(
                "range",
                format!("[{low}, {high}] is not a range: [smallest, largest] is accepted"),
            );
        }
    }
    let is_integer = matches!(kind, FieldType::Number(number) if number.integer_range().is_some());
    let accepted = match kind {
        FieldType::String => "strings",
        _ if is_integer => "integers",
        _ => "no categories (only string and integer fields have them)",
    };
    for category in &field.categories {
        let fits = match category {
            Category::Text(_) => kind == FieldType::String,
            Category::Integer(_) => is_integer,
        };
        if !fits {
            let value = match category {
                Category::Text(text) => format!("{text:?}"),
                Category::Integer(value) => value.to_string(),
            };
            say("categories", format!("{value} in a {kind} field: {accepted} are accepted"));
        }
    }
    let is_list = matches!(kind, FieldType::List(_) | FieldType::FixedList(..));
    match field.role {
        Some(Role::EventTime) if kind.timestamp_forms().is_none() => {
            say("role", format!("\"event_time\" of a {kind}: type \"timestamp\" is accepted"));
        }
        Some(Role::EventTime) if field.sensitive.is_some() => {
            let fix = "the event time is a column of every table; remove `sensitive` or the role";
            say(
                "sensitive",
                format!("{:?} on the event time: {fix}", field.sensitive.map_or("", |s| s.name())),
            );
        }
        Some(Role::Key) if is_list => {
            say("role", format!("\"key\" of a {kind}: a scalar is accepted"));
        }
        Some(Role::EventTime | Role::Key | Role::Label) | None => {}
    }
}

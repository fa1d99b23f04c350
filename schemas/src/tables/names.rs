//! Column names that cannot clash.
//!
//! An event's field keeps its name unless that is, whatever its case, a column of Tidegate's own or
//! starts with `prediction_` or `field_`; then it is stored as `field_<name>`. Names written so
//! differ from all own ones and from each other, and the rule looks at nothing but the name: an
//! output added to the model tomorrow cannot move a column of today. Case is ignored since SQL does.

use crate::{Field, Role};

/// Columns of the results table that are not an event's.
const OWN: [&str; 16] = [
    "partition",
    "offset",
    "timestamp",
    "key",
    "input_topic",
    "input_partition",
    "input_offset",
    "input_timestamp",
    "event_time",
    "model_name",
    "model_version",
    "arm",
    "scored_at",
    "contract_id",
    "undecodable",
    "undecodable_reason",
];

/// Key of the folders' names, which readers add as a column.
const HIVE_KEY: &str = "source_partition";

const PREDICTION: &str = "prediction_";
const FIELD: &str = "field_";

/// Whether the results table holds this column beside the event's fields and the model's outputs.
#[must_use]
pub fn is_own_column(name: &str) -> bool {
    OWN.contains(&name) || name == HIVE_KEY
}

/// Column of an event's field.
///
/// The field with the role `event_time` may have that name: the own column is a copy of it.
#[must_use]
pub fn of_field(field: &Field) -> String {
    let lower = field.name.to_lowercase();
    let is_own = OWN.contains(&lower.as_str())
        || lower == HIVE_KEY
        || lower.starts_with(PREDICTION)
        || lower.starts_with(FIELD);
    let is_event_time = field.role == Some(Role::EventTime) && field.name == "event_time";
    if is_own && !is_event_time { format!("{FIELD}{}", field.name) } else { field.name.clone() }
}

/// Column of a model's output.
#[must_use]
pub fn of_output(output: &str) -> String {
    format!("{PREDICTION}{output}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FieldType;

    #[test]
    fn table() {
        for (name, column) in [
            ("delay", "delay"),
            ("offset", "field_offset"),
            ("Partition", "field_Partition"),
            ("source_partition", "field_source_partition"),
            ("prediction_x", "field_prediction_x"),
            ("prediction", "prediction"),
            ("field_offset", "field_field_offset"),
            ("event_time", "field_event_time"),
            ("event_type", "event_type"),
        ] {
            assert_eq!(of_field(&Field::new(name, FieldType::Bool)), column);
        }
    }
}

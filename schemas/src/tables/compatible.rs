//! Whether files of two schemas read together as one table.

use arrow::datatypes::Schema;

/// Accepts `new` beside files of `old`: columns may be added and taken away where they are
/// nullable, since readers fill them with nulls; a column of both must keep its type.
///
/// The error names every column in question, both types, and the fix.
pub fn compatible(old: &Schema, new: &Schema) -> Result<(), String> {
    let mut problems = Vec::new();
    for field in new.fields() {
        match old.field_with_name(field.name()) {
            Ok(have) if have.data_type() != field.data_type() => {
                let (have, want) = (have.data_type(), field.data_type());
                problems.push(format!("column {:?} was {have} and is now {want}", field.name()));
            }
            Ok(_) => {}
            Err(_) if field.is_nullable() => {}
            Err(_) => problems.push(format!("column {:?} is new and not nullable", field.name())),
        }
    }
    for field in old.fields() {
        if !field.is_nullable() && new.field_with_name(field.name()).is_err() {
            problems.push(format!("column {:?} is not nullable and is gone", field.name()));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let problems = problems.join("; ");
    Err(format!(
        "{problems}: the files would not read as one table; write to a new table (give it another name)"
    ))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::*;

    fn schema(columns: &[(&str, DataType, bool)]) -> Schema {
        let field = |(name, kind, nullable): &(&str, DataType, bool)| {
            Field::new(*name, kind.clone(), *nullable)
        };
        Schema::new(columns.iter().map(field).collect::<Vec<_>>())
    }

    #[test]
    fn table() {
        use DataType::{Float32, Int32, Utf8};
        let old = schema(&[("offset", Int32, false), ("a", Float32, true)]);
        for (new, expected) in [
            (vec![("offset", Int32, false), ("a", Float32, true)], None),
            (vec![("a", Float32, true), ("offset", Int32, false), ("b", Utf8, true)], None),
            (vec![("offset", Int32, false)], None),
            (
                vec![("offset", Int32, false), ("b", Utf8, false)],
                Some("\"b\" is new and not nullable"),
            ),
            (vec![("a", Float32, true)], Some("\"offset\" is not nullable and is gone")),
            (
                vec![("offset", Int32, false), ("a", Utf8, true)],
                Some("\"a\" was Float32 and is now Utf8"),
            ),
        ] {
            let answer = compatible(&old, &schema(&new));
            match expected {
                None => assert_eq!(answer, Ok(()), "{new:?}"),
                Some(text) => {
                    let message = answer.unwrap_err();
                    assert!(message.contains(text) && message.contains("new table"), "{message}");
                }
            }
        }
    }
}

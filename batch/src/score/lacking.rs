//! Columns that the contract requires and that some of an input's files lack.
//!
//! The missing column would be null in all rows of such a file, and each a reject, of a job that ends as if
//! all were well. So it is refused before anything is written, as a column of another type is. Lines of JSON
//! say one by one what they have, and are not looked at.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::datatypes::{Field, Schema};
use schemas::{Contract, column_of_field};

use crate::error::StoreError;

/// What was seen so far: by name of a column, the first file without it.
#[derive(Default)]
pub(super) struct Lacking<'a>(BTreeMap<String, &'a Path>);

impl<'a> Lacking<'a> {
    /// Looks at the columns of one more file; `hive` are those that its folders name.
    pub(super) fn note(
        &mut self,
        file: &'a Path,
        columns: &Schema,
        hive: &[Field],
        contract: &Contract,
    ) {
        let names = required(contract).flatten();
        for name in names.filter(|name| !has(columns, hive, name)) {
            self.0.entry(name).or_insert(file);
        }
    }

    /// Refuses files without a column that is read for a field that may not be null; `all` are the columns of
    /// all files together. What none of them has is said where the contract is held against `all`.
    pub(super) fn check(
        &self,
        all: &Schema,
        hive: &[Field],
        contract: &Contract,
    ) -> Result<(), StoreError> {
        for names in required(contract) {
            let read = names.into_iter().find(|name| has(all, hive, name));
            let Some((name, file)) = read.and_then(|name| self.0.get_key_value(&name)) else {
                continue;
            };
            return Err(StoreError::Query(format!(
                "{}: it has no column {name:?}, which other files have and the contract has as not nullable: \
                 write the column into it, name only the others, or make the field nullable",
                file.display()
            )));
        }
        Ok(())
    }
}

/// The names under which each field that may not be null is looked for, the first one first.
fn required(contract: &Contract) -> impl Iterator<Item = [String; 2]> {
    let fields = contract.fields().iter().filter(|field| !field.nullable);
    fields.map(|field| [column_of_field(field), field.name.clone()])
}

fn has(columns: &Schema, hive: &[Field], name: &str) -> bool {
    columns.column_with_name(name).is_some() || hive.iter().any(|key| key.name() == name)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    const CONTRACT: &str = "name = 'c'\n[[fields]]\nname = 'offset'\ntype = 'int16'\n[[fields]]\nname = 'x'\n\
                            type = 'int16'\nnullable = true\n";

    /// What is said of files with these columns, in folders that name these.
    fn said(files: &[&[&str]], hive: &[&str]) -> Option<String> {
        let contract = Contract::from_toml(CONTRACT).unwrap();
        let fields = |names: &[&str]| -> Vec<Field> {
            names.iter().map(|name| Field::new(*name, DataType::Int16, true)).collect()
        };
        let (hive, mut all, mut lacking) = (fields(hive), Schema::empty(), Lacking::default());
        for (file, names) in ["a", "b"].into_iter().zip(files) {
            let columns = Schema::new(fields(names));
            lacking.note(Path::new(file), &columns, &hive, &contract);
            all = Schema::try_merge([all, columns]).unwrap();
        }
        lacking.check(&all, &hive, &contract).err().map(|error| error.to_string())
    }

    #[test]
    fn a_file_without_what_another_has_is_named() {
        let offset = "no column \"offset\"";
        let archived = "no column \"field_offset\"";
        let none: &[&str] = &[];
        for (files, hive, expected) in [
            ([&["offset", "x"][..], &["offset"]], none, None),
            ([&["offset"], &["x"]], &[], Some(("b: ", offset))),
            ([&["x"], &["offset"]], &[], Some(("a: ", offset))),
            ([&["x"], &["offset"]], &["offset"], None),
            // What no file has is not for here.
            ([&["x"], &["x"]], &[], None),
            // The name that the field has in the results table goes before its own.
            ([&["field_offset"], &["offset"]], &[], Some(("b: ", archived))),
            ([&["field_offset", "offset"], &["field_offset"]], &[], None),
        ] {
            let said = said(&files, hive);
            match expected {
                None => assert_eq!(said, None, "{files:?}"),
                Some((file, column)) => {
                    let said = said.unwrap_or_else(|| panic!("{files:?} were taken"));
                    assert!(said.starts_with(file) && said.contains(column), "{said}");
                    assert!(said.contains("make the field nullable"), "{said}");
                }
            }
        }
    }
}

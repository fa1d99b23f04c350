//! Which columns are compared and as what: decided once, from types, contract and wishes.
//!
//! What is not compared is listed with its reason. A column that the contract drops is never read.

use arrow::datatypes::{DataType, Schema};
use schemas::{Contract, Field, FieldType, Role, Sensitive, column_of_field, is_own_column};

/// What the caller says about the columns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes<'a> {
    /// Types, categories, roles and what is sensitive.
    pub contract: Option<&'a Contract>,
    /// Compare these only, whatever they are; all when empty.
    pub columns: &'a [String],
}

/// A column and what is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// Its type, as Arrow writes it.
    pub type_name: String,
    /// What is made of it.
    pub treatment: Treatment,
}

/// What is made of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Numbers in bins.
    Numeric,
    /// Values by name.
    Categorical(Hashing),
    /// Nothing, for this reason; a reference may ask for it all the same.
    LeftOut(String),
    /// Nothing, ever: the contract says so.
    Dropped,
}

/// Whether a value's hash stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hashing {
    /// Values in the clear.
    No,
    /// They are hashes already, as the archive holds them.
    Done,
    /// They are hashed before they are counted; the field's type says how.
    Wanted(FieldType),
}

/// A wish that cannot be met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Names that no column has.
    #[error("no column is called {}; there are: {}", quoted(missing), quoted(present))]
    Unknown {
        /// The names.
        missing: Vec<String>,
        /// What there is.
        present: Vec<String>,
    },
    /// A wish against the contract.
    #[error("column {0:?} is sensitive = \"drop\" in the contract: it is never counted")]
    Dropped(String),
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

/// What is made of each column of `schema`, in its order.
pub fn plan(schema: &Schema, wishes: Wishes<'_>) -> Result<Vec<Planned>, PlanError> {
    let present: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let missing: Vec<String> =
        wishes.columns.iter().filter(|name| !present.contains(name)).cloned().collect();
    if !missing.is_empty() {
        return Err(PlanError::Unknown { missing, present });
    }
    let archived = is_archive(&present);
    let mut planned = Vec::new();
    for column in schema.fields() {
        let wished = wishes.columns.contains(column.name());
        if !wishes.columns.is_empty() && !wished {
            continue;
        }
        let field = wishes.contract.and_then(|contract| field_of(contract, column.name()));
        let dropped = field.is_some_and(|field| field.sensitive == Some(Sensitive::Drop));
        if wished && dropped {
            return Err(PlanError::Dropped(column.name().clone()));
        }
        let treatment = match field {
            Some(field) => by_contract(field, archived, wished),
            None if archived && is_own_column(column.name()) && !wished => {
                left_out("Tidegate's own column")
            }
            None => by_type(column.data_type(), wished),
        };
        let type_name = column.data_type().to_string();
        planned.push(Planned { name: column.name().clone(), type_name, treatment });
    }
    Ok(planned)
}

/// The results table has columns that together nobody else's has.
fn is_archive(present: &[String]) -> bool {
    ["input_topic", "input_partition", "input_offset", "scored_at", "contract_id"]
        .iter()
        .all(|own| present.iter().any(|name| name == own))
}

fn field_of<'a>(contract: &'a Contract, column: &str) -> Option<&'a Field> {
    contract.fields().iter().find(|field| field.name == column || column_of_field(field) == column)
}

fn by_contract(field: &Field, archived: bool, wished: bool) -> Treatment {
    match (field.sensitive, field.role) {
        (Some(Sensitive::Drop), _) => Treatment::Dropped,
        (_, Some(Role::Key)) if !wished => left_out("the key: every value is meant to be new"),
        (Some(Sensitive::Hash), _) if archived => Treatment::Categorical(Hashing::Done),
        (Some(Sensitive::Hash), _) => Treatment::Categorical(Hashing::Wanted(field.kind)),
        (None, _) if !field.categories.is_empty() => Treatment::Categorical(Hashing::No),
        (None, _) => by_type(&field.kind.data_type(), wished),
    }
}

fn by_type(kind: &DataType, wished: bool) -> Treatment {
    match kind {
        DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Treatment::Categorical(Hashing::No)
        }
        DataType::Dictionary(_, values) => by_type(values, wished),
        DataType::Null => Treatment::Numeric,
        kind if kind.is_numeric() => Treatment::Numeric,
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 if wished => {
            Treatment::Numeric
        }
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => {
            left_out("an instant: it moves by itself; name it in --columns to compare it")
        }
        other => Treatment::LeftOut(format!("{other} has no statistics here")),
    }
}

fn left_out(reason: &str) -> Treatment {
    Treatment::LeftOut(reason.to_owned())
}

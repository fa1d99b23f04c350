//! The event contract: the only place where a column name is written.
//!
//! A TOML file names the fields of an event; from it come the Arrow schema, the JSON Schema, the
//! decoder and the tables. Documented ranges and categories are for the monitor and never reject.

mod field;
mod json_schema;
mod parse;
mod problems;
mod write;

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use sha2::{Digest, Sha256};

pub use field::{
    Category, EpochUnit, Field, FieldType, MAX_FIXED_LIST, MAX_NAME_BYTES, NumberType, Role,
    Sensitive, TimestampForms,
};
pub use problems::{ContractErrors, ContractProblem};

/// Fields a contract may have: a limit against a file that is not one, far above real events.
pub const MAX_FIELDS: usize = 2048;

/// The named, typed fields of an event.
///
/// Invariant: names are distinct, each role is held by at most one field, and every field is
/// consistent in itself; [`Contract::from_toml`] and [`Contract::new`] are the only ways in.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    name: String,
    id: String,
    fields: Vec<Field>,
    schema: SchemaRef,
}

impl Contract {
    /// Reads a contract from TOML; every problem of the text is reported at once.
    pub fn from_toml(text: &str) -> Result<Self, ContractErrors> {
        parse::parse(text)
    }

    /// A contract of these fields, checked as the TOML is.
    pub fn new(name: impl Into<String>, fields: Vec<Field>) -> Result<Self, ContractErrors> {
        let name = name.into();
        let problems = problems::check(&name, &fields);
        if !problems.is_empty() {
            return Err(ContractErrors(problems));
        }
        let id = id_of(&fields);
        let schema =
            Arc::new(Schema::new(fields.iter().map(Field::arrow_field).collect::<Vec<_>>()));
        Ok(Self { name, id, fields, schema })
    }

    /// Name of the contract.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Short hash of what the columns mean: field names in order, types with timestamp formats,
    /// nullability, roles and sensitivity. The contract's name, descriptions, ranges and categories
    /// do not change it, since they change neither a column nor a decoded value.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The fields, in the order written.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field with the role `key`.
    #[must_use]
    pub fn key(&self) -> Option<&Field> {
        self.with_role(Role::Key)
    }

    /// The field with the role `event_time`; a timestamp.
    #[must_use]
    pub fn event_time(&self) -> Option<&Field> {
        self.with_role(Role::EventTime)
    }

    /// The field with the role `label`.
    #[must_use]
    pub fn label(&self) -> Option<&Field> {
        self.with_role(Role::Label)
    }

    /// Whether any field must not leave the input in the clear.
    #[must_use]
    pub fn has_sensitive(&self) -> bool {
        self.fields.iter().any(|field| field.sensitive.is_some())
    }

    /// One column per field, in order.
    #[must_use]
    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// JSON Schema (draft 2020-12) of an event.
    #[must_use]
    pub fn json_schema(&self) -> serde_json::Value {
        json_schema::json_schema(self)
    }

    /// The contract as TOML that [`Contract::from_toml`] reads back to the same contract.
    #[must_use]
    pub fn to_toml(&self) -> String {
        write::to_toml(self)
    }

    fn with_role(&self, role: Role) -> Option<&Field> {
        self.fields.iter().find(|field| field.role == Some(role))
    }
}

/// First eight bytes of the SHA-256 over one line per field, in hex.
fn id_of(fields: &[Field]) -> String {
    let mut canonical = String::new();
    for field in fields {
        let role = field.role.map_or("", Role::name);
        let sensitive = field.sensitive.map_or("", Sensitive::name);
        let formats =
            field.kind.timestamp_forms().map_or_else(String::new, |forms| forms.names().join(","));
        // The name is written as a quoted literal, so that no name can look like another line.
        let _ = writeln!(
            canonical,
            "{:?} {} [{formats}] nullable={} role={role} sensitive={sensitive}",
            field.name, field.kind, field.nullable
        );
    }
    Sha256::digest(canonical.as_bytes())[..8].iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests;

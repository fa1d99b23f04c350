//! Output records: the event's own members, then what Tidegate adds.
//!
//! ```json
//! {...the event's members..., "prediction": {"<output>": ...}, "model": {"name": "...", "version": "..."},
//!  "arm": "stable", "scored_at": "2026-01-02T03:04:05.678Z",
//!  "source": {"topic": "...", "partition": 0, "offset": 42, "timestamp": 1767323045678}}
//! ```
//! This text is a promise (`goldens/output_records.jsonl`). `source.timestamp` is in milliseconds,
//! null where the record has none. A prediction that is not finite is null; so is a list holding
//! such a number, as a whole. A field with `sensitive = "drop"` is left out; one with `"hash"` is its
//! hash, and so is the record's key where it holds one. `source` is last: `verify` reads it from the end of the record.

mod encoder;
mod json;
#[cfg(test)]
mod tests;
mod values;

use jiff::Timestamp;

use crate::RESERVED_MEMBERS;

pub use encoder::Encoder;
pub(crate) use encoder::check_names;
pub(crate) use values::Values;

/// Which of the event's members an output record starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Members {
    /// All of them, byte for byte as they came, those the contract does not know included. Where a
    /// field is sensitive: the contract's fields, each as its treatment says, and no others, since
    /// nothing says what those hold.
    All,
    /// These fields of the contract, in this order, written anew from their columns; of a sensitive
    /// one its hash.
    Listed(Vec<String>),
}

/// Who scored a batch, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Name of the model.
    pub model_name: String,
    /// Its version.
    pub model_version: String,
    /// Which of several models this is: `stable`, `canary` or `shadow`.
    pub arm: String,
    /// When the batch was scored; written to the millisecond.
    pub scored_at: Timestamp,
}

/// Why no output record can be written for a contract and a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A field has the name of a member that is added.
    #[error(
        "the contract's field {field:?} has the name of a member that output records add \
         ({RESERVED_MEMBERS:?}): rename the event's member, and the field with it"
    )]
    ReservedField {
        /// The field.
        field: String,
    },
    /// A listed member is not a field.
    #[error("output member {member:?} is not a field of the contract: its fields are {fields}")]
    UnknownMember {
        /// The member listed.
        member: String,
        /// The contract's fields.
        fields: String,
    },
    /// A member is listed twice.
    #[error("output member {member:?} is listed twice: list it once")]
    MemberTwice {
        /// The member listed.
        member: String,
    },
    /// A listed member must not leave the input.
    #[error(
        "output member {member:?} is sensitive = \"drop\" in the contract: remove it from the \
         list, or use sensitive = \"hash\""
    )]
    DroppedMember {
        /// The member listed.
        member: String,
    },
    /// A hash without salt is undone by hashing every phone number once.
    #[error(
        "field {field:?} is sensitive = \"hash\" and the hash salt is empty: set \
         contract.hash_salt to a secret, or use sensitive = \"drop\""
    )]
    EmptySalt {
        /// The first field that is hashed.
        field: String,
    },
    /// Two outputs of one name.
    #[error("the model has two outputs named {output:?}: name them apart in its descriptor")]
    OutputTwice {
        /// The outputs' name.
        output: String,
    },
    /// An output that no JSON value stands for.
    #[error(
        "model output {output:?} is {found}: bool, integers, floats, strings and lists of numbers are accepted"
    )]
    OutputType {
        /// The output.
        output: String,
        /// Its Arrow type.
        found: String,
    },
}

//! Kafka records to rows of the tables that hop 2 writes: every record is exactly one row.
//!
//! Own columns keep their names in every table ([`ResultsTable`], [`DeadLetterTable`],
//! [`LabelTable`]). A field of
//! the event whose name could be read as one of them, now or under another model, is stored as
//! `field_<name>` (see [`names`]), so no contract is refused for a name and none changes its
//! columns because a model did. Types are the plain ones that every Parquet reader has.

mod common;
mod compatible;
mod dead_letters;
mod labels;
#[cfg(test)]
mod labels_tests;
mod names;
mod results;
#[cfg(test)]
mod tests;

pub use compatible::compatible;
pub use dead_letters::DeadLetterTable;
pub use labels::{LabelMembers, LabelTable, LabelsError, MAX_LABEL_BYTES};
pub use names::{is_own_column, of_field as column_of_field, of_output as column_of_output};
pub use results::ResultsTable;

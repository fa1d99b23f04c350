//! The vocabulary of Tidegate: event contract, decode and encode, offsets algebra, file layout.
//!
//! Pure: no I/O, no async, no clock. Every other crate speaks these types; none of them is known here.

mod contract;
mod coordinates;
pub mod dead_letter;
mod decode;
mod encode;
pub mod failpoint;
mod footer;
mod intake;
mod offsets;
mod predict;
mod propose;
mod record;
mod scored;
mod sensitive;
mod tables;
mod tally;

pub use contract::{
    Category, Contract, ContractErrors, ContractProblem, EpochUnit, Field, FieldType, MAX_FIELDS,
    MAX_FIXED_LIST, MAX_NAME_BYTES, NumberType, Role, Sensitive, TimestampForms,
};
pub use coordinates::{SourceCoordinates, dead_letter_coordinates, source_coordinates};
pub use dead_letter::Originals;
pub use decode::{
    Column, Decoded, Decoder, MAX_DEPTH, MAX_EVENT_BYTES, MAX_REASON_BYTES, RESERVED_MEMBERS,
};
pub use encode::{EncodeError, Encoder, Members, Stamp};
pub use footer::{
    CHECKSUM_SEED, FOOTER_FORMAT, FOOTER_POSITION_KEY, FooterError, FooterPosition,
    offsets_checksum,
};
pub use intake::{Intake, IntakeErrors, Taken, finite_or_null};
pub use offsets::{Extent, Offsets, Overlap};
pub use predict::{PredictError, Predicted, Predictor, predict_isolating};
pub use propose::{ProposeError, propose, propose_from_schema};
pub use record::{MicroBatch, Record, Span};
pub use scored::{Reject, ScoredBatch, ScoredRow, Stage};
pub use sensitive::{hashed, hashed_once};
pub use tables::{
    DeadLetterTable, LabelMembers, LabelTable, LabelsError, MAX_LABEL_BYTES, ResultsTable,
    column_of_field, column_of_output, compatible, is_own_column,
};
pub use tally::{Difference, Finding, Tally};

//! The vocabulary of Tidegate: event contract, decode and encode, offsets algebra, file layout.
//!
//! Pure: no I/O, no async, no clock. Every other crate speaks these types; none of them is known here.

mod contract;
mod footer;
mod offsets;
mod predict;
mod record;
mod scored;

pub use contract::{
    Category, Contract, ContractErrors, ContractProblem, EpochUnit, Field, FieldType, MAX_FIELDS, MAX_FIXED_LIST,
    MAX_NAME_BYTES, NumberType, Role, Sensitive, TimestampForms,
};
pub use footer::{
    CHECKSUM_SEED, FOOTER_FORMAT, FOOTER_POSITION_KEY, FooterError, FooterPosition, offsets_checksum,
};
pub use offsets::{Extent, Offsets, Overlap};
pub use predict::{Predicted, PredictError, Predictor, predict_isolating};
pub use record::{MicroBatch, Record, Span};
pub use scored::{Reject, ScoredBatch, ScoredRow, Stage};

//! From columns of any type to the two kinds that have statistics: numbers and categories.

mod gather;
mod plan;
#[cfg(test)]
mod tests;

pub use gather::{
    Gathered, MAX_DISTINCT, MAX_TEXT_BYTES, Texts, is_number_like, is_text_like, numbers, texts,
};
pub use plan::{Hashing, PlanError, Planned, Treatment, Wishes, plan};

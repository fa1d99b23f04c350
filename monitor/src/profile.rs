//! What is kept of a reference: a few hundred numbers a column, whatever the rows.
//!
//! A profile is enough to count a window into the same bins and to judge it. Its id is a hash of its
//! content, so that counts made with another profile can never be mistaken for counts of this one.

mod fit;
mod id;
mod moments;
pub mod show;
mod table;
#[cfg(test)]
pub(crate) mod tests;

use crate::stats::{Bins, Categories, Coarse};

pub use fit::{CHUNKS, DEFAULT_BINS, FitOptions, IDENTIFIER_MIN, MIN_BINS, fit};
pub use moments::Moments;
pub use table::{FORMAT, ProfileError};

/// Coarse bins for PSI on top of the stored ones: the customary ten.
pub const COARSE_BINS: usize = 10;

/// A fitted reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Rows it was fitted on.
    pub rows: u64,
    /// Its columns, in the data's order.
    pub columns: Vec<ColumnProfile>,
}

/// One column of a reference.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// Its type in the reference, as Arrow writes it.
    pub type_name: String,
    /// Rows, null or not.
    pub rows: u64,
    /// Rows that were null or NaN.
    pub nulls: u64,
    /// How much the reference varies between its own chunks.
    pub phi: Phi,
    /// Its distribution.
    pub shape: Shape,
}

/// Over-dispersion as it was learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phi {
    /// At least 1; p-values of chi-square and PSI are deflated by it.
    pub value: f64,
    /// Degrees of freedom that these vary like, as a part of those there are, in (0, 1].
    pub evenness: f64,
    /// At least 1; p-values of D are deflated by it.
    pub order: f64,
    /// At least 1, of null or not alone; p-values of a rise of nulls are deflated by it.
    pub nulls: f64,
    /// Chunks that could be compared with the others; 0 when none could.
    pub chunks: u32,
    /// Rows of a chunk.
    pub chunk_rows: u64,
}

/// A column's distribution.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Numbers in quantile bins.
    Numeric(NumericShape),
    /// Values by name.
    Categorical(CategoricalShape),
    /// Not compared, for this reason.
    LeftOut(String),
}

/// Numbers in quantile bins.
#[derive(Debug, Clone, PartialEq)]
pub struct NumericShape {
    /// The stored bins.
    pub bins: Bins,
    /// Finite rows of each bin.
    pub counts: Vec<u64>,
    /// Rows that were an infinity.
    pub infinite: u64,
    /// Of the finite rows; `None` without any.
    pub moments: Option<Moments>,
}

/// Values by name.
#[derive(Debug, Clone, PartialEq)]
pub struct CategoricalShape {
    /// The listed values and the rare ones' hashes.
    pub categories: Categories,
    /// Rows of each listed value.
    pub counts: Vec<u64>,
    /// Rows of the rare values.
    pub other: u64,
    /// Whether the values are hashes of what they stand for.
    pub hashed: bool,
}

impl Profile {
    /// First eight bytes of the SHA-256 over everything in it, in hex.
    pub fn id(&self) -> String {
        id::id_of(self)
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&ColumnProfile> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl Phi {
    /// Over-dispersion of nulls among so many rows: less than in a chunk where they are fewer, as the design effect
    /// 1 + (n − 1)ρ of rows that resemble each other (Kish 1965), and no row counts for less than one of them all.
    pub fn of_nulls(&self, rows: u64) -> f64 {
        let part = (rows as f64 / self.chunk_rows.max(1) as f64).min(1.0);
        (1.0 + (self.nulls - 1.0) * part).min(rows.max(1) as f64)
    }
}

impl NumericShape {
    /// The bins that PSI and its kin are computed on.
    pub fn coarse(&self) -> Coarse {
        Coarse::fit(&self.counts, COARSE_BINS)
    }
}

impl Shape {
    /// The word for it in files and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Numeric(_) => "numeric",
            Self::Categorical(shape) if shape.hashed => "hashed",
            Self::Categorical(_) => "categorical",
            Self::LeftOut(_) => "left_out",
        }
    }
}

//! Reference and current side by side: every statistic of every column, and what follows from them.
//!
//! A drift needs an effect *and* significance: bias-corrected PSI at its threshold, or D at its own, and
//! the q-value of that test at `alpha`, after the over-dispersion of the reference was taken off.
//! Nothing in a report is NaN: what cannot be computed is absent, and `reason` says why.

mod bars;
mod column;
mod compare;
pub mod html;
mod judge;
#[cfg(test)]
mod tests;
mod text;
mod values;

use serde::Serialize;

pub(crate) use bars::number;
pub use bars::{Bar, bars};
pub use column::{
    ChiSquare, ColumnReport, Distance, Distances, Ks, KsSides, Psi, Side, Verdict, Wasserstein,
};
pub(crate) use compare::statistics;
pub use compare::{Counts, Current, compare, left_out, missing, new_column};
pub use text::Table;
pub use values::{ks_of, psi_of};

/// What makes a difference a drift.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rule {
    /// Largest q-value that counts as significant.
    pub alpha: f64,
    /// Smallest bias-corrected PSI that counts as an effect.
    pub psi_threshold: f64,
    /// Smallest Kolmogorov-Smirnov distance that counts as an effect.
    pub ks_threshold: f64,
    /// Rows are taken as independent: over-dispersion is shown and not used.
    pub independent: bool,
}

impl Default for Rule {
    fn default() -> Self {
        Self { alpha: 0.05, psi_threshold: 0.1, ks_threshold: 0.1, independent: false }
    }
}

/// One side of the report, as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Where its rows came from, as the user named it.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// The profile's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// The whole comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Version of this layout.
    pub format: u32,
    /// What is compared with.
    pub reference: Source,
    /// What is compared.
    pub current: Source,
    /// What makes a difference a drift.
    pub rule: Rule,
    /// Whether any column drifted or is missing.
    pub drift: bool,
    /// The columns, in the reference's order.
    pub columns: Vec<ColumnReport>,
}

impl Report {
    /// Judges the compared columns, each in the light of the others.
    pub fn new(
        reference: Source,
        current: Source,
        rule: Rule,
        mut columns: Vec<ColumnReport>,
    ) -> Self {
        judge::judge(&mut columns, rule);
        let drift = columns.iter().any(|column| column.verdict.is_drift());
        Self { format: 1, reference, current, rule, drift, columns }
    }

    /// How many columns have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.columns.iter().filter(|column| column.verdict == verdict).count()
    }

    /// The columns, worst first.
    pub fn ranked(&self) -> Vec<&ColumnReport> {
        let mut ranked: Vec<&ColumnReport> = self.columns.iter().collect();
        ranked.sort_by(|a, b| a.verdict.cmp(&b.verdict).then(b.effect().total_cmp(&a.effect())));
        ranked
    }
}

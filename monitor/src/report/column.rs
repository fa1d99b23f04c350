//! What a report says about one column. The names here are those of the JSON: a promise to scripts.

use serde::Serialize;

use super::bars::Bar;
use crate::profile::{Moments, Phi};
use crate::stats::{KsMethod, Scale};

/// One column on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnReport {
    /// Its name.
    pub name: String,
    /// Its type in the reference (in the current side for a new column).
    #[serde(rename = "type")]
    pub type_name: String,
    /// `numeric`, `categorical`, `hashed` or `left_out`.
    pub kind: &'static str,
    /// What follows.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// The reference's rows.
    pub reference: Option<Side>,
    /// The current rows.
    pub current: Option<Side>,
    /// Over-dispersion of the reference.
    pub phi: f64,
    /// Chunks that φ was learned from; 0 when it is not known.
    pub phi_chunks: u32,
    /// Population stability index, on some ten coarse bins or on the categories.
    pub psi: Option<Psi>,
    /// Homogeneity of the same bins.
    pub chi_square: Option<ChiSquare>,
    /// Distances of the same bins.
    pub distances: Option<Distances>,
    /// Kolmogorov-Smirnov; numbers only.
    pub ks: Option<KsSides>,
    /// Wasserstein-1; numbers only.
    pub wasserstein: Option<Wasserstein>,
    /// Effective rows nm/(n+m), and how many the PSI threshold needs.
    pub effective_rows: Option<f64>,
    /// See `effective_rows`.
    pub min_rows: Option<u64>,
    /// Shares to draw, reference against current.
    pub histogram: Vec<Bar>,
}

/// What follows for a column; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// An effect, and significant.
    Drift,
    /// The reference has it and the current side has not.
    Missing,
    /// An effect could be chance: too few rows to say.
    TooFewRows,
    /// Nothing that counts.
    Stable,
    /// The current side has it and the reference has not.
    New,
    /// Not compared.
    NotCompared,
}

/// One side of a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Side {
    /// Rows, null or not.
    pub n: u64,
    /// Rows that are null or NaN.
    pub nulls: u64,
    /// Rows that are an infinity.
    pub infinite: u64,
    /// Rows whose category the reference does not have.
    pub new: u64,
    /// Rows of the reference's rare categories.
    pub other: u64,
    /// Of the finite values, where they are known.
    pub moments: Option<Moments>,
}

/// PSI with half a row added to every bin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Psi {
    /// As computed.
    pub value: f64,
    /// What it is on average without drift.
    pub bias: f64,
    /// `value` less `bias`, at least 0: what the threshold is held against.
    pub corrected: f64,
    /// With each proportion raised to 0.0001, as other tools compute it.
    pub floored: f64,
    /// Bins that are filled on either side.
    pub bins: usize,
    /// The chance of it without drift, φ taken off.
    pub p: f64,
    /// After Benjamini-Hochberg over the columns.
    pub q: f64,
}

/// Chi-square test of homogeneity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ChiSquare {
    /// Pearson's statistic.
    pub value: f64,
    /// Degrees of freedom.
    pub dof: usize,
    /// The chance of it without drift, φ taken off.
    pub p: f64,
    /// After Benjamini-Hochberg over the columns.
    pub q: f64,
    /// Effect size in 0..=1.
    pub cramers_v: f64,
    /// The same without its bias.
    pub cramers_v_corrected: f64,
    /// Smallest expected cell.
    pub min_expected: f64,
}

/// Distances of two lists of shares, each in 0..=1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distances {
    /// Jensen-Shannon, base 2, a distance (the root of the divergence).
    pub jensen_shannon: f64,
    /// Hellinger.
    pub hellinger: f64,
    /// Total variation.
    pub total_variation: f64,
    /// Largest difference of one bin.
    pub l_infinity: f64,
    /// Current rows in bins that the reference never filled.
    pub new_share: f64,
    /// Reference rows in bins that the current side never filled.
    pub vanished_share: f64,
}

/// On the raw values, and seen through the stored bins.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct KsSides {
    /// `None` where the raw values are not known: the reference is a profile.
    pub exact: Option<Ks>,
    /// Through the stored bins: at most `exact`.
    pub binned: Ks,
}

/// Kolmogorov-Smirnov.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ks {
    /// Largest gap of the distribution functions, in 0..=1.
    pub d: f64,
    /// The chance of it without drift, φ taken off.
    pub p: f64,
    /// After Benjamini-Hochberg over the columns.
    pub q: f64,
    /// `exact` or `stephens`.
    pub law: &'static str,
}

/// Wasserstein-1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Wasserstein {
    /// On the raw values; `None` where they are not known.
    pub exact: Option<Distance>,
    /// Through the stored bins, open tails left out.
    pub binned: Distance,
    /// What `scaled` is divided by: `iqr`, `std`, or `one` for a constant reference.
    pub scale: &'static str,
}

/// A distance in the column's unit and in units of its spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distance {
    /// In the column's unit.
    pub value: f64,
    /// In units of the reference's spread.
    pub scaled: f64,
}

impl Verdict {
    /// Whether a script that asked for it is told.
    pub fn is_drift(self) -> bool {
        matches!(self, Self::Drift | Self::Missing)
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drift => "drift",
            Self::Missing => "missing",
            Self::TooFewRows => "too few rows",
            Self::Stable => "stable",
            Self::New => "new column",
            Self::NotCompared => "not compared",
        }
    }
}

impl ColumnReport {
    /// A column that nothing has been said about yet.
    pub(super) fn blank(name: &str, type_name: &str, kind: &'static str, phi: Phi) -> Self {
        Self {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            kind,
            verdict: Verdict::NotCompared,
            reason: String::new(),
            reference: None,
            current: None,
            phi: phi.value,
            phi_chunks: phi.chunks,
            psi: None,
            chi_square: None,
            distances: None,
            ks: None,
            wasserstein: None,
            effective_rows: None,
            min_rows: None,
            histogram: Vec::new(),
        }
    }

    /// The test of the raw values where there is one, else that of the bins.
    pub fn best_ks(&self) -> Option<Ks> {
        self.ks.map(|ks| ks.exact.unwrap_or(ks.binned))
    }

    /// W1 in units of the spread, of the raw values where they are known.
    pub fn best_wasserstein(&self) -> Option<f64> {
        self.wasserstein.map(|w1| w1.exact.unwrap_or(w1.binned).scaled)
    }

    /// What columns are ranked by within a verdict.
    pub(super) fn effect(&self) -> f64 {
        self.psi.map_or(0.0, |psi| psi.corrected)
    }
}

/// The law's name in reports.
pub(super) fn law(method: KsMethod) -> &'static str {
    match method {
        KsMethod::Exact => "exact",
        KsMethod::Stephens => "stephens",
    }
}

/// The scale's name in reports.
pub(super) fn scale(scale: Scale) -> &'static str {
    match scale {
        Scale::Iqr => "iqr",
        Scale::Std => "std",
        Scale::One => "one",
    }
}

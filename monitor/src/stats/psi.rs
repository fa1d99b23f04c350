//! Population stability index and what it is when nothing drifts.
//!
//! PSI of two samples of one population is not 0: it is about (B−1)(1/n + 1/m), and divided by that
//! rate it follows a chi-square with B−1 degrees of freedom (Yurdakul 2018). Both are shown.

use std::sync::LazyLock;

use super::laws::{chi_square_quantile, chi_square_sf};
use super::pair::Pair;

/// Smallest proportion that [`psi_floored`] works with, as most PSI tools do.
pub const PROPORTION_FLOOR: f64 = 1e-4;

/// PSI with each proportion raised to [`PROPORTION_FLOOR`], not renormalised; at least 0.
///
/// For comparison with other tools: an empty bin gives the same jump whatever the number of rows.
pub fn psi_floored(pair: &Pair<'_>) -> f64 {
    pair.shares().map(|(p, q)| term(p.max(PROPORTION_FLOOR), q.max(PROPORTION_FLOOR))).sum()
}

/// PSI with half a row added to every bin on both sides; at least 0. The one that alarms use.
pub fn psi_smoothed(pair: &Pair<'_>) -> f64 {
    let extra = 0.5 * pair.bins() as f64;
    let n = pair.rows_reference() as f64 + extra;
    let m = pair.rows_current() as f64 + extra;
    pair.cells().map(|(r, c)| term((r as f64 + 0.5) / n, (c as f64 + 0.5) / m)).sum()
}

fn term(p: f64, q: f64) -> f64 {
    (q - p) * (q / p).ln()
}

/// The law of PSI when reference and current are drawn from one population.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PsiNull {
    rate: f64,
    dof: f64,
}

impl PsiNull {
    /// The law for this many bins and rows; every bin of the pair costs a degree of freedom.
    pub fn new(pair: &Pair<'_>) -> Self {
        Self { rate: pair.rate(), dof: (pair.bins() - 1) as f64 }
    }

    /// The mean without drift, to be subtracted: (B−1)(1/n + 1/m).
    pub fn bias(&self) -> f64 {
        self.dof * self.rate
    }

    /// What PSI stays under in 99 of 100 windows without drift.
    pub fn q99(&self) -> f64 {
        chi_square_quantile(0.99, self.dof) * self.rate
    }

    /// The chance of a PSI this large without drift, deflated by the over-dispersion `phi` (≥ 1).
    pub fn p(&self, psi: f64, phi: f64) -> f64 {
        chi_square_sf(psi / self.rate / phi.max(1.0), self.dof)
    }
}

/// Rows a window needs before PSI without drift stays under `threshold` in 99 of 100 windows.
///
/// For a reference much larger than the window; 217 for 10 bins at 0.1. `u64::MAX` when the threshold
/// is not positive, because then no window is large enough.
pub fn min_rows(bins: usize, threshold: f64) -> u64 {
    let reachable = threshold > 0.0;
    if !reachable {
        return u64::MAX;
    }
    let dof = bins.saturating_sub(1);
    let bound = QUANTILES.get(dof).copied().unwrap_or_else(|| quantile(dof));
    (bound / threshold).ceil().max(1.0) as u64
}

/// A search each, and every column of every window asks for one of the first few.
static QUANTILES: LazyLock<[f64; 64]> = LazyLock::new(|| std::array::from_fn(quantile));

fn quantile(dof: usize) -> f64 {
    chi_square_quantile(0.99, dof as f64)
}

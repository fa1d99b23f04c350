//! Chi-square test that two columns of counts come from one population, and its effect size.
//!
//! Homogeneity, not goodness of fit: the reference is a sample too (taking it as exact gives p = 0 for
//! one unseen value in a thousand rows).

use super::laws::chi_square_sf;
use super::pair::Pair;

/// What a 2 × k table says. One occupied category is defined as chi2 0, dof 0, p 1, V 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Homogeneity {
    /// Pearson's statistic without continuity correction.
    pub chi2: f64,
    /// Categories filled on either side, less one.
    pub dof: usize,
    /// P(X ≥ chi2) when nothing drifts.
    pub p: f64,
    /// Smallest expected cell; below 5 the chi-square law is rough.
    pub min_expected: f64,
    /// Cramér's V, in 0..=1.
    pub cramers_v: f64,
    /// Cramér's V without its bias for small tables (Bergsma 2013), in 0..=1.
    pub cramers_v_corrected: f64,
}

/// Tests the table; categories empty on both sides take no part.
pub fn homogeneity(pair: &Pair<'_>) -> Homogeneity {
    let (n, m) = (pair.rows_reference() as f64, pair.rows_current() as f64);
    let rows = n + m;
    let (mut chi2, mut filled, mut min_expected) = (0.0, 0_usize, f64::MAX);
    for (r, c) in pair.cells().filter(|&(r, c)| r > 0 || c > 0) {
        let column = r as f64 + c as f64;
        for (seen, side) in [(r as f64, n), (c as f64, m)] {
            let expected = side * column / rows;
            chi2 += (seen - expected).powi(2) / expected;
            min_expected = min_expected.min(expected);
        }
        filled += 1;
    }
    let dof = filled - 1;
    if dof == 0 {
        chi2 = 0.0;
    }
    Homogeneity {
        chi2,
        dof,
        p: chi_square_sf(chi2, dof as f64),
        min_expected,
        cramers_v: (chi2 / rows).sqrt().min(1.0),
        cramers_v_corrected: corrected_v(chi2, dof as f64, rows),
    }
}

/// Bergsma's V for two rows and `dof + 1` columns; 0 where the correction leaves nothing.
fn corrected_v(chi2: f64, dof: f64, rows: f64) -> f64 {
    let effect = chi2 / rows - dof / (rows - 1.0);
    let side = 1.0 - 1.0 / (rows - 1.0);
    let columns = dof - dof * dof / (rows - 1.0);
    let room = side.min(columns);
    if effect > 0.0 && room > 0.0 { (effect / room).sqrt().min(1.0) } else { 0.0 }
}

//! Kolmogorov-Smirnov: the largest gap between two distribution functions, exactly, and its p-value.
//!
//! Written here because `statrs::ks_twosample` 0.19 never returns when D = 0. D is a ratio of integers,
//! so ties and large samples cannot blur it.

use super::laws::kolmogorov_sf;
use super::pair::{Pair, SamplePair};

/// Most lattice cells (n·m) for which [`ks_p`] is exact; some 10 ms at worst, mostly far less.
pub const EXACT_MAX_CELLS: u128 = 4_000_000;

/// D = gap / (n·m), where gap = max |i·m − j·n| after each distinct value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KsDistance {
    /// n·m·D, an integer.
    pub gap: u128,
    /// Rows of the reference, at least 1.
    pub n: u64,
    /// Rows of the current side, at least 1.
    pub m: u64,
}

/// Which law a p-value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KsMethod {
    /// Counted over every order of the rows.
    Exact,
    /// Kolmogorov's limit with Stephens' correction for size.
    Stephens,
}

/// D's p-value and where it came from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KsTest {
    /// The chance of a D this large without drift, in 0..=1.
    pub p: f64,
    /// How it was found.
    pub method: KsMethod,
}

impl KsDistance {
    /// D in 0..=1.
    pub fn value(&self) -> f64 {
        self.gap as f64 / self.cells() as f64
    }

    /// n·m, the denominator of D.
    pub fn cells(&self) -> u128 {
        u128::from(self.n) * u128::from(self.m)
    }

    /// √(nm / (n+m)), the root of the effective number of rows.
    fn root_rows(&self) -> f64 {
        let (n, m) = (self.n as f64, self.m as f64);
        (n * m / (n + m)).sqrt()
    }
}

/// D of two samples; ties are finished on both sides before the gap is taken.
pub fn ks_distance(pair: &SamplePair<'_>) -> KsDistance {
    let mut gap = 0;
    pair.walk(|_, ahead| gap = gap.max(ahead.unsigned_abs()));
    let rows = |values: &[f64]| values.len() as u64;
    KsDistance { gap, n: rows(pair.reference().sorted()), m: rows(pair.current().sorted()) }
}

/// D seen through ordered bins: never above the D of the rows, and below it by at most the share of the
/// fullest bin. Special bins have no order and must not be in the pair.
pub fn ks_binned(pair: &Pair<'_>) -> KsDistance {
    let (n, m) = (pair.rows_reference(), pair.rows_current());
    let (mut ahead, mut gap) = (0_i128, 0);
    for (r, c) in pair.cells() {
        ahead += i128::from(r) * i128::from(m) - i128::from(c) * i128::from(n);
        gap = gap.max(ahead.unsigned_abs());
    }
    KsDistance { gap, n, m }
}

/// p of D, deflated by the over-dispersion `phi` (≥ 1); exact when rows are few and independent.
///
/// With ties the exact p is an upper bound (the null law is that of distinct values).
pub fn ks_p(distance: &KsDistance, phi: f64) -> KsTest {
    // Past this point p is under 1e-290 by either law, and the lattice would work in subnormals.
    let far = distance.root_rows() * distance.value() > 18.3;
    if phi <= 1.0 && !far && distance.cells() <= EXACT_MAX_CELLS {
        return KsTest { p: ks_p_exact(distance), method: KsMethod::Exact };
    }
    KsTest { p: ks_p_stephens(distance, phi), method: KsMethod::Stephens }
}

/// Q((√e + 0.12 + 0.11/√e) D / √φ) with e = nm/(n+m) (Stephens 1970): best when one side is far larger,
/// as a reference is; a few percent low at equal sizes.
pub fn ks_p_stephens(distance: &KsDistance, phi: f64) -> f64 {
    let root = distance.root_rows();
    kolmogorov_sf((root + 0.12 + 0.11 / root) * distance.value() / phi.max(1.0).sqrt())
}

/// Q(√e D / √φ), Kolmogorov's limit without correction: errs on the side of silence.
pub fn ks_p_kolmogorov(distance: &KsDistance, phi: f64) -> f64 {
    kolmogorov_sf(distance.root_rows() * distance.value() / phi.max(1.0).sqrt())
}

/// The share of lattice paths from (0,0) to (n,m) that reach a gap of D or more; O(n·m·D) time.
///
/// `row[j]` is the share among paths to (i, j). Every term is positive, so small p keep their digits
/// (Schröer and Trenkler 1995, as R's `psmirnov` does for the upper tail).
pub fn ks_p_exact(distance: &KsDistance) -> f64 {
    // The law is symmetric; the shorter side is the row in memory.
    let (n, m) = (distance.n.max(distance.m), distance.n.min(distance.m));
    let (wide, high, gap) = (i128::from(n), i128::from(m), distance.gap.cast_signed());
    if gap == 0 {
        return 1.0;
    }
    let mut row = vec![1.0; m as usize + 1];
    row[0] = 0.0;
    // A division would be most of a step: each comes up to m times.
    let inverse: Vec<f64> = (0..=n + m).map(|steps| 1.0 / steps.max(1) as f64).collect();
    for i in 0..=n {
        let along = i128::from(i) * high;
        let first = ((along - gap).div_euclid(wide) + 1).max(0) as usize;
        let last = ((along + gap - 1).div_euclid(wide)).min(high) as usize;
        // At the start, where no step was made, both weights are 0: that gap is none.
        let (right, mut up, mut left) = (i as f64, first as f64, 1.0);
        let inverse = &inverse[i as usize + first..];
        for (cell, inverse) in row[first..=last].iter_mut().zip(inverse) {
            *cell = (right * *cell + up * left) * inverse;
            left = *cell;
            up += 1.0;
        }
    }
    row[m as usize].clamp(0.0, 1.0)
}

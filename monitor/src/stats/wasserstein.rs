//! Wasserstein-1: how far values have moved, in the column's own unit, and in units of its spread.
//!
//! The area between two distribution functions. Saturates at `f64::MAX`.

use super::pair::{Pair, SamplePair};

/// Smallest spread that [`wasserstein_over_std`] divides by (Evidently's rule).
pub const MIN_STD: f64 = 0.001;

/// What a distance was divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// The reference's interquartile range.
    Iqr,
    /// The reference's standard deviation, because half its values or more are one value.
    Std,
    /// Nothing, because the reference is constant: the number is in the column's unit.
    One,
}

/// A distance and its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaled {
    /// The distance divided by the spread.
    pub value: f64,
    /// Which spread.
    pub scale: Scale,
}

/// W1 of two samples, in the column's unit.
pub fn wasserstein(pair: &SamplePair<'_>) -> f64 {
    let cells = pair.reference().sorted().len() as f64 * pair.current().sorted().len() as f64;
    let (mut area, mut before, mut gap) = (0.0, 0.0, 0.0);
    pair.walk(|value, ahead| {
        if gap > 0.0 {
            area += gap * (value - before).min(f64::MAX);
        }
        before = value;
        gap = ahead.unsigned_abs() as f64 / cells;
    });
    f64::min(area, f64::MAX)
}

/// W1 in units of the reference's spread: IQR, else standard deviation, else as it is.
pub fn wasserstein_scaled(pair: &SamplePair<'_>) -> Scaled {
    let distance = wasserstein(pair);
    let (iqr, std) = (pair.reference().iqr(), pair.reference().std());
    let (spread, scale) = if iqr > 0.0 {
        (iqr, Scale::Iqr)
    } else if std > 0.0 {
        (std, Scale::Std)
    } else {
        (1.0, Scale::One)
    };
    Scaled { value: (distance / spread).min(f64::MAX), scale }
}

/// W1 over the reference's standard deviation, or over [`MIN_STD`] when that is larger.
pub fn wasserstein_over_std(pair: &SamplePair<'_>) -> f64 {
    (wasserstein(pair) / pair.reference().std().max(MIN_STD)).min(f64::MAX)
}

/// W1 seen through bins: the area between the first and the last edge, straight lines between edges.
///
/// The open tails have no width and are left out, so one outlier cannot move it; `edges` has one value
/// less than the pair has bins, otherwise the answer is of the edges both have.
pub fn wasserstein_binned(edges: &[f64], pair: &Pair<'_>) -> f64 {
    let mut shares = pair.shares();
    let Some((p, q)) = shares.next() else { return 0.0 };
    let (mut area, mut gap) = (0.0, p - q);
    for (x, (p, q)) in edges.windows(2).zip(shares) {
        let before = gap;
        gap += p - q;
        area += (x[1] - x[0]).min(f64::MAX) * mean_height(before, gap);
    }
    f64::min(area, f64::MAX)
}

/// Mean of |y| along a straight line from a to b, which may cross 0.
fn mean_height(a: f64, b: f64) -> f64 {
    if a * b >= 0.0 { (a + b).abs() / 2.0 } else { (a * a + b * b) / (2.0 * (a - b).abs()) }
}

//! What one number says about a column: its ends, its middle, its spread.

use serde::Serialize;

use crate::stats::{Sample, Scale, quantile};

/// Of the finite values of a column; every number is finite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Moments {
    /// Smallest value.
    pub min: f64,
    /// First quartile (type 7).
    pub q25: f64,
    /// Median (type 7).
    pub median: f64,
    /// Third quartile (type 7).
    pub q75: f64,
    /// Largest value.
    pub max: f64,
    /// Sum; at most the largest double in magnitude.
    pub sum: f64,
    /// Mean.
    pub mean: f64,
    /// Population standard deviation.
    pub std: f64,
}

impl Moments {
    /// `None` without a finite value.
    pub fn of(sample: &Sample) -> Option<Self> {
        let sorted = sample.sorted();
        let at = |p| quantile(sorted, p);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let n = sorted.len() as f64;
        let sum: f64 = sorted.iter().sum();
        let mean = if sum.is_finite() {
            sum / n
        } else {
            sorted.iter().map(|value| value / n).sum::<f64>()
        };
        Some(Self {
            min,
            q25: at(0.25)?,
            median: at(0.5)?,
            q75: at(0.75)?,
            max,
            sum: sum.clamp(f64::MIN, f64::MAX),
            mean: mean.clamp(min, max),
            std: sample.std(),
        })
    }

    /// Distance between the quartiles.
    pub fn iqr(&self) -> f64 {
        (self.q75 - self.q25).min(f64::MAX)
    }

    /// What distances are divided by, as [`wasserstein_scaled`](crate::stats::wasserstein_scaled) does.
    pub fn spread(&self) -> (f64, Scale) {
        if self.iqr() > 0.0 {
            (self.iqr(), Scale::Iqr)
        } else if self.std > 0.0 {
            (self.std, Scale::Std)
        } else {
            (1.0, Scale::One)
        }
    }
}

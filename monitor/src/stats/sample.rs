//! A column's values, sorted once for every statistic that needs order.
//!
//! Refuses NaN (a null) and infinities (counted): the sorted part is finite, and -0.0 is 0.0.

use super::edges::quantile;
use super::sort::sort;

/// Sorted finite values of one column and how many were not finite.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    sorted: Vec<f64>,
    nulls: u64,
    infinite: u64,
}

impl Sample {
    /// Sorts the values; NaN and `None` are nulls, infinities are counted apart.
    pub fn new<T: Into<Option<f64>>>(values: impl IntoIterator<Item = T>) -> Self {
        let values = values.into_iter();
        let room = Vec::with_capacity(values.size_hint().0);
        let mut sample = Self { sorted: room, nulls: 0, infinite: 0 };
        for value in values {
            match value.into() {
                Some(value) if value.is_finite() => sample.sorted.push(value + 0.0),
                Some(value) if value.is_infinite() => sample.infinite += 1,
                Some(_) | None => sample.nulls += 1,
            }
        }
        sort(&mut sample.sorted);
        sample
    }

    /// The finite values, ascending, without -0.0.
    pub fn sorted(&self) -> &[f64] {
        &self.sorted
    }

    /// Rows that were null or NaN.
    pub fn nulls(&self) -> u64 {
        self.nulls
    }

    /// Rows that were an infinity of either sign.
    pub fn infinite(&self) -> u64 {
        self.infinite
    }

    /// Every row: finite, null and infinite.
    pub fn rows(&self) -> u64 {
        self.sorted.len() as u64 + self.nulls + self.infinite
    }

    /// Distance between the quartiles (type 7), 0 without finite values, at most `f64::MAX`.
    pub fn iqr(&self) -> f64 {
        let quartile = |p| quantile(&self.sorted, p);
        match (quartile(0.25), quartile(0.75)) {
            (Some(low), Some(high)) => (high - low).min(f64::MAX),
            _ => 0.0,
        }
    }

    /// Population standard deviation (divisor n), 0 without finite values, at most `f64::MAX`.
    pub fn std(&self) -> f64 {
        let (Some(low), Some(high)) = (self.sorted.first(), self.sorted.last()) else { return 0.0 };
        if low == high {
            return 0.0;
        }
        // Divided by the largest magnitude first: squares of values near 1e200 would overflow.
        let unit = low.abs().max(high.abs());
        let n = self.sorted.len() as f64;
        let mean = self.sorted.iter().map(|value| value / unit).sum::<f64>() / n;
        let squares: f64 = self.sorted.iter().map(|value| (value / unit - mean).powi(2)).sum();
        ((squares / n).sqrt() * unit).min(f64::MAX)
    }
}

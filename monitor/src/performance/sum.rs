//! A sum whose rounding error does not grow with the number of its terms (Neumaier's).

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Sum {
    total: f64,
    lost: f64,
}

impl Sum {
    /// Adds a number that is not NaN.
    pub(super) fn add(&mut self, value: f64) {
        let total = self.total + value;
        self.lost += if self.total.abs() >= value.abs() {
            (self.total - total) + value
        } else {
            (value - total) + self.total
        };
        self.total = total;
    }

    /// Adds what another summed.
    pub(super) fn merge(&mut self, other: Self) {
        self.add(other.total);
        self.lost += other.lost;
    }

    /// The sum; the largest double where it passed that.
    pub(super) fn value(self) -> f64 {
        if self.total.is_finite() {
            (self.total + self.lost).clamp(f64::MIN, f64::MAX)
        } else {
            f64::MAX.copysign(self.total)
        }
    }

    /// Standard error of the mean of `n` terms, from the sum of their squares; `None` below two terms, and 0 where
    /// the squares are past the largest double: nothing is so far off by chance.
    pub(super) fn standard_error(self, squares: Self, n: u64) -> Option<f64> {
        let (mean, mean_square) = (self.mean(n)?, squares.mean(n)?);
        let is_known = squares.value() < f64::MAX && mean.powi(2).is_finite();
        let variance = if is_known { (mean_square - mean * mean).max(0.0) } else { 0.0 };
        (n > 1).then(|| (variance / (n - 1) as f64).sqrt())
    }

    /// The mean of `n` terms.
    pub(super) fn mean(self, n: u64) -> Option<f64> {
        (n > 0).then(|| self.value() / n as f64)
    }
}

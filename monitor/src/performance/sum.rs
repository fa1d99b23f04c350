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

    /// The mean of `n` terms.
    pub(super) fn mean(self, n: u64) -> Option<f64> {
        (n > 0).then(|| self.value() / n as f64)
    }
}

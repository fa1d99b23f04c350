//! How far a number that was answered is from the one that was right.

use super::sum::Sum;

/// Errors of a regression.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Errors {
    rows: u64,
    invalid: u64,
    absolute: Sum,
    squared: Sum,
    fourth: Sum,
    signed: Sum,
}

impl Errors {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a row.
    pub fn add(&mut self, right: f64, answered: f64) {
        if !right.is_finite() || !answered.is_finite() {
            self.invalid += 1;
            return;
        }
        let error = (answered - right).clamp(f64::MIN, f64::MAX);
        self.rows += 1;
        self.absolute.add(error.abs());
        let square = (error * error).min(f64::MAX);
        self.squared.add(square);
        self.fourth.add((square * square).min(f64::MAX));
        self.signed.add(error);
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.invalid += other.invalid;
        self.absolute.merge(other.absolute);
        self.squared.merge(other.squared);
        self.fourth.merge(other.fourth);
        self.signed.merge(other.signed);
    }

    /// Rows of which both numbers are finite.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The others.
    #[must_use]
    pub fn invalid(&self) -> u64 {
        self.invalid
    }

    /// Mean absolute error, in the unit of the label.
    #[must_use]
    pub fn mae(&self) -> Option<f64> {
        self.absolute.mean(self.rows)
    }

    /// Root of the mean squared error, in the unit of the label.
    #[must_use]
    pub fn rmse(&self) -> Option<f64> {
        self.squared.mean(self.rows).map(f64::sqrt)
    }

    /// Standard error of [`Errors::mae`].
    #[must_use]
    pub fn mae_error(&self) -> Option<f64> {
        self.absolute.standard_error(self.squared, self.rows)
    }

    /// Standard error of [`Errors::rmse`]: that of the mean square over twice the root.
    #[must_use]
    pub fn rmse_error(&self) -> Option<f64> {
        let root = self.rmse().filter(|root| *root > 0.0)?;
        let of_square = self.squared.standard_error(self.fourth, self.rows)?;
        Some(of_square / (2.0 * root))
    }

    /// Mean of answer less label: above 0 the model answers too much.
    #[must_use]
    pub fn bias(&self) -> Option<f64> {
        self.signed.mean(self.rows)
    }
}

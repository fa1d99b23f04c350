//! Probabilities against what happened: AUC, log loss, Brier score.

use super::ranking::{Auc, Ranking};
use super::reliability::Reliability;
use super::sum::Sum;

/// A score is kept so far from 0 and 1 in the logarithm, as scikit-learn does with doubles:
/// certainty that was wrong costs 36.04 instead of infinity.
pub const CLIP: f64 = f64::EPSILON;

/// Scores of one class, each with whether the row was of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scores {
    rows: u64,
    positives: u64,
    invalid: u64,
    log_loss: Sum,
    log_loss_squares: Sum,
    brier: Sum,
    brier_squares: Sum,
    ranking: Ranking,
    reliability: Reliability,
}

impl Scores {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a row: the probability that the model gave, and whether it was so.
    pub fn add(&mut self, score: f64, positive: bool) {
        if !(0.0..=1.0).contains(&score) {
            self.invalid += 1;
            return;
        }
        self.rows += 1;
        self.positives += u64::from(positive);
        let of_truth = if positive { score } else { 1.0 - score };
        let (loss, distance) = (-of_truth.clamp(CLIP, 1.0 - CLIP).ln(), 1.0 - of_truth);
        self.log_loss.add(loss);
        self.log_loss_squares.add(loss * loss);
        self.brier.add(distance * distance);
        self.brier_squares.add(distance.powi(4));
        self.ranking.count(score, positive);
        self.reliability.add(score, positive);
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.positives += other.positives;
        self.invalid += other.invalid;
        self.log_loss.merge(other.log_loss);
        self.log_loss_squares.merge(other.log_loss_squares);
        self.brier.merge(other.brier);
        self.brier_squares.merge(other.brier_squares);
        self.ranking.merge(&other.ranking);
        self.reliability.merge(&other.reliability);
    }

    /// Rows with a score that is a probability.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Those of them that are of the class.
    #[must_use]
    pub fn positives(&self) -> u64 {
        self.positives
    }

    /// Rows whose score is no probability.
    #[must_use]
    pub fn invalid(&self) -> u64 {
        self.invalid
    }

    /// Mean of −ln of the probability given to what happened, clipped at [`CLIP`].
    #[must_use]
    pub fn log_loss(&self) -> Option<f64> {
        self.log_loss.mean(self.rows)
    }

    /// Mean squared distance of the probability from what happened.
    #[must_use]
    pub fn brier(&self) -> Option<f64> {
        self.brier.mean(self.rows)
    }

    /// Standard error of [`Scores::log_loss`].
    #[must_use]
    pub fn log_loss_error(&self) -> Option<f64> {
        self.log_loss.standard_error(self.log_loss_squares, self.rows)
    }

    /// Standard error of [`Scores::brier`].
    #[must_use]
    pub fn brier_error(&self) -> Option<f64> {
        self.brier.standard_error(self.brier_squares, self.rows)
    }

    /// Area under the ROC curve, ties by mid-ranks; `None` unless both classes are there.
    #[must_use]
    pub fn auc(&self) -> Option<Auc> {
        self.ranking.auc()
    }

    /// How often scores came true, by score.
    #[must_use]
    pub fn reliability(&self) -> &Reliability {
        &self.reliability
    }
}

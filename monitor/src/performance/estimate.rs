//! Confidence-based performance estimation (CBPE): how well a classifier of two classes will turn
//! out to have answered, from its probabilities alone.
//!
//! If a score of 0.8 means that eight of ten such rows are positive, the expected confusion matrix
//! follows from the scores, and the figures from the matrix. It sees a stream whose rows became
//! harder; it is blind to a world in which the same row now means something else, which is why its
//! error is shown as soon as labels come.

use super::Calibration;
use super::ranking::{Auc, Ranking};
use super::sum::Sum;

/// Expected counts of rows whose labels are not known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Estimate {
    rows: u64,
    invalid: u64,
    answered: u64,
    true_positive: Sum,
    false_negative: Sum,
    ranking: Ranking,
}

/// Figures that are expected; `None` where the expected matrix does not define one.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Estimated {
    pub accuracy: Option<f64>,
    pub precision: Option<f64>,
    pub recall: Option<f64>,
    pub f1: Option<f64>,
    pub auc: Option<Auc>,
}

impl Estimate {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a row: the score of the positive class, and whether the row was answered as of it.
    /// Without a calibration the score is taken for the probability.
    pub fn add(&mut self, score: f64, answered: bool, calibration: Option<&Calibration>) {
        if !(0.0..=1.0).contains(&score) {
            self.invalid += 1;
            return;
        }
        let p = calibration.map_or(score, |map| map.of(score)).clamp(0.0, 1.0);
        self.rows += 1;
        self.answered += u64::from(answered);
        if answered { &mut self.true_positive } else { &mut self.false_negative }.add(p);
        self.ranking.expect(score, p);
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.invalid += other.invalid;
        self.answered += other.answered;
        self.true_positive.merge(other.true_positive);
        self.false_negative.merge(other.false_negative);
        self.ranking.merge(&other.ranking);
    }

    /// Rows with a score that is a probability.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows whose score is no probability.
    #[must_use]
    pub fn invalid(&self) -> u64 {
        self.invalid
    }

    /// Rows that were answered as of the class.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Rows that are expected to be of the class: those answered so, and the others.
    #[must_use]
    pub fn positives(&self) -> [f64; 2] {
        [self.true_positive.value(), self.false_negative.value()]
    }

    /// What is expected.
    #[must_use]
    pub fn expected(&self) -> Estimated {
        let (found, missed) = (self.true_positive.value(), self.false_negative.value());
        let (answered, rows) = (self.answered as f64, self.rows as f64);
        let true_negative = rows - answered - missed;
        let share = |part: f64, whole: f64| {
            (self.rows > 0 && whole > 0.0).then(|| (part / whole).clamp(0.0, 1.0))
        };
        Estimated {
            accuracy: share(found + true_negative, rows),
            precision: share(found, answered),
            recall: share(found, found + missed),
            f1: share(2.0 * found, answered + found + missed),
            auc: self.ranking.auc(),
        }
    }
}

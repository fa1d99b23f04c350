//! How likely a figure is to come out so far from its baseline by chance alone.
//!
//! Where 60 % of a class were found and 80 % should have been, five rows of it say nothing and five
//! hundred say all. The chance here is that of a drop at least so large while the figure truly is at its
//! baseline, rows are independent of each other, and the baseline is exact:
//!
//! | figure | law |
//! |---|---|
//! | accuracy; precision and recall of a class | binomial, over the rows that the share is of |
//! | F1 of a class | binomial: F1 = 2J / (1 + J), where J is the share of true positives among them, false positives and false negatives |
//! | AUC | normal, with Hanley's and McNeil's standard error (1982) at the baseline |
//! | precision, recall and F1 as means over classes | normal, with the standard errors of classes added up as if all erred together |
//! | log loss, Brier score, MAE, RMSE | normal, with the standard error of the mean; RMSE's by the delta method |
//!
//! What is estimated from scores varies less than labels of the same rows would, so that the same laws are
//! a bound from above for it.

use crate::stats::{normal_sf, runs_sf};

/// A baseline is written with so many digits; nothing is closer to 0 or 1 than it can say.
const ROUNDING: f64 = 1e-4;

/// What the chance of a figure's drop follows from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Spread {
    /// It is a share of so many rows.
    Share(u64),
    /// It is the F1 of a class, with so many rows that are of it or were answered so.
    Overlap(u64),
    /// It is an AUC.
    Ranking {
        /// Rows of the class.
        positives: u64,
        /// The others.
        negatives: u64,
    },
    /// It has this standard error.
    Error(f64),
}

impl Spread {
    /// The chance of a figure that is worse than `baseline` by `worse` or more; 1 where it is not worse.
    #[must_use]
    pub fn chance(self, baseline: f64, worse: f64) -> f64 {
        let is_worse = worse > 0.0;
        if !is_worse {
            return 1.0;
        }
        let value = baseline - worse;
        match self {
            Self::Share(rows) => share(rows, baseline, value),
            Self::Overlap(rows) => share(rows, overlap(baseline), overlap(value)),
            Self::Ranking { positives, negatives } => {
                normal_sf(worse / ranking_error(baseline, positives, negatives))
            }
            Self::Error(error) => normal_sf(worse / error),
        }
    }
}

/// The chance that of so many rows no more succeed than `value` says, where `baseline` of them should.
fn share(rows: u64, baseline: f64, value: f64) -> f64 {
    let failed = ((1.0 - value.clamp(0.0, 1.0)) * rows as f64).round() as u64;
    runs_sf(failed, rows, (1.0 - baseline).clamp(ROUNDING, 1.0 - ROUNDING), 1.0)
}

/// J of an F1.
fn overlap(f1: f64) -> f64 {
    f1 / (2.0 - f1.min(1.0))
}

/// Hanley, McNeil: The meaning and use of the area under a receiver operating characteristic (ROC) curve,
/// Radiology 143 (1982), formula 1.
fn ranking_error(auc: f64, positives: u64, negatives: u64) -> f64 {
    let a = auc.clamp(ROUNDING, 1.0 - ROUNDING);
    let (p, n) = (positives.max(1) as f64, negatives.max(1) as f64);
    let (two_positives, two_negatives) = (a / (2.0 - a), 2.0 * a * a / (1.0 + a));
    let variance =
        a * (1.0 - a) + (p - 1.0) * (two_positives - a * a) + (n - 1.0) * (two_negatives - a * a);
    (variance / (p * n)).sqrt()
}

//! From a score to the share of rows for which it came true: isotonic regression.
//!
//! Pool-adjacent-violators over scores in order: the closest map, by least squares, that never falls.
//! Between two steps it is a straight line, beyond the first and last it is level.

use serde::{Deserialize, Serialize};

/// Steps that are kept; beyond that neighbours are joined two by two.
pub const MAX_STEPS: usize = 256;

/// A map from scores to probabilities that never falls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Rows it was learned from.
    pub rows: u64,
    /// Ascending in both, at least one.
    steps: Vec<Step>,
}

/// Scores from `low` to `high` come true with this probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Step {
    low: f64,
    high: f64,
    p: f64,
    rows: f64,
}

impl Calibration {
    /// The probability that a score stands for; the score lies within 0 to 1.
    #[must_use]
    pub fn of(&self, score: f64) -> f64 {
        let after = self.steps.partition_point(|step| step.high < score);
        let Some(step) = self.steps.get(after) else {
            return self.steps.last().map_or(score, |step| step.p);
        };
        match after.checked_sub(1).map(|before| self.steps[before]) {
            Some(before) if score < step.low => {
                let part = (score - before.high) / (step.low - before.high);
                before.p + part * (step.p - before.p)
            }
            Some(_) | None => step.p,
        }
    }

    /// Number of its steps.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps.len()
    }
}

/// The map for these scores, given in order with their positive and negative rows.
pub(super) fn fit(scores: &[(f64, f64, f64)]) -> Option<Calibration> {
    let mut steps: Vec<Step> = Vec::new();
    for &(score, positive, negative) in scores {
        let rows = positive + negative;
        if rows <= 0.0 {
            continue;
        }
        steps.push(Step { low: score, high: score, p: positive / rows, rows });
        while let [.., before, last] = steps.as_slice()
            && before.p >= last.p
        {
            let pooled = pool(*before, *last);
            steps.truncate(steps.len() - 2);
            steps.push(pooled);
        }
    }
    while steps.len() > MAX_STEPS {
        steps = halve(&steps);
    }
    let rows = steps.iter().map(|step| step.rows).sum::<f64>();
    (!steps.is_empty()).then(|| Calibration { rows: rows.round() as u64, steps })
}

fn pool(a: Step, b: Step) -> Step {
    let rows = a.rows + b.rows;
    Step { low: a.low, high: b.high, p: (a.p * a.rows + b.p * b.rows) / rows, rows }
}

/// Neighbours joined two by two: still ascending, half as many.
fn halve(steps: &[Step]) -> Vec<Step> {
    let join = |pair: &[Step]| match pair {
        [a, b] => pool(*a, *b),
        one => one[0],
    };
    steps.chunks(2).map(join).collect()
}

//! From a score to the share of rows for which it came true: isotonic regression.
//!
//! Pool-adjacent-violators over scores in order: the closest map, by least squares, that never falls.
//! Between two steps it is a straight line, beyond the first and last it is level.

use super::reliability::Point;

/// A map from scores to probabilities that never falls.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Rows it was learned from.
    pub rows: u64,
    /// Ascending in both, at least one.
    steps: Vec<Step>,
}

/// Scores from `low` to `high` come true with this probability.
#[derive(Debug, Clone, Copy, PartialEq)]
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

/// The map for these points, which are given in the order of their scores; `None` without rows.
pub(super) fn fit(points: &[Point]) -> Option<Calibration> {
    let mut steps: Vec<Step> = Vec::new();
    for point in points.iter().filter(|point| point.rows > 0) {
        let (rows, positives) = (point.rows as f64, point.positives as f64);
        steps.push(Step { low: point.score, high: point.score, p: positives / rows, rows });
        while let [.., before, last] = steps.as_slice()
            && before.p >= last.p
        {
            let pooled = pool(*before, *last);
            steps.truncate(steps.len() - 2);
            steps.push(pooled);
        }
    }
    let rows = points.iter().map(|point| point.rows).sum();
    (!steps.is_empty()).then_some(Calibration { rows, steps })
}

fn pool(a: Step, b: Step) -> Step {
    let rows = a.rows + b.rows;
    Step { low: a.low, high: b.high, p: (a.p * a.rows + b.p * b.rows) / rows, rows }
}

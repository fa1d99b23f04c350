//! How often scores came true, by score: the points of a reliability diagram, and what scores are calibrated
//! from.
//!
//! Bins are of equal width in the log-odds of the score, an eighth each, so that one in a thousand is told from
//! one in a hundred as one half is from six tenths: 255 bins at most, the outermost for everything beyond ±16.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::calibration::{self, Calibration};
use super::sum::Sum;

/// Rows that a calibration is learned from at least; with fewer, scores are better than what they would become.
pub const MIN_ROWS: u64 = 1_000;
/// Of them rows of the class, and others, at least.
pub const MIN_OF_EACH: u64 = 30;
/// Bins in a unit of log-odds.
const BINS_A_UNIT: f64 = 8.0;
const OUTERMOST: f64 = 127.0;

/// Scores of one class and how often they came true, bin by bin.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reliability {
    bins: BTreeMap<i16, Bin>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Bin {
    rows: u64,
    positives: u64,
    scores: Sum,
}

/// A point of the diagram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Mean score of its rows, 0 to 1.
    pub score: f64,
    /// Rows with such a score.
    pub rows: u64,
    /// Those of them that are of the class.
    pub positives: u64,
}

impl Reliability {
    /// Counts a row whose score lies within 0 to 1.
    pub(super) fn add(&mut self, score: f64, positive: bool) {
        self.put(Point { score, rows: 1, positives: u64::from(positive) });
    }

    /// Adds a point of another diagram; one that is none says nothing.
    pub fn put(&mut self, point: Point) {
        let Point { score, rows, positives } = point;
        if !(0.0..=1.0).contains(&score) || positives > rows {
            return;
        }
        let bin = self.bins.entry(bin(score)).or_default();
        bin.rows += rows;
        bin.positives += positives;
        bin.scores.add(score * rows as f64);
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Self) {
        for (at, other) in &other.bins {
            let bin = self.bins.entry(*at).or_default();
            bin.rows += other.rows;
            bin.positives += other.positives;
            bin.scores.merge(other.scores);
        }
    }

    /// Rows counted.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.bins.values().map(|bin| bin.rows).sum()
    }

    /// The diagram, from the lowest score.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        let point = |bin: &Bin| {
            let score = bin.scores.mean(bin.rows)?.clamp(0.0, 1.0);
            Some(Point { score, rows: bin.rows, positives: bin.positives })
        };
        self.bins.values().filter_map(point).collect()
    }

    /// What the scores should have been; `None` below [`MIN_ROWS`] or [`MIN_OF_EACH`].
    #[must_use]
    pub fn calibration(&self) -> Option<Calibration> {
        let (rows, positives) = (self.rows(), self.bins.values().map(|bin| bin.positives).sum());
        let is_enough = rows >= MIN_ROWS && u64::min(positives, rows - positives) >= MIN_OF_EACH;
        is_enough.then(|| calibration::fit(&self.points())).flatten()
    }
}

/// Certainty has infinite odds, and lies in the outermost bin.
fn bin(score: f64) -> i16 {
    let log_odds = (score / (1.0 - score)).ln();
    (log_odds * BINS_A_UNIT).round().clamp(-OUTERMOST, OUTERMOST) as i16
}

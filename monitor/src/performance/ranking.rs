//! Rows by their score: what the area under the ROC curve needs, in bounded memory.
//!
//! Scores are kept as the bits of the double, whose order is the scores' own. When more of them
//! differ than memory allows, the last bits are dropped, one after the other, until they fit; what
//! that may cost the area is known and told. How many are dropped follows from the scores alone, so
//! the order in which they come, or are merged, changes nothing.

use std::collections::HashMap;

/// Scores that are told apart: with them a ranking takes some 8 MB.
pub const MAX_DISTINCT: usize = 1 << 17;

/// The area under the ROC curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Auc {
    /// The chance that a positive has the higher score than a negative; a tie counts half.
    pub value: f64,
    /// How far it may be from that of the scores as they were; 0 where all were told apart.
    pub error: f64,
}

/// What is known of the rows of one score.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct At {
    /// Rows that are positive: counted, or expected.
    positive: f64,
    /// Rows that are negative.
    negative: f64,
    /// Expected pairs of a row with itself, which are none: 0 where rows are counted.
    own: f64,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Ranking {
    at: HashMap<u64, At>,
    dropped_bits: u32,
}

impl Ranking {
    /// Counts a row of this score, which lies within 0 to 1.
    pub(super) fn count(&mut self, score: f64, positive: bool) {
        let (positive, negative) = if positive { (1.0, 0.0) } else { (0.0, 1.0) };
        self.add(score, At { positive, negative, own: 0.0 });
    }

    /// Counts a row that is positive with this probability.
    pub(super) fn expect(&mut self, score: f64, p: f64) {
        self.add(score, At { positive: p, negative: 1.0 - p, own: p * (1.0 - p) });
    }

    fn add(&mut self, score: f64, row: At) {
        // −0 is 0.
        let bits = (score + 0.0).to_bits() >> self.dropped_bits;
        self.at.entry(bits).or_default().add(row);
        self.fit();
    }

    fn fit(&mut self) {
        while self.at.len() > MAX_DISTINCT {
            self.drop_bits(1);
        }
    }

    fn drop_bits(&mut self, bits: u32) {
        if bits == 0 {
            return;
        }
        self.dropped_bits += bits;
        for (score, at) in std::mem::take(&mut self.at) {
            self.at.entry(score >> bits).or_default().add(at);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.drop_bits(other.dropped_bits.saturating_sub(self.dropped_bits));
        for (score, at) in &other.at {
            // `fit` may have dropped more since.
            let score = score >> (self.dropped_bits - other.dropped_bits);
            self.at.entry(score).or_default().add(*at);
            self.fit();
        }
    }

    /// The area under the ROC curve over pairs of different rows; `None` without both kinds.
    pub(super) fn auc(&self) -> Option<Auc> {
        let (mut below, mut positives, mut own) = (0.0, 0.0, 0.0);
        let (mut above, mut tied) = (0.0, 0.0);
        let mut scores: Vec<(&u64, &At)> = self.at.iter().collect();
        scores.sort_unstable_by_key(|(bits, _)| **bits);
        for (_, at) in scores {
            let half = (at.positive * at.negative - at.own).max(0.0) / 2.0;
            above += at.positive * below + half;
            tied += half;
            below += at.negative;
            positives += at.positive;
            own += at.own;
        }
        let pairs = positives * below - own;
        // A sliver of rounding is no pair.
        (pairs > 1e-9).then(|| Auc {
            value: (above / pairs).clamp(0.0, 1.0),
            error: if self.dropped_bits == 0 { 0.0 } else { (tied / pairs).min(1.0) },
        })
    }
}

impl At {
    fn add(&mut self, other: Self) {
        self.positive += other.positive;
        self.negative += other.negative;
        self.own += other.own;
    }
}

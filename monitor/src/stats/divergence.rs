//! Distances between two lists of proportions; symmetric, 0 when equal, at most 1 (JS in bits).
//!
//! On raw counts, no epsilon: an empty bin is an answer, not an error.

use super::pair::Pair;

/// Jensen-Shannon distance, base 2: the square root of the divergence in bits, in 0..=1.
pub fn jensen_shannon_distance(pair: &Pair<'_>) -> f64 {
    (divergence_nats(pair) / std::f64::consts::LN_2).sqrt().min(1.0)
}

/// Jensen-Shannon distance with the natural logarithm, at most √ln 2; what SciPy gives by default.
pub fn jensen_shannon_distance_nats(pair: &Pair<'_>) -> f64 {
    divergence_nats(pair).sqrt().min(std::f64::consts::LN_2.sqrt())
}

fn divergence_nats(pair: &Pair<'_>) -> f64 {
    let part = |p: f64, middle: f64| if p > 0.0 { p * (p / middle).ln() } else { 0.0 };
    let sum: f64 = pair
        .shares()
        .filter(|(p, q)| p != q)
        .map(|(p, q)| {
            let middle = f64::midpoint(p, q);
            part(p, middle) + part(q, middle)
        })
        .sum();
    (sum / 2.0).max(0.0)
}

/// Hellinger distance √(½ Σ (√p − √q)²), in 0..=1.
pub fn hellinger(pair: &Pair<'_>) -> f64 {
    let sum: f64 = pair.shares().map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2)).sum();
    (sum / 2.0).sqrt().min(1.0)
}

/// Total variation ½ Σ |p − q|, in 0..=1: the share of rows that would have to move.
pub fn total_variation(pair: &Pair<'_>) -> f64 {
    let sum: f64 = pair.shares().map(|(p, q)| (p - q).abs()).sum();
    (sum / 2.0).min(1.0)
}

/// The largest |p − q| of one bin, in 0..=1.
pub fn l_infinity(pair: &Pair<'_>) -> f64 {
    pair.shares().map(|(p, q)| (p - q).abs()).fold(0.0, f64::max)
}

/// Share of current rows in bins that the reference never filled.
pub fn new_share(pair: &Pair<'_>) -> f64 {
    let new: u64 = pair.cells().filter(|cell| cell.0 == 0).map(|cell| cell.1).sum();
    new as f64 / pair.rows_current() as f64
}

/// Share of reference rows in bins that the current side never filled.
pub fn vanished_share(pair: &Pair<'_>) -> f64 {
    let vanished: u64 = pair.cells().filter(|cell| cell.1 == 0).map(|cell| cell.0).sum();
    vanished as f64 / pair.rows_reference() as f64
}

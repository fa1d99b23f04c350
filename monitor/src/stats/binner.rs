//! Many values to their bins, fast: the inner loop of counting.
//!
//! The same answer as [`Bins::bin`], without a branch on the data: which side of an edge a value falls
//! on is as good as random.

use super::bins::Bins;

/// Up to so many edges each value is held against all of them, which vector units do at once.
const MAX_LINEAR: usize = 16;
/// Values that descend together, so that one's load hides behind another's.
const TOGETHER: usize = 16;

/// Edges laid out for searching.
#[derive(Debug, Clone)]
pub struct Binner {
    /// Padded with infinities to a power of two for the descent.
    edges: Vec<f64>,
    linear: bool,
    bins: u16,
}

impl Binner {
    /// For these bins.
    pub fn new(bins: &Bins) -> Self {
        let mut edges = bins.edges().to_vec();
        let linear = edges.len() <= MAX_LINEAR;
        if !linear {
            edges.resize((edges.len() + 1).next_power_of_two(), f64::INFINITY);
        }
        Self { edges, linear, bins: bins.len() as u16 }
    }

    /// Cells of a histogram: the bins, then nulls, then infinities.
    pub fn cells(&self) -> usize {
        usize::from(self.bins) + 2
    }

    /// Appends the cell of each value; NaN is a null.
    pub fn append(&self, values: &[f64], to: &mut Vec<u16>) {
        to.reserve(values.len());
        let mut chunks = values.chunks_exact(TOGETHER);
        for chunk in &mut chunks {
            let chunk: &[f64; TOGETHER] = chunk.try_into().expect("chunks of this length");
            to.extend_from_slice(&self.some(chunk));
        }
        let rest = chunks.remainder();
        let mut last = [f64::NAN; TOGETHER];
        last[..rest.len()].copy_from_slice(rest);
        to.extend_from_slice(&self.some(&last)[..rest.len()]);
    }

    fn some(&self, values: &[f64; TOGETHER]) -> [u16; TOGETHER] {
        let mut found = if self.linear { self.compared(values) } else { self.descended(values) };
        for (cell, value) in found.iter_mut().zip(values) {
            let special = if value.is_nan() { self.bins } else { self.bins + 1 };
            *cell = if value.is_finite() { *cell } else { special };
        }
        found
    }

    fn compared(&self, values: &[f64; TOGETHER]) -> [u16; TOGETHER] {
        let mut below = [0_u64; TOGETHER];
        for edge in &self.edges {
            for (count, value) in below.iter_mut().zip(values) {
                *count += u64::from(edge < value);
            }
        }
        below.map(|count| count as u16)
    }

    fn descended(&self, values: &[f64; TOGETHER]) -> [u16; TOGETHER] {
        let edges = &self.edges[..];
        // A power of two: masked, a place is known to be inside, and no check is left in the loop.
        let inside = edges.len() - 1;
        let mut at = [0_usize; TOGETHER];
        let mut half = edges.len() / 2;
        while half > 0 {
            for (at, value) in at.iter_mut().zip(values) {
                *at += half * usize::from(edges[(*at + half - 1) & inside] < *value);
            }
            half /= 2;
        }
        at.map(|at| at as u16)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_the_bins_say(
            edges in proptest::collection::btree_set(-50_i32..50, 0..40),
            values in proptest::collection::vec(-60_i32..60, 0..100),
        ) {
            let edges: Vec<f64> = edges.into_iter().map(f64::from).collect();
            let bins = Bins::from_edges(edges).unwrap();
            let mut values: Vec<f64> = values.into_iter().map(|v| f64::from(v) / 2.0).collect();
            values.extend([f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MAX]);
            let mut cells = Vec::new();
            Binner::new(&bins).append(&values, &mut cells);
            let mut counted = vec![0; bins.len() + 2];
            cells.iter().for_each(|cell| counted[usize::from(*cell)] += 1);
            prop_assert_eq!(counted, bins.count(values).with_special());
        }
    }
}

//! Reference and current put side by side, once it is certain that they can be compared.
//!
//! The gate of every statistic: what passes has rows on both sides, so what follows cannot fail.

use std::borrow::Cow;

use super::sample::Sample;

/// Why two sides have no statistic. A report prints this instead of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undefined {
    /// The reference has no row that counts.
    #[error("the reference has no rows with a value; fit it on data where the column is filled")]
    EmptyReference,
    /// The current side has no row that counts.
    #[error("the window has no rows with a value; see its null and infinite shares")]
    EmptyCurrent,
    /// The sides were counted into different bins.
    #[error(
        "the reference has {reference} bins and the window {current}; count both with one profile"
    )]
    BinsDiffer {
        /// Bins of the reference.
        reference: usize,
        /// Bins of the current side.
        current: usize,
    },
}

/// Counts of the same bins on both sides, neither side empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair<'a> {
    reference: Cow<'a, [u64]>,
    current: Cow<'a, [u64]>,
    rows_reference: u64,
    rows_current: u64,
}

impl<'a> Pair<'a> {
    /// Puts two sides together; bins empty on both sides are kept and count as bins.
    pub fn new(
        reference: impl Into<Cow<'a, [u64]>>,
        current: impl Into<Cow<'a, [u64]>>,
    ) -> Result<Self, Undefined> {
        let (reference, current) = (reference.into(), current.into());
        if reference.len() != current.len() {
            return Err(Undefined::BinsDiffer {
                reference: reference.len(),
                current: current.len(),
            });
        }
        let rows_reference = total(&reference);
        let rows_current = total(&current);
        if rows_reference == 0 {
            return Err(Undefined::EmptyReference);
        }
        if rows_current == 0 {
            return Err(Undefined::EmptyCurrent);
        }
        Ok(Self { reference, current, rows_reference, rows_current })
    }

    /// The same rows without the bins that are empty on both sides.
    ///
    /// The special bins always exist; where nothing fell in them they must not cost degrees of freedom.
    pub fn occupied(&self) -> Pair<'static> {
        let filled = self.cells().filter(|&(r, c)| r > 0 || c > 0);
        let (reference, current): (Vec<u64>, Vec<u64>) = filled.unzip();
        let (rows_reference, rows_current) = (self.rows_reference, self.rows_current);
        Pair { reference: reference.into(), current: current.into(), rows_reference, rows_current }
    }

    /// Counts of each bin, reference first.
    pub fn cells(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.reference.iter().copied().zip(self.current.iter().copied())
    }

    /// Proportions of each bin, reference first; each side sums to 1.
    pub fn shares(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let (n, m) = (self.rows_reference as f64, self.rows_current as f64);
        self.cells().map(move |(r, c)| (r as f64 / n, c as f64 / m))
    }

    /// Number of bins, at least 1.
    pub fn bins(&self) -> usize {
        self.reference.len()
    }

    /// Rows of the reference, at least 1.
    pub fn rows_reference(&self) -> u64 {
        self.rows_reference
    }

    /// Rows of the current side, at least 1.
    pub fn rows_current(&self) -> u64 {
        self.rows_current
    }

    /// `1/n + 1/m`: the variance of a difference of proportions, per unit.
    pub fn rate(&self) -> f64 {
        1.0 / self.rows_reference as f64 + 1.0 / self.rows_current as f64
    }
}

fn total(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum, &count| sum.saturating_add(count))
}

/// Two samples with at least one finite value each.
#[derive(Debug, Clone, Copy)]
pub struct SamplePair<'a> {
    reference: &'a Sample,
    current: &'a Sample,
}

impl<'a> SamplePair<'a> {
    /// Puts two samples together; nulls and infinities take no part.
    pub fn new(reference: &'a Sample, current: &'a Sample) -> Result<Self, Undefined> {
        if reference.sorted().is_empty() {
            return Err(Undefined::EmptyReference);
        }
        if current.sorted().is_empty() {
            return Err(Undefined::EmptyCurrent);
        }
        Ok(Self { reference, current })
    }

    /// The reference side.
    pub fn reference(&self) -> &'a Sample {
        self.reference
    }

    /// The current side.
    pub fn current(&self) -> &'a Sample {
        self.current
    }

    /// Visits every distinct value in ascending order with `i·m − j·n` behind it, where `i` of the
    /// n reference values and `j` of the m current values are at most that value: n·m (F − G), exactly.
    pub(crate) fn walk(&self, mut visit: impl FnMut(f64, i128)) {
        let (a, b) = (self.reference.sorted(), self.current.sorted());
        let (up, down) = (b.len() as i128, a.len() as i128);
        let (mut i, mut j, mut ahead) = (0, 0, 0_i128);
        while i < a.len() || j < b.len() {
            let value = match (a.get(i), b.get(j)) {
                (Some(&x), Some(&y)) => x.min(y),
                (Some(&x), None) | (None, Some(&x)) => x,
                (None, None) => return,
            };
            while a.get(i) == Some(&value) {
                i += 1;
                ahead += up;
            }
            while b.get(j) == Some(&value) {
                j += 1;
                ahead -= down;
            }
            visit(value, ahead);
        }
    }
}

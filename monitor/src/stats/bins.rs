//! Bins of a numeric column: right-closed, both tails open, atoms alone, nulls and infinities apart.
//!
//! An atom v is the bin (next double below v, v], so edges are all there is to store and to count by.

use std::sync::Arc;

use super::edges::quantile_edges;
use super::sample::Sample;

/// Where nulls and NaN are counted.
pub const NULL_BIN: &str = "<null>";
/// Where infinities of either sign are counted.
pub const INFINITE_BIN: &str = "<inf>";
/// Most bins one may ask for: 1024 stored bins put D within 0.001, more only cost memory per pane.
pub const MAX_BINS: usize = 1024;

/// Why a list of edges cannot be bins.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum EdgesError {
    /// An edge is NaN or infinite.
    #[error("edge {index} is {value}, which is not finite; fit the reference again")]
    NotFinite {
        /// Place of the edge.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// An edge is not above the one before it.
    #[error("edge {index} is {value}, not above the edge before it; fit the reference again")]
    NotAscending {
        /// Place of the edge.
        index: usize,
        /// Its value.
        value: f64,
    },
}

/// Strictly ascending finite edges; bin k holds edge k−1 < x ≤ edge k.
#[derive(Debug, Clone, PartialEq)]
pub struct Bins {
    /// Shared: each judged window has a reference with the bins of its profile.
    edges: Arc<[f64]>,
}

/// Rows of a numeric column per bin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumericCounts {
    /// Finite rows per bin, one more than there are edges.
    pub bins: Vec<u64>,
    /// Rows in [`NULL_BIN`].
    pub null: u64,
    /// Rows in [`INFINITE_BIN`].
    pub infinite: u64,
}

impl Bins {
    /// Takes edges as they were stored.
    pub fn from_edges(edges: Vec<f64>) -> Result<Self, EdgesError> {
        for (index, &value) in edges.iter().enumerate() {
            if !value.is_finite() {
                return Err(EdgesError::NotFinite { index, value });
            }
            if index > 0 && value <= edges[index - 1] {
                return Err(EdgesError::NotAscending { index, value });
            }
        }
        Ok(Self { edges: edges.into_iter().map(|edge| edge + 0.0).collect() })
    }

    /// Bins of about equal share of the reference, `bins` clamped to 1..=[`MAX_BINS`].
    ///
    /// A value with more than one bin's share gets a bin alone, and stays apart from what is below and
    /// above it even where the reference has nothing there. Other edges that would only close an empty
    /// bin are left out. Without finite values there is one bin.
    pub fn fit(reference: &Sample, bins: usize) -> Self {
        let sorted = reference.sorted();
        let bins = bins.clamp(1, MAX_BINS);
        let mut atoms: Vec<f64> = atoms(sorted, bins)
            .flat_map(|atom| [atom.next_down(), atom])
            .filter(|edge| edge.is_finite())
            .collect();
        atoms.dedup();
        let mut edges = quantile_edges(sorted, bins);
        edges.extend(&atoms);
        edges.sort_unstable_by(f64::total_cmp);
        edges.dedup();
        let mut counted = 0;
        edges.retain(|edge| {
            let upto = sorted.partition_point(|value| value <= edge);
            let keep = upto > counted || is_in(&atoms, *edge);
            if keep {
                counted = upto;
            }
            keep
        });
        Self { edges: edges.into() }
    }

    /// The inner edges.
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// Number of bins for finite values.
    pub fn len(&self) -> usize {
        self.edges.len() + 1
    }

    /// Never true: without edges there is one bin for everything.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The bin of a finite value.
    pub fn bin(&self, value: f64) -> usize {
        self.edges.partition_point(|&edge| edge < value)
    }

    /// Counts rows; NaN and `None` are nulls.
    pub fn count<T: Into<Option<f64>>>(
        &self,
        values: impl IntoIterator<Item = T>,
    ) -> NumericCounts {
        let mut counts = NumericCounts { bins: vec![0; self.len()], null: 0, infinite: 0 };
        for value in values {
            match value.into() {
                Some(value) if value.is_finite() => counts.bins[self.bin(value)] += 1,
                Some(value) if value.is_infinite() => counts.infinite += 1,
                Some(_) | None => counts.null += 1,
            }
        }
        counts
    }
}

impl Bins {
    /// Counts a sorted sample; as [`Bins::count`], in time that grows with the bins, not the rows.
    pub fn count_sorted(&self, sample: &Sample) -> NumericCounts {
        let sorted = sample.sorted();
        let (mut bins, mut from) = (Vec::with_capacity(self.len()), 0);
        for edge in self.edges.iter() {
            let upto = from + sorted[from..].partition_point(|value| value <= edge);
            bins.push((upto - from) as u64);
            from = upto;
        }
        bins.push((sorted.len() - from) as u64);
        NumericCounts { bins, null: sample.nulls(), infinite: sample.infinite() }
    }
}

impl NumericCounts {
    /// Every row, whatever its bin.
    pub fn rows(&self) -> u64 {
        self.bins.iter().sum::<u64>() + self.null + self.infinite
    }

    /// Takes cells in the order of [`NumericCounts::with_special`] apart.
    ///
    /// # Panics
    /// When the special ones are not among them.
    pub fn of_cells(cells: &[u64]) -> Self {
        let (bins, special) = cells.split_at(cells.len() - 2);
        Self { bins: bins.to_vec(), null: special[0], infinite: special[1] }
    }

    /// The bins, then [`NULL_BIN`], then [`INFINITE_BIN`]: so a storm of nulls cannot hide.
    pub fn with_special(&self) -> Vec<u64> {
        self.bins.iter().copied().chain([self.null, self.infinite]).collect()
    }
}

/// Values that hold more than `1/bins` of the rows, ascending. With one bin nothing can.
fn atoms(sorted: &[f64], bins: usize) -> impl Iterator<Item = f64> + '_ {
    let rows = sorted.len() as u128;
    sorted
        .chunk_by(|a, b| a == b)
        .filter(move |run| bins > 1 && run.len() as u128 * bins as u128 > rows)
        .map(|run| run[0])
}

fn is_in(ascending: &[f64], value: f64) -> bool {
    ascending.binary_search_by(|edge| edge.total_cmp(&value)).is_ok()
}

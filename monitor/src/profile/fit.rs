//! From a column's values to its profile.
//!
//! Exact: the values of the column are in memory, in their order and sorted, and nothing is sketched.

use super::{CategoricalShape, ColumnProfile, Moments, NumericShape, Phi, Shape};
use crate::columns::{Gathered, Hashing, Planned, Texts, Treatment};
use crate::stats::{
    Binner, Bins, Categories, Dispersion, MAX_BINS, MAX_LISTED, NumericCounts, Sample,
    overdispersion, overdispersion_of_order,
};

/// Fewest stored bins: below, D seen through them is off by more than 0.004.
pub const MIN_BINS: usize = 256;
/// Stored bins where nothing else is said.
pub const DEFAULT_BINS: usize = 512;
/// Chunks of the reference where their rows are not said.
pub const CHUNKS: u64 = 20;
/// A column with more distinct values than this, and with a different one in every second row, is an
/// identifier: new values are what it is for.
pub const IDENTIFIER_MIN: u64 = MAX_LISTED as u64;

/// How a reference is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FitOptions {
    /// Stored bins, [`MIN_BINS`] to [`MAX_BINS`].
    pub bins: usize,
    /// Rows of the chunks that over-dispersion is learned from; a [`CHUNKS`]th of the rows when `None`.
    pub chunk_rows: Option<u64>,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self { bins: DEFAULT_BINS, chunk_rows: None }
    }
}

/// The profile of a planned column, and its sorted values where it has numbers.
///
/// `values` is `None` for a column that the plan leaves out; `rows` are the data's.
pub fn fit(
    planned: &Planned,
    values: Option<&Gathered>,
    rows: u64,
    options: FitOptions,
) -> (ColumnProfile, Option<Sample>) {
    let chunk_rows = options.chunk_rows.unwrap_or(rows / CHUNKS).max(1);
    let column = |nulls, phi, shape| ColumnProfile {
        name: planned.name.clone(),
        type_name: planned.type_name.clone(),
        rows,
        nulls,
        phi,
        shape,
    };
    match (values, &planned.treatment) {
        (Some(Gathered::Numbers(values)), _) => {
            let sample = Sample::new(values.iter().copied());
            let shape = numeric(&sample, options.bins);
            let phi = phi_of_numbers(values, &shape, chunk_rows);
            (column(sample.nulls(), phi, Shape::Numeric(shape)), Some(sample))
        }
        (Some(Gathered::Texts(values)), treatment) => {
            let hashed = !matches!(treatment, Treatment::Categorical(Hashing::No));
            let (phi, shape) = categorical(values, hashed, chunk_rows);
            (column(values.nulls(), phi, shape), None)
        }
        (None, Treatment::LeftOut(reason)) => {
            (column(0, Phi::unknown(chunk_rows), Shape::LeftOut(reason.clone())), None)
        }
        (None, Treatment::Dropped) => {
            let reason = "sensitive: never counted".to_owned();
            (column(0, Phi::unknown(chunk_rows), Shape::LeftOut(reason)), None)
        }
        (None, Treatment::Numeric | Treatment::Categorical(_)) => {
            let reason = "its values were not gathered".to_owned();
            (column(0, Phi::unknown(chunk_rows), Shape::LeftOut(reason)), None)
        }
    }
}

impl Phi {
    /// Nothing is known: rows are taken as independent.
    pub(super) fn unknown(chunk_rows: u64) -> Self {
        Self { value: 1.0, evenness: 1.0, order: 1.0, nulls: 1.0, chunks: 0, chunk_rows }
    }

    /// Of chunks whose cell `null` holds the nulls.
    fn of(chunks: &[Vec<u64>], null: usize, chunk_rows: u64) -> Self {
        let Dispersion { phi, ratios, evenness } = overdispersion(chunks);
        let nulls: Vec<Vec<u64>> = chunks
            .iter()
            .map(|chunk| vec![chunk[null], chunk.iter().sum::<u64>() - chunk[null]])
            .collect();
        let nulls = overdispersion(&nulls).phi;
        Self { value: phi, evenness, order: 1.0, nulls, chunks: ratios.len() as u32, chunk_rows }
    }
}

fn numeric(sample: &Sample, bins: usize) -> NumericShape {
    let bins = Bins::fit(sample, bins.clamp(MIN_BINS, MAX_BINS));
    let counted = bins.count_sorted(sample);
    NumericShape {
        bins,
        counts: counted.bins,
        infinite: counted.infinite,
        moments: Moments::of(sample),
    }
}

/// φ on the coarse bins, the ones that are tested, and on the stored ones for D.
fn phi_of_numbers(values: &[f64], shape: &NumericShape, chunk_rows: u64) -> Phi {
    let coarse = shape.coarse();
    let (binner, mut places) = (Binner::new(&shape.bins), Vec::new());
    let counted = values.chunks(chunk_rows as usize).map(|chunk| {
        places.clear();
        binner.append(chunk, &mut places);
        let mut cells = vec![0; binner.cells()];
        places.iter().for_each(|place| cells[usize::from(*place)] += 1);
        NumericCounts::of_cells(&cells)
    });
    let chunks = whole(counted.collect(), values.len() as u64, chunk_rows);
    let tested = chunks.iter().map(|chunk| {
        let mut cells = coarse.fold(&chunk.bins);
        cells.extend([chunk.null, chunk.infinite]);
        cells
    });
    let phi = Phi::of(&tested.collect::<Vec<_>>(), coarse.groups(), chunk_rows);
    let ordered: Vec<Vec<u64>> = chunks.into_iter().map(|chunk| chunk.bins).collect();
    Phi { order: overdispersion_of_order(&ordered), ..phi }
}

fn categorical(values: &Texts, hashed: bool, chunk_rows: u64) -> (Phi, Shape) {
    let present = values.rows() - values.nulls();
    let identifier = match values.distinct() {
        None => true,
        Some(distinct) => distinct > IDENTIFIER_MIN && distinct > present / 2,
    };
    if identifier {
        let reason = "nearly every value is another one: an identifier or free text".to_owned();
        return (Phi::unknown(chunk_rows), Shape::LeftOut(reason));
    }
    let categories = Categories::fit(values.counts(), MAX_LISTED);
    let places: Vec<usize> = place_of(values, &categories);
    let cells = categories.listed().len() + 2;
    let (other, null) = (cells - 2, cells - 1);
    let mut counts = vec![0_u64; cells];
    let mut chunks: Vec<Vec<u64>> = Vec::new();
    for (row, code) in values.codes().enumerate() {
        if (row as u64).is_multiple_of(chunk_rows) {
            chunks.push(vec![0; cells]);
        }
        let cell = code.map_or(null, |code| places[code].min(other));
        counts[cell] += 1;
        if let Some(chunk) = chunks.last_mut() {
            chunk[cell] += 1;
        }
    }
    let phi = Phi::of(&whole(chunks, values.rows(), chunk_rows), null, chunk_rows);
    let shape = CategoricalShape {
        other: counts[other],
        counts: counts[..other].to_vec(),
        categories,
        hashed,
    };
    (phi, Shape::Categorical(shape))
}

/// Each distinct value's bin; past the last one for rare values.
fn place_of(values: &Texts, categories: &Categories) -> Vec<usize> {
    let listed: std::collections::HashMap<&str, usize> =
        categories.listed().iter().map(String::as_str).zip(0..).collect();
    let place = |name: &String| listed.get(name.as_str()).copied().unwrap_or(usize::MAX);
    values.names().iter().map(place).collect()
}

/// Without the last chunk where it is cut short: it would vary more than a whole one.
fn whole<T>(mut chunks: Vec<T>, rows: u64, chunk_rows: u64) -> Vec<T> {
    if chunks.len() > 1 && !rows.is_multiple_of(chunk_rows) {
        chunks.pop();
    }
    chunks
}

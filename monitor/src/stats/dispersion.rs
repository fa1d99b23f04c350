//! Over-dispersion φ: how much more the reference varies between its own chunks than independent rows
//! would. Autocorrelated rows carry less information than their number says; p-values are deflated by φ.

use super::homogeneity::homogeneity;
use super::pair::Pair;

/// What the chunks of the reference say.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispersion {
    /// Mean of `ratios`, at least 1: p-values are never inflated. 1 when nothing could be compared.
    pub phi: f64,
    /// For each chunk that could be compared: chi-square against all others, per degree of freedom.
    pub ratios: Vec<f64>,
    /// Degrees of freedom that the spread of `ratios` looks like, as a part of those there are, in
    /// (0, 1]: where few directions vary most of all, the law has fewer (Satterthwaite).
    pub evenness: f64,
}

/// Where the distribution function is below this, or above its complement, too few rows of a chunk lie.
const TAIL: f64 = 0.1;
/// Fewer chunks say nothing about a spread.
const MIN_CHUNKS: usize = 8;

/// Compares each chunk's counts with the sum of the others.
///
/// Chunks should be as long as a window, since φ grows with the length until rows forget each other.
/// Chunks without rows, or whose bins differ from the first's, and tables with one filled bin are left out.
pub fn overdispersion(chunks: &[Vec<u64>]) -> Dispersion {
    let mut dof = 0;
    let ratios = left_out(chunks, |pair| {
        let test = homogeneity(&pair);
        dof = dof.max(test.dof);
        (test.dof > 0).then(|| test.chi2 / test.dof as f64)
    });
    let phi = mean(&ratios).max(1.0);
    let spread = ratios.iter().map(|ratio| (ratio - phi).powi(2)).sum::<f64>();
    let evenness = if ratios.len() < MIN_CHUNKS || phi <= 1.0 || dof == 0 {
        1.0
    } else {
        // A scaled chi-square with ν degrees of freedom has variance 2 mean²/ν.
        let nu = 2.0 * phi * phi * (ratios.len() - 1) as f64 / spread;
        (nu.max(1.0) / dof as f64).min(1.0)
    };
    Dispersion { phi, ratios, evenness }
}

/// Over-dispersion of D: how much more the distribution function varies between chunks than that of
/// independent rows would, where it varies most; at least 1. Of ordered bins.
///
/// The tail of D is that of the point where the function varies most, so a mean over all points, as of
/// chi-square, would be too small: rows that slowly wander move the middle most of all. Points are taken
/// together in thirds, as the largest of many noisy ones would be too large.
pub fn overdispersion_of_order(chunks: &[Vec<u64>]) -> f64 {
    let (mut sums, mut points) = ([0.0; 3], [0_u32; 3]);
    left_out(chunks, |pair| {
        let rows = 1.0 / pair.rate();
        let (mut before, mut now) = (0.0, 0.0);
        for (p, q) in pair.shares() {
            (before, now) = (before + p, now + q);
            if (TAIL..=1.0 - TAIL).contains(&before) {
                let third = (((before - TAIL) / (1.0 - 2.0 * TAIL) * 3.0) as usize).min(2);
                sums[third] += rows * (before - now).powi(2) / (before * (1.0 - before));
                points[third] += 1;
            }
        }
        None
    });
    let thirds = sums.iter().zip(points).filter(|(_, points)| *points > 0);
    thirds.map(|(sum, points)| sum / f64::from(points)).fold(1.0, f64::max)
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 1.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// `of` each chunk beside the sum of the others.
fn left_out(chunks: &[Vec<u64>], mut of: impl FnMut(Pair<'_>) -> Option<f64>) -> Vec<f64> {
    let bins = chunks.first().map_or(0, Vec::len);
    let mut all = vec![0_u64; bins];
    let usable: Vec<&Vec<u64>> = chunks.iter().filter(|chunk| chunk.len() == bins).collect();
    for chunk in &usable {
        for (sum, count) in all.iter_mut().zip(chunk.iter()) {
            *sum += count;
        }
    }
    let mut others = vec![0; bins];
    usable
        .iter()
        .filter_map(|chunk| {
            for ((others, all), own) in others.iter_mut().zip(&all).zip(chunk.iter()) {
                *others = all - own;
            }
            of(Pair::new(&others, *chunk).ok()?)
        })
        .collect()
}

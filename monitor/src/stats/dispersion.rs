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
}

/// Compares each chunk's counts with the sum of the others.
///
/// Chunks should be as long as a window, since φ grows with the length until rows forget each other.
/// Chunks without rows, or whose bins differ from the first's, and tables with one filled bin are left out.
pub fn overdispersion(chunks: &[Vec<u64>]) -> Dispersion {
    let bins = chunks.first().map_or(0, Vec::len);
    let mut all = vec![0_u64; bins];
    let usable: Vec<&Vec<u64>> = chunks.iter().filter(|chunk| chunk.len() == bins).collect();
    for chunk in &usable {
        for (sum, count) in all.iter_mut().zip(chunk.iter()) {
            *sum += count;
        }
    }
    let ratios: Vec<f64> = usable
        .iter()
        .filter_map(|chunk| {
            let others: Vec<u64> =
                all.iter().zip(chunk.iter()).map(|(sum, own)| sum - own).collect();
            let test = homogeneity(&Pair::new(&others, chunk).ok()?);
            (test.dof > 0).then(|| test.chi2 / test.dof as f64)
        })
        .collect();
    let mean =
        if ratios.is_empty() { 1.0 } else { ratios.iter().sum::<f64>() / ratios.len() as f64 };
    Dispersion { phi: mean.max(1.0), ratios }
}

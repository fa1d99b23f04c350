//! The statistics of drift: pure functions from counts or samples to finite numbers.
//!
//! No I/O, no clock, no randomness. Nothing here returns NaN or an infinity. What has no answer is
//! refused when the two sides are put together ([`Pair::new`], [`SamplePair::new`] say why), so every
//! statistic on a pair is total. The defined answers:
//!
//! | case | answer |
//! |---|---|
//! | a side without rows, or all null or infinite for a sample | [`Undefined`], no statistic |
//! | one bin, one category, equal constants | distances 0, PSI 0, dof 0, p 1 |
//! | D = 0 | p 1 |
//! | unequal constants | D 1, W1 their distance, unscaled ([`Scale::One`]) |
//! | NaN | a null: counted, in no sample |
//! | infinities | counted in their own bin, in no sample |
//! | a sum past the largest double | `f64::MAX` |

mod binner;
mod bins;
mod both;
mod categories;
mod coarse;
mod dispersion;
mod divergence;
mod edges;
mod homogeneity;
mod ks;
mod laws;
mod multiplicity;
mod pair;
mod psi;
mod sample;
mod sort;
#[cfg(test)]
mod tests;
mod wasserstein;

pub use binner::Binner;
pub use bins::{Bins, EdgesError, INFINITE_BIN, MAX_BINS, NULL_BIN, NumericCounts};
pub use both::ks_and_wasserstein;
pub use categories::{Categories, CategoryCounts, MAX_LISTED, MAX_TAIL, NEW_BIN, OTHER_BIN};
pub use coarse::Coarse;
pub use dispersion::{Dispersion, overdispersion, overdispersion_of_order};
pub use divergence::{
    hellinger, jensen_shannon_distance, jensen_shannon_distance_nats, l_infinity, new_share,
    total_variation, vanished_share,
};
pub use edges::{quantile, quantile_edges};
pub use homogeneity::{Homogeneity, homogeneity};
pub use ks::{
    EXACT_MAX_CELLS, KsDistance, KsMethod, KsTest, ks_binned, ks_distance, ks_p, ks_p_exact,
    ks_p_kolmogorov, ks_p_stephens,
};
pub use laws::{chi_square_quantile, chi_square_sf, kolmogorov_sf, normal_sf, runs_sf};
pub use multiplicity::{benjamini_hochberg, q_values};
pub use pair::{Pair, SamplePair, Undefined};
pub use psi::{PROPORTION_FLOOR, PsiNull, min_rows, psi_floored, psi_smoothed};
pub use sample::Sample;
pub use wasserstein::{
    MIN_STD, Scale, Scaled, wasserstein, wasserstein_binned, wasserstein_over_std,
    wasserstein_scaled,
};

//! Tails of the laws that p-values come from: chi-square, normal, runs, Kolmogorov.
//!
//! Never NaN and never outside 0..=1: NaN in, or nothing to test, is p = 1.

use std::f64::consts::PI;

use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

/// P(X ≥ x) of a chi-square with `dof` degrees of freedom; 1 when `dof` is 0 or x is not positive.
pub fn chi_square_sf(x: f64, dof: f64) -> f64 {
    // Past x = 1e15 the tail is 0 in a double for every dof a bin limit allows.
    let positive = x > 0.0;
    match ChiSquared::new(dof) {
        Ok(law) if positive => probability(law.sf(x.min(1e15))),
        _ => 1.0,
    }
}

/// The x with P(X ≤ x) = p of a chi-square, for 0 ≤ p < 1; 0 when `dof` is 0.
pub fn chi_square_quantile(p: f64, dof: f64) -> f64 {
    match ChiSquared::new(dof) {
        Ok(law) if p > 0.0 && p < 1.0 => law.inverse_cdf(p),
        _ => 0.0,
    }
}

/// P(Z ≥ z) of the standard normal.
pub fn normal_sf(z: f64) -> f64 {
    if z.is_nan() { 1.0 } else { probability(Normal::standard().sf(z)) }
}

/// P(X ≥ count) of so many rows, of which a part 0 < `share` < 1 counts, where that is small; 1 for none. What counts
/// comes in runs, a chain of two states, so that X varies `phi` times as much as of independent rows; at 1 the law is
/// binomial.
///
/// By the signed root of the deviance with the likeliest number of runs, half a row taken off. Of independent rows
/// within a tenth or two of the exact tail from some twenty on, up to three times it below; of runs up to three times it,
/// and more where a run is cut by the ends of few rows.
pub fn runs_sf(count: u64, rows: u64, share: f64, phi: f64) -> f64 {
    let (n, k) = (rows as f64, count as f64 - 0.5);
    let tested = count > 0 && count <= rows && share > 0.0 && share < 1.0;
    if !tested {
        return 1.0;
    }
    // Chances that a run begins behind a row outside, and that it ends behind a row inside: phi is (1 + λ) / (1 − λ)
    // with λ = 1 − begins − ends.
    let slower = 2.0 / (phi.max(1.0) + 1.0);
    let (begins, ends) = (slower * share, slower * (1.0 - share));
    let odds = (1.0 - begins) * (1.0 - ends) / (begins * ends);
    let others = n - k;
    let runs = 2.0 * k * others / (n + (n * n + 4.0 * (odds - 1.0) * k * others).sqrt());
    let deviance = |rows: f64, chance: f64| {
        runs * (runs / (rows * chance)).ln()
            + (rows - runs) * ((rows - runs) / (rows * (1.0 - chance))).ln()
    };
    let half = deviance(others, begins) + deviance(k, ends);
    normal_sf((2.0 * half.max(0.0)).sqrt().copysign(k - n * share))
}

/// Kolmogorov's Q(λ) = 2 Σ (−1)^(k−1) exp(−2k²λ²), with Q(λ ≤ 0) = 1.
///
/// Below 1.18 the other theta series is summed: each converges in a few terms on its side, and the
/// alternating one never ends at 0.
pub fn kolmogorov_sf(lambda: f64) -> f64 {
    let positive = lambda > 0.0;
    if !positive {
        return 1.0;
    }
    if lambda < 1.18 {
        let base = -PI * PI / (8.0 * lambda * lambda);
        let sum: f64 = [1.0, 9.0, 25.0, 49.0].iter().map(|square| (square * base).exp()).sum();
        return probability(1.0 - (2.0 * PI).sqrt() / lambda * sum);
    }
    let term = |k: f64| (-2.0 * k * k * lambda * lambda).exp();
    probability(2.0 * (term(1.0) - term(2.0) + term(3.0) - term(4.0)))
}

fn probability(p: f64) -> f64 {
    if p.is_nan() { 1.0 } else { p.clamp(0.0, 1.0) }
}

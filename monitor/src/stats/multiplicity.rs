//! Many columns are tested at once: q-values that hold the share of false alarms among alarms.

use std::collections::BTreeMap;

/// The q-value of each test beside those of its family; none where there is no p-value.
pub fn q_values<K: Ord>(tests: impl IntoIterator<Item = (K, Option<f64>)>) -> Vec<Option<f64>> {
    let mut families: BTreeMap<K, Vec<(usize, f64)>> = BTreeMap::new();
    let mut corrected = Vec::new();
    for (at, (family, p)) in tests.into_iter().enumerate() {
        corrected.push(None);
        if let Some(p) = p {
            families.entry(family).or_default().push((at, p));
        }
    }
    for family in families.into_values() {
        let p: Vec<f64> = family.iter().map(|(_, p)| *p).collect();
        for ((at, _), q) in family.iter().zip(benjamini_hochberg(&p)) {
            corrected[*at] = Some(q);
        }
    }
    corrected
}

/// Benjamini-Hochberg q-values, in the order of the p-values; each at least its p and at most 1.
///
/// A column without a p-value is left out by the caller; NaN counts as p = 1.
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let p: Vec<f64> =
        p_values.iter().map(|p| if p.is_nan() { 1.0 } else { p.clamp(0.0, 1.0) }).collect();
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_unstable_by(|&a, &b| p[b].total_cmp(&p[a]));
    let tests = p.len() as f64;
    let mut q = vec![1.0; p.len()];
    let mut least: f64 = 1.0;
    for (above, &index) in order.iter().enumerate() {
        least = least.min(p[index] * (tests / (p.len() - above) as f64));
        q[index] = least;
    }
    q
}

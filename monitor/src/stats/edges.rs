//! Quantiles by Hyndman and Fan's type 7 (numpy's and R's default) and the bin edges made of them.
//!
//! Refuses unsorted or non-finite input: callers pass [`Sample::sorted`](super::Sample::sorted).

/// The type 7 quantile of ascending finite values; `None` when there are none.
///
/// `p` outside 0..=1 is clamped.
pub fn quantile(sorted: &[f64], p: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = last as f64 * p.clamp(0.0, 1.0);
    let below = (place.floor() as usize).min(last);
    let low = sorted[below];
    let high = sorted[(below + 1).min(last)];
    Some(between(low, high, place - below as f64))
}

/// Linear interpolation from whichever end is nearer, as numpy does it, so that edges have its bits.
fn between(low: f64, high: f64, share: f64) -> f64 {
    let span = high - low;
    let value = if !span.is_finite() {
        low * (1.0 - share) + high * share
    } else if share >= 0.5 {
        high - span * (1.0 - share)
    } else {
        low + span * share
    };
    value.clamp(low, high) + 0.0
}

/// The inner edges of `bins` equally filled bins: quantiles at 1/bins .. (bins−1)/bins, each once.
///
/// Ties make equal quantiles, so there may be fewer than `bins − 1` edges; a constant gives one.
pub fn quantile_edges(sorted: &[f64], bins: usize) -> Vec<f64> {
    let mut edges: Vec<f64> =
        (1..bins).filter_map(|k| quantile(sorted, k as f64 / bins as f64)).collect();
    edges.dedup();
    edges
}

//! Kolmogorov-Smirnov and Wasserstein in one walk over two sorted samples: the merge is the cost.

use super::ks::{KsDistance, ks_distance};
use super::pair::SamplePair;
use super::wasserstein::wasserstein;

/// [`ks_distance`] and [`wasserstein`] of a pair, in one pass.
///
/// D is the same integer ratio; W1 is summed in another order and agrees to about 1e-12.
pub fn ks_and_wasserstein(pair: &SamplePair<'_>) -> (KsDistance, f64) {
    let (a, b) = (pair.reference().sorted(), pair.current().sorted());
    let distance = KsDistance { gap: 0, n: a.len() as u64, m: b.len() as u64 };
    // Steps of the walk are added in 64 bits; past that the walk in 128 bits is taken.
    if distance.cells() > i64::MAX as u128 {
        return (ks_distance(pair), wasserstein(pair));
    }
    let (up, down) = (b.len() as i64, a.len() as i64);
    let unit = 1.0 / distance.cells() as f64;
    let (mut i, mut j, mut ahead, mut gap, mut area) = (0, 0, 0_i64, 0_u64, 0.0);
    let (mut x, mut y) = (a[0], b[0]);
    // Without branches on the data: which side is next is as good as random.
    loop {
        let value = x.min(y);
        let (left, right) = (x <= y, y <= x);
        i += usize::from(left);
        j += usize::from(right);
        ahead += i64::from(left) * up - i64::from(right) * down;
        x = a.get(i).copied().unwrap_or(f64::INFINITY);
        y = b.get(j).copied().unwrap_or(f64::INFINITY);
        let next = x.min(y);
        if next == f64::INFINITY {
            break;
        }
        // Until a tied value is finished on both sides there is neither width nor gap.
        let high = ahead.unsigned_abs();
        gap = gap.max(if next > value { high } else { 0 });
        area += high as f64 * unit * (next - value).min(f64::MAX);
    }
    (KsDistance { gap: gap.into(), ..distance }, area.min(f64::MAX))
}

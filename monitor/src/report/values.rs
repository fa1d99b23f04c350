//! Two sets of values in one number each, for questions in SQL: what a report says of the column.

use crate::profile::{COARSE_BINS, DEFAULT_BINS};
use crate::stats::{Bins, Coarse, Pair, PsiNull, Sample, SamplePair, ks_distance, psi_smoothed};

/// PSI of the current values against the reference's, its bias taken off: `psi.corrected` of a report.
/// NaN is a null. `None` where a side has no rows.
#[must_use]
pub fn psi_of(reference: &[f64], current: &[f64]) -> Option<f64> {
    let sample = Sample::new(reference.iter().copied());
    let bins = Bins::fit(&sample, DEFAULT_BINS);
    let before = bins.count_sorted(&sample);
    let after = bins.count(current.iter().copied());
    let coarse = Coarse::fit(&before.bins, COARSE_BINS);
    let cells = |bins: &[u64], special: [u64; 2]| {
        let mut cells = coarse.fold(bins);
        cells.extend(special);
        cells
    };
    let before = cells(&before.bins, [before.null, before.infinite]);
    let after = cells(&after.bins, [after.null, after.infinite]);
    let pair = Pair::new(&before, &after).ok()?.occupied();
    Some((psi_smoothed(&pair) - PsiNull::new(&pair).bias()).max(0.0))
}

/// Kolmogorov-Smirnov distance of the finite values, exact: `ks.exact.d` of a report. `None` where a
/// side has none.
#[must_use]
pub fn ks_of(reference: &[f64], current: &[f64]) -> Option<f64> {
    let [reference, current] = [reference, current].map(|side| Sample::new(side.iter().copied()));
    SamplePair::new(&reference, &current).ok().map(|pair| ks_distance(&pair).value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let even: Vec<f64> = (0..1000).map(f64::from).collect();
        let shifted: Vec<f64> = even.iter().map(|value| value + 500.0).collect();
        assert_eq!(ks_of(&even, &even), Some(0.0));
        assert_eq!(ks_of(&even, &shifted), Some(0.5));
        assert_eq!(psi_of(&even, &even), Some(0.0));
        assert!(psi_of(&even, &shifted).is_some_and(|psi| psi > 1.0));
        let nulls = [&even[..500], &[f64::NAN; 500]].concat();
        assert!(psi_of(&even, &nulls).is_some_and(|psi| psi > 1.0), "nulls are a bin");
        for (a, b) in [(&even[..], &[][..]), (&[][..], &even[..])] {
            assert_eq!((psi_of(a, b), ks_of(a, b)), (None, None));
        }
        assert_eq!(ks_of(&even, &[f64::NAN]), None);
    }
}

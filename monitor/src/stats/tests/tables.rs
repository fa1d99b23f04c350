//! Corner cases by name, and what the null laws promise, measured on streams without drift.

use super::assert_near;
use super::generate::Lcg;
use crate::stats::{
    Bins, Categories, Coarse, EdgesError, KsDistance, KsMethod, MAX_TAIL, Pair, PsiNull, Sample,
    SamplePair, Scale, Undefined, homogeneity, ks_distance, ks_p, min_rows, normal_sf,
    overdispersion, psi_smoothed, quantile, runs_sf, wasserstein, wasserstein_binned,
    wasserstein_scaled,
};

#[test]
fn what_has_no_answer_is_refused_with_a_reason() {
    let filled = Sample::new([1.0, 2.0]);
    for empty in [vec![], vec![f64::NAN; 3], vec![f64::INFINITY, f64::NEG_INFINITY]] {
        let empty = Sample::new(empty);
        assert_eq!(SamplePair::new(&empty, &filled).unwrap_err(), Undefined::EmptyReference);
        assert_eq!(SamplePair::new(&filled, &empty).unwrap_err(), Undefined::EmptyCurrent);
        assert_eq!((empty.iqr(), empty.std(), quantile(empty.sorted(), 0.5)), (0.0, 0.0, None));
    }
    assert_eq!(Pair::new(&[], &[]), Err(Undefined::EmptyReference));
    assert_eq!(Pair::new(&[0, 0], &[1, 0]), Err(Undefined::EmptyReference));
    assert_eq!(Pair::new(&[1, 0], &[0, 0]), Err(Undefined::EmptyCurrent));
    assert_eq!(Pair::new(&[1], &[1, 0]), Err(Undefined::BinsDiffer { reference: 1, current: 2 }));
}

#[test]
fn one_row_each() {
    for (a, b, d, p, moved) in
        [(1.0, 1.0, 0.0, 1.0, 0.0), (1.0, 3.0, 1.0, 1.0, 2.0), (-0.0, 0.0, 0.0, 1.0, 0.0)]
    {
        let (a, b) = (Sample::new([a]), Sample::new([b]));
        let pair = SamplePair::new(&a, &b).unwrap();
        let distance = ks_distance(&pair);
        let scaled = wasserstein_scaled(&pair);
        assert_eq!((distance.value(), ks_p(&distance, 1.0).p, wasserstein(&pair)), (d, p, moved));
        assert_eq!((scaled.value, scaled.scale), (moved, Scale::One));
    }
}

#[test]
fn scale_falls_back_from_iqr_to_std() {
    for (reference, scale) in [
        (vec![0.0, 1.0, 2.0, 3.0], Scale::Iqr),
        (vec![0.0, 0.0, 0.0, 0.0, 9.0], Scale::Std),
        (vec![4.0; 9], Scale::One),
    ] {
        let (reference, current) = (Sample::new(reference), Sample::new([1.0, 7.0]));
        assert_eq!(
            wasserstein_scaled(&SamplePair::new(&reference, &current).unwrap()).scale,
            scale
        );
    }
}

#[test]
fn ks_p_names_its_law() {
    let half = |n: u64, m: u64| KsDistance { gap: u128::from(n) * u128::from(m) / 25, n, m };
    assert_eq!(ks_p(&half(2000, 2000), 1.0).method, KsMethod::Exact);
    assert_eq!(ks_p(&half(2001, 2000), 1.0).method, KsMethod::Stephens);
    assert_eq!(ks_p(&half(100, 100), 2.0).method, KsMethod::Stephens);
    let apart = KsDistance { gap: 4_000_000, n: 2000, m: 2000 };
    assert!(ks_p(&apart, 1.0).p < 1e-290);
    let enormous = KsDistance { gap: 1, n: u64::MAX, m: u64::MAX };
    assert_eq!(ks_p(&enormous, 1.0).p, 1.0);
}

#[test]
fn the_tail_of_runs_is_near_the_exact_one_and_not_far_below_it() {
    // Exact: summed in Python with `math.lgamma`, and for runs of a mean of 2, 3, 10, 30 and 20 rows stepped through
    // the rows of the chain.
    for (count, rows, share, phi, exact) in [
        (5, 120, 0.005, 1.0, 3.6971e-4),
        (80, 500, 0.1, 1.0, 2.0143e-5),
        (25, 500, 0.02, 1.0, 3.7500e-5),
        (300, 500, 0.5, 1.0, 4.4700e-6),
        (3, 100, 0.001, 1.0, 1.5038e-4),
        (2, 500, 0.0001, 1.0, 1.2068e-3),
        (100, 100, 0.3, 1.0, 5.1538e-53),
        (29, 500, 0.005, 2.98, 2.2081e-6),
        (70, 500, 0.03, 4.82, 8.1148e-6),
        (50, 500, 0.01, 18.8, 5.8044e-3),
        (130, 500, 0.01, 18.8, 2.8369e-6),
        (185, 500, 0.05, 18.0, 3.6607e-6),
        (300, 500, 0.05, 56.0, 6.0369e-5),
        (420, 500, 0.3, 27.0, 1.1876e-6),
    ] {
        let ratio = runs_sf(count, rows, share, phi) / exact;
        assert!((0.9..3.0).contains(&ratio), "{count} of {rows} at {share}, {phi}: {ratio}");
    }
    for (count, rows, share) in [(0, 100, 0.1), (0, 0, 0.5), (5, 4, 0.5), (5, 10, 0.0)] {
        assert_eq!(runs_sf(count, rows, share, 1.0), 1.0, "{count} of {rows} at {share}");
    }
}

#[test]
fn laws_meet_where_one_hands_over_to_the_other() {
    for percent in [3, 4, 5, 6] {
        let d = KsDistance { gap: 2000 * 2000 * percent / 100, n: 2000, m: 2000 };
        assert_near("p at the limit", crate::stats::ks_p_stephens(&d, 1.0), ks_p(&d, 1.0).p, 0.08);
    }
    let (below, above) =
        (crate::stats::kolmogorov_sf(1.18_f64.next_down()), crate::stats::kolmogorov_sf(1.18));
    assert_near("theta series", below, above, 1e-12);
}

#[test]
fn bins_of_atoms_and_constants() {
    for (values, wanted, bins) in [
        (vec![3.0; 100], 10, vec![0, 100, 0]),
        (vec![], 10, vec![0]),
        (vec![5.0; 3], 1, vec![3]),
        ([vec![0.0; 50], (1..=50).map(f64::from).collect()].concat(), 4, vec![0, 50, 25, 25]),
        ([vec![-1.0; 50], vec![f64::MIN; 50]].concat(), 4, vec![50, 0, 50, 0]),
    ] {
        let sample = Sample::new(values);
        let fitted = Bins::fit(&sample, wanted);
        assert_eq!(
            fitted.count(sample.sorted().iter().copied()).bins,
            bins,
            "{:?}",
            fitted.edges()
        );
    }
}

#[test]
fn nothing_hides_from_the_special_bins() {
    let bins = Bins::fit(&Sample::new((0..100).map(f64::from)), 10);
    let storm = [Some(5.0), None, Some(f64::NAN), Some(f64::INFINITY), Some(1e300), Some(-0.0)];
    let counts = bins.count(storm);
    assert_eq!((counts.null, counts.infinite, counts.rows()), (2, 1, 6));
    assert_eq!((counts.bins[0], counts.bins[9]), (2, 1));
    assert_eq!(&counts.with_special()[10..], [2, 1]);
}

#[test]
fn stored_edges_are_checked() {
    assert!(matches!(
        Bins::from_edges(vec![1.0, f64::NAN]),
        Err(EdgesError::NotFinite { index: 1, .. })
    ));
    assert!(matches!(
        Bins::from_edges(vec![1.0, 1.0]),
        Err(EdgesError::NotAscending { index: 1, .. })
    ));
    assert!(matches!(Bins::from_edges(vec![0.0, -0.0]), Err(EdgesError::NotAscending { .. })));
}

#[test]
fn categories_tell_rare_from_new() {
    let categories = Categories::fit([("b", 5), ("a", 5), ("rare", 1), ("never", 0)], 2);
    assert_eq!(categories.listed(), ["a", "b"]);
    let counts =
        categories.count([Some("a"), Some("rare"), Some("never"), None, Some("zz"), Some("b")]);
    assert_eq!(counts.with_special(), [1, 1, 1, 2, 1]);
    let names: Vec<String> = (0..=MAX_TAIL).map(|i| i.to_string()).collect();
    let crowded = Categories::fit(names.iter().map(|name| (name.as_str(), 1)), 0);
    assert_eq!(crowded.count([Some("zz")]).other, 1);
}

#[test]
fn coarse_bins_are_equally_filled_and_leave_atoms_alone() {
    assert_eq!(Coarse::fit(&[10; 100], 10).fold(&[1; 100]), [10; 10]);
    let atom: Vec<u64> = [vec![1; 20], vec![60], vec![1; 20]].concat();
    let coarse = Coarse::fit(&atom, 5);
    assert_eq!(coarse.fold(&atom), [20, 60, 20]);
    assert_eq!(Coarse::fit(&[], 5).groups(), 0);
}

#[test]
fn min_rows_follow_the_threshold() {
    for (bins, threshold, rows) in
        [(10, 0.1, 217), (10, 0.2, 109), (1, 0.1, 1), (10, 0.0, u64::MAX), (10, f64::NAN, u64::MAX)]
    {
        assert_eq!(min_rows(bins, threshold), rows, "{bins} {threshold}");
    }
}

#[test]
fn empty_special_bins_cost_nothing_once_left_out() {
    let with = Pair::new(&[50, 50, 0, 0], &[60, 40, 0, 0]).unwrap();
    let without = Pair::new(&[50, 50], &[60, 40]).unwrap();
    assert_eq!(with.occupied(), without);
    assert_eq!(homogeneity(&with), homogeneity(&without));
}

#[test]
fn binned_wasserstein_follows_a_shift_and_ignores_an_outlier() {
    let values: Vec<f64> = (0..10_000).map(|i| f64::from(i) / 10_000.0).collect();
    let reference = Sample::new(values.iter().copied());
    let bins = Bins::fit(&reference, 256);
    let against = |current: Vec<f64>| {
        let counts = |of: &[f64]| bins.count(of.iter().copied()).bins;
        wasserstein_binned(
            bins.edges(),
            &Pair::new(counts(reference.sorted()), counts(&current)).unwrap(),
        )
    };
    let moved = against(values.iter().map(|v| v + 0.1).collect());
    assert!((0.09..=0.1).contains(&moved), "{moved}");
    let outlier = against([values.clone(), vec![1e6]].concat());
    assert!(outlier < 1e-4, "{outlier}");
}

#[test]
fn null_law_of_psi_holds_its_level() {
    let mut lcg = Lcg::new(7);
    let reference = Sample::new((0..20_000).map(|_| lcg.normal()));
    let bins = Bins::fit(&reference, 10);
    let fitted = bins.count(reference.sorted().iter().copied()).bins;
    let (mut alarms, mut mean) = (0, 0.0);
    for _ in 0..1000 {
        let window: Vec<f64> = (0..500).map(|_| lcg.normal()).collect();
        let pair = Pair::new(&fitted, bins.count(window).bins).unwrap();
        let null = PsiNull::new(&pair);
        alarms += u32::from(null.p(psi_smoothed(&pair), 1.0) < 0.05);
        mean += psi_smoothed(&pair) / null.bias() / 1000.0;
    }
    // 5 % of 1000 with its binomial spread (σ = 7); the mean of chi2(9)/9 over 1000 has σ = 0.015.
    assert!((25..=75).contains(&alarms), "{alarms} alarms of 1000 at 5 %");
    assert!((0.93..1.07).contains(&mean), "{mean}");
}

#[test]
fn over_dispersion_is_one_for_independent_rows_and_large_for_autocorrelated() {
    // The Gaussian AR(0.9) in deciles, 500 rows a chunk, has φ = 4.12: twice the sum over lags of
    // P(both rows in one decile) / P(one) − P(one), per degree of freedom. σ over 1000 chunks is 0.1.
    for (memory, low, high) in [(0.0, 1.0, 1.05), (0.9, 3.72, 4.52)] {
        let mut lcg = Lcg::new(11);
        let mut before = 0.0;
        let mut next = || {
            before = memory * before + lcg.normal();
            before
        };
        let rows: Vec<f64> = (0..500_000).map(|_| next()).collect();
        let bins = Bins::fit(&Sample::new(rows.iter().copied()), 10);
        let chunks: Vec<Vec<u64>> =
            rows.chunks(500).map(|c| bins.count(c.iter().copied()).bins).collect();
        let found = overdispersion(&chunks);
        assert_eq!(found.ratios.len(), 1000);
        assert!((low..high).contains(&found.phi), "memory {memory}: {}", found.phi);
    }
    assert_eq!(overdispersion(&[]).phi, 1.0);
    assert_eq!(overdispersion(&[vec![5, 5]]).phi, 1.0);
    assert_eq!(overdispersion(&[vec![5], vec![9]]).phi, 1.0);
}

#[test]
fn normal_tail_is_defined_everywhere() {
    for (z, p) in [(0.0, 0.5), (f64::NAN, 1.0), (f64::INFINITY, 0.0), (f64::NEG_INFINITY, 1.0)] {
        assert_eq!(normal_sf(z), p);
    }
}

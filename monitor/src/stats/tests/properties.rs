//! What must hold for any input, against brute force where there is one.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};

use crate::stats::{
    Bins, Coarse, KsDistance, Pair, PsiNull, Sample, SamplePair, benjamini_hochberg, hellinger,
    homogeneity, jensen_shannon_distance, ks_binned, ks_distance, ks_p, ks_p_exact, l_infinity,
    new_share, overdispersion, psi_floored, psi_smoothed, quantile_edges, total_variation,
    vanished_share, wasserstein, wasserstein_binned, wasserstein_scaled,
};

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -1e3..1e3,
        3 => (-3..4).prop_map(f64::from),
        1 => Just(-0.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => Just(f64::MAX),
        1 => Just(f64::MIN),
        1 => Just(f64::MIN_POSITIVE),
    ]
}

fn finite() -> impl Strategy<Value = Vec<f64>> {
    vec(prop_oneof![-10.0..10.0, (-3..4).prop_map(f64::from)], 1..40)
}

fn counts() -> impl Strategy<Value = (Vec<u64>, Vec<u64>)> {
    let cell = || prop_oneof![Just(0_u64), 1_u64..9, 1_u64..1_000_000_000_000];
    vec((cell(), cell()), 1..20).prop_map(|cells| cells.into_iter().unzip())
}

fn every_distance(pair: &Pair<'_>) -> [f64; 12] {
    let test = homogeneity(pair);
    let null = PsiNull::new(pair);
    let psi = psi_smoothed(pair);
    let ks = ks_binned(pair);
    [
        psi,
        psi_floored(pair),
        jensen_shannon_distance(pair),
        hellinger(pair),
        total_variation(pair),
        l_infinity(pair),
        ks.value(),
        test.chi2,
        test.cramers_v,
        test.cramers_v_corrected,
        test.p,
        null.p(psi, 1.0),
    ]
}

proptest! {
    #[test]
    fn nothing_is_ever_nan(a in vec(any_value(), 0..30), b in vec(any_value(), 0..30), bins in 0_usize..30) {
        let (a, b) = (Sample::new(a), Sample::new(b));
        prop_assert!(a.iqr().is_finite() && a.std().is_finite());
        let bins = Bins::fit(&a, bins);
        prop_assert!(Bins::from_edges(bins.edges().to_vec()).is_ok());
        let (counts_a, counts_b) = (bins.count(a.sorted().iter().copied()), bins.count(b.sorted().iter().copied()));
        prop_assert_eq!(counts_a.rows(), a.sorted().len() as u64);
        if let Ok(pair) = SamplePair::new(&a, &b) {
            prop_assert!(wasserstein(&pair).is_finite() && wasserstein_scaled(&pair).value.is_finite());
            prop_assert!((0.0..=1.0).contains(&ks_distance(&pair).value()));
            let pair = Pair::new(counts_a.with_special(), counts_b.with_special()).unwrap();
            prop_assert!(wasserstein_binned(bins.edges(), &pair).is_finite());
        } else {
            prop_assert!(a.sorted().is_empty() || b.sorted().is_empty());
        }
    }

    #[test]
    fn distances_are_bounded_symmetric_and_zero_on_equal((a, b) in counts()) {
        let Ok(pair) = Pair::new(&a, &b) else { return Ok(()) };
        let (there, back) = (every_distance(&pair), every_distance(&Pair::new(&b, &a).unwrap()));
        for (index, (x, y)) in there.iter().zip(back).enumerate() {
            prop_assert!(x.is_finite() && *x >= 0.0, "{index}: {x}");
            prop_assert!((x - y).abs() <= 1e-9 * x.abs().max(1e-6), "{index}: {x} {y}");
            prop_assert!([0, 1, 7].contains(&index) || *x <= 1.0, "{index}: {x}");
        }
        prop_assert!((0.0..=1.0).contains(&new_share(&pair)) && (0.0..=1.0).contains(&vanished_share(&pair)));
        let same = every_distance(&Pair::new(&a, &a).unwrap());
        for (index, x) in same.iter().enumerate() {
            let want = if index >= 10 { 1.0 } else { 0.0 };
            prop_assert!((x - want).abs() < 1e-9, "{index}: {x}");
        }
    }

    #[test]
    fn order_of_bins_matters_only_where_it_means_something((a, b) in counts(), turn in 0_usize..20) {
        let Ok(pair) = Pair::new(&a, &b) else { return Ok(()) };
        let turned = |side: &[u64]| { let mut side = side.to_vec(); let by = turn % side.len(); side.rotate_left(by); side };
        let other = Pair::new(turned(&a), turned(&b)).unwrap();
        for (index, (x, y)) in every_distance(&pair).iter().zip(every_distance(&other)).enumerate() {
            prop_assert!(index == 6 || (x - y).abs() <= 1e-9 * x.abs().max(1e-6), "{index}: {x} {y}");
        }
    }

    #[test]
    fn hellinger_and_jensen_shannon_keep_their_inequalities((a, b) in counts()) {
        let Ok(pair) = Pair::new(&a, &b) else { return Ok(()) };
        let (h, t, js) = (hellinger(&pair), total_variation(&pair), jensen_shannon_distance(&pair));
        prop_assert!(h * h <= t + 1e-12 && t <= h * std::f64::consts::SQRT_2 + 1e-12);
        prop_assert!(js * js <= t + 1e-12 && ks_binned(&pair).value() <= t + 1e-12 && l_infinity(&pair) <= t + 1e-12);
    }

    #[test]
    fn ks_and_wasserstein_agree_with_brute_force(a in finite(), b in finite()) {
        let share = |of: &[f64], x: f64| of.iter().filter(|v| **v <= x).count() as f64 / of.len() as f64;
        let mut points: Vec<f64> = a.iter().chain(&b).copied().collect();
        points.sort_by(f64::total_cmp);
        let gap = |x: f64| (share(&a, x) - share(&b, x)).abs();
        let d = points.iter().map(|&x| gap(x)).fold(0.0, f64::max);
        let area: f64 = points.windows(2).map(|w| gap(w[0]) * (w[1] - w[0])).sum();
        let (x, y) = (Sample::new(a.clone()), Sample::new(b.clone()));
        let pair = SamplePair::new(&x, &y).unwrap();
        prop_assert!((ks_distance(&pair).value() - d).abs() < 1e-12);
        prop_assert!((wasserstein(&pair) - area).abs() < 1e-9);
        let back = SamplePair::new(&y, &x).unwrap();
        prop_assert_eq!(ks_distance(&pair).gap, ks_distance(&back).gap);
        prop_assert!((wasserstein(&pair) - wasserstein(&back)).abs() < 1e-9);
    }

    #[test]
    fn ks_sees_order_alone(a in finite(), b in finite()) {
        let d = |of: &dyn Fn(f64) -> f64| {
            let (x, y) = (Sample::new(a.iter().map(|v| of(*v))), Sample::new(b.iter().rev().map(|v| of(*v))));
            ks_distance(&SamplePair::new(&x, &y).unwrap())
        };
        let plain = d(&|v| v);
        // Scaling by powers of two and changing the sign round nothing; nor does a piecewise stretch by 4.
        prop_assert_eq!(d(&|v| v * 2.0), plain);
        prop_assert_eq!(d(&|v| if v > 0.0 { v * 4.0 } else { v }), plain);
        prop_assert_eq!(d(&|v| -v).gap, plain.gap);
    }

    #[test]
    fn wasserstein_of_a_shift_is_the_shift(a in finite(), by in -5.0..5.0_f64) {
        let (x, y) = (Sample::new(a.clone()), Sample::new(a.iter().map(|v| v + by)));
        prop_assert!((wasserstein(&SamplePair::new(&x, &y).unwrap()) - by.abs()).abs() < 1e-9);
    }

    #[test]
    fn exact_p_agrees_with_counting_every_order(n in 1_u64..6, m in 1_u64..6, gap in 0_u128..30) {
        let gap = gap.min(u128::from(n * m));
        let p = ks_p_exact(&KsDistance { gap, n, m });
        prop_assert!((p - brute_force_p(n, m, gap)).abs() < 1e-12);
    }

    #[test]
    fn p_falls_as_d_grows(n in 1_u64..300, m in 1_u64..300) {
        let all = u128::from(n * m);
        let p: Vec<f64> = (0..=20).map(|k| ks_p(&KsDistance { gap: all * k / 20, n, m }, 1.0).p).collect();
        prop_assert_eq!(p[0], 1.0);
        prop_assert!(p.windows(2).all(|pair| pair[1] <= pair[0] && pair[1] >= 0.0));
    }

    #[test]
    fn deflation_never_lowers_p((a, b) in counts(), phi in 1.0..20.0_f64) {
        let Ok(pair) = Pair::new(&a, &b) else { return Ok(()) };
        let null = PsiNull::new(&pair);
        prop_assert!(null.p(psi_smoothed(&pair), phi) >= null.p(psi_smoothed(&pair), 1.0));
    }

    #[test]
    fn binned_d_is_within_the_fullest_bin(a in finite(), b in finite(), bins in 1_usize..20) {
        let (x, y) = (Sample::new(a), Sample::new(b));
        let bins = Bins::fit(&x, bins);
        let (p, q) = (bins.count(x.sorted().iter().copied()), bins.count(y.sorted().iter().copied()));
        let pair = Pair::new(&p.bins, &q.bins).unwrap();
        let (binned, raw) = (ks_binned(&pair).value(), ks_distance(&SamplePair::new(&x, &y).unwrap()).value());
        let fullest = pair.shares().map(|(p, q)| p.max(q)).fold(0.0, f64::max);
        prop_assert!(binned <= raw + 1e-12 && raw <= binned + fullest + 1e-12);
    }

    #[test]
    fn an_atom_is_alone(mut a in finite(), atom in -3..4, bins in 2_usize..20) {
        a.extend(std::iter::repeat_n(f64::from(atom), a.len() + 1));
        let sample = Sample::new(a);
        let bins = Bins::fit(&sample, bins);
        let own = bins.bin(f64::from(atom));
        prop_assert!(bins.bin(f64::from(atom).next_up()) > own);
        prop_assert!(bins.bin(f64::from(atom).next_down()) < own);
    }

    #[test]
    fn edges_ascend_within_the_sample(a in finite(), bins in 1_usize..50) {
        let sample = Sample::new(a);
        let edges = quantile_edges(sample.sorted(), bins);
        prop_assert!(edges.windows(2).all(|pair| pair[0] < pair[1]) && edges.len() < bins);
        let (low, high) = (sample.sorted()[0], sample.sorted()[sample.sorted().len() - 1]);
        prop_assert!(edges.iter().all(|edge| (low..=high).contains(edge)));
    }

    #[test]
    fn coarse_bins_keep_every_row((a, b) in counts(), groups in 1_usize..12) {
        let coarse = Coarse::fit(&a, groups);
        for side in [&a, &b] {
            prop_assert_eq!(coarse.fold(side).iter().sum::<u64>(), side.iter().sum::<u64>());
        }
        prop_assert!(coarse.groups() <= a.len());
    }

    #[test]
    fn q_values_keep_the_order_of_p(p in vec(0.0..=1.0_f64, 0..30)) {
        let q = benjamini_hochberg(&p);
        for i in 0..p.len() {
            prop_assert!(q[i] >= p[i] && q[i] <= 1.0);
            prop_assert!((0..p.len()).all(|j| p[i] > p[j] || q[i] <= q[j]));
        }
    }

    #[test]
    fn dispersion_is_defined(chunks in vec(vec(0_u64..50, 0..5), 0..8)) {
        let found = overdispersion(&chunks);
        prop_assert!(found.phi >= 1.0 && found.phi.is_finite() && found.ratios.iter().all(|r| r.is_finite()));
    }
}

/// The share of all orders of n and m rows in which some point has |i·m − j·n| ≥ gap.
fn brute_force_p(n: u64, m: u64, gap: u128) -> f64 {
    let (mut orders, mut reached) = (0_u32, 0_u32);
    for bits in 0..1_u32 << (n + m) {
        if u64::from(bits.count_ones()) != n {
            continue;
        }
        let (mut ahead, mut most) = (0_i64, 0);
        for place in 0..n + m {
            ahead += if bits >> place & 1 == 1 { m.cast_signed() } else { -n.cast_signed() };
            most = most.max(ahead.abs());
        }
        orders += 1;
        reached += u32::from(most as u128 >= gap);
    }
    f64::from(reached) / f64::from(orders)
}

//! Every case of `testdata/drift_vectors.json`, at its README's tolerances: numeric and categorical.
//!
//! `ks_p_scipy_asymp` (the one-sample law at a rounded size) and Evidently's records are not what
//! Tidegate computes and are left out; every other expected field must be known to the tests.

use std::collections::BTreeSet;

use serde_json::Value;

use super::generate::{checksum, series};
use super::{assert_near, assert_p};
use crate::stats::{
    Bins, Pair, PsiNull, Sample, SamplePair, Undefined, hellinger, homogeneity,
    jensen_shannon_distance, jensen_shannon_distance_nats, ks_distance, ks_p_exact,
    ks_p_kolmogorov, ks_p_stephens, l_infinity, new_share, psi_floored, psi_smoothed, quantile,
    quantile_edges, total_variation, vanished_share, wasserstein, wasserstein_over_std,
};

pub(super) fn load() -> Value {
    serde_json::from_str(include_str!("../../../testdata/drift_vectors.json"))
        .expect("vectors parse")
}

/// The expected answers of one case, which notes what was compared so that nothing is forgotten.
struct Expect<'a> {
    case: &'a str,
    fields: &'a Value,
    seen: BTreeSet<&'static str>,
}

impl<'a> Expect<'a> {
    fn of(case: &'a Value) -> Self {
        Self {
            case: case["name"].as_str().expect("name"),
            fields: &case["expect"],
            seen: BTreeSet::new(),
        }
    }

    fn field(&mut self, key: &'static str) -> &'a Value {
        self.seen.insert(key);
        self.fields.get(key).unwrap_or_else(|| panic!("{}: no field {key}", self.case))
    }

    fn near(&mut self, key: &'static str, got: f64) {
        let want = self.field(key).as_f64().expect(key);
        assert_near(&format!("{} {key}", self.case), got, want, 1e-9);
    }

    fn p(&mut self, key: &'static str, got: f64) {
        let want = self.field(key).as_f64().expect(key);
        assert_p(&format!("{} {key}", self.case), got, want);
    }

    fn list(&mut self, key: &'static str, got: &[f64]) {
        let want: Vec<f64> = floats(self.field(key));
        assert_eq!(got.len(), want.len(), "{} {key}", self.case);
        for (&got, &want) in got.iter().zip(&want) {
            assert_near(&format!("{} {key}", self.case), got, want, 1e-15);
        }
    }

    fn counts(&mut self, key: &'static str, got: &[u64]) {
        let want: Vec<u64> = serde_json::from_value(self.field(key).clone()).expect(key);
        assert_eq!(got, want, "{} {key}", self.case);
    }

    fn finish(self, left_out: &[&str]) {
        let all = self.fields.as_object().expect("expect").keys();
        let missed: Vec<&String> = all
            .filter(|key| !self.seen.contains(key.as_str()) && !left_out.contains(&key.as_str()))
            .collect();
        assert!(missed.is_empty(), "{}: not compared: {missed:?}", self.case);
    }
}

fn floats(list: &Value) -> Vec<f64> {
    let one =
        |v: &Value| v.as_f64().unwrap_or_else(|| v.as_str().expect("number").parse().expect("f64"));
    list.as_array().expect("list").iter().map(one).collect()
}

#[test]
fn numeric_series_have_the_vectors_bits() {
    for case in load()["numeric"].as_array().expect("numeric") {
        for side in ["ref", "cur"] {
            let values = series(&case[side]);
            let check = |key: &str| &case["check"][format!("{side}_{key}")];
            assert_eq!(
                checksum(&values),
                check("fnv1a64").as_str().expect("hash"),
                "{}",
                case["name"]
            );
            for (&got, want) in values.iter().zip(floats(check("first5"))) {
                assert!(
                    got.is_nan() == want.is_nan()
                        && (got.is_nan() || (got - want).abs() <= 1e-15 * want.abs())
                );
            }
            let sample = Sample::new(values);
            let count = |key: &str| case[format!("n_{side}{key}")].as_u64().expect(key);
            assert_eq!(sample.rows(), count(""));
            assert_eq!(sample.sorted().len() as u64, count("_finite"));
            assert_eq!(sample.nulls(), count("_nan"));
            assert_eq!(sample.infinite(), count("_inf"));
        }
    }
}

#[test]
fn numeric_cases() {
    let (mut compared, mut undefined) = (0, 0);
    for case in load()["numeric"].as_array().expect("numeric") {
        let reference = Sample::new(series(&case["ref"]));
        let current = Sample::new(series(&case["cur"]));
        match SamplePair::new(&reference, &current) {
            Ok(pair) => numeric_case(case, pair),
            Err(reason) => {
                assert_eq!(reason, Undefined::EmptyCurrent);
                assert!(case.get("expect").is_none(), "{}", case["name"]);
                undefined += 1;
            }
        }
        compared += 1;
    }
    assert_eq!((compared, undefined), (17, 1));
}

fn numeric_case(case: &Value, pair: SamplePair<'_>) {
    let mut expect = Expect::of(case);
    let (reference, current) = (pair.reference(), pair.current());
    let plain: Vec<f64> =
        (1..10).filter_map(|k| quantile(reference.sorted(), f64::from(k) / 10.0)).collect();
    expect.list("quantile_edges_type7", &plain);
    let edges = quantile_edges(reference.sorted(), 10);
    expect.list("edges_dedup", &edges);
    let bins = Bins::from_edges(edges).expect("edges ascend");
    assert_eq!(bins.len() as u64, expect.field("bins").as_u64().expect("bins"));
    let reference_counts = bins.count(reference.sorted().iter().copied());
    let current_counts = bins.count(current.sorted().iter().copied());
    expect.counts("ref_counts", &reference_counts.bins);
    expect.counts("cur_counts", &current_counts.bins);

    let counts = Pair::new(&reference_counts.bins, &current_counts.bins).expect("not empty");
    distances(&mut expect, &counts);
    let null = PsiNull::new(&counts);
    expect.near("psi_null_q99", null.q99());
    expect.p("psi_chi2_p", null.p(psi_smoothed(&counts), 1.0));
    let with_nulls = |counts: &[u64], nulls: u64| [counts, &[nulls]].concat();
    let nan_bin = Pair::new(
        with_nulls(&reference_counts.bins, reference.nulls()),
        with_nulls(&current_counts.bins, current.nulls()),
    );
    expect.near("psi_floor_1e4_with_nan_bin", psi_floored(&nan_bin.expect("not empty").occupied()));

    let d = ks_distance(&pair);
    let number = |value: &Value| u128::from(value.as_u64().expect("integer"));
    let (num, den) = (number(expect.field("ks_num")), number(expect.field("ks_den")));
    assert_eq!(d.gap * den, num * d.cells(), "{} D", expect.case);
    assert_eq!(d.value().to_bits(), (num as f64 / den as f64).to_bits());
    expect.near("ks_d", d.value());
    expect.near("ks_en", d.n as f64 * d.m as f64 / (d.n as f64 + d.m as f64));
    expect.p("ks_p_kolmogorov", ks_p_kolmogorov(&d, 1.0));
    expect.p("ks_p_stephens", ks_p_stephens(&d, 1.0));
    if !expect.field("ks_p_scipy_exact").is_null() {
        expect.p("ks_p_scipy_exact", ks_p_exact(&d));
    }
    expect.near("wasserstein1", wasserstein(&pair));
    expect.near("wasserstein_over_std", wasserstein_over_std(&pair));
    expect.near("ref_std_pop", reference.std());
    expect.finish(&["ks_p_scipy_asymp", "ref_mean", "cur_mean"]);
}

fn distances(expect: &mut Expect<'_>, pair: &Pair<'_>) {
    expect.near("psi_floor_1e4", psi_floored(pair));
    expect.near("psi_smooth_half", psi_smoothed(pair));
    expect.near("psi_null_mean", PsiNull::new(pair).bias());
    expect.near("js_distance_base2", jensen_shannon_distance(pair));
    expect.near("js_distance_basee", jensen_shannon_distance_nats(pair));
    expect.near("hellinger", hellinger(pair));
    expect.near("total_variation", total_variation(pair));
}

#[test]
fn categorical_cases() {
    let vectors = load();
    let cases = vectors["categorical"].as_array().expect("categorical");
    assert_eq!(cases.len(), 8);
    for case in cases {
        let mut expect = Expect::of(case);
        let side = |key: &str| -> Vec<u64> {
            let names = case["categories"].as_array().expect("categories");
            let count =
                |name: &Value| case[key].get(name.as_str().expect("name")).and_then(Value::as_u64);
            names.iter().map(|name| count(name).unwrap_or(0)).collect()
        };
        let pair = Pair::new(side("ref_counts"), side("cur_counts")).expect("not empty");
        distances(&mut expect, &pair);
        let test = homogeneity(&pair);
        expect.near("chi2", test.chi2);
        assert_eq!(test.dof as u64, expect.field("dof").as_u64().expect("dof"));
        expect.p("chi2_p", test.p);
        expect.near("min_expected", test.min_expected);
        expect.near("cramers_v", test.cramers_v);
        expect.near("cramers_v_bias_corrected", test.cramers_v_corrected);
        expect.near("l_infinity", l_infinity(&pair));
        expect.near("new_category_share", new_share(&pair));
        expect.near("missing_category_share", vanished_share(&pair));
        expect.finish(&[]);
    }
}

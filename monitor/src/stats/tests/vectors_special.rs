//! The vectors' tail probabilities and their Benjamini-Hochberg example.

use serde_json::Value;

use super::generate::Lcg;
use super::vectors::load;
use super::{assert_near, assert_p};
use crate::stats::{
    benjamini_hochberg, chi_square_quantile, chi_square_sf, kolmogorov_sf, normal_sf,
};

fn rows(key: &str) -> Vec<Vec<f64>> {
    serde_json::from_value(load()["special"][key].clone()).expect(key)
}

#[test]
fn tails_agree_with_scipy() {
    for row in rows("kolmogorov_sf") {
        assert_p("kolmogorov", kolmogorov_sf(row[0]), row[1]);
    }
    for row in rows("chi2_sf") {
        assert_p("chi2 sf", chi_square_sf(row[0], row[1]), row[2]);
    }
    for row in rows("chi2_ppf") {
        assert_near("chi2 ppf", chi_square_quantile(row[0], row[1]), row[2], 1e-9);
    }
    for row in rows("norm_sf") {
        assert_p("norm sf", normal_sf(row[0]), row[1]);
    }
}

#[test]
fn benjamini_hochberg_agrees_with_scipy() {
    let example = &load()["special"]["benjamini_hochberg"];
    let list = |key: &str| -> Vec<f64> { serde_json::from_value(example[key].clone()).expect(key) };
    let q = benjamini_hochberg(&list("p"));
    let rejected: Vec<bool> = q.iter().map(|&q| q <= 0.05).collect();
    for (got, want) in q.iter().zip(list("adjusted")) {
        assert_near("q", *got, want, 1e-12);
    }
    assert_eq!(Value::from(rejected), example["rejected_bh_005"]);
}

#[test]
fn generator_starts_as_the_vectors_do() {
    for (seed, want) in load()["lcg_first5"].as_object().expect("seeds") {
        let mut lcg = Lcg::new(seed.parse().expect("seed"));
        for want in want.as_array().expect("list") {
            assert_near("u", lcg.uniform(), want.as_f64().expect("u"), 1e-15);
        }
    }
}

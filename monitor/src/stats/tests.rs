//! What the statistics are held to: reference vectors of other tools, properties, tables of corner cases.

mod generate;
mod properties;
mod tables;
mod vectors;
mod vectors_special;

/// Relative agreement; p-values below 1e-12 are compared by their logarithm, as the vectors' README says.
fn assert_near(what: &str, got: f64, want: f64, relative: f64) {
    let near = (got - want).abs() <= relative * want.abs().max(1e-300)
        || (want == 0.0 && got.abs() < 1e-15);
    assert!(near, "{what}: got {got:e}, want {want:e}");
}

/// A probability at the README's tolerance; 0 in the vectors stands for anything under a double's reach.
fn assert_p(what: &str, got: f64, want: f64) {
    assert!((0.0..=1.0).contains(&got), "{what}: {got}");
    if want > 1e-12 {
        assert_near(what, got, want, 1e-6);
    } else if want < 1e-290 {
        assert!(got < 1e-290, "{what}: got {got:e}, want {want:e}");
    } else {
        assert!((got.log10() - want.log10()).abs() < 0.01, "{what}: got {got:e}, want {want:e}");
    }
}

//! What the figures are held to: scikit-learn's answers, corner cases, properties.

mod properties;
mod spread;
mod tables;

use super::{Calibration, Confusion, Point, Scores, calibration};

/// Numbers from 0 to 1 that other languages repeat: Knuth's linear congruential generator, its upper
/// 53 bits. The references in [`tables`] were made with it.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A score, on a grid unless that is 0, and whether it came true: calibrated by construction.
    fn calibrated(&mut self, grid: f64) -> (f64, bool) {
        let roll = self.roll();
        let score = if grid > 0.0 { (roll * grid).round() / grid } else { roll };
        (score, self.roll() < score)
    }
}

fn near(what: &str, got: Option<f64>, want: f64) {
    let got = got.unwrap_or_else(|| panic!("{what}: no answer, want {want}"));
    assert!((got - want).abs() <= 1e-12 * want.abs().max(1.0), "{what}: got {got}, want {want}");
}

fn counted(rows: &[(f64, bool)]) -> (Scores, Confusion) {
    let (mut scores, mut confusion) = (Scores::new(), Confusion::new());
    for (score, truth) in rows {
        scores.add(*score, *truth);
        let class = |yes: bool| if yes { "1" } else { "0" };
        confusion.add(class(*truth), class(*score >= 0.5));
    }
    (scores, confusion)
}

/// The map learned from every score by itself.
fn isotonic(rows: &[(f64, bool)]) -> Option<Calibration> {
    let mut valid: Vec<_> = rows.iter().filter(|(score, _)| (0.0..=1.0).contains(score)).collect();
    valid.sort_by(|(a, _), (b, _)| a.partial_cmp(b).expect("none is NaN"));
    let point = |same: &[&(f64, bool)]| Point {
        score: same[0].0,
        rows: same.len() as u64,
        positives: same.iter().filter(|(_, truth)| *truth).count() as u64,
    };
    calibration::fit(&valid.chunk_by(|(a, _), (b, _)| a == b).map(point).collect::<Vec<_>>())
}

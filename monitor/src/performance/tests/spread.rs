//! Chances keep their level where nothing changed, and see what did.

use super::super::{Errors, Spread};
use super::*;

const WINDOWS: u32 = 2_000;
const LEVEL: f64 = 0.05;

type Figure = fn(&Confusion) -> (Option<f64>, Spread);

/// The share of windows whose figure has a chance of at most [`LEVEL`].
fn alarmed(mut window: impl FnMut() -> (f64, Spread), baseline: f64, sign: f64) -> f64 {
    let mut alarms = 0;
    for _ in 0..WINDOWS {
        let (value, spread) = window();
        alarms += u32::from(spread.chance(baseline, sign * (baseline - value)) <= LEVEL);
    }
    f64::from(alarms) / f64::from(WINDOWS)
}

/// Rows by truth and answer: 2 % are of the class, 80 % of them are found, 0.5 % of the others are taken for it.
fn answered(dice: &mut Dice, rows: u32) -> Confusion {
    let mut confusion = Confusion::new();
    for _ in 0..rows {
        let right = dice.roll() < 0.02;
        let answer = dice.roll() < if right { 0.8 } else { 0.005 };
        let class = |yes: bool| if yes { "1" } else { "0" };
        confusion.add(class(right), class(answer));
    }
    confusion
}

#[test]
fn shares_of_a_rare_class_keep_their_level() {
    let (found, wrong) = (0.02 * 0.8, 0.98 * 0.005);
    let missed = 0.02 - found;
    let figures: [(&str, f64, Figure); 4] = [
        ("accuracy", 1.0 - missed - wrong, |it| (it.accuracy(), Spread::Share(it.rows()))),
        ("precision", found / (found + wrong), |it| {
            let of = it.of("1").unwrap();
            (of.precision(), Spread::Share(of.true_positive + of.false_positive))
        }),
        ("recall", 0.8, |it| {
            let of = it.of("1").unwrap();
            (of.recall(), Spread::Share(of.true_positive + of.false_negative))
        }),
        ("f1", 2.0 * found / (2.0 * found + wrong + missed), |it| {
            let of = it.of("1").unwrap();
            let rows = of.true_positive + of.false_positive + of.false_negative;
            (of.f1(), Spread::Overlap(rows))
        }),
    ];
    for (name, baseline, figure) in figures {
        let mut dice = Dice(7);
        let mut dropped = 0;
        let window = || {
            let (value, spread) = figure(&answered(&mut dice, 500));
            let value = value.unwrap_or(baseline);
            dropped += u32::from(baseline - value >= 0.05);
            (value, spread)
        };
        let alarmed = alarmed(window, baseline, 1.0);
        assert!((0.01..0.08).contains(&alarmed), "{name}: {alarmed}");
        // The effect alone is no alarm worth waking for.
        assert!(name == "accuracy" || dropped > WINDOWS / 6, "{name}: {dropped}");
    }
}

#[test]
fn the_area_of_a_rare_class_keeps_its_level() {
    let mut dice = Dice(11);
    let window = || {
        let mut scores = Scores::new();
        for _ in 0..300 {
            let positive = dice.roll() < 0.02;
            // The higher of two beats another one in two of three cases.
            let score = dice.roll();
            scores.add(if positive { score.max(dice.roll()) } else { score }, positive);
        }
        let (positives, rows) = (scores.positives(), scores.rows());
        let value = scores.auc().map_or(2.0 / 3.0, |auc| auc.value);
        (value, Spread::Ranking { positives, negatives: rows - positives })
    };
    let alarmed = alarmed(window, 2.0 / 3.0, 1.0);
    // Scores of another law than the formula's: it asks for more than it must.
    assert!((0.005..0.06).contains(&alarmed), "{alarmed}");
}

#[test]
fn means_keep_their_level() {
    let mut dice = Dice(13);
    let scores = |dice: &mut Dice| {
        let mut scores = Scores::new();
        for _ in 0..200 {
            let (score, truth) = dice.calibrated(0.0);
            scores.add(score, truth);
        }
        scores
    };
    let errors = |dice: &mut Dice| {
        let mut errors = Errors::new();
        for _ in 0..200 {
            errors.add(0.0, 2.0 * dice.roll() - 1.0);
        }
        errors
    };
    let error = |error: Option<f64>| Spread::Error(error.unwrap());
    let of = |alarmed: f64, name: &str| {
        // Skew takes some of it from the means of few rows.
        assert!((0.02..0.08).contains(&alarmed), "{name}: {alarmed}");
    };
    let brier = || {
        let it = scores(&mut dice);
        (it.brier().unwrap(), error(it.brier_error()))
    };
    of(alarmed(brier, 1.0 / 6.0, -1.0), "Brier");
    let log_loss = || {
        let it = scores(&mut dice);
        (it.log_loss().unwrap(), error(it.log_loss_error()))
    };
    of(alarmed(log_loss, 0.5, -1.0), "log loss");
    let mae = || {
        let it = errors(&mut dice);
        (it.mae().unwrap(), error(it.mae_error()))
    };
    of(alarmed(mae, 0.5, -1.0), "MAE");
    let rmse = || {
        let it = errors(&mut dice);
        (it.rmse().unwrap(), error(it.rmse_error()))
    };
    of(alarmed(rmse, 3.0_f64.sqrt().recip(), -1.0), "RMSE");
}

#[test]
fn means_over_classes_keep_below_their_level() {
    let mut dice = Dice(17);
    for (place, baseline) in [(0, 0.8), (1, 0.8), (2, 0.8)] {
        let window = || {
            let mut confusion = Confusion::new();
            for row in 0..300_u32 {
                let wrong = if dice.roll() < 0.8 { 0 } else { 1 + u32::from(dice.roll() < 0.5) };
                let class = |number: u32| ["a", "b", "c"][(number % 3) as usize];
                confusion.add(class(row), class(row + wrong));
            }
            let error = confusion.macro_errors().unwrap()[place];
            (confusion.macro_means().unwrap()[place], Spread::Error(error))
        };
        let alarmed = alarmed(window, baseline, 1.0);
        assert!(alarmed <= LEVEL, "{place}: {alarmed}");
    }
    let mut known = Confusion::new();
    for row in 0..10 {
        let [right, wrong] = if row < 8 { ["a", "b"] } else { ["b", "a"] };
        known.add("a", right);
        known.add("b", wrong);
    }
    // Nine of twelve, with Laplace's two; of F1 nine of fourteen.
    let [precision, recall, f1] = known.macro_errors().unwrap();
    near("precision", Some(precision), 0.125);
    near("recall", Some(recall), 0.125);
    let j: f64 = 9.0 / 14.0;
    near("f1", Some(f1), (j * (1.0 - j) / 14.0).sqrt() * 2.0 / (1.0 + j).powi(2));
}

#[test]
fn what_changed_is_no_chance() {
    for (spread, baseline, worse, most) in [
        (Spread::Share(500), 0.9, 0.05, 1e-3),
        (Spread::Share(100), 0.8, 0.3, 1e-9),
        (Spread::Overlap(100), 0.8, 0.3, 1e-6),
        (Spread::Ranking { positives: 100, negatives: 400 }, 0.9, 0.1, 1e-4),
        (Spread::Error(0.01), 0.5, 0.05, 1e-6),
    ] {
        let chance = spread.chance(baseline, worse);
        assert!(chance > 0.0 && chance < most, "{spread:?}: {chance}");
        assert_eq!(spread.chance(baseline, 0.0), 1.0);
        assert_eq!(spread.chance(baseline, -0.1), 1.0);
    }
    // P[Binomial(5, 0.2) >= 2] is 0.26272.
    let chance = Spread::Share(5).chance(0.8, 0.2);
    assert!((chance - 0.26272).abs() < 0.04, "{chance}");
}

#[test]
fn a_chance_is_a_number_from_0_to_1_whatever_comes() {
    let spreads = [
        Spread::Share(0),
        Spread::Share(1),
        Spread::Overlap(0),
        Spread::Overlap(3),
        Spread::Ranking { positives: 0, negatives: 0 },
        Spread::Ranking { positives: 1, negatives: u64::MAX },
        Spread::Error(0.0),
        Spread::Error(f64::MAX),
    ];
    for spread in spreads {
        for baseline in [-1.0, 0.0, 0.5, 1.0, 7.0, f64::MAX] {
            for worse in [f64::MIN, 0.0, f64::MIN_POSITIVE, 0.3, 1.0, 9.0, f64::MAX] {
                let chance = spread.chance(baseline, worse);
                assert!((0.0..=1.0).contains(&chance), "{spread:?} {baseline} {worse}: {chance}");
            }
        }
    }
    let mut errors = Errors::new();
    assert_eq!((errors.mae_error(), errors.rmse_error()), (None, None));
    errors.add(0.0, 1.0);
    assert_eq!((errors.mae_error(), errors.rmse_error()), (None, None));
    // So far off is no chance.
    errors.add(0.0, f64::MAX);
    assert_eq!((errors.mae_error(), errors.rmse_error()), (Some(0.0), Some(0.0)));
}

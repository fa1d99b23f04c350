//! Answers of scikit-learn 1.9.1 (`roc_auc_score`, `log_loss`, `brier_score_loss`, `accuracy_score`,
//! `precision_score`, `recall_score`, `f1_score`, `confusion_matrix`, `mean_absolute_error`,
//! `root_mean_squared_error`, `IsotonicRegression`), and what has no answer.

use super::{Dice, counted, isotonic, near};
use crate::performance::{
    Confusion, Errors, Estimate, MAX_CLASSES, MAX_DISTINCT, MIN_OF_EACH, MIN_ROWS, Point,
    Reliability, Scores,
};

#[test]
fn binary_as_scikit_learn() {
    struct Case {
        rows: usize,
        seed: u64,
        grid: f64,
        /// AUC, log loss, Brier, accuracy, precision, recall, F1.
        expected: [f64; 7],
        /// True negatives, false positives, false negatives, true positives.
        matrix: [u64; 4],
    }
    #[rustfmt::skip]
    let cases = [
        Case { rows: 200, seed: 1, grid: 0.0, matrix: [81, 18, 23, 78], expected: [
            0.8836883688368836, 0.44563531951743074, 0.14451038886349887, 0.795, 0.8125,
            0.7722772277227723, 0.7918781725888325] },
        Case { rows: 1000, seed: 2, grid: 20.0, matrix: [376, 117, 101, 406], expected: [
            0.8495085036667186, 0.4782914193733919, 0.1585125, 0.782, 0.7762906309751434,
            0.8007889546351085, 0.7883495145631068] },
        Case { rows: 50, seed: 3, grid: 4.0, matrix: [18, 7, 0, 25], expected: [
            0.9392, 0.34027790749580283, 0.10625, 0.86, 0.78125, 1.0, 0.8771929824561403] },
        Case { rows: 7, seed: 4, grid: 0.0, matrix: [2, 0, 1, 4], expected: [
            0.9, 0.5014071683407229, 0.15851929676001125, 0.8571428571428571, 1.0, 0.8,
            0.8888888888888888] },
    ];
    for case in cases {
        let mut dice = Dice(case.seed);
        let rows: Vec<_> = (0..case.rows).map(|_| dice.calibrated(case.grid)).collect();
        let (scores, confusion) = counted(&rows);
        let of = confusion.of("1").unwrap();
        let got = [
            scores.auc().map(|auc| auc.value),
            scores.log_loss(),
            scores.brier(),
            confusion.accuracy(),
            of.precision(),
            of.recall(),
            of.f1(),
        ];
        for (at, (got, want)) in got.into_iter().zip(case.expected).enumerate() {
            near(&format!("seed {} figure {at}", case.seed), got, want);
        }
        assert_eq!(
            [of.true_negative, of.false_positive, of.false_negative, of.true_positive],
            case.matrix
        );
        assert_eq!(scores.auc().unwrap().error, 0.0);
        assert_eq!(scores.positives(), case.matrix[2] + case.matrix[3]);
    }
}

#[test]
fn certainty_that_was_wrong_is_clipped_as_scikit_learn_does() {
    let (scores, _) = counted(&[(0.0, true), (1.0, false), (0.5, true)]);
    near("log loss", scores.log_loss(), 24.260151319598084);
}

#[test]
fn several_classes_as_scikit_learn() {
    let mut dice = Dice(9);
    let class = |dice: &mut Dice| ((dice.roll() * 4.0) as usize).to_string();
    let mut confusion = Confusion::new();
    for _ in 0..300 {
        let right = class(&mut dice);
        let answered = if dice.roll() < 0.7 { right.clone() } else { class(&mut dice) };
        confusion.add(&right, &answered);
    }
    let expected = [0.7658651380464505, 0.7676356304985337, 0.7650335217800972];
    near("accuracy", confusion.accuracy(), 0.7666666666666667);
    for (got, want) in confusion.macro_means().unwrap().into_iter().zip(expected) {
        near("macro", Some(got), want);
    }
    let rows: Vec<u64> = confusion.cells().map(|(_, _, rows)| rows).collect();
    assert_eq!(rows, [69, 8, 3, 8, 10, 54, 4, 7, 5, 5, 57, 8, 3, 2, 7, 50]);
}

#[test]
fn a_class_that_is_missing_on_one_side() {
    let mut confusion = Confusion::new();
    for (right, answered) in
        [("0", "0"), ("0", "1"), ("1", "1"), ("1", "1"), ("2", "1"), ("2", "3")]
    {
        confusion.add(right, answered);
    }
    // zero_division = 0, over the labels of both sides.
    assert_eq!(confusion.macro_means(), Some([0.375, 0.375, 1.0 / 3.0]));
    let (two, three) = (confusion.of("2").unwrap(), confusion.of("3").unwrap());
    assert_eq!((two.precision(), two.recall(), two.f1()), (None, Some(0.0), Some(0.0)));
    assert_eq!((three.precision(), three.recall(), three.f1()), (Some(0.0), None, Some(0.0)));
    assert_eq!(confusion.of("unheard of").unwrap().f1(), None);
}

#[test]
fn regression_as_scikit_learn() {
    let (mut dice, mut errors) = (Dice(11), Errors::new());
    for _ in 0..100 {
        let right = dice.roll() * 100.0 - 50.0;
        errors.add(right, right + dice.roll() * 10.0 - 4.0);
    }
    near("mae", errors.mae(), 2.4599182597771825);
    near("rmse", errors.rmse(), 2.882535841800664);
    near("bias", errors.bias(), 0.7127943256509016);
}

#[test]
fn calibration_as_scikit_learn() {
    let scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9];
    let truth = [0, 1, 0, 0, 1, 0, 1, 1, 0, 1];
    let rows: Vec<_> = scores.into_iter().zip(truth.map(|it| it == 1)).collect();
    let map = isotonic(&rows).unwrap();
    assert_eq!((map.rows, map.steps()), (10, 4));
    let third = 1.0 / 3.0;
    for (score, p) in [
        (0.0, 0.0),
        (0.1, 0.0),
        (0.15, third / 2.0),
        (0.25, third),
        (0.35, third),
        (0.5, 0.5),
        (0.55, 0.5),
        (0.65, 0.625),
        (0.75, 0.75),
        (0.85, 0.75),
        (0.9, 0.75),
        (1.0, 0.75),
    ] {
        near(&format!("calibrated {score}"), Some(map.of(score)), p);
    }
}

#[test]
fn too_few_labels_calibrate_nothing() {
    let learned = |rows: u64, positives: u64| {
        let mut diagram = Reliability::default();
        diagram.put(Point { score: 0.5, rows, positives });
        diagram.calibration().map(|map| map.of(0.5))
    };
    assert_eq!((learned(MIN_ROWS - 1, 500), learned(MIN_ROWS, 500)), (None, Some(0.5)));
    for few in [MIN_OF_EACH - 1, MIN_ROWS - MIN_OF_EACH + 1] {
        assert_eq!(learned(MIN_ROWS, few), None);
    }
    near("just enough", learned(MIN_ROWS, MIN_OF_EACH), 0.03);
    // What is no point says nothing.
    assert_eq!((learned(10, 11), Reliability::default().points()), (None, vec![]));
}

#[test]
fn what_has_no_answer() {
    let nothing = Scores::new();
    assert_eq!((nothing.auc(), nothing.log_loss(), nothing.brier()), (None, None, None));
    assert_eq!((isotonic(&[]), nothing.reliability().calibration()), (None, None));
    assert_eq!((Confusion::new().accuracy(), Confusion::new().macro_means()), (None, None));
    assert_eq!((Errors::new().mae(), Errors::new().rmse()), (None, None));
    assert_eq!(Estimate::new().expected(), super::super::Estimated::default());

    let (one_class, _) = counted(&[(0.2, true), (0.9, true)]);
    assert_eq!(one_class.auc(), None);
    assert!(one_class.log_loss().is_some());

    let mut scores = Scores::new();
    let mut estimate = Estimate::new();
    for score in [f64::NAN, f64::INFINITY, -0.1, 1.1] {
        scores.add(score, true);
        estimate.add(score, true, None);
    }
    assert_eq!((scores.rows(), scores.invalid(), scores.brier()), (0, 4, None));
    assert_eq!((estimate.rows(), estimate.invalid()), (0, 4));

    let mut errors = Errors::new();
    for (right, answered) in [(f64::NAN, 0.0), (0.0, f64::INFINITY), (f64::MIN, f64::MAX)] {
        errors.add(right, answered);
    }
    assert_eq!((errors.rows(), errors.invalid(), errors.mae()), (1, 2, Some(f64::MAX)));
}

#[test]
fn classes_beyond_the_limit_leave_the_accuracy() {
    let mut confusion = Confusion::new();
    for class in 0..=MAX_CLASSES {
        assert!(!confusion.has_too_many_classes(), "{class}");
        confusion.add(&class.to_string(), &class.to_string());
    }
    assert!(confusion.has_too_many_classes() && confusion.of("1").is_none());
    assert_eq!((confusion.accuracy(), confusion.macro_means()), (Some(1.0), None));
}

#[test]
fn scores_beyond_the_limit_cost_little_and_say_how_much() {
    let mut dice = Dice(21);
    let (mut scores, mut rows) = (Scores::new(), Vec::new());
    for _ in 0..3 * MAX_DISTINCT {
        let (score, truth) = dice.calibrated(0.0);
        scores.add(score, truth);
        rows.push((score, truth));
    }
    let auc = scores.auc().unwrap();
    assert!(auc.error > 0.0 && auc.error < 1e-4, "{auc:?}");
    // Exactly: by ranks of the scores as they were.
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut above, mut positives) = (0_u64, 0_u64, 0_u64);
    for (_, truth) in rows {
        if truth {
            above += below;
            positives += 1;
        } else {
            below += 1;
        }
    }
    let exact = above as f64 / (positives as f64 * below as f64);
    assert!((auc.value - exact).abs() <= auc.error, "{auc:?} is not {exact}");
}

#[test]
fn the_estimate_is_close_to_what_comes_true_of_calibrated_scores() {
    let (mut dice, mut estimate, mut rows) = (Dice(31), Estimate::new(), Vec::new());
    for _ in 0..50_000 {
        let (score, truth) = dice.calibrated(0.0);
        estimate.add(score, score >= 0.5, None);
        rows.push((score, truth));
    }
    let (scores, confusion) = counted(&rows);
    let (of, expected) = (confusion.of("1").unwrap(), estimate.expected());
    // Half a per cent: over two standard errors of a share of 25 000 rows.
    for (what, got, want) in [
        ("accuracy", expected.accuracy, confusion.accuracy()),
        ("precision", expected.precision, of.precision()),
        ("recall", expected.recall, of.recall()),
        ("F1", expected.f1, of.f1()),
        ("AUC", expected.auc.map(|it| it.value), scores.auc().map(|it| it.value)),
    ] {
        let (got, want) = (got.unwrap(), want.unwrap());
        assert!((got - want).abs() < 0.005, "{what}: expected {got}, came {want}");
    }
    // By the law of a uniform score: E[max(p, 1 − p)] = 3/4.
    assert!((expected.accuracy.unwrap() - 0.75).abs() < 0.005);
}

#[test]
fn calibration_mends_scores_that_are_too_sure() {
    let (mut dice, mut scores) = (Dice(41), Scores::new());
    // What is shown is further from the middle than what comes true.
    let shown = |p: f64| if p < 0.5 { p * p } else { 1.0 - (1.0 - p) * (1.0 - p) };
    for _ in 0..50_000 {
        let (p, truth) = dice.calibrated(0.0);
        scores.add(shown(p), truth);
    }
    let map = scores.reliability().calibration().unwrap();
    let (mut raw, mut mended, mut confusion) = (Estimate::new(), Estimate::new(), Confusion::new());
    for _ in 0..50_000 {
        let (p, truth) = dice.calibrated(0.0);
        let answered = shown(p) >= 0.5;
        raw.add(shown(p), answered, None);
        mended.add(shown(p), answered, Some(&map));
        confusion.add(if truth { "1" } else { "0" }, if answered { "1" } else { "0" });
    }
    let came = confusion.accuracy().unwrap();
    let off = |estimate: &Estimate| (estimate.expected().accuracy.unwrap() - came).abs();
    assert!(off(&raw) > 0.05, "scores that are too sure promise too much: {}", off(&raw));
    assert!(off(&mended) < 0.01, "{}", off(&mended));
}

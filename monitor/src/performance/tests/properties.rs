//! What must hold for any input, against brute force where there is one.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{counted, isotonic};
use crate::performance::{Errors, Estimate, Reliability, Scores};

fn rows() -> impl Strategy<Value = Vec<(f64, bool)>> {
    let score = prop_oneof![
        4 => 0.0..=1.0_f64,
        4 => (0_u8..=4).prop_map(|quarter| f64::from(quarter) / 4.0),
        1 => Just(f64::NAN),
        1 => Just(-0.0),
        1 => Just(2.0),
        1 => Just(f64::MIN_POSITIVE),
    ];
    vec((score, any::<bool>()), 0..60)
}

fn brute_auc(rows: &[(f64, bool)]) -> Option<f64> {
    let valid: Vec<_> = rows.iter().filter(|(score, _)| (0.0..=1.0).contains(score)).collect();
    let (mut above, mut pairs) = (0.0, 0.0);
    for (high, _) in valid.iter().filter(|(_, truth)| *truth) {
        for (low, _) in valid.iter().filter(|(_, truth)| !truth) {
            pairs += 1.0;
            above += if high > low {
                1.0
            } else if high == low {
                0.5
            } else {
                0.0
            };
        }
    }
    (pairs > 0.0).then(|| above / pairs)
}

fn close(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(1.0),
        (a, b) => a == b,
    }
}

proptest! {
    #[test]
    fn auc_is_the_share_of_pairs_in_order_and_turns_with_the_scores(rows in rows()) {
        let auc = |rows: &[(f64, bool)]| counted(rows).0.auc().map(|auc| auc.value);
        prop_assert!(close(auc(&rows), brute_auc(&rows)));
        // The other class as the positive one.
        let turned: Vec<_> = rows.iter().map(|(score, truth)| (*score, !truth)).collect();
        prop_assert!(close(auc(&turned), auc(&rows).map(|auc| 1.0 - auc)));
    }

    #[test]
    fn parts_merge_to_the_whole(rows in rows(), cut in 0_usize..60) {
        let (whole_scores, whole_confusion) = counted(&rows);
        let (left, right) = rows.split_at(cut.min(rows.len()));
        let ((mut scores, mut confusion), (more_scores, more_confusion)) = (counted(left), counted(right));
        scores.merge(&more_scores);
        confusion.merge(&more_confusion);
        prop_assert_eq!(&confusion, &whole_confusion);
        prop_assert_eq!(scores.rows(), whole_scores.rows());
        prop_assert_eq!(scores.invalid(), whole_scores.invalid());
        prop_assert_eq!(scores.auc(), whole_scores.auc());
        prop_assert!(close(scores.log_loss(), whole_scores.log_loss()));
        prop_assert!(close(scores.brier(), whole_scores.brier()));
        let estimate = |rows: &[(f64, bool)]| {
            let mut estimate = Estimate::new();
            rows.iter().for_each(|(score, answered)| estimate.add(*score, *answered, None));
            estimate
        };
        let mut merged = estimate(left);
        merged.merge(&estimate(right));
        let (merged, whole) = (merged.expected(), estimate(&rows).expected());
        prop_assert!(close(merged.f1, whole.f1) && close(merged.accuracy, whole.accuracy));
        prop_assert!(close(merged.auc.map(|it| it.value), whole.auc.map(|it| it.value)));
    }

    #[test]
    fn nothing_is_nan_and_shares_are_shares(rows in rows(), numbers in vec((any::<f64>(), any::<f64>()), 0..20)) {
        let (scores, confusion) = counted(&rows);
        let of = confusion.of("1").unwrap();
        let mut estimate = Estimate::new();
        let map = isotonic(&rows);
        rows.iter().for_each(|(score, answered)| estimate.add(*score, *answered, map.as_ref()));
        let expected = estimate.expected();
        let shares = [
            confusion.accuracy(), of.precision(), of.recall(), of.f1(), scores.brier(),
            scores.auc().map(|auc| auc.value), expected.accuracy, expected.precision,
            expected.recall, expected.f1, expected.auc.map(|auc| auc.value),
        ];
        for share in shares.into_iter().flatten() {
            prop_assert!((0.0..=1.0).contains(&share), "{}", share);
        }
        prop_assert!(scores.log_loss().is_none_or(|loss| loss.is_finite() && loss >= 0.0));
        let mut errors = Errors::new();
        numbers.iter().for_each(|(right, answered)| errors.add(*right, *answered));
        for figure in [errors.mae(), errors.rmse(), errors.bias()].into_iter().flatten() {
            prop_assert!(figure.is_finite());
        }
    }

    #[test]
    fn calibration_never_falls_and_keeps_the_mean(rows in rows()) {
        let (scores, _) = counted(&rows);
        let Some(map) = isotonic(&rows) else { return Ok(()) };
        let mut previous = 0.0;
        for step in 0..=1000 {
            let p = map.of(f64::from(step) / 1000.0);
            prop_assert!((0.0..=1.0).contains(&p) && p >= previous - 1e-12, "{} after {}", p, previous);
            previous = p;
        }
        let valid = rows.iter().filter(|(score, _)| (0.0..=1.0).contains(score));
        let (mut sum, mut n) = (0.0, 0.0);
        valid.for_each(|(score, _)| { sum += map.of(*score); n += 1.0; });
        prop_assert!((sum - scores.positives() as f64).abs() < 1e-6 * f64::max(n, 1.0));
    }

    #[test]
    fn order_changes_nothing(mut rows in rows()) {
        let (there, _) = counted(&rows);
        rows.reverse();
        let (back, _) = counted(&rows);
        prop_assert_eq!(there.auc(), back.auc());
        let counts = |scores: &Scores| -> Vec<(u64, u64)> {
            scores.reliability().points().iter().map(|it| (it.rows, it.positives)).collect()
        };
        prop_assert_eq!(counts(&there), counts(&back));
    }

    #[test]
    fn a_diagram_is_its_points_and_its_parts(rows in rows(), cut in 0_usize..60) {
        let whole = counted(&rows).0.reliability().clone();
        let (left, right) = rows.split_at(cut.min(rows.len()));
        let mut merged = counted(left).0.reliability().clone();
        merged.merge(counted(right).0.reliability());
        let mut read = Reliability::default();
        whole.points().into_iter().for_each(|point| read.put(point));
        for other in [merged.points(), read.points()] {
            let whole = whole.points();
            prop_assert_eq!(other.len(), whole.len());
            for (a, b) in other.iter().zip(whole) {
                prop_assert_eq!((a.rows, a.positives), (b.rows, b.positives));
                prop_assert!((a.score - b.score).abs() <= 1e-12 * b.score);
            }
        }
        let points = whole.points();
        prop_assert!(points.is_sorted_by(|a, b| a.score < b.score), "{:?}", points);
        prop_assert_eq!(whole.rows(), counted(&rows).0.rows());
    }
}

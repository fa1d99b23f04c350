//! Estimates that labels of earlier windows have calibrated.

use std::path::Path;

use super::{FIRST, HOUR, Labelled, START, Scored, drain, label, outcomes, score};
use crate::outcomes::{Kind, OutcomeRow};
use crate::performance::MIN_ROWS;

/// Events of some hours whose scores are twice as sure as they should be, and their labels.
fn too_sure(root: &Path, hours: i64, an_hour: i64) {
    let mut state = 11_u64;
    let mut roll = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let (mut results, mut labels) = (Vec::new(), Vec::new());
    for at in 0..hours * an_hour {
        let (key, second) = (format!("k{at}"), START + at * HOUR / an_hour);
        let score = roll() as f32;
        let p = 0.5 + (f64::from(score) - 0.5) / 2.0;
        let text = if roll() < p { "1" } else { "0" };
        labels.push(Labelled { key: key.clone(), second: second + 60, text: text.into() });
        results.push(Scored { key, second, version: "1", score });
    }
    let second = START + (hours + 5) * HOUR;
    labels.push(Labelled { key: "end".into(), second, text: "1".into() });
    score(root, 0, &results);
    label(root, 0, &labels);
}

#[test]
fn estimates_are_calibrated_by_the_labels_that_were_complete_when_the_window_began() {
    const HOURS: i64 = 10;
    const ROWS: i64 = 400;
    let root = tempfile::tempdir().unwrap();
    too_sure(root.path(), HOURS, ROWS);
    let now = START + (HOURS + 5) * HOUR;
    let rows = drain(&mut outcomes(root.path()), FIRST..FIRST + HOURS, now);
    let of = |kind, window| {
        let mine = |row: &&OutcomeRow| (row.kind, row.window) == (kind, FIRST + window);
        rows.iter().find(mine).expect("each window has each kind")
    };
    let (mut raw, mut calibrated) = (Vec::new(), Vec::new());
    for window in 0..HOURS {
        let (realised, estimated) = (of(Kind::Realised, window), of(Kind::Estimated, window));
        // Labels count for two hours, so those of three windows before are complete, and two before it are not.
        let known = (ROWS * (window - 2)) as u64;
        let expected = (known >= MIN_ROWS && window > 2).then_some(known);
        assert_eq!((estimated.calibration_rows, realised.calibration_rows), (expected, expected));
        let (then, later) =
            (estimated.estimated.accuracy.unwrap(), realised.estimated.accuracy.unwrap());
        assert!((then - later).abs() < 1e-12, "{then} {later}");
        assert_eq!(realised.reliability.iter().map(|point| point.rows).sum::<u64>(), ROWS as u64);
        assert_eq!(estimated.reliability, []);
        let off = then - realised.realised.accuracy.unwrap();
        if expected.is_some() { &mut calibrated } else { &mut raw }.push(off);
    }
    let mean = |off: &[f64]| off.iter().sum::<f64>() / off.len() as f64;
    assert_eq!((raw.len(), calibrated.len()), (5, 5));
    assert!(mean(&raw) > 0.08, "scores that are too sure promise too much: {raw:?}");
    assert!(mean(&calibrated).abs() < 0.03, "{calibrated:?}");

    // Window by window, each by a process that knows what the files say and nothing else.
    let again = tempfile::tempdir().unwrap();
    too_sure(again.path(), HOURS, ROWS);
    let mut singly = Vec::new();
    for upto in 1..=HOURS {
        singly.extend(drain(&mut outcomes(again.path()), FIRST..FIRST + upto, now));
    }
    let in_order = |rows: &[OutcomeRow]| {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|row| (row.kind, row.window));
        rows
    };
    assert_eq!(singly.len(), rows.len());
    for (one, other) in in_order(&singly).iter().zip(in_order(&rows)) {
        let what = (one.kind, one.window, one.calibration_rows);
        assert_eq!(what, (other.kind, other.window, other.calibration_rows));
        // Sums of the same rows in another order.
        let accuracy = |row: &OutcomeRow| row.estimated.accuracy.unwrap_or(-1.0);
        assert!((accuracy(one) - accuracy(&other)).abs() < 1e-12, "{what:?}");
    }
}

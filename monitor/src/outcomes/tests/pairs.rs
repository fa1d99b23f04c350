//! Realised figures by hand, from pairs of a score and whether it was late.

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;

use super::super::row::table;
use super::OutcomeRow;

/// What takes all pairs of a score and whether it was late: F1, AUC, log loss and the confusion matrix, and that each
/// figure has its own column in the table.
pub(super) fn held_to_pairs(row: &OutcomeRow, pairs: &[(f64, bool)]) {
    let near = |name: &str, got: Option<f64>, want: f64| {
        assert!(got.is_some_and(|got| (got - want).abs() < 1e-9), "{name}: {got:?}, {want}");
    };
    let cell = |right: bool, answered: bool| {
        let is_there = |(score, late): &&(f64, bool)| *late == right && (*score >= 0.5) == answered;
        pairs.iter().filter(is_there).count()
    };
    let [found, missed, wrong] = [cell(true, true), cell(true, false), cell(false, true)];
    near("f1", row.realised.f1, 2.0 * found as f64 / (2 * found + missed + wrong) as f64);
    let scores = |of: bool| pairs.iter().filter(move |it| it.1 == of).map(|it| it.0);
    let beats = |above: f64, below: f64| {
        f64::from(u8::from(above > below)) + 0.5 * f64::from(u8::from(above == below))
    };
    let above: f64 =
        scores(true).flat_map(|one| scores(false).map(move |other| beats(one, other))).sum();
    let both = scores(true).count() * scores(false).count();
    near("auc", row.realised.auc, above / both as f64);
    let loss = |(score, late): &(f64, bool)| {
        -(if *late { *score } else { 1.0 - score }).clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
    };
    near(
        "log loss",
        row.realised.log_loss,
        pairs.iter().map(loss).sum::<f64>() / pairs.len() as f64,
    );
    let name = |late: bool| if late { "late" } else { "on_time" };
    let cells = [(false, false), (false, true), (true, false), (true, true)]
        .map(|(right, answered)| (name(right), name(answered), cell(right, answered)));
    let mut cells: Vec<_> = cells.into_iter().filter(|cell| cell.2 > 0).collect();
    let said: Vec<serde_json::Value> =
        serde_json::from_str(row.confusion.as_deref().unwrap()).unwrap();
    let mut said: Vec<_> = said
        .iter()
        .map(|it| {
            let text = |key: &str| it[key].as_str().unwrap();
            (text("label"), text("answer"), it["rows"].as_u64().unwrap() as usize)
        })
        .collect();
    cells.sort_unstable();
    said.sort_unstable();
    assert_eq!(said, cells);
    let table = table(std::slice::from_ref(row));
    let column =
        |name: &str| table.column_by_name(name).unwrap().as_primitive::<Float64Type>().value(0);
    for (name, value) in [
        ("accuracy", row.realised.accuracy),
        ("precision", row.realised.precision),
        ("recall", row.realised.recall),
        ("f1", row.realised.f1),
        ("auc", row.realised.auc),
        ("log_loss", row.realised.log_loss),
        ("brier", row.realised.brier),
        ("estimated_accuracy", row.estimated.accuracy),
        ("estimated_f1", row.estimated.f1),
        ("estimated_auc", row.estimated.auc),
    ] {
        assert_eq!(Some(column(name)), value, "{name}");
    }
}

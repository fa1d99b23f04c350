//! Windows of performance as the policy reads them: how far each figure is worse than its baseline.
//!
//! A realised window is handed in as of the time when it could be known: its end and the time-to-live.

use std::collections::BTreeMap;

use monitor::outcomes::{Figures, Kind, Outcome, OutcomeRow};
use monitor::performance::Spread;
use monitor::policy::{Finding, JudgedWindow, Measure, Rule, Subject, Time};
use monitor::stats;

use crate::monitoring::instant;
use crate::pipeline::Pipeline;

/// A figure with a baseline.
struct Figure {
    /// As in the table.
    name: &'static str,
    /// What the metrics of a package may call it.
    called: &'static [&'static str],
    of: fn(&Figures) -> Option<f64>,
    spread: fn(&Figures<Spread>) -> Option<Spread>,
    higher_is_better: bool,
}

macro_rules! figure {
    ($name:ident, $called:expr, $higher_is_better:expr) => {
        Figure {
            name: stringify!($name),
            called: &$called,
            of: |of| of.$name,
            spread: |of| of.$name,
            higher_is_better: $higher_is_better,
        }
    };
}

const FIGURES: [Figure; 9] = [
    figure!(accuracy, ["accuracy"], true),
    figure!(precision, ["precision"], true),
    figure!(recall, ["recall"], true),
    figure!(f1, ["f1", "f1_score"], true),
    figure!(auc, ["auc", "roc_auc"], true),
    figure!(log_loss, ["log_loss"], false),
    figure!(brier, ["brier", "brier_score"], false),
    figure!(mae, ["mae", "mean_absolute_error"], false),
    figure!(rmse, ["rmse", "root_mean_squared_error"], false),
];

/// Figures that a drop is measured from: as configured, else the package's metrics of these names.
pub(crate) fn baseline(pipeline: &Pipeline) -> BTreeMap<&'static str, f64> {
    let (configured, metrics) =
        (&pipeline.config.labels.baseline, &pipeline.package.descriptor().metrics);
    let of = |figure: &Figure| {
        let own = configured.get(figure.name);
        own.or_else(|| figure.called.iter().find_map(|name| metrics.get(*name))).copied()
    };
    FIGURES.iter().filter_map(|figure| Some((figure.name, of(figure)?))).collect()
}

/// The windows of `outcome`, each with what its rules find.
pub(crate) fn judged(
    pipeline: &Pipeline,
    outcome: &Outcome,
    rules: &[Rule],
    baseline: &BTreeMap<&'static str, f64>,
) -> Vec<JudgedWindow> {
    let known_after_ms = match outcome.kind {
        Kind::Estimated => 0,
        // What came too late is no performance.
        Kind::Late => return Vec::new(),
        Kind::Realised => i64::from(pipeline.config.labels.ttl_seconds) * 1_000,
    };
    let mut windows: BTreeMap<i64, Vec<&OutcomeRow>> = BTreeMap::new();
    outcome.rows.iter().for_each(|row| windows.entry(row.window).or_default().push(row));
    let judge = |rows: Vec<&OutcomeRow>| {
        let (start_us, end_us) = (rows[0].start_us, rows[0].end_us);
        JudgedWindow {
            start_ms: start_us.div_euclid(1_000) + known_after_ms,
            end_ms: end_us.div_euclid(1_000) + known_after_ms,
            time: Time::Event,
            findings: corrected(
                rows.iter().flat_map(|row| findings(row, rules, baseline)).collect(),
            ),
        }
    };
    windows.into_values().map(judge).collect()
}

/// The findings with q-values where they had chances: a rule's figures of all versions and arms are tested together.
fn corrected(mut findings: Vec<Finding>) -> Vec<Finding> {
    let tests = findings.iter().map(|it| ((&it.of.model, &it.of.rule), it.q));
    let q_values = stats::q_values(tests);
    findings.iter_mut().zip(q_values).for_each(|(finding, q)| finding.q = q);
    findings
}

/// What the rules find in a row; `q` is the chance of it, not yet [`corrected`].
fn findings(
    row: &OutcomeRow,
    rules: &[Rule],
    baseline: &BTreeMap<&'static str, f64>,
) -> Vec<Finding> {
    let (measure, figures, rows, how) = match row.kind {
        Kind::Realised => (Measure::PerformanceDrop, &row.realised, row.labelled, "is"),
        Kind::Estimated => (Measure::EstimatedDrop, &row.estimated, row.n, "is estimated at"),
        Kind::Late => return Vec::new(),
    };
    let model = row.model_name.clone().unwrap_or_default();
    let (from, to) = (instant(row.start_us), instant(row.end_us));
    let mut found = Vec::new();
    for figure in &FIGURES {
        let Some((value, base)) = (figure.of)(figures).zip(baseline.get(figure.name)) else {
            continue;
        };
        let worse = if figure.higher_is_better { base - value } else { value - base };
        let chance = (figure.spread)(&row.spreads).map(|spread| spread.chance(*base, worse));
        let of_this = |rule: &&Rule| rule.measure == measure && rule.applies(&model, figure.name);
        found.extend(rules.iter().filter(of_this).map(|rule| Finding {
            of: Subject {
                model: model.clone(),
                version: row.model_version.clone().unwrap_or_default(),
                arm: row.arm.clone().unwrap_or_default(),
                segment: String::new(),
                rule: rule.name.clone(),
                subject: figure.name.to_owned(),
            },
            value: worse.max(0.0),
            q: chance,
            rows,
            reason: format!(
                "{} {how} {value:.4} and was {base:.4} when the model was made; {rows} rows of {from} to {to}",
                figure.name
            ),
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use monitor::policy::{Reference, Severity};

    use super::*;

    fn rule(measure: Measure, columns: &[&str]) -> Rule {
        Rule {
            name: "r".into(),
            measure,
            reference: Reference::Training,
            severity: Severity::Warning,
            threshold: 0.05,
            resolve: 0.02,
            critical: None,
            level: None,
            min_rows: 1,
            breaches: 1,
            windows: 1,
            clear_windows: 1,
            cool_down_ms: 0,
            models: vec![],
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
        }
    }

    fn row(kind: Kind) -> OutcomeRow {
        let figures = |accuracy, rmse| Figures { accuracy, rmse, ..Figures::default() };
        OutcomeRow {
            window: 3,
            start_us: 0,
            end_us: 3_600_000_000,
            kind,
            model_name: Some("m".into()),
            model_version: Some("1".into()),
            arm: Some("stable".into()),
            positive: None,
            n: 100,
            labelled: 40,
            too_late: 0,
            invalid: 0,
            realised: figures(Some(0.75), Some(9.0)),
            auc_error: None,
            spreads: Figures::default(),
            estimated: figures(Some(0.5), None),
            calibration_rows: None,
            reliability: Vec::new(),
            confusion: None,
            labels_until_us: None,
        }
    }

    #[test]
    fn a_baseline_may_be_given_for_each_figure() {
        assert_eq!(FIGURES.each_ref().map(|figure| figure.name), crate::config::FIGURES);
    }

    #[test]
    fn a_drop_is_how_much_worse_a_figure_is_than_its_baseline() {
        let baseline = BTreeMap::from([("accuracy", 0.875), ("rmse", 10.0), ("auc", 0.9)]);
        let (realised, estimated) = (Measure::PerformanceDrop, Measure::EstimatedDrop);
        for (kind, measure, columns, expected) in [
            // What became better has not dropped; what is not defined is not judged.
            (Kind::Realised, realised, &[][..], vec![("accuracy", 0.125, 40), ("rmse", 0.0, 40)]),
            (Kind::Realised, realised, &["rm*"], vec![("rmse", 0.0, 40)]),
            (Kind::Realised, estimated, &[], vec![]),
            (Kind::Estimated, estimated, &[], vec![("accuracy", 0.375, 100)]),
            (Kind::Estimated, realised, &[], vec![]),
            (Kind::Realised, Measure::Psi, &[], vec![]),
        ] {
            let found = findings(&row(kind), &[rule(measure, columns)], &baseline);
            let found: Vec<_> =
                found.iter().map(|it| (it.of.subject.as_str(), it.value, it.rows)).collect();
            assert_eq!(found, expected, "{kind:?} {measure:?}");
        }
        let found = findings(&row(Kind::Realised), &[rule(realised, &["accuracy"])], &baseline);
        let reason = &found[0].reason;
        assert!(reason.contains("accuracy is 0.7500 and was 0.8750"), "{reason}");
        assert!(reason.contains("40 rows of 1970-01-01T00:00:00Z"), "{reason}");
        assert!(
            findings(&row(Kind::Realised), &[rule(realised, &[])], &BTreeMap::new()).is_empty()
        );
    }

    #[test]
    fn a_drop_has_its_chance_corrected_over_the_figures_and_arms_of_its_rule() {
        let baseline = BTreeMap::from([("accuracy", 0.875), ("rmse", 10.0)]);
        let spreads = Figures { accuracy: Some(Spread::Share(40)), ..Figures::default() };
        let first = OutcomeRow { spreads, ..row(Kind::Realised) };
        let better = Figures { accuracy: Some(1.0), ..Figures::default() };
        let second = OutcomeRow { arm: Some("canary".into()), realised: better, ..first.clone() };
        let rule = rule(Measure::PerformanceDrop, &[]);
        let found = |row| findings(row, std::slice::from_ref(&rule), &baseline);
        let alone = found(&first);
        let p = alone[0].q.unwrap();
        // P[Binomial(40, 1/8) >= 10] is 0.0227.
        assert!((p - 0.0227).abs() < 0.004, "{p}");
        assert_eq!(alone[1].q, None, "nothing is known of the error of this one");
        let both = corrected([found(&first), found(&second)].concat());
        let q: Vec<Option<f64>> = both.iter().map(|finding| finding.q).collect();
        assert_eq!(q, [Some(2.0 * p), None, Some(1.0)]);
    }
}

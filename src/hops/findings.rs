//! What each rule finds in the rows of a judged window.

use std::collections::BTreeMap;

use monitor::evaluate::{GroupNames, ReportRow, State};
use monitor::policy::{Finding, JudgedWindow, Measure, Rule, Subject, Time};
use monitor::stats;

/// What the number of rows is called where columns have their names.
const ALL_ROWS: &str = "rows";

/// Rows by the number of their window.
pub(super) fn by_window(rows: &[ReportRow]) -> BTreeMap<i64, Vec<&ReportRow>> {
    let mut windows: BTreeMap<i64, Vec<&ReportRow>> = BTreeMap::new();
    rows.iter().for_each(|row| windows.entry(row.window).or_default().push(row));
    windows
}

/// A window's rows as the policy reads them: each rule finds its own number in each row.
pub(super) fn judged(rows: &[&ReportRow], rules: &[Rule], min_rows: u64) -> JudgedWindow {
    let (start_us, end_us) = rows.first().map_or((0, 0), |row| (row.start_us, row.end_us));
    let mut findings = Vec::new();
    for (row, q) in rows.iter().zip(q_values(rows)) {
        let Some(column) = row.column.as_deref() else { continue };
        findings.extend(rules.iter().filter_map(|rule| of_column(rule, row, column, q)));
    }
    findings.extend(volumes(rows, rules, min_rows));
    JudgedWindow {
        start_ms: start_us.div_euclid(1_000),
        end_ms: end_us.div_euclid(1_000),
        time: Time::Event,
        findings,
    }
}

/// Q-values of a row's tests.
#[derive(Clone, Copy)]
struct Tested {
    /// Of chi-square over its bins.
    bins: Option<f64>,
    /// Of Kolmogorov-Smirnov.
    ks: Option<f64>,
    /// Of the rise of nulls.
    nulls: Option<f64>,
}

fn q_values(rows: &[&ReportRow]) -> Vec<Tested> {
    let [bins, ks, nulls] = [
        corrected(rows, |row| row.statistics.p),
        corrected(rows, |row| row.statistics.ks_p),
        corrected(rows, |row| row.null_p),
    ];
    (0..rows.len()).map(|at| Tested { bins: bins[at], ks: ks[at], nulls: nulls[at] }).collect()
}

/// The q-value of each row's `p`, corrected over the columns of all versions and arms together: false alarms
/// are budgeted for a model, however many of its arms are judged.
fn corrected(rows: &[&ReportRow], p: fn(&ReportRow) -> Option<f64>) -> Vec<Option<f64>> {
    stats::q_values(rows.iter().map(|row| {
        let GroupNames { model_name, segment, segment_value, .. } = &row.group;
        ((model_name, segment, segment_value, row.reference), p(row))
    }))
}

fn of_column(rule: &Rule, row: &ReportRow, column: &str, q: Tested) -> Option<Finding> {
    let (value, q) = measured(rule, row, q)?;
    let model = row.group.model_name.clone().unwrap_or_default();
    rule.applies(&model, column).then(|| Finding {
        of: Subject {
            model,
            version: row.group.model_version.clone().unwrap_or_default(),
            arm: row.group.arm.clone().unwrap_or_default(),
            segment: segment(row),
            rule: rule.name.clone(),
            subject: column.to_owned(),
        },
        value,
        q,
        rows: row.n,
        reason: row.reason.clone(),
    })
}

/// How many rows a model has beside the same hours before. Versions and arms take rows from one another,
/// and segments come and go: only all of them together tell.
fn volumes(rows: &[&ReportRow], rules: &[Rule], min_rows: u64) -> Vec<Finding> {
    let mut models: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.column.is_none() && row.group.segment.is_none()) {
        let of = models.entry(row.group.model_name.as_deref().unwrap_or_default()).or_default();
        *of = (of.0 + row.n, of.1 + row.reference_n);
    }
    let known = models.into_iter().filter(|(_, (_, before))| *before >= min_rows.max(1));
    let finding = |(model, (n, before)): (&str, (u64, u64))| {
        let about = |rule: &&Rule| rule.measure == Measure::Volume && rule.applies(model, ALL_ROWS);
        let finding = |rule: &Rule| Finding {
            of: Subject::of_model(model, &rule.name, ALL_ROWS),
            value: n as f64 / before as f64,
            q: None,
            rows: n,
            reason: format!("{n} rows, {before} in the same hours before"),
        };
        rules.iter().filter(about).map(finding).collect::<Vec<_>>()
    };
    known.flat_map(finding).collect()
}

fn segment(row: &ReportRow) -> String {
    match (&row.group.segment, &row.group.segment_value) {
        (Some(name), Some(value)) => format!("{name}={value}"),
        _ => String::new(),
    }
}

/// What `rule` measures in `row`, and its q-value; `None` where it measures nothing.
fn measured(rule: &Rule, row: &ReportRow, q: Tested) -> Option<(f64, Option<f64>)> {
    let of = &row.statistics;
    let (same, faults) = (row.reference == rule.reference, row.speaks_for_quality());
    let drift = |value: Option<f64>, q| value.filter(|_| same).map(|value| (value, q));
    let fault = |value: Option<f64>| value.filter(|_| faults).map(|value| (value, None));
    match rule.measure {
        Measure::Psi => drift(of.psi_corrected, q.bins),
        Measure::CramersV => drift(of.cramers_v, q.bins),
        Measure::JensenShannon => drift(of.jensen_shannon, q.bins),
        Measure::Ks => drift(of.ks_d, q.ks),
        Measure::Wasserstein => drift(of.wasserstein, q.ks),
        Measure::NullShare => {
            let more = row.null_share.zip(row.reference_null_share).map(|(a, b)| a - b);
            fault(more).map(|(more, _)| (more, q.nulls))
        }
        Measure::NewCategories => fault(row.new_share),
        Measure::OutOfRange => fault(row.out_of_range_share),
        Measure::SchemaChange => fault(Some(f64::from(u8::from(row.state == State::Missing)))),
        // Volume is of no column; by the clock on the wall that is `Pulse`'s; of labels nothing is known.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use monitor::evaluate::Statistics;
    use monitor::policy::{Reference, Severity};

    use super::*;

    fn rule(measure: Measure) -> Rule {
        Rule {
            name: "r".into(),
            measure,
            reference: Reference::Previous,
            severity: Severity::Warning,
            threshold: 0.5,
            resolve: 0.6,
            critical: None,
            level: None,
            min_rows: 0,
            breaches: 1,
            windows: 1,
            clear_windows: 1,
            cool_down_ms: 0,
            models: vec![],
            columns: vec![],
        }
    }

    fn rows(version: &str, segment: Option<&str>, n: u64, reference_n: u64) -> ReportRow {
        ReportRow {
            window: 7,
            start_us: 0,
            end_us: 3_600_000_000,
            group: GroupNames {
                model_name: Some("m".into()),
                model_version: Some(version.into()),
                arm: Some("stable".into()),
                segment: segment.map(|_| "country".into()),
                segment_value: segment.map(str::to_owned),
            },
            reference: Reference::Previous,
            profile: String::new(),
            column: None,
            state: State::Stable,
            reason: String::new(),
            n,
            reference_n,
            phi: None,
            statistics: Statistics::default(),
            null_share: None,
            reference_null_share: None,
            null_p: None,
            new_share: None,
            out_of_range_share: None,
            mean: None,
            min: None,
            max: None,
        }
    }

    #[test]
    fn volume_is_a_models_whatever_version_or_arm_has_the_rows() {
        let found = |rows: &[ReportRow]| -> Vec<(String, f64)> {
            let rows: Vec<_> = rows.iter().collect();
            let judged = judged(&rows, &[rule(Measure::Volume), rule(Measure::Psi)], 100);
            judged.findings.into_iter().map(|it| (it.of.version, it.value)).collect()
        };
        // A switch from one version to the other, and a segment that is gone.
        let switched =
            [rows("1", None, 0, 400), rows("2", None, 500, 0), rows("2", Some("se"), 0, 90)];
        assert_eq!(found(&switched), [(String::new(), 1.25)]);
        assert_eq!(found(&[rows("1", None, 0, 400)]), [(String::new(), 0.0)]);
        assert_eq!(found(&[rows("1", None, 0, 99)]), [], "too few before to tell");
    }

    #[test]
    fn each_fault_of_the_data_is_found_by_its_measure_alone() {
        let broken = ReportRow {
            reference: Reference::Training,
            column: Some("x".into()),
            state: State::Missing,
            null_share: Some(0.25),
            reference_null_share: Some(0.0625),
            null_p: Some(0.01),
            new_share: Some(0.03),
            out_of_range_share: Some(0.02),
            ..rows("1", None, 500, 500)
        };
        let well = ReportRow { state: State::Stable, ..broken.clone() };
        let found = |row: &ReportRow, measure: Measure| -> Vec<(f64, Option<f64>)> {
            let judged = judged(&[row], &[rule(measure)], 100);
            judged.findings.into_iter().map(|it| (it.value, it.q)).collect()
        };
        for (measure, value, q) in [
            (Measure::NullShare, 0.1875, Some(0.01)),
            (Measure::NewCategories, 0.03, None),
            (Measure::OutOfRange, 0.02, None),
            (Measure::SchemaChange, 1.0, None),
        ] {
            assert_eq!(found(&broken, measure), [(value, q)], "{measure:?}");
            // The hours before say nothing that the profile does not.
            let before = ReportRow { reference: Reference::Previous, ..broken.clone() };
            assert_eq!(found(&before, measure), [], "{measure:?}");
        }
        assert_eq!(found(&well, Measure::SchemaChange), [(0.0, None)]);
    }

    #[test]
    fn arms_and_versions_of_a_model_are_tested_together() {
        let column = |version: &str, segment: Option<&str>, p: f64| {
            let psi_corrected = Some(0.6);
            let tested = Statistics {
                psi_corrected,
                ks_d: psi_corrected,
                p: Some(p),
                ks_p: Some(p),
                ..Statistics::default()
            };
            let of = rows(version, segment, 500, 500);
            ReportRow { column: Some("x".into()), statistics: tested, ..of }
        };
        let found = |rows: &[ReportRow], measure: Measure| -> Vec<Option<f64>> {
            let rows: Vec<_> = rows.iter().collect();
            let judged = judged(&rows, &[rule(measure)], 100);
            judged.findings.into_iter().map(|it| it.q).collect()
        };
        let mut canary = column("2", None, 0.9);
        canary.group.arm = Some("canary".into());
        let mut other = column("1", None, 0.9);
        other.group.model_name = Some("other".into());
        let (alone, segment) = (column("1", None, 0.01), column("1", Some("se"), 0.9));
        for measure in [Measure::Psi, Measure::Ks] {
            assert_eq!(found(std::slice::from_ref(&alone), measure), [Some(0.01)]);
            let two = [alone.clone(), canary.clone()];
            assert_eq!(found(&two, measure), [Some(0.02), Some(0.9)], "the budget is shared");
            let apart = [alone.clone(), segment.clone(), other.clone()];
            assert_eq!(found(&apart, measure)[0], Some(0.01), "with nobody else");
        }
    }
}

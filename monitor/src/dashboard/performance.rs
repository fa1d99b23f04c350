//! Realised and estimated performance over time, out of the published files.
//!
//! Nothing is kept: a question reads the newest files that hold its windows, of one model.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::query::{Problem, Query, instant};
use super::series::rounded;
use crate::outcomes::published::{self, Defined, Published};
use crate::outcomes::{Kind, PerformanceFiles};

/// Files read for one question and kind of row: a day of windows each.
const MOST_FILES: usize = 100;

/// Points of one model over time, the oldest first.
pub(super) fn performance(
    files: Option<&PerformanceFiles>,
    mut query: Query<'_>,
) -> Result<Value, Problem> {
    let (group, stretch) = (query.group(), query.stretch()?);
    query.end()?;
    let Some(files) = files else {
        let fix = "name the topic of the labels in [labels]";
        return Err(Problem::nothing("no labels are configured", "", fix));
    };
    let mut points: BTreeMap<i64, Point> = BTreeMap::new();
    // What was realised says again what had been expected: it is read last and stands.
    for kind in [Kind::Late, Kind::Estimated, Kind::Realised] {
        let mut found = 0;
        for (_, path) in files.of(kind)?.iter().rev().take(MOST_FILES) {
            let rows = published::read(path)?;
            let newest = rows.iter().map(|row| row.start_us).max();
            let wanted = |row: &Published| {
                row.names.each_ref().map(String::as_str)
                    == [group.model.as_str(), group.version.as_str(), group.arm.as_str()]
                    && (stretch.from..stretch.upto).contains(&row.start_us)
            };
            for row in rows.into_iter().filter(wanted) {
                found += 1;
                points.entry(row.start_us).or_default().take(row);
            }
            if found >= stretch.most || newest.is_some_and(|newest| newest < stretch.from) {
                break;
            }
        }
    }
    let newest = points.iter().rev().take(stretch.most).collect::<Vec<_>>();
    let positive = newest.iter().find_map(|(_, point)| point.positive.as_deref());
    Ok(json!({
        "model": group.model,
        "version": group.version,
        "arm": group.arm,
        "positive_class": positive,
        "points": newest.iter().rev().map(|(start, point)| point.json(**start)).collect::<Vec<_>>(),
    }))
}

/// What is known of one window.
#[derive(Default)]
struct Point {
    end_us: i64,
    n: i64,
    labelled: Option<i64>,
    too_late: Option<i64>,
    invalid: i64,
    coverage: Option<f64>,
    calibration_rows: Option<i64>,
    positive: Option<String>,
    realised: Option<Defined>,
    estimated: Option<Defined>,
}

impl Point {
    /// Takes a later row of the same window; an estimate that it does not repeat stays.
    fn take(&mut self, row: Published) {
        let (estimated, calibration_rows) = if row.estimated.is_empty() {
            (self.estimated.take(), self.calibration_rows)
        } else {
            (Some(row.estimated), row.calibration_rows)
        };
        *self = Self {
            end_us: row.end_us,
            n: row.n,
            labelled: row.labelled,
            too_late: row.too_late.or(self.too_late),
            invalid: row.invalid,
            coverage: row.coverage,
            calibration_rows,
            positive: row.positive,
            realised: (row.kind == Kind::Realised).then_some(row.realised),
            estimated,
        };
    }

    fn json(&self, start: i64) -> Value {
        json!({
            "window_start": instant(start),
            "window_end": instant(self.end_us),
            "n": self.n,
            "labelled": self.labelled,
            "too_late": self.too_late,
            "coverage": rounded(self.coverage),
            "invalid": self.invalid,
            "realised": self.realised.as_ref().map(figures),
            "estimated": self.estimated.as_ref().map(figures),
            "calibration_rows": self.calibration_rows,
        })
    }
}

fn figures(of: &Defined) -> Value {
    of.iter().map(|(name, figure)| ((*name).to_owned(), json!(rounded(Some(*figure))))).collect()
}

//! Realised and estimated performance over time, out of the published files.
//!
//! Nothing is kept: a question reads the newest files that hold its windows, of one model.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use batch::StoreError;
use batch::source::Columns;
use serde_json::{Map, Value, json};

use super::history::GroupKey;
use super::query::{Problem, Query, Stretch, instant};
use super::series::rounded;
use crate::outcomes::{Kind, PerformanceFiles};

/// Files read for one question and kind of row: a day of windows each.
const MOST_FILES: usize = 100;
/// Before the name of a figure that is expected.
const ESTIMATED: &str = "estimated_";
/// Figures of what came true; those that can be expected have a column each with [`ESTIMATED`] before it.
const FIGURES: [&str; 10] =
    ["accuracy", "precision", "recall", "f1", "auc", "log_loss", "brier", "mae", "rmse", "bias"];

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
    for kind in [Kind::Estimated, Kind::Realised] {
        let mut found = 0;
        for (_, path) in files.of(kind)?.iter().rev().take(MOST_FILES) {
            let rows = rows(path, &group, &stretch)?;
            found += rows.found.len();
            for (start, row) in rows.found {
                points.entry(start).or_default().take(row);
            }
            if found >= stretch.most || rows.newest.is_some_and(|newest| newest < stretch.from) {
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
    invalid: i64,
    coverage: Option<f64>,
    positive: Option<String>,
    realised: Option<Map<String, Value>>,
    estimated: Option<Map<String, Value>>,
}

impl Point {
    /// Takes a later row of the same window; an estimate that it does not repeat stays.
    fn take(&mut self, row: Self) {
        let estimated = row.estimated.clone().or(self.estimated.take());
        *self = Self { estimated, ..row };
    }

    fn json(&self, start: i64) -> Value {
        json!({
            "window_start": instant(start),
            "window_end": instant(self.end_us),
            "n": self.n,
            "labelled": self.labelled,
            "coverage": rounded(self.coverage),
            "invalid": self.invalid,
            "realised": self.realised,
            "estimated": self.estimated,
        })
    }
}

/// Rows of one file.
struct Rows {
    /// Those of the group in the stretch, by the starts of their windows.
    found: Vec<(i64, Point)>,
    /// The newest start of all rows.
    newest: Option<i64>,
}

fn rows(path: &Path, group: &GroupKey, stretch: &Stretch) -> Result<Rows, StoreError> {
    let file = Columns::open(path)?;
    let schema = crate::outcomes::performance_schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut rows = Rows { found: Vec::new(), newest: None };
    for batch in file.read(&names, 0..file.rows())? {
        let batch = batch?;
        rows.take(&batch, group, stretch).ok_or_else(|| StoreError::Foreign {
            path: path.to_path_buf(),
            reason: "it is no performance file of this build".into(),
        })?;
    }
    Ok(rows)
}

impl Rows {
    /// `None` when the batch is not laid out as a performance file is.
    fn take(&mut self, batch: &RecordBatch, group: &GroupKey, stretch: &Stretch) -> Option<()> {
        let instants =
            |name: &str| batch.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>();
        let (starts, ends) = (instants("window_start")?, instants("window_end")?);
        let texts = [
            ("model_name", group.model.as_str()),
            ("model_version", group.version.as_str()),
            ("arm", group.arm.as_str()),
        ];
        for row in 0..batch.num_rows() {
            let start = starts.value(row);
            self.newest = self.newest.max(Some(start));
            let mut is_of_group = true;
            for (name, wanted) in texts {
                is_of_group &= text(batch, name, row)?.unwrap_or_default() == wanted;
            }
            if !is_of_group || !(stretch.from..stretch.upto).contains(&start) {
                continue;
            }
            let kind = text(batch, "kind", row)??;
            let realised = (kind == "realised").then(|| figures(batch, "", row));
            let estimated = figures(batch, ESTIMATED, row);
            self.found.push((
                start,
                Point {
                    end_us: ends.value(row),
                    n: count(batch, "n", row).unwrap_or(0),
                    labelled: count(batch, "labelled", row),
                    invalid: count(batch, "invalid", row).unwrap_or(0),
                    coverage: number(batch, "coverage", row),
                    positive: text(batch, "positive_class", row)?.map(str::to_owned),
                    realised,
                    estimated: (!estimated.is_empty()).then_some(estimated),
                },
            ));
        }
        Some(())
    }
}

/// The figures of a row that are defined.
fn figures(batch: &RecordBatch, before: &str, row: usize) -> Map<String, Value> {
    let of = |name: &str| rounded(number(batch, &format!("{before}{name}"), row));
    let defined = |name: &&str| Some(((*name).to_owned(), json!(of(name)?)));
    FIGURES.iter().filter_map(defined).collect()
}

/// `None` without such a column; none inside where it is null.
fn text<'b>(batch: &'b RecordBatch, name: &str, row: usize) -> Option<Option<&'b str>> {
    let coded = batch.column_by_name(name)?.as_dictionary_opt::<Int32Type>()?;
    let values = coded.values().as_string_opt::<i32>()?;
    Some(coded.key(row).map(|key| values.value(key)))
}

fn count(batch: &RecordBatch, name: &str, row: usize) -> Option<i64> {
    let column = batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
    column.is_valid(row).then(|| column.value(row))
}

fn number(batch: &RecordBatch, name: &str, row: usize) -> Option<f64> {
    let column = batch.column_by_name(name)?.as_primitive_opt::<Float64Type>()?;
    column.is_valid(row).then(|| column.value(row)).filter(|value| value.is_finite())
}

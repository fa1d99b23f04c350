//! Published rows of performance, read back: for pages, and for whoever asks how a model did last.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use batch::StoreError;
use batch::source::Columns;
use serde_json::{Value, json};

use super::{Kind, PerformanceFiles, performance_schema};

/// Before the name of a figure that is expected.
const ESTIMATED: &str = "estimated_";
/// Figures of what came true; those that can be expected have a column each with [`ESTIMATED`] before it.
const FIGURES: [&str; 10] =
    ["accuracy", "precision", "recall", "f1", "auc", "log_loss", "brier", "mae", "rmse", "bias"];
/// Files of a kind that are looked at for the newest row: a day of windows each.
const MOST_FILES: usize = 10;

/// Figures that are defined, by their names.
pub(crate) type Defined = BTreeMap<&'static str, f64>;

/// A row of a file.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) kind: Kind,
    pub(crate) start_us: i64,
    pub(crate) end_us: i64,
    /// Model, version, arm; empty where it has none.
    pub(crate) names: [String; 3],
    pub(crate) positive: Option<String>,
    pub(crate) n: i64,
    pub(crate) labelled: Option<i64>,
    pub(crate) too_late: Option<i64>,
    pub(crate) invalid: i64,
    pub(crate) coverage: Option<f64>,
    pub(crate) calibration_rows: Option<i64>,
    /// Points of the diagram, as JSON.
    pub(crate) reliability: Option<String>,
    pub(crate) realised: Defined,
    pub(crate) estimated: Defined,
}

/// The rows of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<Published>, StoreError> {
    let file = Columns::open(path)?;
    let schema = performance_schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut rows = Vec::new();
    for batch in file.read(&names, 0..file.rows())? {
        let batch = batch?;
        for at in 0..batch.num_rows() {
            rows.push(row(&batch, at).ok_or_else(|| StoreError::Foreign {
                path: path.to_path_buf(),
                reason: "it is no performance file of this build".into(),
            })?);
        }
    }
    Ok(rows)
}

/// The newest rows of each model, of its versions and arms: what came true of the last window of which
/// anything did, and what is expected of the last one. Each says its window.
pub fn newest(files: &PerformanceFiles) -> Result<BTreeMap<String, Value>, StoreError> {
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for kind in [Kind::Realised, Kind::Estimated] {
        let mut windows: BTreeMap<String, i64> = BTreeMap::new();
        for (_, path) in files.of(kind)?.iter().rev().take(MOST_FILES) {
            let mut rows = read(path)?;
            rows.sort_by_key(|row| std::cmp::Reverse(row.start_us));
            for row in rows.iter().filter(|row| kind == Kind::Estimated || row.labelled > Some(0)) {
                let [model, ..] = &row.names;
                if *windows.entry(model.clone()).or_insert(row.start_us) == row.start_us {
                    found.entry(model.clone()).or_default().push(row.said());
                }
            }
            if !windows.is_empty() {
                break;
            }
        }
    }
    Ok(found.into_iter().map(|(model, rows)| (model, json!({ "windows": rows }))).collect())
}

impl Published {
    /// As requests to train say it.
    fn said(&self) -> Value {
        let [_, version, arm] = &self.names;
        let instant =
            |micros| jiff::Timestamp::from_microsecond(micros).map(|at| at.to_string()).ok();
        json!({
            "kind": self.kind,
            "model_version": version,
            "arm": arm,
            "window_start": instant(self.start_us),
            "window_end": instant(self.end_us),
            "rows": self.n,
            "labelled": self.labelled,
            "calibration_rows": self.calibration_rows,
            "realised": self.realised,
            "estimated": self.estimated,
        })
    }
}

/// `None` when the batch is not laid out as a performance file is.
fn row(batch: &RecordBatch, at: usize) -> Option<Published> {
    let instants =
        |name: &str| batch.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>();
    let name = |name: &str| Some(text(batch, name, at)?.unwrap_or_default().to_owned());
    let kind = match text(batch, "kind", at)?? {
        "estimated" => Kind::Estimated,
        "realised" => Kind::Realised,
        "late" => Kind::Late,
        _ => return None,
    };
    Some(Published {
        kind,
        start_us: instants("window_start")?.value(at),
        end_us: instants("window_end")?.value(at),
        names: [name("model_name")?, name("model_version")?, name("arm")?],
        positive: text(batch, "positive_class", at)?.map(str::to_owned),
        n: count(batch, "n", at).unwrap_or(0),
        labelled: count(batch, "labelled", at),
        too_late: count(batch, "too_late", at),
        invalid: count(batch, "invalid", at).unwrap_or(0),
        coverage: number(batch, "coverage", at),
        calibration_rows: count(batch, "calibration_rows", at),
        reliability: text(batch, "reliability", at).flatten().map(str::to_owned),
        realised: figures(batch, "", at),
        estimated: figures(batch, ESTIMATED, at),
    })
}

fn figures(batch: &RecordBatch, before: &str, row: usize) -> Defined {
    let of = |name: &'static str| Some((name, number(batch, &format!("{before}{name}"), row)?));
    FIGURES.into_iter().filter_map(of).collect()
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

//! A row of the table `performance`: one model version and arm in one window.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde::Serialize;
use serde_json::json;

use super::tally::{Answer, GroupKey, Tally};
use crate::performance::{Point, Spread};

/// What a row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What is expected of the scores, without labels.
    Estimated,
    /// What came true, beside what was expected.
    Realised,
    /// How many labels came after their time-to-live, once another one has passed.
    Late,
}

/// Figures of performance; `None` where a figure is not defined, or not for this kind of answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it; units are in ARCHITECTURE")]
pub struct Figures<T = f64> {
    pub accuracy: Option<T>,
    pub precision: Option<T>,
    pub recall: Option<T>,
    pub f1: Option<T>,
    pub auc: Option<T>,
    pub log_loss: Option<T>,
    pub brier: Option<T>,
    pub mae: Option<T>,
    pub rmse: Option<T>,
    pub bias: Option<T>,
}

impl<T> Default for Figures<T> {
    fn default() -> Self {
        Self {
            accuracy: None,
            precision: None,
            recall: None,
            f1: None,
            auc: None,
            log_loss: None,
            brier: None,
            mae: None,
            rmse: None,
            bias: None,
        }
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutcomeRow {
    /// Number of the window.
    pub window: i64,
    /// Its start in microseconds.
    pub start_us: i64,
    /// Its end in microseconds.
    pub end_us: i64,
    /// Estimated or realised.
    pub kind: Kind,
    /// The model.
    pub model_name: Option<String>,
    /// Its version.
    pub model_version: Option<String>,
    /// The arm.
    pub arm: Option<String>,
    /// The class that precision, recall, F1 and AUC are of; none: they are means over classes.
    pub positive: Option<String>,
    /// Results in the window.
    pub n: u64,
    /// Those with a label.
    pub labelled: u64,
    /// Those with a label that came after its time-to-live, and before another one had passed.
    pub too_late: u64,
    /// Labelled ones whose label or answer cannot be compared; for an estimate, scores that are none.
    pub invalid: u64,
    /// What came true.
    pub realised: Figures,
    /// How far the AUC may be off, since not all scores were told apart.
    pub auc_error: Option<f64>,
    /// What is expected of all rows of the window, labelled or not.
    pub estimated: Figures,
    /// Labelled rows that the scores were calibrated by before they were taken for probabilities; none: they
    /// were taken as they are.
    pub calibration_rows: Option<u64>,
    /// What the chance of a drop of its figures follows from: of what came true, or of what is expected.
    #[serde(skip)]
    pub spreads: Figures<Spread>,
    /// How often scores came true, by score.
    pub reliability: Vec<Point>,
    /// Rows by right and answered class, as JSON.
    pub confusion: Option<String>,
    /// Up to when labels were complete, in microseconds.
    pub labels_until_us: Option<i64>,
}

impl OutcomeRow {
    pub(super) fn new(
        kind: Kind,
        window: i64,
        extent: Range<i64>,
        [model_name, model_version, arm]: GroupKey,
        tally: &Tally<'_>,
        labels_until_us: Option<i64>,
        answer: &Answer,
    ) -> Self {
        let realised =
            if kind == Kind::Realised { realised(tally, answer) } else { Figures::default() };
        let expected = tally.estimate.expected();
        let estimated = Figures {
            accuracy: expected.accuracy,
            precision: expected.precision,
            recall: expected.recall,
            f1: expected.f1,
            auc: expected.auc.map(|auc| auc.value),
            ..Figures::default()
        };
        let invalid = match kind {
            Kind::Estimated => tally.estimate.invalid(),
            Kind::Realised => tally.invalid + tally.errors.invalid(),
            Kind::Late => 0,
        };
        let auc = if kind == Kind::Realised { tally.scores.auc() } else { expected.auc };
        Self {
            window,
            start_us: extent.start,
            end_us: extent.end,
            kind,
            model_name,
            model_version,
            arm,
            positive: answer.positive().map(str::to_owned),
            n: tally.rows,
            labelled: tally.labelled,
            too_late: tally.too_late,
            invalid,
            realised,
            auc_error: auc.map(|auc| auc.error),
            estimated,
            spreads: match kind {
                Kind::Estimated => estimated_spreads(tally),
                Kind::Realised => realised_spreads(tally, answer),
                Kind::Late => Figures::default(),
            },
            calibration_rows: tally.calibration.map(|it| it.rows).filter(|_| kind != Kind::Late),
            reliability: if kind == Kind::Realised {
                tally.scores.reliability().points()
            } else {
                Vec::new()
            },
            confusion: (kind == Kind::Realised).then(|| confusion(tally)).flatten(),
            labels_until_us: labels_until_us.filter(|_| kind != Kind::Estimated),
        }
    }

    /// Share of the results with a label.
    pub fn coverage(&self) -> Option<f64> {
        (self.n > 0 && self.kind == Kind::Realised).then(|| self.labelled as f64 / self.n as f64)
    }
}

fn realised(tally: &Tally<'_>, answer: &Answer) -> Figures {
    let [precision, recall, f1] = match answer.positive().map(|class| tally.confusion.of(class)) {
        Some(of) => {
            [of.and_then(|o| o.precision()), of.and_then(|o| o.recall()), of.and_then(|o| o.f1())]
        }
        None => tally.confusion.macro_means().map_or([None; 3], |means| means.map(Some)),
    };
    Figures {
        accuracy: tally.confusion.accuracy(),
        precision,
        recall,
        f1,
        auc: tally.scores.auc().map(|auc| auc.value),
        log_loss: tally.scores.log_loss(),
        brier: tally.scores.brier(),
        mae: tally.errors.mae(),
        rmse: tally.errors.rmse(),
        bias: tally.errors.bias(),
    }
}

fn realised_spreads(tally: &Tally<'_>, answer: &Answer) -> Figures<Spread> {
    let confusion = &tally.confusion;
    let [precision, recall, f1] = match answer.positive().map(|class| confusion.of(class)) {
        Some(of) => of.map_or([None; 3], |of| {
            let found = of.true_positive;
            [
                Some(Spread::Share(found + of.false_positive)),
                Some(Spread::Share(found + of.false_negative)),
                Some(Spread::Overlap(found + of.false_positive + of.false_negative)),
            ]
        }),
        None => confusion
            .macro_errors()
            .map_or([None; 3], |errors| errors.map(|error| Some(Spread::Error(error)))),
    };
    let (scores, errors) = (&tally.scores, &tally.errors);
    let positives = scores.positives();
    Figures {
        accuracy: Some(Spread::Share(confusion.rows())),
        precision,
        recall,
        f1,
        auc: Some(Spread::Ranking { positives, negatives: scores.rows() - positives }),
        log_loss: scores.log_loss_error().map(Spread::Error),
        brier: scores.brier_error().map(Spread::Error),
        mae: errors.mae_error().map(Spread::Error),
        rmse: errors.rmse_error().map(Spread::Error),
        bias: None,
    }
}

fn estimated_spreads(tally: &Tally<'_>) -> Figures<Spread> {
    let of = &tally.estimate;
    let [found, missed] = of.positives().map(|rows| rows.round() as u64);
    let (rows, answered, positives) = (of.rows(), of.answered(), found + missed);
    Figures {
        accuracy: Some(Spread::Share(rows)),
        precision: Some(Spread::Share(answered)),
        recall: Some(Spread::Share(positives)),
        f1: Some(Spread::Overlap(answered + missed)),
        auc: Some(Spread::Ranking { positives, negatives: rows.saturating_sub(positives) }),
        ..Figures::default()
    }
}

/// `[{"label": …, "answer": …, "rows": …}, …]`; none where nothing was counted.
fn confusion(tally: &Tally<'_>) -> Option<String> {
    let cells: Vec<_> = tally
        .confusion
        .cells()
        .map(|(label, answer, rows)| json!({ "label": label, "answer": answer, "rows": rows }))
        .collect();
    (!cells.is_empty()).then(|| json!(cells).to_string())
}

type TextOf = fn(&OutcomeRow) -> Option<Cow<'_, str>>;

const TEXTS: [(&str, TextOf); 7] = [
    ("kind", |row| {
        Some(Cow::Borrowed(match row.kind {
            Kind::Estimated => "estimated",
            Kind::Realised => "realised",
            Kind::Late => "late",
        }))
    }),
    ("model_name", |row| row.model_name.as_deref().map(Cow::Borrowed)),
    ("model_version", |row| row.model_version.as_deref().map(Cow::Borrowed)),
    ("arm", |row| row.arm.as_deref().map(Cow::Borrowed)),
    ("positive_class", |row| row.positive.as_deref().map(Cow::Borrowed)),
    ("confusion", |row| row.confusion.as_deref().map(Cow::Borrowed)),
    ("reliability", |row| {
        (!row.reliability.is_empty()).then(|| Cow::Owned(json!(row.reliability).to_string()))
    }),
];

type CountOf = fn(&OutcomeRow) -> Option<u64>;

const COUNTS: [(&str, CountOf); 5] = [
    ("n", |row| Some(row.n)),
    ("labelled", |row| (row.kind == Kind::Realised).then_some(row.labelled)),
    ("invalid", |row| (row.kind != Kind::Late).then_some(row.invalid)),
    ("calibration_rows", |row| row.calibration_rows),
    ("too_late", |row| (row.kind == Kind::Late).then_some(row.too_late)),
];

type NumberOf = fn(&OutcomeRow) -> Option<f64>;

const NUMBERS: [(&str, NumberOf); 17] = [
    ("coverage", OutcomeRow::coverage),
    ("accuracy", |row| row.realised.accuracy),
    ("precision", |row| row.realised.precision),
    ("recall", |row| row.realised.recall),
    ("f1", |row| row.realised.f1),
    ("auc", |row| row.realised.auc),
    ("auc_error", |row| row.auc_error),
    ("log_loss", |row| row.realised.log_loss),
    ("brier", |row| row.realised.brier),
    ("mae", |row| row.realised.mae),
    ("rmse", |row| row.realised.rmse),
    ("bias", |row| row.realised.bias),
    ("estimated_accuracy", |row| row.estimated.accuracy),
    ("estimated_precision", |row| row.estimated.precision),
    ("estimated_recall", |row| row.estimated.recall),
    ("estimated_f1", |row| row.estimated.f1),
    ("estimated_auc", |row| row.estimated.auc),
];

/// Columns of the performance table.
#[must_use]
pub fn performance_schema() -> SchemaRef {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new("window_start", instant.clone(), false),
        Field::new("window_end", instant.clone(), false),
        Field::new("labels_until", instant, true),
    ];
    fields.extend(TEXTS.map(|(name, _)| Field::new(name, DataType::Utf8, true)));
    fields.extend(COUNTS.map(|(name, _)| Field::new(name, DataType::Int64, true)));
    fields.extend(NUMBERS.map(|(name, _)| Field::new(name, DataType::Float64, true)));
    Arc::new(Schema::new(fields))
}

pub(super) fn table(rows: &[OutcomeRow]) -> RecordBatch {
    let instants = |of: fn(&OutcomeRow) -> Option<i64>| -> ArrayRef {
        let values: TimestampMicrosecondArray = rows.iter().map(of).collect();
        Arc::new(values.with_timezone("UTC"))
    };
    let mut arrays = vec![
        instants(|row| Some(row.start_us)),
        instants(|row| Some(row.end_us)),
        instants(|row| row.labels_until_us),
    ];
    for (_, of) in TEXTS {
        arrays.push(Arc::new(rows.iter().map(of).collect::<StringArray>()));
    }
    for (_, of) in COUNTS {
        let counts = rows.iter().map(|row| of(row).map(u64::cast_signed));
        arrays.push(Arc::new(counts.collect::<Int64Array>()));
    }
    for (_, of) in NUMBERS {
        arrays.push(Arc::new(rows.iter().map(of).collect::<Float64Array>()));
    }
    RecordBatch::try_new(performance_schema(), arrays).expect("columns as the schema has them")
}

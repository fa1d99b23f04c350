//! Report rows as columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::row::ReportRow;

/// Name and value of each column of doubles.
type Number = (&'static str, fn(&ReportRow) -> Option<f64>);
/// Name and value of each column of text.
type Text = (&'static str, fn(&ReportRow) -> Option<&str>);

const TEXTS: [Text; 10] = [
    ("model_name", |row| row.group.model_name.as_deref()),
    ("model_version", |row| row.group.model_version.as_deref()),
    ("arm", |row| row.group.arm.as_deref()),
    ("segment", |row| row.group.segment.as_deref()),
    ("segment_value", |row| row.group.segment_value.as_deref()),
    ("reference", |row| Some(row.reference.name())),
    ("profile", |row| Some(&row.profile)),
    ("column_name", |row| row.column.as_deref()),
    ("state", |row| Some(row.state.name())),
    ("reason", |row| Some(&row.reason)),
];

const NUMBERS: [Number; 21] = [
    ("phi", |row| row.phi),
    ("psi", |row| row.statistics.psi),
    ("psi_bias", |row| row.statistics.psi_bias),
    ("psi_corrected", |row| row.statistics.psi_corrected),
    ("chi_square", |row| row.statistics.chi_square),
    ("p", |row| row.statistics.p),
    ("q", |row| row.statistics.q),
    ("cramers_v", |row| row.statistics.cramers_v),
    ("ks_d", |row| row.statistics.ks_d),
    ("ks_p", |row| row.statistics.ks_p),
    ("ks_q", |row| row.statistics.ks_q),
    ("jensen_shannon", |row| row.statistics.jensen_shannon),
    ("wasserstein", |row| row.statistics.wasserstein),
    ("null_share", |row| row.null_share),
    ("reference_null_share", |row| row.reference_null_share),
    ("null_p", |row| row.null_p),
    ("new_share", |row| row.new_share),
    ("out_of_range_share", |row| row.out_of_range_share),
    ("mean", |row| row.mean),
    ("min", |row| row.min),
    ("max", |row| row.max),
];

/// Columns of the reports table.
#[must_use]
pub fn report_schema() -> SchemaRef {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new("window_start", instant.clone(), false),
        Field::new("window_end", instant, false),
    ];
    fields.extend(TEXTS.map(|(name, _)| Field::new(name, DataType::Utf8, true)));
    fields.push(Field::new("n", DataType::Int64, false));
    fields.push(Field::new("reference_n", DataType::Int64, false));
    fields.extend(NUMBERS.map(|(name, _)| Field::new(name, DataType::Float64, true)));
    Arc::new(Schema::new(fields))
}

pub(super) fn table(rows: &[ReportRow]) -> RecordBatch {
    let instants = |of: fn(&ReportRow) -> i64| -> ArrayRef {
        let values = TimestampMicrosecondArray::from_iter_values(rows.iter().map(of));
        Arc::new(values.with_timezone("UTC"))
    };
    let integers = |of: fn(&ReportRow) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| of(row).cast_signed())))
    };
    let mut arrays = vec![instants(|row| row.start_us), instants(|row| row.end_us)];
    for (_, of) in TEXTS {
        arrays.push(Arc::new(rows.iter().map(of).collect::<StringArray>()));
    }
    arrays.extend([integers(|row| row.n), integers(|row| row.reference_n)]);
    for (_, of) in NUMBERS {
        // What is not finite could not be computed.
        let finite = rows.iter().map(|row| of(row).filter(|value| value.is_finite()));
        arrays.push(Arc::new(finite.collect::<Float64Array>()));
    }
    RecordBatch::try_new(report_schema(), arrays).expect("columns as the schema has them")
}

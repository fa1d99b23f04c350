//! Columns of the output: the input's that are kept, and the model's under the results table's names.
//!
//! What the contract calls sensitive is as everywhere: dropped, or a hash. Refuses two columns of one
//! name, and never guesses which one was meant.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::compute::{cast, filter, is_not_null, is_null};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use schemas::{Contract, Sensitive, column_of_field, column_of_output, hashed_once};

use super::Model;
use crate::error::StoreError;

/// Columns of both files, and how they come about.
pub(super) struct Columns {
    kept: Vec<Kept>,
    pub(super) results: SchemaRef,
    pub(super) rejects: SchemaRef,
    coordinates: bool,
}

/// A column of the input that goes on to the output.
struct Kept {
    column: String,
    /// The contract's type and the salt, where a hash stands for the value.
    hash: Option<(DataType, Arc<[u8]>)>,
}

/// What every row of a part has in common.
pub(super) struct Stamp {
    /// The input file.
    pub(super) file: String,
    /// When it was scored, in microseconds since the epoch.
    pub(super) scored_at: i64,
}

impl Columns {
    /// The output for inputs of these columns, of which `wished` are kept, all when it is empty.
    pub(super) fn new(
        model: &Model,
        columns: &Schema,
        wished: &[String],
        coordinates: bool,
        salt: &[u8],
    ) -> Result<Self, StoreError> {
        let refused = |message: String| Err(StoreError::Query(message));
        let known: Vec<&str> = columns.fields().iter().map(|field| field.name().as_str()).collect();
        if let Some(name) = wished.iter().find(|name| !known.contains(&name.as_str())) {
            return refused(format!(
                "no column is called {name:?}; there are: {}",
                known.join(", ")
            ));
        }
        let of_contract = |name: &str| {
            let mut fields = model.contract.fields().iter();
            fields.find(|field| field.name == name || column_of_field(field) == name)
        };
        let (mut kept, mut fields, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        let added = added_fields(model, coordinates);
        let own = reject_fields();
        let taken = |name: &str| added.iter().chain(&own).any(|field| field.name() == name);
        for column in columns.fields() {
            let field = of_contract(column.name());
            let sensitive = field.and_then(|field| field.sensitive);
            let is_wished = wished.contains(column.name());
            if is_wished && sensitive == Some(Sensitive::Drop) {
                let name = column.name();
                return refused(format!(
                    "column {name:?} is sensitive = \"drop\" in the contract: it is \
                                        in no output"
                ));
            }
            if !(wished.is_empty() || is_wished) || sensitive == Some(Sensitive::Drop) {
                continue;
            }
            let name = match field {
                Some(field) if taken(column.name()) => column_of_field(field),
                None if taken(column.name()) => format!("previous_{}", column.name()),
                Some(_) | None => column.name().clone(),
            };
            if taken(&name) || fields.iter().any(|field: &Field| *field.name() == name) {
                return refused(format!(
                    "the output has a column {name:?} of its own, and the input has {:?}: leave it out \
                     with --columns",
                    column.name()
                ));
            }
            let hash = match (field, sensitive) {
                (Some(field), Some(Sensitive::Hash)) if salt.is_empty() => {
                    return refused(format!(
                        "column {:?} is sensitive = \"hash\": set contract.hash_salt, or leave it out \
                         with --columns",
                        field.name
                    ));
                }
                (Some(field), Some(Sensitive::Hash)) => Some((field.kind.data_type(), salt.into())),
                _ => None,
            };
            let kind = if hash.is_some() { DataType::Utf8 } else { column.data_type().clone() };
            let output = Field::new(name, kind, true);
            // What a row that was refused holds of a sensitive field is not even a hash for certain.
            if hash.is_none() {
                plain.push(output.clone());
            }
            fields.push(output);
            kept.push(Kept { column: column.name().clone(), hash });
        }
        fields.extend(added);
        plain.extend(own);
        let (results, rejects) = (Arc::new(Schema::new(fields)), Arc::new(Schema::new(plain)));
        Ok(Self { kept, results, rejects, coordinates })
    }

    /// Columns of the input that are read for the output, in its order.
    pub(super) fn read(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().map(|kept| kept.column.as_str())
    }

    /// The first column that the output has as a hash.
    pub(super) fn hashed(&self) -> Option<&str> {
        self.kept.iter().find(|kept| kept.hash.is_some()).map(|kept| kept.column.as_str())
    }

    /// Splits a batch of the plan: the kept columns, the position, the original, the model's answer.
    pub(super) fn split(
        &self,
        batch: &RecordBatch,
        model: &Model,
        stamp: &Stamp,
    ) -> Result<(RecordBatch, Option<RecordBatch>), StoreError> {
        let wrong = |error: arrow::error::ArrowError| StoreError::Query(error.to_string());
        let answer: &StructArray = batch.column(batch.num_columns() - 1).as_struct();
        let outputs = answer.num_columns() - 2;
        // The last two: the stage that refused the row, and why.
        let (stage, reason) = (answer.column(outputs), answer.column(outputs + 1));
        let all_scored = reason.null_count() == reason.len();
        let good = is_null(reason).map_err(wrong)?;
        let chosen = |column: &ArrayRef| {
            if all_scored { Ok(Arc::clone(column)) } else { filter(column, &good).map_err(wrong) }
        };
        let mut columns = Vec::with_capacity(self.results.fields().len());
        for (place, kept) in self.kept.iter().enumerate() {
            let column = chosen(batch.column(place))?;
            columns.push(match &kept.hash {
                None => column,
                Some((kind, salt)) => hashed_once(&cast(&column, kind).map_err(wrong)?, salt),
            });
        }
        for output in &answer.columns()[..outputs] {
            columns.push(chosen(output)?);
        }
        let rows = good.true_count();
        columns.extend(stamped(model, stamp, rows));
        if self.coordinates {
            columns.push(constant(&stamp.file, rows));
            columns.push(chosen(batch.column(self.kept.len()))?);
        }
        let results = RecordBatch::try_new(Arc::clone(&self.results), columns).map_err(wrong)?;
        if all_scored {
            return Ok((results, None));
        }
        let bad = is_not_null(reason).map_err(wrong)?;
        let chosen = |column: &ArrayRef| filter(column, &bad).map_err(wrong);
        let plain = self.kept.iter().enumerate().filter(|(_, kept)| kept.hash.is_none());
        let mut columns: Vec<ArrayRef> =
            plain.map(|(place, _)| chosen(batch.column(place))).collect::<Result<_, _>>()?;
        let rows = bad.true_count();
        columns.push(constant(&stamp.file, rows));
        columns.push(chosen(batch.column(self.kept.len()))?);
        columns.push(chosen(batch.column(self.kept.len() + 1))?);
        columns.extend([chosen(stage)?, chosen(reason)?]);
        columns.extend(stamped(model, stamp, rows));
        let rejects = RecordBatch::try_new(Arc::clone(&self.rejects), columns).map_err(wrong)?;
        assert_eq!(results.num_rows() + rejects.num_rows(), batch.num_rows(), "each row once");
        Ok((results, Some(rejects)))
    }
}

fn added_fields(model: &Model, coordinates: bool) -> Vec<Field> {
    let outputs = model.outputs.fields().iter();
    let mut fields: Vec<Field> = outputs
        .map(|output| Field::new(column_of_output(output.name()), output.data_type().clone(), true))
        .collect();
    fields.extend(stamp_fields());
    if coordinates {
        fields.extend(coordinate_fields());
    }
    fields
}

fn reject_fields() -> Vec<Field> {
    let mut fields = Vec::from(coordinate_fields());
    fields.push(Field::new("original", DataType::Binary, true));
    fields.extend(["stage", "reason"].map(|name| Field::new(name, DataType::Utf8, false)));
    fields.extend(stamp_fields());
    fields
}

fn coordinate_fields() -> [Field; 2] {
    [
        Field::new("input_file", DataType::Utf8, false),
        Field::new("input_position", DataType::Int64, true),
    ]
}

fn stamp_fields() -> [Field; 4] {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    [
        Field::new("model_name", DataType::Utf8, false),
        Field::new("model_version", DataType::Utf8, false),
        Field::new("scored_at", time, false),
        Field::new("contract_id", DataType::Utf8, false),
    ]
}

fn stamped(model: &Model, stamp: &Stamp, rows: usize) -> [ArrayRef; 4] {
    let times = TimestampMicrosecondArray::from_value(stamp.scored_at, rows).with_timezone("UTC");
    [
        constant(&model.name, rows),
        constant(&model.version, rows),
        Arc::new(times),
        constant(model.contract.id(), rows),
    ]
}

fn constant(text: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)))
}

/// A salted hash of a fixed text, where the contract hashes anything.
pub(super) fn probe(contract: &Contract, salt: &[u8]) -> Option<String> {
    let hashes = contract.fields().iter().any(|field| field.sensitive == Some(Sensitive::Hash));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["tidegate score"]));
    hashes.then(|| schemas::hashed(&text, salt).as_string::<i32>().value(0).to_owned())
}

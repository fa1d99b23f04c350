//! Rows of any table as events of a contract, column by column, for jobs over data at rest.
//!
//! What the decoder says of JSON values holds for columns: a number outside its type, a null or a
//! list of another length rejects its row, with the reason, and leaves the neighbours alone. Refuses
//! to guess: text is no number, and a column of another kind is an error before the first row.

mod convert;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::tables::column_of_field;
use crate::{Contract, FieldType};
use convert::Conversion;
pub use convert::finite_or_null;

/// How the columns of one table become the fields of a contract.
#[derive(Debug)]
pub struct Intake {
    fields: Vec<Taking>,
    schema: SchemaRef,
}

/// One field and where it comes from.
#[derive(Debug)]
struct Taking {
    column: String,
    kind: FieldType,
    nullable: bool,
    /// Place of its column and what is done to it; `None` where the table has no such column.
    from: Option<(usize, Conversion)>,
}

/// Why a table cannot hold events of a contract: every column at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct IntakeErrors(pub Vec<String>);

/// The rows of a batch: each is an event or a reject.
#[derive(Debug)]
pub struct Taken {
    /// The accepted rows in order, one column per field; what the table lacks is null.
    pub events: RecordBatch,
    /// Row of the batch that each event came from, ascending.
    pub rows: Vec<u32>,
    /// The other rows, ascending, with reasons that hold no value.
    pub rejects: Vec<(u32, String)>,
}

impl Intake {
    /// The intake of rows with `columns`. A field is found by its name, or by the name that it has in
    /// the results table, which goes before.
    pub fn new(contract: &Contract, columns: &Schema) -> Result<Self, IntakeErrors> {
        let (mut fields, mut problems) = (Vec::new(), Vec::new());
        for field in contract.fields() {
            let archived = column_of_field(field);
            let found = [archived.as_str(), field.name.as_str()]
                .into_iter()
                .find_map(|name| columns.column_with_name(name));
            let from = match found {
                Some((place, column)) => {
                    let conversion = Conversion::of(field.kind, column.data_type());
                    if conversion.is_none() {
                        problems.push(format!(
                            "column {:?} is {}, which no {} of the contract can be read from",
                            column.name(),
                            column.data_type(),
                            field.kind
                        ));
                    }
                    conversion.map(|conversion| (place, conversion))
                }
                None if field.nullable => None,
                None => {
                    problems.push(format!(
                        "there is no column {:?}, and the contract has it as not nullable",
                        field.name
                    ));
                    None
                }
            };
            let column = found.map_or(&field.name, |(_, column)| column.name()).clone();
            fields.push(Taking { column, kind: field.kind, nullable: field.nullable, from });
        }
        if !problems.is_empty() {
            return Err(IntakeErrors(problems));
        }
        let names = contract.fields().iter().map(|field| &field.name);
        let schema = fields
            .iter()
            .zip(names)
            .map(|(taking, name)| Field::new(name, convert::target(taking.kind), true));
        Ok(Self { schema: Arc::new(Schema::new(schema.collect::<Vec<_>>())), fields })
    }

    /// Names of the columns that are read.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.fields
            .iter()
            .filter(|taking| taking.from.is_some())
            .map(|taking| taking.column.as_str())
    }

    /// Schema of [`Taken::events`].
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Takes every row: events + rejects = rows.
    ///
    /// # Panics
    /// When the columns are not those that the intake was made for.
    #[must_use]
    pub fn take(&self, rows: &RecordBatch) -> Taken {
        let mut bad = BTreeMap::new();
        let columns: Vec<ArrayRef> =
            self.fields.iter().map(|taking| taking.take(rows, &mut bad)).collect();
        // A contract of no columns still has rows.
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let events = RecordBatch::try_new_with_options(self.schema(), columns, &options)
            .expect("columns are converted to the schema's own types");
        let all = 0..rows.num_rows() as u32;
        if bad.is_empty() {
            return Taken { events, rows: all.collect(), rejects: Vec::new() };
        }
        let good: BooleanArray = all.clone().map(|row| Some(!bad.contains_key(&row))).collect();
        let events = filter_record_batch(&events, &good).expect("a mask of as many rows");
        let kept = all.filter(|row| !bad.contains_key(row)).collect();
        Taken { events, rows: kept, rejects: bad.into_iter().collect() }
    }
}

impl Taking {
    /// The field's column; a row that it spoils gets a reason, unless it has one.
    fn take(&self, rows: &RecordBatch, bad: &mut BTreeMap<u32, String>) -> ArrayRef {
        let Some((place, conversion)) = &self.from else {
            return new_null_array(&convert::target(self.kind), rows.num_rows());
        };
        let column = rows.column(*place);
        let converted = conversion.convert(column, self.kind);
        let mut spoil = |row: usize, reason: String| {
            let reason = || format!("column {:?}: {reason}", self.column);
            bad.entry(row as u32).or_insert_with(reason);
        };
        let nulls = column.logical_nulls();
        let had_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        if let Some(made) = converted.logical_nulls() {
            for row in (0..made.len()).filter(|row| made.is_null(*row)) {
                if !had_null(row) {
                    spoil(row, format!("its value is no {}", self.kind));
                } else if !self.nullable {
                    spoil(row, format!("null was found: {} was expected", self.kind));
                }
            }
        }
        for row in convert::not_numbers(&converted) {
            if converted.is_valid(row) {
                spoil(row, "a number that is not finite, or a null in a list".into());
            }
        }
        converted
    }
}

/// Whether two types are one to a reader: lists may name their items as they like.
fn same(one: &DataType, other: &DataType) -> bool {
    match (one, other) {
        (DataType::List(one), DataType::List(other)) => one.data_type() == other.data_type(),
        (DataType::FixedSizeList(one, a), DataType::FixedSizeList(other, b)) => {
            a == b && one.data_type() == other.data_type()
        }
        _ => one == other,
    }
}

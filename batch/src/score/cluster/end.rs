//! How a part ended on an executor, as the last row of what it sends.
//!
//! So the job knows that all rows came, and hears what was wrong in our words: an error of a task would reach
//! it as Ballista tells it, after tasks were repeated that cannot succeed.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

/// The last column: null but in the last row.
const END: &str = "__tidegate_end";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    /// All rows came.
    Whole {
        /// Rows sent.
        sent: u64,
        /// Rows and bytes read, where the reader counts them.
        read: u64,
        bytes: u64,
    },
    /// It could not be done, and asking again does not help.
    Refused {
        /// The executor, and why.
        reason: String,
    },
}

/// The columns that are sent for a plan's: they may be null, and the end is behind them.
pub(super) fn schema(plan: &Schema) -> SchemaRef {
    let fields =
        plan.fields().iter().map(|field| Field::new(field.name(), field.data_type().clone(), true));
    let end = Field::new(END, DataType::Utf8, true);
    Arc::new(Schema::new(fields.chain([end]).collect::<Vec<_>>()))
}

/// A batch of the plan as it is sent.
pub(super) fn rows(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, String> {
    let mut columns = batch.columns().to_vec();
    columns.push(new_null_array(&DataType::Utf8, batch.num_rows()));
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| error.to_string())
}

/// The last row.
pub(super) fn row(schema: &SchemaRef, end: &End) -> Result<RecordBatch, String> {
    let (_, plan) = schema.fields().split_last().ok_or("no columns")?;
    let mut columns: Vec<ArrayRef> =
        plan.iter().map(|field| new_null_array(field.data_type(), 1)).collect();
    let said = serde_json::to_string(end).map_err(|error| error.to_string())?;
    columns.push(Arc::new(StringArray::from(vec![said])));
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| error.to_string())
}

/// Takes a batch that was sent apart: the plan's rows, and the end where it came.
pub(super) fn split(
    schema: &SchemaRef,
    batch: &RecordBatch,
) -> Result<(RecordBatch, Option<End>), String> {
    let fields = schema.fields();
    if batch.num_columns() != fields.len() {
        return Err(format!(
            "{} columns came, {} were asked for",
            batch.num_columns(),
            fields.len()
        ));
    }
    // Dictionaries are sent as their values.
    let typed = |(column, field): (&ArrayRef, &Arc<Field>)| {
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        cast(column, field.data_type())
    };
    let columns = batch.columns().iter().zip(fields).map(typed).collect::<Result<Vec<_>, _>>();
    let columns = columns.map_err(|error| error.to_string())?;
    let (last, plan) = columns.split_last().ok_or("no columns came")?;
    let ends: &StringArray = last.as_string::<i32>();
    let rows = batch.num_rows();
    let ended = rows - ends.null_count();
    if ended > 1 || (ended == 1 && ends.is_null(rows - 1)) {
        return Err("rows came behind the end".to_owned());
    }
    let end = match ended {
        0 => None,
        _ => Some(serde_json::from_str(ends.value(rows - 1)).map_err(|error| error.to_string())?),
    };
    let plain = Arc::new(Schema::new(fields[..plan.len()].to_vec()));
    let all = RecordBatch::try_new(plain, plan.to_vec()).map_err(|error| error.to_string())?;
    Ok((all.slice(0, rows - ended), end))
}

//! Columns of types that PostgreSQL has no form for, or that arrow-pg writes wrongly, as the next type
//! that it writes well: the values stay what they are.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::Column;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};

/// `plan` with an answer that can be written.
pub(super) fn writable(plan: LogicalPlan) -> Result<LogicalPlan> {
    let columns: Vec<(Expr, bool)> = plan
        .schema()
        .iter()
        .map(|(table, field)| {
            let column = Expr::Column(Column::from((table, field)));
            match widened(field.data_type()) {
                Some(kind) => (cast(column, kind).alias(field.name()), true),
                None => (column, false),
            }
        })
        .collect();
    if columns.iter().all(|(_, widened)| !widened) {
        return Ok(plan);
    }
    let columns = columns.into_iter().map(|(column, _)| column);
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// The type that stands in for `kind`, where it needs one. arrow-pg writes one byte for an `Int8` where
/// two are announced, and refuses the others.
fn widened(kind: &DataType) -> Option<DataType> {
    match kind {
        DataType::Int8 => Some(DataType::Int16),
        DataType::Float16 => Some(DataType::Float32),
        DataType::Decimal256(..) => Some(DataType::Utf8),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            match item.data_type() {
                inner if inner.is_list() => Some(DataType::Utf8),
                inner => {
                    let inner = widened(inner)?;
                    Some(DataType::List(Arc::new(Field::new_list_field(inner, true))))
                }
            }
        }
        _ => None,
    }
}

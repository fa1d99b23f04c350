//! Rows that came after their windows were judged: counted in their panes, and told.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use batch::StoreError;
use batch::source::Columns;

use crate::count::{Counted, names};

/// Rows of these files in panes that start before `judged`, in microseconds.
pub fn late_rows(counted: &[Counted], judged: i64) -> Result<u64, StoreError> {
    let mut late = 0;
    for Counted { path, footer } in counted {
        if footer.first_pane_us.is_none_or(|first| first >= judged) {
            continue;
        }
        let file = Columns::open(path)?;
        let wanted = [names::PANE_START, names::SEGMENT, names::COLUMN, names::ROWS];
        for batch in file.read(&wanted, 0..file.rows())? {
            let batch = batch?;
            let column = |name| batch.column_by_name(name);
            let (Some(panes), Some(segments), Some(columns), Some(rows)) = (
                column(names::PANE_START)
                    .and_then(|it| it.as_primitive_opt::<TimestampMicrosecondType>()),
                column(names::SEGMENT),
                column(names::COLUMN),
                column(names::ROWS).and_then(|it| it.as_primitive_opt::<Int64Type>()),
            ) else {
                continue;
            };
            let is_late = |row: &usize| {
                let whole = columns.is_null(*row) && segments.is_null(*row);
                whole && panes.is_valid(*row) && panes.value(*row) < judged
            };
            let rows = (0..batch.num_rows()).filter(is_late).map(|row| rows.value(row));
            late += rows.map(i64::unsigned_abs).sum::<u64>();
        }
    }
    Ok(late)
}

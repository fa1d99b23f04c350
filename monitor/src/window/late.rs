//! Rows that came after their windows were judged: counted in their panes, and told.
//!
//! Which those are follows from what is published: a report says up to where each partition was counted when its
//! windows were judged, and what lies behind that came later, whoever counted it and when.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use batch::StoreError;
use batch::source::Columns;

use crate::count::{Counted, names};

/// Up to where these files count each partition.
pub fn ends<'a>(counted: impl Iterator<Item = &'a Counted>) -> BTreeMap<i32, i64> {
    let mut ends = BTreeMap::new();
    for Counted { footer, .. } in counted {
        let end = ends.entry(footer.source.partition).or_insert(footer.source.end);
        *end = footer.source.end.max(*end);
    }
    ends
}

/// Rows of the files behind `upto`, which are [`ends`], in panes that start before `judged`, in microseconds. Where
/// `upto` has no partition at all, it is not known what came late, and nothing is.
pub fn late_rows<'a>(
    counted: impl Iterator<Item = &'a Counted>,
    upto: &BTreeMap<i32, i64>,
    judged: i64,
) -> Result<u64, StoreError> {
    let mut late = 0;
    for Counted { path, footer } in counted {
        let source = &footer.source;
        let is_new = upto.get(&source.partition).is_none_or(|end| source.start >= *end);
        let is_before = footer.first_pane_us.is_some_and(|first| first < judged);
        if upto.is_empty() || !is_new || !is_before {
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

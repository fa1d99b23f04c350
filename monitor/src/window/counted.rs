//! How many rows are counted, and how many of them lie in no window: nobody judges those.

use crate::count::Counted;

/// Rows by what their time is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CountedRows {
    /// All of them.
    pub rows: u64,
    /// In no window, since their event time is too old to be believed;
    pub early: u64,
    /// since it lies ahead of their scoring;
    pub ahead: u64,
    /// since they have no time.
    pub untimed: u64,
}

impl CountedRows {
    /// Those of these count files.
    pub fn of<'a>(counted: impl Iterator<Item = &'a Counted>) -> Self {
        counted.fold(Self::default(), |sum, Counted { footer, .. }| Self {
            rows: sum.rows + footer.source.rows,
            early: sum.early + footer.early,
            ahead: sum.ahead + footer.late,
            untimed: sum.untimed + footer.untimed,
        })
    }
}

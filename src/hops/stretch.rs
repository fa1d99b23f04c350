//! Many windows are told in one line: a gap in event time of a month of hours is one, not seven hundred,
//! and so is what one look measures.

use std::collections::BTreeMap;
use std::ops::Range;

use monitor::outcomes::{Kind, Outcome};

/// What was found of windows in a row that have no rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stretch {
    windows: Option<Range<i64>>,
    findings: usize,
    changes: usize,
}

impl Stretch {
    /// Adds a window; answers the stretch before it, if that one does not go on.
    pub(super) fn add(&mut self, window: i64, findings: usize, changes: usize) -> Option<Self> {
        let ended = match &self.windows {
            Some(windows) if windows.end != window => self.end(),
            Some(_) | None => None,
        };
        let start = self.windows.as_ref().map_or(window, |windows| windows.start);
        *self = Self {
            windows: Some(start..window + 1),
            findings: self.findings + findings,
            changes: self.changes + changes,
        };
        ended
    }

    /// The stretch so far, which ends here; `None` when there is none.
    pub(super) fn end(&mut self) -> Option<Self> {
        Some(std::mem::take(self)).filter(|stretch| stretch.windows.is_some())
    }

    /// One line for all of a stretch that has ended.
    pub(super) fn tell(ended: Option<Self>) {
        let Some(Self { windows: Some(windows), findings, changes }) = ended else { return };
        tracing::info!(?windows, findings, changes, "windows without rows are judged");
    }
}

/// What one look measured: windows and rows of each kind, told in one line each.
#[derive(Default)]
pub(super) struct Measured(BTreeMap<Kind, (Range<i64>, usize)>);

impl Measured {
    pub(super) fn add(&mut self, outcome: &Outcome) {
        let windows = outcome.windows.clone();
        let (of, rows) = self.0.entry(outcome.kind).or_insert((windows.clone(), 0));
        of.end = windows.end;
        *rows += outcome.rows.len();
    }

    /// Answers whether there was anything.
    pub(super) fn tell(self) -> bool {
        for (kind, (windows, rows)) in &self.0 {
            tracing::info!(?kind, ?windows, rows, "performance is measured");
        }
        !self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_one_stretch() {
        let mut stretch = Stretch::default();
        assert_eq!(stretch.end(), None);
        for window in 5..700 {
            assert_eq!(stretch.add(window, 1, usize::from(window == 6)), None);
        }
        let of = |windows, findings, changes| Stretch { windows: Some(windows), findings, changes };
        assert_eq!(stretch.add(800, 2, 0), Some(of(5..700, 695, 1)));
        assert_eq!(stretch.end(), Some(of(800..801, 2, 0)));
        assert_eq!(stretch, Stretch::default());
    }
}

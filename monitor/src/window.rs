//! Windows of event time: which there are, when one is complete, and what was counted in it.
//!
//! Windows are numbered: window `k` starts at `k · slide` since 1970 and is `length` long. Tumbling is
//! `slide == length`. Pure but for [`sums`], which reads count files.

mod counted;
mod late;
mod sums;
mod times;
mod watermark;

use std::ops::Range;

use crate::count::MICROS;

pub use counted::CountedRows;
pub use late::{ends, late_rows};
pub(crate) use sums::bytes_of;
pub use sums::{ColumnSums, GroupSums, WindowSums, sums};
pub use times::TableTimes;
pub use watermark::{Lagging, PartitionTimes, watermark};

/// The windows of a monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Windows {
    /// Length of a window.
    pub length_seconds: u32,
    /// From the start of one to the start of the next.
    pub slide_seconds: u32,
}

/// Windows that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WindowsError {
    /// The slide is no part of the length.
    #[error("a window of {0} s cannot slide by {1} s: the slide must divide the length")]
    Slide(u32, u32),
    /// The pane is no part of the slide.
    #[error("windows slide by {0} s and a pane is {1} s: the pane must divide the slide")]
    Pane(u32, u32),
    /// Too many at once.
    #[error("an instant lies in {0} windows: at most {MAX_OVERLAP}, slide by more")]
    Overlap(u32),
}

/// Windows that an instant may lie in: each is judged on its own.
pub const MAX_OVERLAP: u32 = 1440;

impl Windows {
    /// Windows that are made of whole panes.
    pub fn new(
        length_seconds: u32,
        slide_seconds: u32,
        pane_seconds: u32,
    ) -> Result<Self, WindowsError> {
        if slide_seconds == 0
            || !length_seconds.is_multiple_of(slide_seconds)
            || length_seconds == 0
        {
            return Err(WindowsError::Slide(length_seconds, slide_seconds));
        }
        if pane_seconds == 0 || !slide_seconds.is_multiple_of(pane_seconds) {
            return Err(WindowsError::Pane(slide_seconds, pane_seconds));
        }
        let overlap = length_seconds / slide_seconds;
        if overlap > MAX_OVERLAP {
            return Err(WindowsError::Overlap(overlap));
        }
        Ok(Self { length_seconds, slide_seconds })
    }

    /// Start and end of a window in microseconds.
    pub fn extent(&self, window: i64) -> Range<i64> {
        let start = window.saturating_mul(i64::from(self.slide_seconds) * MICROS);
        start..start.saturating_add(i64::from(self.length_seconds) * MICROS)
    }

    /// The windows that an instant lies in.
    pub fn of(&self, micros: i64) -> Range<i64> {
        let slide = i64::from(self.slide_seconds) * MICROS;
        let last = micros.div_euclid(slide);
        last + 1 - i64::from(self.length_seconds / self.slide_seconds)..last + 1
    }

    /// The first window that is not complete at this watermark.
    pub fn complete_before(&self, watermark: i64) -> i64 {
        let slide = i64::from(self.slide_seconds) * MICROS;
        let length = i64::from(self.length_seconds) * MICROS;
        watermark.saturating_sub(length).div_euclid(slide) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_lies_in_the_windows_that_hold_it() {
        for (length, slide) in [(3600, 3600), (3600, 900), (60, 60), (86_400, 300)] {
            let windows = Windows::new(length, slide, 60).unwrap();
            for second in [0_i64, 1, 59, 899, 900, 3599, 3600, 1_356_998_400, -1, -3600] {
                let at = second * MICROS;
                for window in windows.of(at).start - 2..windows.of(at).end + 2 {
                    let inside = windows.extent(window).contains(&at);
                    assert_eq!(inside, windows.of(at).contains(&window), "{second} {window}");
                }
                let next = windows.complete_before(at);
                assert!(windows.extent(next - 1).end <= at && windows.extent(next).end > at);
            }
        }
    }

    #[test]
    fn windows_that_cannot_be() {
        for (length, slide, pane) in
            [(3600, 0, 60), (0, 60, 60), (3600, 7000, 60), (3600, 100, 60), (864_000, 60, 60)]
        {
            assert!(Windows::new(length, slide, pane).is_err(), "{length} {slide} {pane}");
        }
    }
}

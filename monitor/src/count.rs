//! Hop 3: what the archive's rows look like, counted into the bins of a profile.
//!
//! For each archive file one count file of the same name is published once. A row there is one column
//! of one group (model, version, arm, segment) in one pane (a short stretch of event time): which bins
//! are filled and by how many rows. Counts are a pure function of the file and the [`Settings`]; its
//! footer says which. Refuses to know when: panes come from the rows' own times.

mod cells;
mod codec;
mod column;
mod cover;
mod file;
mod footer;
mod settings;
mod table;
#[cfg(test)]
pub(crate) mod tests;

pub use cells::Group;
pub use codec::add as add_packed;
pub use cover::{Counted, Counter, Job};
pub(crate) use file::count_bytes;
pub use file::count_file;
pub use footer::{COUNTS_KEY, CountFooter};
pub use settings::{
    CountedColumn, Kind, MAX_SEGMENT_VALUES, Segment, Settings, SettingsError, Skipped,
};
pub use table::{names, schema};

/// Rows whose bins are held at a time: 2 bytes a row and 8 a value, and 4 for each group it is in.
pub const CHUNK_ROWS: usize = 2 << 20;

/// A time so far ahead of the time of scoring, or of its record's, is not believed: clocks differ, not by an hour.
pub const MAX_AHEAD_SECONDS: i64 = 3600;

/// An event time so far behind the newest of its file is not believed, which bounds the panes.
pub const MAX_BEHIND_SECONDS: i64 = 400 * 86_400;

/// Microseconds in a second.
pub(crate) const MICROS: i64 = 1_000_000;

//! One archive file into its count file.

use std::path::Path;

use batch::StoreError;
use batch::derived::Derived;
use batch::source::{Columns, position};

use super::cells::{Pane, cells, times};
use super::footer::{COUNTS_KEY, CountFooter};
use super::settings::Settings;
use super::table::{Rows, Tally, schema};
use super::{CHUNK_ROWS, column};

/// Bytes of rows that are held before they are written.
const HELD_BYTES: usize = 4 << 20;
/// Pages of the columns that are read at a time; of an object store, the blocks that a reader keeps.
const READ_BYTES: usize = 16 << 20;
/// The row group of the count file that is being written, and its columns' contexts.
const WRITE_BYTES: usize = 32 << 20;
/// Of a row in each of its groups: its cell, in a list that grows twofold, and its place in the order of cells.
const MEMBER_BYTES: usize = 2 * 8 + 4;
/// Of a row in a column: its bin and its value, in lists that grow twofold.
const VALUE_BYTES: usize = 2 * (2 + 8);

/// Bytes that counting a file of so many rows takes at most.
pub(crate) fn count_bytes(settings: &Settings, rows: usize) -> usize {
    let row = (1 + settings.segments.len()) * MEMBER_BYTES + VALUE_BYTES;
    rows.min(CHUNK_ROWS) * row + HELD_BYTES + READ_BYTES + WRITE_BYTES
}

/// Counts the archive file at `path` and publishes its count file; answers what that says of itself,
/// or `None` when another process published it first.
pub fn count_file(
    path: &Path,
    settings: &Settings,
    to: &Derived,
) -> Result<Option<CountFooter>, StoreError> {
    let source = position(path)?;
    let (partition, start) = (source.partition, source.start);
    let file = Columns::open(path)?;
    let times = times(&file)?;
    let mut footer = CountFooter {
        settings: settings.id.clone(),
        profile: settings.profile_id.clone(),
        source,
        first_pane_us: None,
        last_pane_us: None,
        newest_event_us: times.newest_event,
        newest_record_us: times.newest_record,
        early: 0,
        late: 0,
        untimed: 0,
    };
    let mut new = to.create(partition, start, &schema())?;
    let mut held = Rows::new();
    let mut write = |held: &mut Rows| {
        if held.bytes >= HELD_BYTES { new.write(&held.finish()) } else { Ok(()) }
    };
    for from in (0..file.rows()).step_by(CHUNK_ROWS) {
        let rows = from..file.rows().min(from + CHUNK_ROWS);
        let cells = cells(&file, settings, rows.clone(), times.newest_event)?;
        for (cell, key) in cells.keys.iter().enumerate() {
            let group = &cells.groups[key.group as usize];
            let rows = cells.rows(cell).len() as u64;
            if group.segment.is_none() {
                footer.note(key.pane, rows);
            }
            held.push(key, group, None, &Tally { rows, ..Tally::default() }, &mut []);
            write(&mut held)?;
        }
        for counted in &settings.columns {
            column::count(&file, counted, &cells, rows.clone(), &mut held, &mut write)?;
        }
    }
    new.write(&held.finish())?;
    let text = serde_json::to_string(&footer).expect("a footer is plain data");
    Ok(new.publish(COUNTS_KEY, text)?.then_some(footer))
}

impl CountFooter {
    fn note(&mut self, pane: Pane, rows: u64) {
        match pane {
            Pane::At(start) => {
                let first = self.first_pane_us.map_or(start, |first| first.min(start));
                self.first_pane_us = Some(first);
                self.last_pane_us = self.last_pane_us.max(Some(start));
            }
            Pane::Early => self.early += rows,
            Pane::Late => self.late += rows,
            Pane::Untimed => self.untimed += rows,
        }
    }
}

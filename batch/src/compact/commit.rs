//! The end of a round: its files held against its input, published, then named by the record.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemas::failpoint;

use super::Folders;
use super::record::Record;
use super::sums::Positions;
use super::write::Written;
use crate::error::{CREATE_FOLDER, StoreError};
use crate::files::{Files, ensure_dir, sync_up_to};
use crate::positions;

/// Publishes `written` and then `record` with them; `before` are the positions of the input, and
/// `positions_of` reads a file's back. After an error what became of it is found out by opening anew.
pub(super) fn commit(
    files: &Arc<dyn Files>,
    folders: &Folders,
    record: &mut Record,
    written: Vec<Written>,
    before: &Positions,
    positions_of: &dyn Fn(&Path, &mut Positions) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut after = Positions::default();
    for file in &written {
        positions_of(file.closed.path(), &mut after)?;
    }
    if *before != after {
        return Err(StoreError::Query(format!(
            "{} rows were read and {} other ones would be published: nothing is, the archive stays as it \
             is; please report this",
            before.rows(),
            after.rows()
        )));
    }
    failpoint::pass("compact.before_files");
    let mut dirs = BTreeSet::new();
    for Written { closed, file } in written {
        let to = folders.data.join(&file.path);
        let dir = to.parent().expect("a day's folder").to_path_buf();
        ensure_dir(&**files, &dir).map_err(|e| StoreError::io(CREATE_FOLDER, &dir, e))?;
        if !closed.publish(&to)? {
            return Err(StoreError::Query(format!(
                "{} is there already: another process compacts the same table",
                to.display()
            )));
        }
        dirs.insert(dir);
        record.files.push(file);
    }
    sync(&**files, folders, &dirs)?;
    failpoint::pass("compact.files_published");
    record.publish(files, folders)
}

/// Makes what lies in these folders of days durable, and their names. The folders above are synced once: a
/// round may have thousands of days, and each sync is a flush of the disk.
fn sync(files: &dyn Files, folders: &Folders, days: &BTreeSet<PathBuf>) -> Result<(), StoreError> {
    if days.is_empty() {
        return Ok(());
    }
    for day in days {
        files.sync_dir(day).map_err(|e| StoreError::io("sync", day, e))?;
    }
    let data = &folders.data;
    sync_up_to(files, &folders.root, data).map_err(|e| StoreError::io("sync", data, e))
}

/// The positions in a file of this machine.
pub(super) fn of_file(path: &Path, into: &mut Positions) -> Result<(), StoreError> {
    positions::coordinates(open(path)?, path, &mut |rows| into.add(rows))
}

pub(super) fn open(path: &Path) -> Result<File, StoreError> {
    File::open(path).map_err(|e| StoreError::io("open", path, e))
}

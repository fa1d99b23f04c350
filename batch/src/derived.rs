//! Tables derived from the archive, file by file: counts and reports.
//!
//! The same publisher as the archive's: a hidden temporary, synced, given a name that is never
//! replaced. Unlike the archive a derived file may be removed, since it can be made again; what it was
//! made of is for its footer to say.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::file::metadata::KeyValue;

use crate::archive::{Compression, OpenFile, layout, partition_files, writer_properties};
use crate::error::StoreError;
use crate::files::{self, Files, ensure_dir};

/// Rows of a row group of a derived file.
const ROW_GROUP_ROWS: usize = 128 << 10;
/// No writer is called so: several processes may share an instance's name here.
const NOBODY: &str = "";
/// Age after which another instance's temporary counts as left behind.
const STALE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The folder of a derived table of one topic.
pub struct Derived {
    files: Arc<dyn Files>,
    root: PathBuf,
    folder: PathBuf,
    temporaries: PathBuf,
    instance: String,
}

impl Derived {
    /// Names `<root>/<table>/<topic>/<rest>`; `table` and `rest` may be of several levels. Nothing is
    /// touched until a file is made.
    pub fn open(
        root: &Path,
        table: &str,
        topic: &str,
        rest: &str,
        instance: &str,
    ) -> Result<Self, StoreError> {
        for level in table.split('/').chain(rest.split('/').filter(|level| !level.is_empty())) {
            layout::check_name("derived table", level)?;
        }
        layout::check_name("topic", topic)?;
        let files = files::of(root)?;
        let levels = rest.split('/').filter(|level| !level.is_empty());
        let below = |folder: PathBuf| levels.clone().fold(folder, |at, level| at.join(level));
        let folder = below(root.join(table).join(topic));
        let temporaries = below(layout::temporary_folder(root, table, topic));
        let (root, instance) = (root.to_path_buf(), instance.to_owned());
        Ok(Self { files, root, folder, temporaries, instance })
    }

    /// Removes temporaries that are older than a day at `now`: whoever wrote them is gone.
    pub fn sweep(&self, now: SystemTime) -> Result<(), StoreError> {
        match layout::sweep(&*self.files, &self.temporaries, NOBODY, STALE_AFTER, now) {
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(())
            }
            other => other,
        }
    }

    /// The folder that readers take as one table.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Published files of a partition in order of their starts.
    pub fn files(&self, partition: i32) -> Result<Vec<(i64, PathBuf)>, StoreError> {
        let dir = layout::partition_folder(&self.folder, partition);
        match partition_files(&*self.files, &dir) {
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(vec![])
            }
            other => other,
        }
    }

    /// Where the file of this start lies, or will.
    #[must_use]
    pub fn path(&self, partition: i32, start: i64) -> PathBuf {
        layout::partition_folder(&self.folder, partition).join(layout::file_name(start))
    }

    /// Starts the file of this start.
    pub fn create(
        &self,
        partition: i32,
        start: i64,
        schema: &SchemaRef,
    ) -> Result<NewDerived, StoreError> {
        let root = &self.root;
        self.files.prove(root).map_err(|e| StoreError::io("publish to", root, e))?;
        let name = layout::temporary_name(partition, start, &self.instance);
        let dir = &self.temporaries;
        ensure_dir(&*self.files, dir).map_err(|e| StoreError::io("create the folder", dir, e))?;
        let path = dir.join(name);
        let properties = writer_properties(schema, ROW_GROUP_ROWS, Compression::Zstd);
        let file = OpenFile::create(&self.files, path, schema, &properties)?;
        let to = self.path(partition, start);
        Ok(NewDerived { files: self.files.clone(), file, to })
    }

    /// Removes a file that is to be made again, for good.
    pub fn remove(&self, path: &Path) -> Result<(), StoreError> {
        match self.files.remove(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", path, error))
            }
            _ => {
                let dir = path.parent().unwrap_or(&self.folder);
                self.files.sync_dir(dir).map_err(|e| StoreError::io("sync", dir, e))
            }
        }
    }
}

/// A derived file being written; without `publish` nothing stays of it.
pub struct NewDerived {
    files: Arc<dyn Files>,
    file: OpenFile,
    to: PathBuf,
}

impl NewDerived {
    /// Appends rows.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), StoreError> {
        self.file.write(rows, &[])
    }

    /// Publishes the file with `text` under `key` in its footer; answers whether the name was free.
    pub fn publish(self, key: &str, text: String) -> Result<bool, StoreError> {
        let dir = self.to.parent().expect("a partition's folder").to_path_buf();
        ensure_dir(&*self.files, &dir).map_err(|e| StoreError::io("create the folder", &dir, e))?;
        let metadata = vec![KeyValue::new(key.to_owned(), text)];
        let published = self.file.publish(metadata, &self.to)?.is_some();
        self.files.sync_dir(&dir).map_err(|e| StoreError::io("sync", &dir, e))?;
        Ok(published)
    }
}

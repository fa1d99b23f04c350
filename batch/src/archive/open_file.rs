//! A file being written: rows in, synced bytes under a temporary name out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use schemas::{CHECKSUM_SEED, failpoint, offsets_checksum};

use crate::error::StoreError;
use crate::files::{Files, NewFile};

/// Removes the temporary unless it was published.
pub(crate) struct OpenFile {
    writer: Option<ArrowWriter<Box<dyn NewFile>>>,
    temporary: Temporary,
    pub(crate) rows: u64,
    pub(super) checksum: u64,
}

impl OpenFile {
    pub(crate) fn create(
        files: &Arc<dyn Files>,
        path: PathBuf,
        schema: &SchemaRef,
        properties: &WriterProperties,
    ) -> Result<Self, StoreError> {
        let file = files.create(&path).map_err(|e| StoreError::io("create", &path, e))?;
        let temporary = Temporary { files: files.clone(), path, published: false };
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties.clone()))
            .map_err(|e| temporary.failed("write", e))?;
        failpoint::pass("archive.created");
        Ok(Self { writer: Some(writer), temporary, rows: 0, checksum: CHECKSUM_SEED })
    }

    pub(crate) fn write(&mut self, rows: &RecordBatch, offsets: &[i64]) -> Result<(), StoreError> {
        self.writer().write(rows).map_err(|e| self.temporary.failed("write", e))?;
        self.rows += rows.num_rows() as u64;
        self.checksum = offsets_checksum(self.checksum, offsets.iter().copied());
        Ok(())
    }

    /// Writes the open row group out, which frees its memory.
    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
        self.writer().flush().map_err(|e| self.temporary.failed("write", e))?;
        failpoint::pass("archive.row_group_written");
        Ok(())
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.writer.as_ref().map_or(0, ArrowWriter::memory_size)
    }

    /// Bytes of the file if it were closed now.
    pub(crate) fn encoded_bytes(&self) -> u64 {
        self.writer.as_ref().map_or(0, |w| w.bytes_written() + w.in_progress_size()) as u64
    }

    /// Closes the file with `metadata` in its footer, makes it durable and gives it the name `to`.
    ///
    /// Answers its size in bytes, `None` when the name was taken.
    pub(crate) fn publish(
        self,
        metadata: Vec<KeyValue>,
        to: &Path,
    ) -> Result<Option<u64>, StoreError> {
        let closed = self.close(metadata)?;
        let bytes = closed.bytes;
        Ok(closed.publish(to)?.then_some(bytes))
    }

    /// Closes the file with `metadata` in its footer and makes its content durable.
    pub(crate) fn close(mut self, metadata: Vec<KeyValue>) -> Result<ClosedFile, StoreError> {
        let mut writer = self.writer.take().expect("a file is closed once");
        metadata.into_iter().for_each(|pair| writer.append_key_value_metadata(pair));
        failpoint::pass("archive.before_close");
        writer.finish().map_err(|e| self.temporary.failed("write", e))?;
        let bytes = writer.bytes_written() as u64;
        failpoint::pass("archive.before_sync");
        let path = &self.temporary.path;
        writer.inner_mut().sync().map_err(|e| StoreError::io("sync", path, e))?;
        Ok(ClosedFile { bytes, temporary: self.temporary })
    }

    /// The same whoever has the name `to`: for what is made again as it was.
    pub(crate) fn replace(self, metadata: Vec<KeyValue>, to: &Path) -> Result<(), StoreError> {
        let mut temporary = self.close(metadata)?.temporary;
        let replaced = temporary.files.replace(&temporary.path, to);
        replaced.map_err(|e| StoreError::io("publish", to, e))?;
        temporary.published = true;
        Ok(())
    }

    fn writer(&mut self) -> &mut ArrowWriter<Box<dyn NewFile>> {
        self.writer.as_mut().expect("open until it is published")
    }
}

/// A durable file that has no name yet; removed unless it is published.
pub(crate) struct ClosedFile {
    pub(crate) bytes: u64,
    temporary: Temporary,
}

impl ClosedFile {
    /// Where it lies until it is published.
    pub(crate) fn path(&self) -> &Path {
        &self.temporary.path
    }

    /// Gives it the name `to`; answers whether that was free.
    pub(crate) fn publish(mut self, to: &Path) -> Result<bool, StoreError> {
        failpoint::pass("archive.before_publish");
        match self.temporary.files.publish(&self.temporary.path, to) {
            Ok(()) => {
                self.temporary.published = true;
                failpoint::pass("archive.published");
                Ok(true)
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(StoreError::io("publish", to, error)),
        }
    }
}

/// A temporary name that goes when its owner does, unless it was published.
struct Temporary {
    files: Arc<dyn Files>,
    path: PathBuf,
    published: bool,
}

impl Temporary {
    fn failed(&self, action: &'static str, error: ParquetError) -> StoreError {
        StoreError::parquet(action, &self.path, error)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            // What stays behind is swept at the next start.
            let _ = self.files.remove(&self.path);
        }
    }
}

//! Parquet files that are not the archive: golden rows, samples, events to replay, query results.
//!
//! Reads in bounded batches; writes whole files, under names that are free.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::archive::{OpenFile, scanned_properties};
use crate::error::StoreError;
use crate::files::{self, Files, LocalFiles};

/// Rows of a row group of a file written here.
const ROW_GROUP_ROWS: usize = 128 << 10;
/// Rows turned into JSON at a time.
const JSON_BATCH_ROWS: usize = 4096;

/// Rows of a Parquet file, batch by batch.
pub struct ParquetRows {
    path: PathBuf,
    schema: SchemaRef,
    rows: u64,
    reader: ParquetRecordBatchReader,
}

impl ParquetRows {
    /// Opens `path`; batches have at most `batch_rows` rows.
    pub fn open(path: &Path, batch_rows: usize) -> Result<Self, StoreError> {
        let file = files::open(path)?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|e| StoreError::parquet("read", path, e))?
            .with_batch_size(batch_rows.max(1));
        let (schema, rows) =
            (builder.schema().clone(), builder.metadata().file_metadata().num_rows());
        let reader = builder.build().map_err(|e| StoreError::parquet("read", path, e))?;
        let rows = u64::try_from(rows).unwrap_or(0);
        Ok(Self { path: path.to_path_buf(), schema, rows, reader })
    }

    /// Columns of the file.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows the footer promises.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl Iterator for ParquetRows {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(batch.map_err(|e| StoreError::parquet("read", &self.path, e.into())))
    }
}

/// Calls `line` with each row of `path` as a JSON object, without its newline, until it breaks;
/// answers the rows given. Nulls are written; a time without a zone is taken as UTC.
pub fn json_lines(
    path: &Path,
    line: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<u64, StoreError> {
    let mut given = 0;
    for batch in ParquetRows::open(path, JSON_BATCH_ROWS)? {
        let text = as_json_lines(&batch?)
            .map_err(|e| StoreError::parquet("turn into JSON", path, e.into()))?;
        for object in text.split(|byte| *byte == b'\n').filter(|object| !object.is_empty()) {
            given += 1;
            if line(object).is_break() {
                return Ok(given);
            }
        }
    }
    Ok(given)
}

pub(crate) fn as_json_lines(batch: &RecordBatch) -> Result<Vec<u8>, arrow::error::ArrowError> {
    let builder = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_format("%Y-%m-%dT%H:%M:%S%.fZ".into());
    let mut writer = builder.build::<_, LineDelimited>(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

/// A Parquet file being written beside its final name, which must be free.
pub struct NewParquet {
    file: OpenFile,
    to: PathBuf,
}

impl NewParquet {
    /// Starts a file that will be called `to`.
    pub fn create(to: &Path, schema: &SchemaRef) -> Result<Self, StoreError> {
        if to.exists() {
            return Err(taken(to));
        }
        let temporary = beside(to);
        let files: Arc<dyn Files> = Arc::new(LocalFiles);
        let properties = scanned_properties(schema, ROW_GROUP_ROWS);
        let file = OpenFile::create(&files, temporary, schema, &properties)?;
        Ok(Self { file, to: to.to_path_buf() })
    }

    /// Appends rows.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), StoreError> {
        self.file.write(rows, &[])
    }

    /// Closes the file, makes it durable and gives it its name; answers its size in bytes.
    pub fn publish(self) -> Result<u64, StoreError> {
        self.file.publish(vec![], &self.to)?.ok_or_else(|| taken(&self.to))
    }
}

/// Where a file of this process lies until it is whole.
pub(crate) fn beside(to: &Path) -> PathBuf {
    let name = to.file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
    to.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

pub(crate) fn taken(path: &Path) -> StoreError {
    StoreError::Config {
        key: "output file",
        value: path.display().to_string(),
        expected: "a name that is free: an existing file is never replaced",
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

    use super::*;

    fn sample() -> RecordBatch {
        let fields = vec![
            Field::new("n", DataType::Int64, true),
            Field::new("text", DataType::Utf8, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        ];
        RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            vec![
                Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
                Arc::new(StringArray::from(vec![Some("a\nb"), Some("\"é\""), None])),
                Arc::new(TimestampMicrosecondArray::from(vec![Some(0), Some(1_500_000), None])),
            ],
        )
        .unwrap()
    }

    #[test]
    fn rows_come_back_in_bounded_batches_and_as_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sample.parquet");
        let mut new = NewParquet::create(&path, &sample().schema()).unwrap();
        new.write(&sample()).unwrap();
        assert_eq!(new.publish().unwrap(), std::fs::metadata(&path).unwrap().len());
        assert!(NewParquet::create(&path, &sample().schema()).is_err(), "the name is taken");

        let rows = ParquetRows::open(&path, 2).unwrap();
        assert_eq!(rows.rows(), 3);
        let sizes: Vec<usize> = rows.map(|batch| batch.unwrap().num_rows()).collect();
        assert_eq!(sizes, [2, 1]);

        let mut lines = Vec::new();
        let mut collect = |line: &[u8]| {
            lines.push(String::from_utf8(line.to_vec()).unwrap());
            if lines.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert_eq!(json_lines(&path, &mut collect).unwrap(), 2);
        assert_eq!(lines[0], r#"{"n":1,"text":"a\nb","at":"1970-01-01T00:00:00Z"}"#);
        assert_eq!(lines[1], r#"{"n":null,"text":"\"é\"","at":"1970-01-01T00:00:01.500Z"}"#);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary is left");
    }

    #[test]
    fn what_is_not_parquet_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        std::fs::write(&path, "no").unwrap();
        for path in [path, folder.path().join("missing.parquet")] {
            let error = ParquetRows::open(&path, 10).err().expect("refused").to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }
}

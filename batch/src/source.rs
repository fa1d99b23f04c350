//! Published archive files as a source of derived tables: what they cover, and their columns.
//!
//! Reads only. Columns are read one by one as often as asked, so that whoever derives holds one column
//! of a stretch of rows and not all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::file::statistics::Statistics;
use schemas::FooterPosition;

use crate::archive::{parse_partition, partition_files, read_footer};
use crate::error::StoreError;
use crate::files;

/// Rows of a batch: a row group of the archive at most.
const BATCH_ROWS: usize = 64 << 10;

/// Files of each partition below a table's folder, in order of their starts; none when the folder is
/// not there yet.
pub fn files(folder: &Path) -> Result<BTreeMap<i32, Vec<(i64, PathBuf)>>, StoreError> {
    let store = files::of(folder)?;
    let entries = match store.list(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(StoreError::io("list", folder, error)),
    };
    let named = entries.iter().filter_map(|entry| Some((parse_partition(&entry.name)?, entry)));
    named
        .map(|(partition, entry)| {
            Ok((partition, partition_files(&*store, &folder.join(&entry.name))?))
        })
        .collect()
}

/// What an archive file covers, checked against the file.
pub fn position(path: &Path) -> Result<FooterPosition, StoreError> {
    Ok(read_footer(&*files::of(path)?, path)?.position)
}

/// Whether there is a file of this name.
pub fn exists(path: &Path) -> Result<bool, StoreError> {
    match files::of(path)?.stat(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io("look at", path, error)),
    }
}

/// Whether there is a folder of this name; in an object store, one that holds anything.
pub fn is_folder(path: &Path) -> Result<bool, StoreError> {
    if !files::is_object(path) {
        return Ok(path.is_dir());
    }
    let entries = files::of(path)?.list(path).map_err(|e| StoreError::io("list", path, e))?;
    Ok(!entries.is_empty())
}

/// Whether files can be published below `root` once and for all, as far as can be found out: folders of
/// this machine are believed, an object store is tried.
pub fn prove(root: &Path) -> Result<(), StoreError> {
    files::of(root)?.prove(root).map_err(|e| StoreError::io("publish to", root, e))
}

/// A Parquet file whose columns are read by name; text comes as dictionaries.
#[derive(Clone)]
pub struct Columns {
    path: PathBuf,
    metadata: ArrowReaderMetadata,
    rows: usize,
}

impl Columns {
    /// Reads the footer of `path`.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |e| StoreError::parquet("read", path, e);
        let file = files::open(path)?;
        let plain = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(failed)?;
        let options = ArrowReaderOptions::new().with_schema(with_dictionaries(plain.schema()));
        let metadata =
            ArrowReaderMetadata::try_new(plain.metadata().clone(), options).map_err(failed)?;
        let rows = metadata.metadata().file_metadata().num_rows();
        Ok(Self { path: path.to_path_buf(), metadata, rows: usize::try_from(rows).unwrap_or(0) })
    }

    /// Its columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// Its rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The value of a key in the footer.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        let pairs = self.metadata.metadata().file_metadata().key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
    }

    /// The greatest value of a column of integers or instants, as the file's statistics have it;
    /// none where the column is missing or holds nulls only.
    #[must_use]
    pub fn greatest(&self, name: &str) -> Option<i64> {
        let metadata = self.metadata.metadata();
        let greatest = metadata.row_groups().iter().filter_map(|group| {
            let column =
                group.columns().iter().find(|column| column.column_path().string() == name)?;
            match column.statistics()? {
                Statistics::Int64(values) => values.max_opt().copied(),
                Statistics::Int32(values) => values.max_opt().map(|value| i64::from(*value)),
                _ => None,
            }
        });
        greatest.max()
    }

    /// These columns of these rows, in the file's order of columns; names that it lacks are left out.
    pub fn read(&self, names: &[&str], rows: Range<usize>) -> Result<Batches, StoreError> {
        let path = &self.path;
        let file = files::open(path)?;
        let wanted: BTreeSet<&str> = names.iter().copied().collect();
        let fields = self.schema().fields().iter().enumerate();
        let roots = fields.filter(|(_, field)| wanted.contains(field.name().as_str()));
        let mask = ProjectionMask::roots(
            self.metadata.metadata().file_metadata().schema_descr(),
            roots.map(|(at, _)| at),
        );
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_projection(mask)
                .with_batch_size(BATCH_ROWS)
                .with_offset(rows.start)
                .with_limit(rows.len())
                .build()
                .map_err(|e| StoreError::parquet("read", path, e))?;
        Ok(Batches { path: path.clone(), reader })
    }
}

/// A reading of some columns.
pub struct Batches {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(batch.map_err(|e| StoreError::parquet("read", &self.path, e.into())))
    }
}

/// Text as the file holds it: each value once, and a number a row.
fn with_dictionaries(schema: &Schema) -> SchemaRef {
    let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 => Arc::new(Field::clone(field).with_data_type(text.clone())),
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

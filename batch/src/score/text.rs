//! JSON lines and CSV as rows of the contract's types: through the stream's own decoder.
//!
//! A CSV row is put as a JSON object first, so that there is one rule of what a number, an instant or
//! a list is. A row that is no event stays, null but for its reason: whoever scores it puts it aside.

mod cells;
mod csv;
mod lines;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{is_not_null, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use schemas::{Column, Contract, Decoder, MicroBatch};

use super::{ORIGINAL, POSITION, REFUSED};
use crate::error::StoreError;
use crate::rows::find::FileKind;

/// Rows that are decoded together.
const BATCH_ROWS: usize = 4096;
/// Bytes of the lines that are decoded together; one line may be longer.
const BATCH_BYTES: usize = 4 << 20;

/// One part of a text file, as DataFusion scans it.
pub(super) struct TextPart {
    pub(super) path: PathBuf,
    pub(super) kind: FileKind,
    pub(super) range: std::ops::Range<u64>,
    pub(super) contract: Contract,
    /// All columns: the file's, the folders', the hidden ones.
    pub(super) schema: SchemaRef,
    /// The folders' names and values.
    pub(super) hive: Vec<(String, ScalarValue)>,
    /// What was read of it so far.
    pub(super) read: Arc<Read>,
}

/// Rows and bytes of a part that were read, for the job's books.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) rows: AtomicU64,
    pub(super) bytes: AtomicU64,
}

/// The schema of the parts of a text table.
pub(super) fn schema(file: &Schema, hive: &[Field]) -> SchemaRef {
    let mut fields: Vec<Field> = file.fields().iter().map(|field| Field::clone(field)).collect();
    fields.extend(hive.iter().cloned());
    fields.push(Field::new(POSITION, DataType::Int64, true));
    fields.push(Field::new(REFUSED, DataType::Utf8, true));
    fields.push(Field::new(ORIGINAL, DataType::Binary, true));
    Arc::new(Schema::new(fields))
}

impl std::fmt::Debug for TextPart {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {:?}", self.path.display(), self.range)
    }
}

impl PartitionStream for TextPart {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let outside = |error: StoreError| DataFusionError::External(Box::new(error));
        let read = Arc::clone(&self.read);
        let count = move |batch: &RecordBatch| {
            read.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        };
        let batches: Box<dyn Iterator<Item = Result<RecordBatch, StoreError>> + Send> =
            match self.kind {
                FileKind::Csv => match csv::Rows::open(self) {
                    Ok(rows) => Box::new(rows),
                    Err(error) => Box::new(std::iter::once(Err(error))),
                },
                FileKind::JsonLines | FileKind::Parquet => match lines::Lines::open(self) {
                    Ok(lines) => Box::new(lines),
                    Err(error) => Box::new(std::iter::once(Err(error))),
                },
            };
        let batches = batches.map(move |batch| batch.inspect(&count).map_err(outside));
        let stream = futures::stream::iter(batches);
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

/// Decoded events to rows of the part's schema.
struct Typed {
    schema: SchemaRef,
    decoder: Decoder,
    hive: Vec<(String, ScalarValue)>,
    keeps_originals: bool,
}

impl Typed {
    /// Columns of the contract are decoded where the file has them; a line may have those of its folders.
    fn new(part: &TextPart) -> Self {
        let in_folders = |name: &str| part.hive.iter().any(|(key, _)| key == name);
        let lines = part.kind == FileKind::JsonLines;
        let here = |name: &str| {
            part.schema.column_with_name(name).is_some() && (lines || !in_folders(name))
        };
        let fields = part.contract.fields().iter().filter(|field| here(&field.name));
        let columns = fields.map(|field| Column {
            path: vec![field.name.clone()],
            kind: field.kind,
            nullable: field.nullable || in_folders(&field.name),
            name: field.name.clone(),
        });
        Self {
            schema: Arc::clone(&part.schema),
            decoder: Decoder::with_columns(columns.collect()),
            hive: part.hive.clone(),
            keeps_originals: !part.contract.has_sensitive(),
        }
    }

    /// One row per record; `others` are columns that the contract does not know.
    fn rows(
        &mut self,
        batch: &MicroBatch,
        others: &[(String, ArrayRef)],
    ) -> Result<RecordBatch, StoreError> {
        let rows = batch.len();
        let decoded = self.decoder.decode(batch);
        let mut from = vec![None; rows];
        (0u32..).zip(&decoded.rows).for_each(|(event, row)| from[*row as usize] = Some(event));
        let from = UInt32Array::from(from);
        let (mut refused, mut originals) = (vec![None; rows], vec![None; rows]);
        for reject in &decoded.rejects {
            let row = reject.row as usize;
            refused[row] = Some(reject.reason.as_str());
            originals[row] = batch.value(row).filter(|_| self.keeps_originals);
        }
        let column = |field: &Field| -> Result<ArrayRef, StoreError> {
            let name = field.name().as_str();
            let in_folders = find(&self.hive, name);
            Ok(match name {
                POSITION => Arc::new(
                    batch
                        .records()
                        .iter()
                        .map(|record| Some(record.offset))
                        .collect::<Int64Array>(),
                ),
                REFUSED => Arc::new(StringArray::from(refused.clone())),
                ORIGINAL => Arc::new(BinaryArray::from(originals.clone())),
                _ => match (decoded.events.column_by_name(name), find(others, name)) {
                    (Some(events), _) => {
                        let own = match decoded.rejects.is_empty() {
                            true => Arc::clone(events),
                            false => take(events, &from, None).expect("rows of the events"),
                        };
                        in_folders.map_or(Ok(Arc::clone(&own)), |value| filled(&own, value))?
                    }
                    (None, Some(other)) => Arc::clone(other),
                    (None, None) => match in_folders {
                        Some(value) => repeated(value, rows)?,
                        None => arrow::array::new_null_array(field.data_type(), rows),
                    },
                },
            })
        };
        let columns = self.schema.fields().iter().map(|field| column(field));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .expect("decoded columns are of the contract's types"))
    }
}

fn repeated(value: &ScalarValue, rows: usize) -> Result<ArrayRef, StoreError> {
    value.to_array_of_size(rows).map_err(|e| StoreError::Query(e.strip_backtrace()))
}

/// What lines say, and `value`, their folder's, where they say nothing.
fn filled(own: &ArrayRef, value: &ScalarValue) -> Result<ArrayRef, StoreError> {
    if own.null_count() == own.len() {
        return repeated(value, own.len());
    }
    let of_folder = repeated(value, own.len())?;
    let said = is_not_null(own).and_then(|has| zip(&has, own, &of_folder));
    said.map_err(|error| StoreError::Query(error.to_string()))
}

fn find<'a, T>(pairs: &'a [(String, T)], name: &str) -> Option<&'a T> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

//! A CSV file: rows as JSON objects for the decoder, other columns as the text that they are.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::csv::{Reader, ReaderBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use schemas::{FieldType, MicroBatch};

use super::{BATCH_ROWS, Read, TextPart, Typed, cells};
use crate::error::StoreError;
use crate::files;
use crate::score::parts;

/// Batches of rows.
pub(super) struct Rows {
    path: PathBuf,
    reader: Reader<Counting>,
    /// Per column of the file: its name and, where the contract knows it, the field.
    columns: Vec<(String, Option<Known>)>,
    /// Rows read so far.
    position: i64,
    typed: Typed,
    object: Vec<u8>,
}

/// A file that tells how much of it was read.
struct Counting {
    file: Box<dyn std::io::Read + Send>,
    read: Arc<Read>,
}

impl std::io::Read for Counting {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(into)?;
        self.read.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

struct Known {
    /// `"name":` as it stands in an object.
    member: Vec<u8>,
    kind: FieldType,
    nullable: bool,
}

impl Rows {
    pub(super) fn open(part: &TextPart) -> Result<Self, StoreError> {
        let path = part.path.clone();
        // The file's own header: another file of the table may have its columns in another order.
        let header = parts::header(&path, &part.contract)?;
        let columns = header.fields().iter().map(|column| {
            let known = part.contract.field(column.name()).map(|field| Known {
                member: cells::member(&field.name),
                kind: field.kind,
                nullable: field.nullable,
            });
            (column.name().clone(), known)
        });
        let columns: Vec<_> = columns.collect();
        let text = columns.iter().map(|(name, _)| Field::new(name, DataType::Utf8, true));
        let schema = Arc::new(Schema::new(text.collect::<Vec<_>>()));
        let file = files::open(&path)?.from(0).map_err(|e| StoreError::io("read", &path, e))?;
        let file = Counting { file, read: Arc::clone(&part.read) };
        let reader = ReaderBuilder::new(schema)
            .with_header(true)
            .with_batch_size(BATCH_ROWS)
            .build(file)
            .map_err(|e| StoreError::Query(format!("{}: {e}", path.display())))?;
        let typed = Typed::new(part);
        Ok(Self { path, reader, columns, position: 0, typed, object: Vec::new() })
    }

    fn rows(&mut self, read: &RecordBatch) -> Result<RecordBatch, StoreError> {
        let texts: Vec<&StringArray> =
            read.columns().iter().map(|column| column.as_string::<i32>()).collect();
        let mut batch = MicroBatch::with_capacity("rows".into(), read.num_rows(), 0);
        for row in 0..read.num_rows() {
            self.object.clear();
            self.object.push(b'{');
            for ((_, known), texts) in self.columns.iter().zip(&texts) {
                let Some(known) = known else { continue };
                if self.object.len() > 1 {
                    self.object.push(b',');
                }
                self.object.extend_from_slice(&known.member);
                let text = texts.is_valid(row).then(|| texts.value(row));
                cells::write(&mut self.object, text, known.kind, known.nullable);
            }
            self.object.push(b'}');
            batch
                .push(0, self.position, -1, None, Some(&self.object))
                .expect("rows are counted upwards");
            self.position += 1;
        }
        let others = self.columns.iter().zip(read.columns());
        let others: Vec<(String, ArrayRef)> = others
            .filter(|((_, known), _)| known.is_none())
            .map(|((name, _), column)| (name.clone(), Arc::clone(column)))
            .collect();
        self.typed.rows(&batch, &others)
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.reader.next()?.map_err(|error| {
            StoreError::Query(format!(
                "{}: it is cut off or no CSV from about row {} on: {error}",
                self.path.display(),
                self.position
            ))
        });
        Some(read.and_then(|read| self.rows(&read)))
    }
}

//! Sorted rows into files: one a day of events, or several where a day is large.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::record::CompactedFile;
use super::{EVENT_TIME, Folders, TIMESTAMP, names};
use crate::archive::{ClosedFile, Compression, OpenFile, writer_properties};
use crate::error::StoreError;
use crate::files::Files;

/// Rows of a row group.
const ROW_GROUP_ROWS: usize = 128 << 10;
/// Bytes that the open row group may hold in memory; wide rows make it smaller.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;
/// Days that get files of their own in one round, 27 years: event times that are noise make no
/// million files. Rows of further days lie with those that have no time.
const MOST_DAYS: usize = 10_000;
/// Key of the footer's JSON.
const FOOTER: &str = "tidegate.compacted";

/// A file that is durable and has no name yet, and what the record will say of it.
pub(super) struct Written {
    pub(super) closed: ClosedFile,
    pub(super) file: CompactedFile,
}

/// Writer of the files of one round.
pub(super) struct Writer<'a> {
    files: &'a Arc<dyn Files>,
    folders: &'a Folders,
    generation: u64,
    schema: SchemaRef,
    properties: WriterProperties,
    contract_ids: Vec<String>,
    file_bytes: u64,
    open: Option<Open>,
    days: usize,
    written: Vec<Written>,
}

struct Open {
    day: Option<i64>,
    rows: OpenFile,
    first_us: Option<i64>,
    last_us: Option<i64>,
    newest_record_us: Option<i64>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        files: &'a Arc<dyn Files>,
        folders: &'a Folders,
        generation: u64,
        schema: SchemaRef,
        contract_ids: Vec<String>,
        file_bytes: u64,
    ) -> Self {
        let properties = writer_properties(&schema, ROW_GROUP_ROWS, Compression::Zstd);
        let (open, days, written) = (None, 0, Vec::new());
        Self {
            files,
            folders,
            generation,
            schema,
            properties,
            contract_ids,
            file_bytes,
            open,
            days,
            written,
        }
    }

    /// Appends rows, whose times are behind those of all before.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), StoreError> {
        let (event, record) = (instants(rows, EVENT_TIME)?, instants(rows, TIMESTAMP)?);
        let time = |row: usize| {
            let of = |times: &PrimitiveArray<TimestampMicrosecondType>| {
                times.is_valid(row).then(|| times.value(row))
            };
            of(&event).or_else(|| of(&record))
        };
        let mut start = 0;
        while start < rows.num_rows() {
            let day = time(start).map(day_of);
            let same = (start..rows.num_rows()).take_while(|row| time(*row).map(day_of) == day);
            let len = same.count();
            let open = self.open(day)?;
            let part = rows.slice(start, len);
            open.rows.write(&part, &[])?;
            open.first_us = open.first_us.or_else(|| time(start));
            open.last_us = time(start + len - 1).or(open.last_us);
            let newest = arrow::compute::max(&record.slice(start, len));
            open.newest_record_us = open.newest_record_us.max(newest);
            if open.rows.memory_bytes() > ROW_GROUP_BYTES {
                open.rows.flush()?;
            }
            if open.rows.encoded_bytes() >= self.file_bytes {
                self.close()?;
            }
            start += len;
        }
        Ok(())
    }

    /// Closes the last file and answers all of them.
    pub(super) fn finish(mut self) -> Result<Vec<Written>, StoreError> {
        self.close()?;
        Ok(self.written)
    }

    /// The file of this day.
    fn open(&mut self, day: Option<i64>) -> Result<&mut Open, StoreError> {
        let day = day.filter(|_| self.days < MOST_DAYS);
        if self.open.as_ref().is_none_or(|open| open.day != day) {
            self.close()?;
            self.days += 1;
            let name = names::file(self.generation, self.written.len());
            let path = self.folders.temporaries.join(name);
            let rows = OpenFile::create(self.files, path, &self.schema, &self.properties)?;
            let (first_us, last_us, newest_record_us) = (None, None, None);
            self.open = Some(Open { day, rows, first_us, last_us, newest_record_us });
        }
        Ok(self.open.as_mut().expect("just opened"))
    }

    fn close(&mut self) -> Result<(), StoreError> {
        let Some(Open { day, rows, first_us, last_us, newest_record_us }) = self.open.take() else {
            return Ok(());
        };
        let count = rows.rows;
        let said = serde_json::json!({ "generation": self.generation, "rows": count });
        let closed = rows.close(vec![KeyValue::new(FOOTER.to_owned(), said.to_string())])?;
        let name = names::file(self.generation, self.written.len());
        let file = CompactedFile {
            path: format!("{}/{name}", names::day_folder(day)),
            rows: count,
            bytes: closed.bytes,
            contract_ids: self.contract_ids.clone(),
            first_us,
            last_us,
            newest_record_us,
        };
        self.written.push(Written { closed, file });
        Ok(())
    }
}

fn day_of(micros: i64) -> i64 {
    micros.div_euclid(DAY_US)
}

fn instants(
    rows: &RecordBatch,
    name: &str,
) -> Result<PrimitiveArray<TimestampMicrosecondType>, StoreError> {
    let column = rows.column_by_name(name);
    let column = column.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    column.cloned().ok_or_else(|| StoreError::Foreign {
        path: Path::new(name).to_path_buf(),
        reason: "the archive has no such column of instants".into(),
    })
}

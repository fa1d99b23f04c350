//! Answers on their way out: a table, CSV, JSON lines or a Parquet file, batch by batch.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::csv::WriterBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_schema;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use super::{Format, TABLE_ROWS, plain, told};
use crate::error::StoreError;
use crate::parquet_io::{NewParquet, as_json_lines};

/// Writer of one statement's answer.
pub(super) struct Printer<'o> {
    out: &'o mut dyn Write,
    kind: Kind,
    schema: SchemaRef,
    rows: u64,
}

enum Kind {
    Table(Vec<RecordBatch>),
    Csv,
    Json,
    /// The file, and its columns where they are not the answer's own.
    Parquet(Box<NewParquet>, Option<SchemaRef>),
}

impl<'o> Printer<'o> {
    pub(super) fn new(
        format: &Format,
        schema: SchemaRef,
        out: &'o mut dyn Write,
    ) -> Result<Self, StoreError> {
        let kind = match format {
            Format::Table => Kind::Table(Vec::new()),
            Format::Csv => Kind::Csv,
            Format::Json => Kind::Json,
            Format::Parquet(path) => {
                let plain = plain::schema(&schema);
                let file = NewParquet::create(path, plain.as_ref().unwrap_or(&schema))?;
                Kind::Parquet(Box::new(file), plain)
            }
        };
        Ok(Self { out, kind, schema, rows: 0 })
    }

    pub(super) async fn print(
        mut self,
        mut stream: SendableRecordBatchStream,
    ) -> Result<u64, StoreError> {
        if matches!(self.kind, Kind::Csv) {
            self.csv(&RecordBatch::new_empty(self.schema.clone()), true)?;
        }
        while let Some(batch) = stream.next().await {
            self.batch(batch.map_err(told)?)?;
        }
        self.finish()
    }

    fn batch(&mut self, batch: RecordBatch) -> Result<(), StoreError> {
        let shown = self.rows as usize;
        self.rows += batch.num_rows() as u64;
        match &mut self.kind {
            Kind::Table(batches) if shown < TABLE_ROWS => {
                batches.push(batch.slice(0, batch.num_rows().min(TABLE_ROWS - shown)));
            }
            Kind::Table(_) => {}
            Kind::Csv => self.csv(&batch, false)?,
            Kind::Json => {
                let text = as_json_lines(&batch).map_err(unprintable)?;
                self.out.write_all(&text).map_err(to_out)?;
            }
            Kind::Parquet(file, None) => file.write(&batch)?,
            Kind::Parquet(file, Some(plain)) => {
                for start in (0..batch.num_rows()).step_by(plain::ROWS) {
                    let rows = batch.slice(start, plain::ROWS.min(batch.num_rows() - start));
                    file.write(&plain::rows(&rows, plain).map_err(unprintable)?)?;
                }
            }
        }
        Ok(())
    }

    fn csv(&mut self, batch: &RecordBatch, header: bool) -> Result<(), StoreError> {
        let flat = flatten(batch).map_err(unprintable)?;
        let mut writer = WriterBuilder::new().with_header(header).build(&mut self.out);
        writer.write(&flat).map_err(unprintable)
    }

    fn finish(self) -> Result<u64, StoreError> {
        match self.kind {
            Kind::Table(batches) => {
                let text = pretty_format_batches_with_schema(self.schema, &batches)
                    .map_err(unprintable)?;
                writeln!(self.out, "{text}").map_err(to_out)?;
                if self.rows > TABLE_ROWS as u64 {
                    let rows = self.rows;
                    writeln!(self.out, "{TABLE_ROWS} of {rows} rows; csv and json write them all")
                        .map_err(to_out)?;
                }
            }
            Kind::Parquet(file, _) => {
                file.publish()?;
            }
            Kind::Csv | Kind::Json => {}
        }
        self.out.flush().map_err(to_out)?;
        Ok(self.rows)
    }
}

/// Lists and structs as text, since CSV has no form for them.
fn flatten(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let options = FormatOptions::default();
    let (mut fields, mut columns) = (Vec::new(), Vec::<ArrayRef>::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if !field.data_type().is_nested() {
            fields.push(field.clone());
            columns.push(column.clone());
            continue;
        }
        let formatter = ArrayFormatter::try_new(column, &options)?;
        let texts: StringArray = (0..column.len())
            .map(|row| column.is_valid(row).then(|| formatter.value(row).to_string()))
            .collect();
        fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
        columns.push(Arc::new(texts));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn unprintable(error: ArrowError) -> StoreError {
    match error {
        ArrowError::IoError(_, error) => to_out(error),
        other => StoreError::Query(format!("the answer cannot be written: {other}")),
    }
}

fn to_out(error: std::io::Error) -> StoreError {
    StoreError::io("write", Path::new("the output"), error)
}

//! The input cut in parts: what one thread reads, scores and publishes as one.
//!
//! A part is a stretch of row groups of a Parquet file, a stretch of lines of a JSON file, or a whole
//! CSV file (a quoted cell may hold line ends, so none can be told from the middle). The same files
//! give the same parts, in the same order.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::RowGroupMetaData;
use schemas::Contract;
use serde::{Deserialize, Serialize};

use super::hive;
use super::lacking::Lacking;
use crate::error::StoreError;
use crate::files;
use crate::rows::find::{FileKind, Found, find, find_of};

/// Rows of a part of a Parquet file, about: a killed job does at most so many again, and a thread.
const PART_ROWS: u64 = 1 << 20;
/// Bytes of a part of a file of JSON lines, about.
const PART_BYTES: u64 = 256 << 20;
/// A CSV header of more bytes is none.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// A file as it was when the job was planned: enough to see that it is another one now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// When it last changed, in nanoseconds since the epoch.
    pub(super) modified: u64,
}

/// What one thread does at a time.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Its file's place among the inputs.
    pub(super) input: usize,
    /// The bytes in which its row groups or lines start.
    pub(super) range: Range<u64>,
    /// Rows, where the file says it.
    pub(super) rows: Option<u64>,
}

/// All that is to be scored.
pub(super) struct Planned {
    pub(super) inputs: Vec<Input>,
    pub(super) parts: Vec<Part>,
    pub(super) shape: Shape,
}

/// What all files of an input have in common.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) kind: FileKind,
    /// Columns in the files of all of them together, types as the reader gives them.
    pub(super) schema: SchemaRef,
    /// Columns that the folders' names give.
    pub(super) hive: Vec<Field>,
}

impl Input {
    fn of(path: &Path) -> Result<Self, StoreError> {
        let absolute = files::absolute(path).map_err(|e| StoreError::io("resolve", path, e))?;
        let found = files::of(path)?.stat(path).map_err(|e| StoreError::io("open", path, e))?;
        let changed = found.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self { path: absolute, bytes: found.bytes, modified: changed.as_nanos() as u64 })
    }

    /// Refuses a file that is not what it was.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let changed = match Self::of(&self.path) {
            Ok(now) if now == *self => return Ok(()),
            Ok(_) => "changed",
            Err(_) => "is gone, or cannot be read,",
        };
        Err(StoreError::Query(format!(
            "{} {changed} since the job was planned: put it back and start the command again, or name \
             another output folder to score what is there now",
            self.path.display()
        )))
    }
}

/// Finds the files, reads what they say of themselves and cuts them.
pub(super) fn plan(inputs: &[PathBuf], contract: &Contract) -> Result<Planned, StoreError> {
    cut(&find(inputs)?, contract)
}

/// As [`plan`], of a job that began with these files: what came since is counted, and not read, since it may still
/// be written. Where none of them is there any more it is another input, which is planned as such.
pub(super) fn plan_again(
    inputs: &[PathBuf],
    begun: &[Input],
    contract: &Contract,
) -> Result<(Planned, usize), StoreError> {
    let begun: HashSet<&Path> = begun.iter().map(|input| input.path.as_path()).collect();
    let (found, new) = find_of(inputs, &begun)?;
    Ok((cut(&found, contract)?, new))
}

fn cut(found: &Found, contract: &Contract) -> Result<Planned, StoreError> {
    let hive = hive::keys(&found.files, contract)?;
    let (mut inputs, mut parts) = (Vec::new(), Vec::new());
    let mut schema: Option<Schema> = None;
    let mut own: Option<Vec<&str>> = None;
    let mut lacking = Lacking::default();
    for file in &found.files {
        let input = Input::of(file)?;
        let (at, before) = (inputs.len(), parts.len());
        let columns = match found.kind {
            FileKind::Parquet => parquet(at, &input, &mut parts)?,
            FileKind::Csv => {
                parts.push(Part { input: at, range: 0..input.bytes, rows: None });
                header(file, contract)?
            }
            FileKind::JsonLines => {
                let starts = (0..input.bytes.max(1)).step_by(PART_BYTES as usize);
                parts.extend(starts.map(|start| {
                    let end = (start + PART_BYTES).min(input.bytes);
                    Part { input: at, range: start..end, rows: None }
                }));
                let names = contract.fields().iter().map(|field| field.name.as_str());
                text_schema(
                    names.filter(|name| hive.iter().all(|key| key.name() != name)),
                    contract,
                )
            }
        };
        // A file without rows has none that its columns could spoil.
        if parts[before..].iter().any(|part| part.rows != Some(0)) {
            lacking.note(file, &columns, &hive, contract);
        }
        let has = |key: &&Field| columns.column_with_name(key.name()).is_some();
        let both: Vec<&str> = hive.iter().filter(has).map(|key| key.name().as_str()).collect();
        let first = own.get_or_insert_with(|| Vec::clone(&both));
        if *first != both {
            return Err(StoreError::Query(format!(
                "{}: of what its folders name it has the columns {both:?} itself, {} has {first:?}: score \
                 them apart",
                file.display(),
                found.files[0].display()
            )));
        }
        schema = Some(match schema {
            None => columns,
            Some(before) => Schema::try_merge([before, columns]).map_err(|error| {
                let path = file.display();
                StoreError::Query(format!(
                    "{path}: its columns do not go with those of the files before it: {error}"
                ))
            })?,
        });
        inputs.push(input);
    }
    let schema = schema.unwrap_or_else(Schema::empty);
    lacking.check(&schema, &hive, contract)?;
    // A file's own column goes before what its folder says.
    let hive = hive.into_iter().filter(|key| schema.column_with_name(key.name()).is_none());
    let shape = Shape { kind: found.kind, hive: hive.collect(), schema: Arc::new(schema) };
    Ok(Planned { inputs, parts, shape })
}

fn parquet(at: usize, input: &Input, parts: &mut Vec<Part>) -> Result<Schema, StoreError> {
    let path = &input.path;
    let file = files::open(path)?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(|e| StoreError::parquet("read", path, e))?;
    let groups = reader.metadata().row_groups();
    let mut open: Option<Part> = None;
    for group in groups {
        let (start, rows) = (first_byte(group), group.num_rows() as u64);
        match &mut open {
            Some(part) if part.rows.unwrap_or(0) + rows <= PART_ROWS => {
                part.rows = part.rows.map(|before| before + rows);
            }
            _ => {
                parts.extend(
                    open.take().map(|part| Part { range: part.range.start..start, ..part }),
                );
                open = Some(Part { input: at, range: start..input.bytes, rows: Some(rows) });
            }
        }
    }
    // A file without rows is a part without rows.
    parts.push(open.unwrap_or(Part { input: at, range: 0..input.bytes, rows: Some(0) }));
    let fields = reader.schema().fields().iter();
    let plain = fields
        .map(|field| Field::clone(field).with_metadata(Default::default()).with_nullable(true));
    Ok(Schema::new(plain.collect::<Vec<_>>()))
}

/// Where a row group starts, as DataFusion's ranges take it.
fn first_byte(group: &RowGroupMetaData) -> u64 {
    let first = group.columns().first();
    let start = first.map_or(0, |column| {
        column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset())
    });
    u64::try_from(start).unwrap_or(0)
}

pub(super) fn header(path: &Path, contract: &Contract) -> Result<Schema, StoreError> {
    let file = files::open(path)?.from(0).map_err(|e| StoreError::io("read", path, e))?;
    let mut line = Vec::new();
    BufReader::new(file.take(MAX_HEADER_BYTES))
        .read_until(b'\n', &mut line)
        .map_err(|e| StoreError::io("read", path, e))?;
    // Spreadsheets put a byte order mark before the first name.
    let names = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
    let format = arrow::csv::reader::Format::default().with_header(true);
    let (columns, _) = format.infer_schema(names, Some(0)).map_err(|error| {
        StoreError::Query(format!("{}: its first line is no CSV header: {error}", path.display()))
    })?;
    let names: Vec<&str> = columns.fields().iter().map(|field| field.name().as_str()).collect();
    if let Some(twice) = (1..names.len()).find(|at| names[..*at].contains(&names[*at])) {
        let (path, name) = (path.display(), names[twice]);
        return Err(StoreError::Query(format!("{path}: two columns are called {name:?}")));
    }
    Ok(text_schema(names.into_iter(), contract))
}

/// Text has the types of the contract, and is text where that says nothing.
fn text_schema<'a>(names: impl Iterator<Item = &'a str>, contract: &Contract) -> Schema {
    let fields = names.map(|name| {
        let kind = contract.field(name).map_or(DataType::Utf8, |field| field.kind.data_type());
        Field::new(name, kind, true)
    });
    Schema::new(fields.collect::<Vec<_>>())
}

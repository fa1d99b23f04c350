//! The decoder of one worker: builders, learned shapes and what they share between batches.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};

use super::columns::Builder;
use super::general::General;
use super::lookup::Layout;
use super::problem::{Problem, bounded};
use super::shape::Shapes;
use super::{Column, Decoded, MAX_EVENT_BYTES, RESERVED_MEMBERS};
use crate::{Contract, MicroBatch, Record, Reject, Stage};

/// Decodes micro-batches to the columns of a contract. One per worker thread: it learns the shape
/// of the events that it sees.
pub struct Decoder {
    layout: Layout,
    schema: SchemaRef,
    builders: Vec<Builder>,
    general: General,
    shapes: Shapes,
    max_event_bytes: usize,
    /// Off in the tests that hold both decoders to the same answer.
    pub(super) learning: bool,
}

impl Decoder {
    /// A decoder of the contract's fields, in their order, that rejects events with a member the
    /// output record needs ([`RESERVED_MEMBERS`]).
    #[must_use]
    pub fn new(contract: &Contract) -> Self {
        let columns = contract.fields().iter().map(|field| Column {
            path: vec![field.name.clone()],
            kind: field.kind,
            nullable: field.nullable,
            name: field.name.clone(),
        });
        Self::with_columns(columns.collect()).reserving(&RESERVED_MEMBERS)
    }

    /// A decoder of any columns, each of a top-level member or of a member of a top-level object.
    ///
    /// # Panics
    /// When a path has no name or more than two, or two columns want the same member.
    #[must_use]
    pub fn with_columns(columns: Vec<Column>) -> Self {
        let fields = columns.iter().map(|column| {
            arrow::datatypes::Field::new(&column.name, column.kind.data_type(), column.nullable)
        });
        Self {
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            builders: columns
                .iter()
                .map(|column| Builder::new(column.kind, column.nullable))
                .collect(),
            layout: Layout::new(columns),
            general: General::default(),
            shapes: Shapes::default(),
            max_event_bytes: MAX_EVENT_BYTES,
            learning: true,
        }
    }

    /// Rejects (at [`Stage::Encode`]) events with a top-level member of one of these names.
    #[must_use]
    pub fn reserving(mut self, names: &[&str]) -> Self {
        names.iter().for_each(|name| self.layout.reserve(name));
        self
    }

    /// Rejects events of more bytes than this.
    #[must_use]
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.max_event_bytes = bytes;
        self
    }

    /// Schema of [`Decoded::events`].
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Decodes every record: rows of events + rejects = records of the batch.
    #[must_use]
    pub fn decode(&mut self, batch: &MicroBatch) -> Decoded {
        let values = batch.values();
        // Once for all: a record that starts and ends at characters of a valid text is valid.
        let text = simdutf8::basic::from_utf8(values).ok();
        let mut rows = Vec::with_capacity(batch.len());
        let mut object_ends = Vec::with_capacity(batch.len());
        let mut rejects = Vec::new();
        for builder in &mut self.builders {
            // A panic may have left rows of the batch before.
            builder.truncate(0);
            builder.reserve(batch.len());
        }
        for (row, record) in (0..).zip(batch.records()) {
            match self.record(values, text, record, rows.len() as u32) {
                Ok(object_end) => {
                    rows.push(row);
                    object_ends.push(object_end as u32);
                }
                Err((stage, reason)) => {
                    self.builders.iter_mut().for_each(|builder| builder.truncate(rows.len()));
                    rejects.push(Reject { row, stage, reason });
                }
            }
        }
        assert_eq!(rows.len() + rejects.len(), batch.len(), "every record has one outcome");
        Decoded { events: self.finish(rows.len()), rows, object_ends, rejects }
    }

    #[inline]
    fn record(
        &mut self,
        values: &[u8],
        text: Option<&str>,
        record: &Record,
        row: u32,
    ) -> Result<usize, (Stage, String)> {
        let refuse = |problem: Problem| (Stage::Decode, problem.text(None));
        let span = record.value.ok_or_else(|| refuse(Problem::Tombstone))?;
        let (start, len) = (span.start as usize, span.len as usize);
        if len == 0 {
            return Err(refuse(Problem::Empty));
        }
        if len > self.max_event_bytes {
            return Err(refuse(Problem::Size { bytes: len, limit: self.max_event_bytes }));
        }
        let valid = match text {
            Some(text) => text.is_char_boundary(start) && text.is_char_boundary(start + len),
            None => simdutf8::basic::from_utf8(&values[start..start + len]).is_ok(),
        };
        if !valid {
            return Err(refuse(Problem::Utf8));
        }
        let bytes = &values[start..];
        match self.shapes.decode(bytes, len, &mut self.builders, row) {
            Some(object_end) => Ok(object_end),
            None => self.general(&bytes[..len], row),
        }
    }

    #[inline(never)]
    fn general(&mut self, record: &[u8], row: u32) -> Result<usize, (Stage, String)> {
        let event = self
            .general
            .decode(&self.layout, record, &mut self.builders, row)
            .map_err(|fault| (Stage::Decode, fault.reason(&self.layout)))?;
        if let Some(index) = event.reserved {
            let name = &self.layout.reserved[index];
            let fix = "the result needs this name; rename the event's member";
            return Err((
                Stage::Encode,
                bounded(format!("the event has a member \"{name}\": {fix}")),
            ));
        }
        if self.learning {
            self.shapes.learn(record, event.object_end, &self.general);
        }
        Ok(event.object_end)
    }

    fn finish(&mut self, rows: usize) -> RecordBatch {
        let columns = self.builders.iter_mut().map(|builder| builder.finish(rows)).collect();
        // A contract of no columns still has rows.
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema(), columns, &options)
            .expect("the builders were made from the schema's own types")
    }
}

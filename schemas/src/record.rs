//! Micro-batches: consecutive Kafka records handled together, their bytes copied once.
//!
//! Values lie back to back in one buffer, keys and headers in another, so that a batch costs a
//! handful of allocations whatever its rows. Nothing here knows what the bytes mean.

use std::sync::Arc;

use crate::{Offsets, Overlap};

/// A stretch of a batch's buffer, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
}

impl Span {
    /// The bytes of this span in `buffer`.
    #[must_use]
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start as usize..self.start as usize + self.len as usize]
    }

    /// Appends `bytes` to `buffer` and returns where they lie.
    ///
    /// # Panics
    /// When the buffer would pass 4 GiB; batches are cut at a byte bound far below.
    pub fn append(buffer: &mut Vec<u8>, bytes: &[u8]) -> Self {
        let start = u32::try_from(buffer.len()).expect("a batch buffer stays below 4 GiB");
        let len = u32::try_from(bytes.len()).expect("a record stays below 4 GiB");
        buffer.extend_from_slice(bytes);
        Self { start, len }
    }
}

/// One record's coordinates and where its bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Partition it was read from.
    pub partition: i32,
    /// Offset it was read at.
    pub offset: i64,
    /// Kafka timestamp in milliseconds since the epoch; -1 where the record has none.
    pub timestamp_ms: i64,
    /// Value; `None` is Kafka's null (a tombstone).
    pub value: Option<Span>,
    /// Key; `None` is Kafka's null.
    pub key: Option<Span>,
    headers: (u32, u32),
}

#[derive(Clone, Copy, Debug)]
struct Header {
    name: Span,
    value: Option<Span>,
}

/// Consecutive records of one topic, in the order they were read.
///
/// Invariant: per partition the offsets ascend; [`MicroBatch::offsets`] covers exactly from the
/// first to the last record of each partition.
#[derive(Clone, Debug)]
pub struct MicroBatch {
    topic: Arc<str>,
    values: Vec<u8>,
    keys: Vec<u8>,
    headers: Vec<Header>,
    records: Vec<Record>,
    offsets: Offsets,
}

impl MicroBatch {
    /// An empty batch of `topic` with room for `rows` records and `bytes` of values.
    #[must_use]
    pub fn with_capacity(topic: Arc<str>, rows: usize, bytes: usize) -> Self {
        Self {
            topic,
            values: Vec::with_capacity(bytes),
            keys: Vec::new(),
            headers: Vec::new(),
            records: Vec::with_capacity(rows),
            offsets: Offsets::new(),
        }
    }

    /// Appends a record; its headers follow by [`MicroBatch::push_header`].
    pub fn push(
        &mut self,
        partition: i32,
        offset: i64,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), Overlap> {
        self.offsets.push(partition, offset)?;
        let at = self.headers.len() as u32;
        let value = value.map(|bytes| Span::append(&mut self.values, bytes));
        let key = key.map(|bytes| Span::append(&mut self.keys, bytes));
        self.records.push(Record {
            partition,
            offset,
            timestamp_ms,
            value,
            key,
            headers: (at, at),
        });
        Ok(())
    }

    /// Appends a header to the last record pushed.
    ///
    /// # Panics
    /// When no record was pushed.
    pub fn push_header(&mut self, name: &[u8], value: Option<&[u8]>) {
        let name = Span::append(&mut self.keys, name);
        let value = value.map(|bytes| Span::append(&mut self.keys, bytes));
        self.headers.push(Header { name, value });
        let last = self.records.last_mut().expect("a header belongs to a pushed record");
        last.headers.1 = self.headers.len() as u32;
    }

    /// Replaces the key of record `row`: `None` is Kafka's null. Its old bytes stay in the buffer and
    /// are no record's any more.
    pub fn set_key(&mut self, row: usize, key: Option<&[u8]>) {
        self.records[row].key = key.map(|bytes| Span::append(&mut self.keys, bytes));
    }

    /// Frees the values: none may be asked for any more. Keys, headers and coordinates stay.
    pub fn forget_values(&mut self) {
        self.values = Vec::new();
    }

    /// Topic the records were read from.
    #[must_use]
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes held: values, keys and headers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.values.len() + self.keys.len()
    }

    /// The records' coordinates, in the order read.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// All values back to back, in record order.
    #[must_use]
    pub fn values(&self) -> &[u8] {
        &self.values
    }

    /// Value of record `row`; `None` is Kafka's null.
    #[must_use]
    pub fn value(&self, row: usize) -> Option<&[u8]> {
        self.records[row].value.map(|span| span.of(&self.values))
    }

    /// Key of record `row`; `None` is Kafka's null.
    #[must_use]
    pub fn key(&self, row: usize) -> Option<&[u8]> {
        self.records[row].key.map(|span| span.of(&self.keys))
    }

    /// Headers of record `row`, in the record's order: name and value.
    pub fn headers(&self, row: usize) -> impl ExactSizeIterator<Item = (&[u8], Option<&[u8]>)> {
        let (start, end) = self.records[row].headers;
        self.headers[start as usize..end as usize].iter().map(|header| {
            (header.name.of(&self.keys), header.value.map(|span| span.of(&self.keys)))
        })
    }

    /// Value of the first header of record `row` with this name.
    #[must_use]
    pub fn header(&self, row: usize, name: &str) -> Option<&[u8]> {
        self.headers(row).find(|(have, _)| *have == name.as_bytes()).and_then(|(_, value)| value)
    }

    /// The smallest timestamp of its records; `None` where no record has one.
    #[must_use]
    pub fn oldest_ms(&self) -> Option<i64> {
        self.records.iter().map(|record| record.timestamp_ms).filter(|at| *at >= 0).min()
    }

    /// What the batch covers.
    #[must_use]
    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_values_and_headers_come_back_as_they_went_in() {
        let mut batch = MicroBatch::with_capacity("events".into(), 2, 16);
        batch.push(0, 7, 1_000, Some(b"k"), Some(b"{}")).unwrap();
        batch.push_header(b"traceparent", Some(b"00-1"));
        batch.push_header(b"empty", None);
        batch.push(1, 3, -1, None, None).unwrap();
        assert_eq!((batch.key(0), batch.value(0)), (Some(&b"k"[..]), Some(&b"{}"[..])));
        assert_eq!((batch.key(1), batch.value(1)), (None, None));
        assert_eq!(batch.headers(0).len(), 2);
        assert_eq!(batch.headers(1).len(), 0);
        assert_eq!(batch.header(0, "traceparent"), Some(&b"00-1"[..]));
        assert_eq!(batch.offsets().get(0).map(|e| (e.start, e.end)), Some((7, 8)));
        assert!(batch.push(0, 7, 0, None, None).is_err(), "the same offset twice");
        batch.set_key(0, None);
        batch.set_key(1, Some(b"new"));
        assert_eq!((batch.key(0), batch.key(1)), (None, Some(&b"new"[..])));
    }
}

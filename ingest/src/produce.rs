//! A plain producer for tools: batches of records in, acknowledged or an error out.
//!
//! Idempotent, no transactions; the caller paces itself by what is outstanding.

use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, Producer as _};
use schemas::{MicroBatch, ScoredBatch, ScoredRow, Span};

use crate::client::topic_name;
use crate::connection::Connection;
use crate::raw::{self, Headers, NotTaken, Reports, Sender, Single, Value};

/// Records to send: values and keys back to back, as a batch.
#[derive(Debug, Default)]
pub struct Outgoing {
    values: Vec<u8>,
    keys: Vec<u8>,
    records: Vec<Record>,
    headers: Vec<(String, Vec<u8>)>,
    /// Whether some record has a time of its own.
    stamped: bool,
}

/// One record to send.
#[derive(Debug)]
struct Record {
    key: Option<Span>,
    value: Span,
    /// -1: the key decides.
    partition: i32,
    /// Milliseconds since the epoch; 0 is now.
    timestamp_ms: i64,
}

impl Outgoing {
    /// No records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record; `partition` `None` lets the key decide (Java's partitioner).
    pub fn push(&mut self, key: Option<&[u8]>, value: &[u8], partition: Option<i32>) {
        let key = key.map(|key| Span::append(&mut self.keys, key));
        let value = Span::append(&mut self.values, value);
        let partition = partition.unwrap_or(-1);
        self.records.push(Record { key, value, partition, timestamp_ms: 0 });
    }

    /// Gives the last record pushed a timestamp, in milliseconds since the epoch; 0 is now. A batch call
    /// takes none: all of these records are handed over one by one.
    ///
    /// # Panics
    /// When no record was pushed.
    pub fn stamp(&mut self, timestamp_ms: i64) {
        let last = self.records.last_mut().expect("a timestamp belongs to a pushed record");
        last.timestamp_ms = timestamp_ms;
        self.stamped = true;
    }

    /// Gives every record of the batch a header.
    ///
    /// # Panics
    /// When the name holds a NUL.
    pub fn header(&mut self, name: &str, value: &[u8]) {
        assert!(!name.contains('\0'), "a header's name holds no NUL");
        self.headers.push((name.to_owned(), value.to_vec()));
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.values.len() + self.keys.len()
    }
}

/// Why records were not sent.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// The producer cannot be made.
    #[error("the producer cannot be made: {0}")]
    Config(String),
    /// Some records were refused; others may have been written.
    #[error("{failed} records were not delivered, the first: {first}")]
    NotDelivered {
        /// How many.
        failed: usize,
        /// Why the first one.
        first: String,
    },
    /// The brokers did not acknowledge in time.
    #[error("records were not acknowledged within {0:?}")]
    Late(Duration),
}

/// Sends batches to one topic.
pub struct Producer {
    sender: Sender,
    limit: Duration,
    outstanding_bytes: usize,
    acknowledged: u64,
}

/// Unacknowledged bytes at which [`Producer::send`] waits.
const OUTSTANDING_BYTES_MAX: usize = 32 << 20;

impl Producer {
    /// A producer for `topic` whose sends may wait at most `limit` for the brokers.
    pub fn new(
        connection: &Connection,
        topic: &str,
        limit: Duration,
    ) -> Result<Self, ProduceError> {
        let producer: BaseProducer<Reports> = connection
            .producer()
            .set("queue.buffering.max.kbytes", "262144")
            .set("message.timeout.ms", limit.as_millis().max(1000).to_string())
            .create_with_context(Reports::default())
            .map_err(|error| ProduceError::Config(error.to_string()))?;
        let topic = topic_name(topic).map_err(ProduceError::Config)?;
        Ok(Self {
            sender: Sender::new(producer, &[topic]),
            limit,
            outstanding_bytes: 0,
            acknowledged: 0,
        })
    }

    /// Enqueues a batch; waits while more than 32 MiB are unacknowledged.
    pub fn send(&mut self, mut records: Outgoing) -> Result<(), ProduceError> {
        let rows = records.records.len();
        if rows == 0 {
            return Ok(());
        }
        let headers = std::mem::take(&mut records.headers);
        let together = headers.is_empty() && !records.stamped;
        let batch = as_batch(records);
        self.outstanding_bytes += batch.bytes();
        let number = self.sender.hold(batch);
        self.sender.end_turns();
        let taken = if together {
            let all: Vec<u32> = (0..rows as u32).collect();
            self.sender.produce_results(0, number, &all, true, self.limit)
        } else {
            self.one_by_one(number, &headers)
        };
        taken.map_err(|failed| ProduceError::NotDelivered {
            failed: 1,
            first: failed.code.to_string(),
        })?;
        let begun = Instant::now();
        loop {
            self.serve()?;
            if self.outstanding_bytes <= OUTSTANDING_BYTES_MAX {
                return Ok(());
            }
            if begun.elapsed() > self.limit {
                return Err(ProduceError::Late(self.limit));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Enqueues a held batch with headers or timestamps, which a batch call does not take.
    fn one_by_one(&mut self, number: u64, headers: &[(String, Vec<u8>)]) -> Result<(), NotTaken> {
        let records: Vec<_> = {
            let batch = self.sender.batch(number).expect("just held");
            let results = batch.results().iter();
            results.map(|each| (*each, batch.source().records()[each.row as usize])).collect()
        };
        for (result, record) in records {
            let single = Single {
                topic: 0,
                partition: record.partition,
                row: result.row,
                value: Value::Result(result.value),
                timestamp_ms: record.timestamp_ms,
                headers: Headers::of(
                    headers.iter().map(|(name, value)| (name.as_bytes(), Some(&value[..]))),
                ),
                with_key: true,
            };
            self.sender.produce_single(number, single, self.limit)?;
        }
        Ok(())
    }

    /// Records acknowledged so far (in whole batches).
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Takes in acknowledgements; call it between sends when pacing.
    pub fn serve(&mut self) -> Result<(), ProduceError> {
        let failed = self.sender.serve();
        if let Some(first) = failed.first() {
            return Err(ProduceError::NotDelivered {
                failed: failed.len(),
                first: first.code.to_string(),
            });
        }
        while let Some(batch) = self.sender.release_first() {
            self.outstanding_bytes -= batch.bytes();
            self.acknowledged += batch.source().len() as u64;
        }
        Ok(())
    }

    /// Waits until everything is acknowledged.
    pub fn flush(&mut self) -> Result<(), ProduceError> {
        let begun = Instant::now();
        loop {
            self.serve()?;
            let empty = raw::flush_step(self.sender.producer(), Duration::from_millis(5));
            if empty && self.sender.producer().in_flight_count() == 0 {
                return self.serve();
            }
            if begun.elapsed() > self.limit {
                return Err(ProduceError::Late(self.limit));
            }
        }
    }
}

/// The sender speaks in scored batches: each record is the result of a source row that holds its
/// key, its timestamp and, as its partition, the target.
fn as_batch(records: Outgoing) -> ScoredBatch {
    let mut source = MicroBatch::with_capacity("".into(), records.records.len(), 0);
    let mut results = Vec::with_capacity(records.records.len());
    for (row, record) in records.records.iter().enumerate() {
        let Record { key, value, partition, timestamp_ms } = *record;
        let key = key.map(|span| span.of(&records.keys));
        source.push(partition, row as i64, timestamp_ms, key, None).expect("row numbers ascend");
        results.push(ScoredRow { row: row as u32, value });
    }
    ScoredBatch::new(source, records.values, results, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_time_it_was_stamped_with_and_the_others_none() {
        let mut records = Outgoing::new();
        records.push(Some(b"key"), b"first", None);
        assert!(!records.stamped, "they may go together");
        records.stamp(1_000);
        records.push(None, b"second", Some(2));
        assert!(records.stamped);
        let batch = as_batch(records);
        let sent = batch.source().records().iter();
        let sent: Vec<_> = sent.map(|record| (record.partition, record.timestamp_ms)).collect();
        assert_eq!(sent, [(-1, 1_000), (2, 0)]);
    }
}

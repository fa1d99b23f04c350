//! Producing without copying payloads: the sender owns the batches that librdkafka reads from.
//!
//! A batch is held from before its first record is enqueued until nothing of it is outstanding, so
//! neither `F_COPY` nor `F_FREE` is needed. Which records go where, and when to commit, is decided
//! by the publisher; this only enqueues, counts reports and keeps memory alive.

use std::collections::VecDeque;
use std::ffi::{CString, c_void};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};
use schemas::{ScoredBatch, Span};

use super::headers::Headers;
use super::report::{Opaque, Reports};
use super::transaction::Native;
use super::turns::{self, Turns};

/// A producer, its topics and the batches it may still read from.
///
/// Fields drop in this order: topic handles, then the producer (which ends librdkafka's threads),
/// then the memory those threads read.
pub(crate) struct Sender {
    topics: Vec<TopicHandle>,
    /// Of one batch, by partition.
    lanes: Vec<Vec<sys::rd_kafka_message_t>>,
    producer: BaseProducer<Reports>,
    /// Of each topic.
    turns: Box<[Turns]>,
    held: VecDeque<Held>,
    /// Number of the first held batch; batches are numbered from 0 in the order held.
    first: u64,
}

struct Held {
    batch: ScoredBatch,
    outstanding: u32,
}

struct TopicHandle(*mut sys::rd_kafka_topic_t);

impl Drop for TopicHandle {
    fn drop(&mut self) {
        // SAFETY: we own this reference; librdkafka keeps its own while messages are queued.
        unsafe { sys::rd_kafka_topic_destroy(self.0) }
    }
}

/// Which bytes of a held batch are a record's value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    /// Kafka's null.
    Null,
    /// An encoded result.
    Result(Span),
    /// The first `len` bytes of the source record's value.
    Original { len: usize },
}

/// A record produced on its own: with headers, a timestamp, or to the dead letters.
pub(crate) struct Single {
    /// Index of the topic in [`Sender::new`]'s list.
    pub(crate) topic: usize,
    /// Target partition; -1 lets the partitioner choose.
    pub(crate) partition: i32,
    /// Row of the held batch that the record comes from: gives key, original value and identity.
    pub(crate) row: u32,
    pub(crate) value: Value,
    /// Milliseconds since the epoch; 0 means now.
    pub(crate) timestamp_ms: i64,
    pub(crate) headers: Headers,
    /// Whether it carries the source record's key.
    pub(crate) with_key: bool,
}

/// Why the producer did not take a record.
#[derive(Debug)]
pub(crate) struct NotTaken {
    pub(crate) code: RDKafkaErrorCode,
    /// Batch number and row, where one record is to blame.
    pub(crate) opaque: Opaque,
}

impl Sender {
    pub(crate) fn new(producer: BaseProducer<Reports>, topics: &[CString]) -> Self {
        let turns: Box<[Turns]> = topics.iter().map(|_| Turns::new()).collect();
        let topics = topics
            .iter()
            .zip(&turns)
            .map(|(topic, turns)| {
                // SAFETY: the producer is live; `turns` is on the heap and dropped after it.
                let handle = unsafe { turns::topic(Native::native(&producer), topic, turns) };
                assert!(!handle.is_null(), "a topic handle needs only memory and a valid name");
                TopicHandle(handle)
            })
            .collect();
        Self { topics, lanes: Vec::new(), producer, turns, held: VecDeque::new(), first: 0 }
    }

    /// What has no key goes to other partitions from now on.
    pub(crate) fn end_turns(&self) {
        for turns in &self.turns {
            turns.end();
        }
    }

    pub(crate) fn producer(&self) -> &BaseProducer<Reports> {
        &self.producer
    }

    /// Takes a batch into keeping; its records may be enqueued from now on. Returns its number.
    pub(crate) fn hold(&mut self, batch: ScoredBatch) -> u64 {
        self.held.push_back(Held { batch, outstanding: 0 });
        self.first + self.held.len() as u64 - 1
    }

    /// A held batch; `None` when it was released already.
    pub(crate) fn batch(&self, number: u64) -> Option<&ScoredBatch> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.held.get(index).map(|held| &held.batch)
    }

    /// Frees the original values of a held batch of which nothing but results was enqueued; returns
    /// the bytes that it still holds.
    pub(crate) fn forget_originals(&mut self, number: u64) -> usize {
        let held = &mut self.held[(number - self.first) as usize];
        held.batch.forget_originals();
        held.batch.bytes()
    }

    /// Enqueues results `rows` (indexes into the batch's results) of a held batch to `topic`, each to
    /// its source record's partition (-1: as without) if `keep_partition`, else to its key's, or to
    /// the one whose turn it is.
    ///
    /// A full queue is waited out in steps of 5 ms, at most `limit`.
    pub(crate) fn produce_results(
        &mut self,
        topic: usize,
        number: u64,
        rows: &[u32],
        keep_partition: bool,
        limit: Duration,
    ) -> Result<(), NotTaken> {
        let held = &mut self.held[(number - self.first) as usize];
        held.outstanding += rows.len() as u32;
        let (handle, turns) = (&self.topics[topic], &self.turns[topic]);
        let mut asked = false;
        // An earlier call may have ended before its lanes were sent.
        self.lanes.iter_mut().for_each(Vec::clear);
        for index in rows {
            let result = held.batch.results()[*index as usize];
            let (source, row) = (held.batch.source(), result.row);
            let value = result.value.of(held.batch.values());
            let key = source.key(row as usize);
            let mut message = sys::rd_kafka_message_t {
                err: sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
                rkt: ptr::null_mut(),
                partition: PARTITION_UA,
                payload: value.as_ptr().cast_mut().cast(),
                len: value.len(),
                key: key.map_or(ptr::null(), <[u8]>::as_ptr).cast_mut().cast(),
                key_len: key.map_or(0, <[u8]>::len),
                offset: 0,
                _private: Opaque { number, row }.pack() as *mut c_void,
            };
            let kept = source.records()[row as usize].partition;
            let partition = match keep_partition && kept >= 0 {
                true => Some(kept),
                false => turns.follow(key).filter(|_| asked),
            };
            match partition {
                Some(partition) => lane(&mut self.lanes, partition).push(message),
                None => {
                    // What waits for the same partition came before it.
                    send_lanes(&self.producer, handle, &mut self.lanes, limit)?;
                    let one = std::slice::from_mut(&mut message);
                    enqueue(&self.producer, handle, PARTITION_UA, one, limit)?;
                    asked = true;
                }
            }
            if key.is_none() {
                turns.take(value.len());
            }
        }
        send_lanes(&self.producer, handle, &mut self.lanes, limit)
    }

    /// Enqueues one record; its value is not copied, its key is.
    pub(crate) fn produce_single(
        &mut self,
        number: u64,
        mut single: Single,
        limit: Duration,
    ) -> Result<(), NotTaken> {
        let index = (number - self.first) as usize;
        self.held[index].outstanding += 1;
        let opaque = Opaque { number, row: single.row };
        let mut waited = Duration::ZERO;
        loop {
            let code = match self.produceva(index, &mut single, opaque) {
                Ok(()) => return Ok(()),
                Err(code) => code,
            };
            if code != RDKafkaErrorCode::QueueFull || waited >= limit {
                return Err(NotTaken { code, opaque });
            }
            waited += STEP;
            self.producer.poll(STEP);
        }
    }

    fn produceva(
        &self,
        index: usize,
        single: &mut Single,
        opaque: Opaque,
    ) -> Result<(), RDKafkaErrorCode> {
        use sys::rd_kafka_vtype_t as V;
        type U = sys::rd_kafka_vu_s__bindgen_ty_1;
        let batch = &self.held[index].batch;
        let row = single.row as usize;
        let value = match single.value {
            Value::Null => None,
            Value::Result(span) => Some(span.of(batch.values())),
            Value::Original { len } => {
                batch.source().value(row).map(|value| &value[..len.min(value.len())])
            }
        };
        let vu = |vtype, u| sys::rd_kafka_vu_t { vtype, u };
        let key = single.with_key.then(|| batch.source().key(row)).flatten();
        let list = [
            vu(V::RD_KAFKA_VTYPE_RKT, U { rkt: self.topics[single.topic].0 }),
            vu(V::RD_KAFKA_VTYPE_PARTITION, U { i32_: single.partition }),
            vu(V::RD_KAFKA_VTYPE_KEY, memory(key)),
            vu(V::RD_KAFKA_VTYPE_VALUE, memory(value)),
            vu(V::RD_KAFKA_VTYPE_TIMESTAMP, U { i64_: single.timestamp_ms }),
            vu(V::RD_KAFKA_VTYPE_OPAQUE, U { ptr: opaque.pack() as *mut c_void }),
            vu(V::RD_KAFKA_VTYPE_HEADERS, U { headers: single.headers.as_ptr() }),
        ];
        // SAFETY: every pointer in the list lives until the call returns; the key is copied by it, the
        // headers are its own where it succeeds and ours where not; the value lies in a held batch (see
        // `enqueue`). The error object, if any, is ours: read, then destroyed once.
        unsafe {
            let error = sys::rd_kafka_produceva(self.producer.native(), list.as_ptr(), list.len());
            if error.is_null() {
                single.headers.taken();
                if key.is_none() {
                    self.turns[single.topic].take(value.map_or(0, <[u8]>::len));
                }
                return Ok(());
            }
            let code = sys::rd_kafka_error_code(error).into();
            sys::rd_kafka_error_destroy(error);
            Err(code)
        }
    }

    /// Serves reports without waiting and returns the failures among them.
    pub(crate) fn serve(&mut self) -> Vec<NotTaken> {
        let mut all_failed = Vec::new();
        loop {
            // One poll serves one event, and an event holds the reports of one request.
            self.producer.poll(Duration::ZERO);
            let (acknowledged, failed) = self.producer.client().context().take();
            if acknowledged.is_empty() && failed.is_empty() {
                return all_failed;
            }
            for opaque in acknowledged {
                let index = (opaque.number - self.first) as usize;
                self.held[index].outstanding -= 1;
            }
            all_failed.extend(failed);
        }
    }

    /// Frees every held batch when nothing at all is outstanding; returns whether it did.
    pub(crate) fn release_all(&mut self) -> bool {
        if self.producer.in_flight_count() > 0 {
            return false;
        }
        self.first += self.held.len() as u64;
        self.held.clear();
        true
    }

    /// Frees and returns the oldest batch when each of its records was acknowledged.
    ///
    /// Only for producers that report successes; the contiguous prefix is what this hands out.
    pub(crate) fn release_first(&mut self) -> Option<ScoredBatch> {
        if self.held.front()?.outstanding > 0 {
            return None;
        }
        self.first += 1;
        self.held.pop_front().map(|held| held.batch)
    }
}

/// Enqueues records to `partition`, or each to the one that [`Turns`] chooses.
///
/// The records' payloads must lie in a held batch of the sender that owns the producer.
fn enqueue(
    producer: &BaseProducer<Reports>,
    topic: &TopicHandle,
    partition: i32,
    messages: &mut [sys::rd_kafka_message_t],
    limit: Duration,
) -> Result<(), NotTaken> {
    let (mut from, mut waited) = (0, Duration::ZERO);
    while from < messages.len() {
        let rest = &mut messages[from..];
        // SAFETY: the topic handle and its producer are live. Keys are copied in the call. Payloads
        // point into a batch in `Sender::held`, whose buffers are on the heap, are never changed,
        // and are freed only by `release*` when nothing of them is outstanding, or after the
        // producer was dropped. librdkafka writes only `err` of each element.
        unsafe {
            sys::rd_kafka_produce_batch(
                topic.0,
                partition,
                0,
                rest.as_mut_ptr(),
                rest.len() as i32,
            );
        }
        let none = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        let Some(at) = rest.iter().position(|message| message.err != none) else { break };
        let code = RDKafkaErrorCode::from(rest[at].err);
        let opaque = Opaque::unpack(rest[at]._private as usize);
        if code != RDKafkaErrorCode::QueueFull || waited >= limit {
            return Err(NotTaken { code, opaque });
        }
        from += at;
        waited += STEP;
        producer.poll(STEP);
    }
    Ok(())
}

/// Enqueues what waits in the lanes, each to its partition, and empties them.
fn send_lanes(
    producer: &BaseProducer<Reports>,
    topic: &TopicHandle,
    lanes: &mut [Vec<sys::rd_kafka_message_t>],
    limit: Duration,
) -> Result<(), NotTaken> {
    for (partition, lane) in lanes.iter_mut().enumerate() {
        enqueue(producer, topic, partition as i32, lane, limit)?;
        lane.clear();
    }
    Ok(())
}

fn lane(
    lanes: &mut Vec<Vec<sys::rd_kafka_message_t>>,
    partition: i32,
) -> &mut Vec<sys::rd_kafka_message_t> {
    let partition = partition as usize;
    if lanes.len() <= partition {
        lanes.resize_with(partition + 1, Vec::new);
    }
    &mut lanes[partition]
}

/// librdkafka's "unassigned": its partitioner chooses.
const PARTITION_UA: i32 = -1;
/// How long one wait for a place in the producer's queue lasts.
const STEP: Duration = Duration::from_millis(5);

fn memory(bytes: Option<&[u8]>) -> sys::rd_kafka_vu_s__bindgen_ty_1 {
    let (at, size) = bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr(), bytes.len()));
    sys::rd_kafka_vu_s__bindgen_ty_1 {
        mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr: at.cast_mut().cast(), size },
    }
}

//! A queue of ours that all assigned partitions are forwarded to, read in batches.
//!
//! The consumer's own queue cannot be read in batches: rebalances are events there and would wait
//! for ever. Forwarding has to be done again at every assignment.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr;
use std::slice;

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;

use super::Wake;

/// The forwarded queue of one consumer. It borrows the consumer, so that it is gone before it.
pub(crate) struct ForwardQueue<'c, C: ConsumerContext> {
    queue: *mut sys::rd_kafka_queue_t,
    own: *mut sys::rd_kafka_queue_t,
    consumer: &'c BaseConsumer<C>,
    messages: Vec<*mut sys::rd_kafka_message_t>,
    _wake: Wake,
}

/// One element of a batch read: a record, or an error that takes a record's place.
pub(crate) enum Entry<'m> {
    /// A record.
    Record(RawRecord<'m>),
    /// An error entry: its partition, its offset and librdkafka's code with text.
    Error { partition: i32, offset: i64, code: RDKafkaErrorCode, text: String },
}

/// A record in librdkafka's memory, valid inside the callback of [`ForwardQueue::read`].
pub(crate) struct RawRecord<'m> {
    message: *const sys::rd_kafka_message_t,
    _memory: PhantomData<&'m ()>,
}

impl<'c, C: ConsumerContext> ForwardQueue<'c, C> {
    /// A queue for `consumer`; both it and the consumer's own queue raise `wake`.
    pub(crate) fn new(consumer: &'c BaseConsumer<C>, wake: &Wake) -> Self {
        let rk = consumer.client().native_ptr();
        let payload = 1u64;
        let bytes: *const u64 = &raw const payload;
        // SAFETY: `rk` is live while the consumer is borrowed; both calls return owned references;
        // the payload is copied by librdkafka; the descriptor stays open because `_wake` holds it
        // until io events are switched off in drop.
        unsafe {
            let queue = sys::rd_kafka_queue_new(rk);
            let own = sys::rd_kafka_queue_get_consumer(rk);
            assert!(!queue.is_null() && !own.is_null(), "a consumer with a group has queues");
            for each in [queue, own] {
                sys::rd_kafka_queue_io_event_enable(each, wake.descriptor(), bytes.cast(), 8);
            }
            Self { queue, own, consumer, messages: Vec::new(), _wake: wake.clone() }
        }
    }

    /// Sends a partition's records here; must precede its first assignment. Where librdkafka stops fetching
    /// it forgets this, and the next assignment does not make up for it.
    pub(crate) fn forward(&self, topic: &CStr, partition: i32) {
        // SAFETY: the client is live (borrowed), the topic NUL-terminated; the partition queue is
        // an owned reference that is given back at once, forwarding stays in place.
        unsafe {
            let rk = self.consumer.client().native_ptr();
            let queue = sys::rd_kafka_queue_get_partition(rk, topic.as_ptr(), partition);
            if !queue.is_null() {
                sys::rd_kafka_queue_forward(queue, self.queue);
                sys::rd_kafka_queue_destroy(queue);
            }
        }
    }

    /// Whether the consumer's own queue holds events: one poll serves only one of them.
    pub(crate) fn has_events(&self) -> bool {
        // SAFETY: the queue is a live reference of ours.
        unsafe { sys::rd_kafka_queue_length(self.own) > 0 }
    }

    /// Hands up to `limit` waiting entries to `each`, in order, without waiting. Returns how many.
    ///
    /// When `each` returns an error the rest of the batch is dropped: the caller must give up.
    pub(crate) fn read<E>(
        &mut self,
        limit: usize,
        mut each: impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        self.messages.clear();
        self.messages.reserve(limit);
        // SAFETY: the queue is live and the array has room for `limit` pointers; librdkafka writes
        // the first `n` of them, which we then own. (A time-out of 0: it would wait until full.)
        let n = unsafe {
            let n =
                sys::rd_kafka_consume_batch_queue(self.queue, 0, self.messages.as_mut_ptr(), limit);
            let n = usize::try_from(n).unwrap_or(0);
            self.messages.set_len(n);
            n
        };
        let owned = Messages(&mut self.messages);
        for message in owned.0.iter() {
            each(entry(*message))?;
        }
        Ok(n)
    }
}

impl<C: ConsumerContext> Drop for ForwardQueue<'_, C> {
    fn drop(&mut self) {
        // SAFETY: both are references we own; io events are off before the descriptor may close.
        unsafe {
            for each in [self.queue, self.own] {
                sys::rd_kafka_queue_io_event_enable(each, -1, ptr::null(), 0);
                sys::rd_kafka_queue_destroy(each);
            }
        }
    }
}

/// Destroys a batch's messages, whatever happens in between.
struct Messages<'v>(&'v mut Vec<*mut sys::rd_kafka_message_t>);

impl Drop for Messages<'_> {
    fn drop(&mut self) {
        for message in self.0.drain(..) {
            // SAFETY: each pointer came from the batch read, is owned by us and destroyed once.
            unsafe { sys::rd_kafka_message_destroy(message) }
        }
    }
}

fn entry<'m>(message: *mut sys::rd_kafka_message_t) -> Entry<'m> {
    // SAFETY: the message is live until its batch is dropped, after the callback has returned.
    let head = unsafe { &*message };
    if head.err == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Entry::Record(RawRecord { message, _memory: PhantomData });
    }
    // SAFETY: for an error entry the call returns a NUL-terminated text that lives as long.
    let text = unsafe {
        let text = sys::rd_kafka_message_errstr(message);
        if text.is_null() {
            String::new()
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    };
    Entry::Error { partition: head.partition, offset: head.offset, code: head.err.into(), text }
}

impl RawRecord<'_> {
    fn head(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: live and unchanged while this value exists (see `entry`).
        unsafe { &*self.message }
    }

    pub(crate) fn partition(&self) -> i32 {
        self.head().partition
    }

    pub(crate) fn offset(&self) -> i64 {
        self.head().offset
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        // SAFETY: librdkafka's key pointer and length describe live memory, or null for no key.
        unsafe { bytes(self.head().key.cast(), self.head().key_len) }
    }

    pub(crate) fn value(&self) -> Option<&[u8]> {
        // SAFETY: as for the key.
        unsafe { bytes(self.head().payload.cast(), self.head().len) }
    }

    /// Milliseconds since the epoch; -1 where the record has none.
    pub(crate) fn timestamp_ms(&self) -> i64 {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is live; the kind is written through a live pointer.
        unsafe { sys::rd_kafka_message_timestamp(self.message, &raw mut kind) }
    }

    /// Calls `each` with every header in order: name and value.
    pub(crate) fn headers(&self, mut each: impl FnMut(&[u8], Option<&[u8]>)) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is live. Headers belong to the message and live as long; names are
        // NUL-terminated, values have a size or are null.
        unsafe {
            if sys::rd_kafka_message_headers(self.message, &raw mut headers)
                != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                return;
            }
            for index in 0.. {
                let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0usize);
                let found = sys::rd_kafka_header_get_all(
                    headers,
                    index,
                    &raw mut name,
                    &raw mut value,
                    &raw mut size,
                );
                if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return;
                }
                each(CStr::from_ptr(name).to_bytes(), bytes(value.cast(), size));
            }
        }
    }
}

/// # Safety
/// `at` must be null or point to `len` bytes that live as long as the result is used.
unsafe fn bytes<'m>(at: *const u8, len: usize) -> Option<&'m [u8]> {
    // SAFETY: the caller's promise.
    (!at.is_null()).then(|| unsafe { slice::from_raw_parts(at, len) })
}

/// The end of a partition's log as the last fetch said, what is in open transactions included;
/// `None` before the first. Asks nobody.
pub(crate) fn cached_high_watermark<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &CStr,
    partition: i32,
) -> Option<i64> {
    let (mut low, mut high) = (-1i64, -1i64);
    // SAFETY: the client is live (borrowed), the topic NUL-terminated, both results live.
    let asked = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    (asked == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}

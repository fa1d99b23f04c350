//! Which partition a record goes to: its key's, as Java's producer has it, or the one whose turn it is.
//!
//! Records without a key go to one partition until they make a request, then to the next. That is
//! what Kafka's own client does (KIP-794). librdkafka changes partitions by the clock instead: a
//! partition then gets a second request while its first is under way, behind which librdkafka's
//! thread spins.
//!
//! How many partitions there are and which have a leader is known inside librdkafka alone, and only
//! while it calls back; so it is asked for one record of each batch, and the others follow.

use std::ffi::{CString, c_void};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::Relaxed};

use rdkafka::bindings as sys;

/// Bytes of one request to a partition, before compression, and so of a turn: half of the usual limit,
/// so that one is on its way while the next fills.
pub(crate) const REQUEST_BYTES: usize = 500_000;

/// Whose turn it is among a topic's partitions.
///
/// The thread that produces asks and counts; librdkafka's own asks for what was enqueued before it
/// knew the topic.
#[derive(Debug)]
pub(super) struct Turns {
    /// Partitions of the topic, 0 until librdkafka knows.
    partitions: AtomicI32,
    /// The partition that takes records without a key, -1 until one was chosen.
    at: AtomicI32,
    /// Bytes that it has taken in this turn.
    taken: AtomicUsize,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { partitions: AtomicI32::new(0), at: AtomicI32::new(-1), taken: AtomicUsize::new(0) }
    }

    /// The next record without a key goes to another partition, if there is one.
    pub(super) fn end(&self) {
        self.taken.store(REQUEST_BYTES, Relaxed);
    }

    /// Counts a record without a key.
    pub(super) fn take(&self, bytes: usize) {
        self.taken.fetch_add(bytes, Relaxed);
    }

    /// Where a record goes without asking librdkafka again; `None`: ask it.
    pub(super) fn follow(&self, key: Option<&[u8]>) -> Option<i32> {
        let partitions = self.partitions.load(Relaxed);
        match key {
            Some(key) => (partitions > 0).then(|| of_key(key, partitions)),
            None => {
                let at = self.at.load(Relaxed);
                (at >= 0 && self.taken.load(Relaxed) < REQUEST_BYTES).then_some(at)
            }
        }
    }

    /// The partition whose turn it is: the same until its turn has ended, or it has no leader.
    fn choose(&self, partitions: i32, has_leader: impl Fn(i32) -> bool) -> i32 {
        self.partitions.store(partitions, Relaxed);
        let mut from = self.at.load(Relaxed);
        if self.taken.load(Relaxed) >= REQUEST_BYTES || !(0..partitions).contains(&from) {
            self.taken.store(0, Relaxed);
            from = (from + 1).rem_euclid(partitions);
        }
        let in_order = (0..partitions).map(|step| (from + step) % partitions);
        let at = in_order.clone().find(|partition| has_leader(*partition)).unwrap_or(from);
        self.at.store(at, Relaxed);
        at
    }
}

/// `murmur2(key)` as Java's default partitioner has it.
fn of_key(key: &[u8], partitions: i32) -> i32 {
    // SAFETY: the function reads the key's bytes and nothing else.
    unsafe {
        sys::rd_kafka_msg_partitioner_murmur2(
            ptr::null(),
            key.as_ptr().cast(),
            key.len(),
            partitions,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    }
}

/// A handle of `topic` whose records are placed by `turns`.
///
/// # Safety
/// `turns` must outlive the producer: librdkafka's own thread reads it too.
pub(super) unsafe fn topic(
    producer: *mut sys::rd_kafka_t,
    topic: &CString,
    turns: &Turns,
) -> *mut sys::rd_kafka_topic_t {
    // SAFETY: the producer is live, the name NUL-terminated; the configuration is a copy that
    // `topic_new` takes over.
    unsafe {
        let config = sys::rd_kafka_default_topic_conf_dup(producer);
        sys::rd_kafka_topic_conf_set_opaque(config, ptr::from_ref(turns).cast_mut().cast());
        sys::rd_kafka_topic_conf_set_partitioner_cb(config, Some(ask));
        sys::rd_kafka_topic_new(producer, topic.as_ptr(), config)
    }
}

/// librdkafka's question for one record.
unsafe extern "C" fn ask(
    topic: *const sys::rd_kafka_topic_t,
    key: *const c_void,
    key_len: usize,
    partitions: i32,
    turns: *mut c_void,
    _record: *mut c_void,
) -> i32 {
    // SAFETY: the topic's opaque is a `Turns` that outlives the producer (see `topic`); librdkafka
    // holds the topic's lock while it asks, which `partition_available` needs; the key is its own.
    unsafe {
        let turns = &*turns.cast::<Turns>();
        let has_leader = |partition| sys::rd_kafka_topic_partition_available(topic, partition) == 1;
        let at = turns.choose(partitions, has_leader);
        if key.is_null() {
            return at;
        }
        of_key(std::slice::from_raw_parts(key.cast(), key_len), partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_partition_that_javas_client_gives_it() {
        // Hashes of Kafka's own test (`UtilsTest.testMurmur2`).
        let hashes: [(&[u8], i32); 7] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"", 275_646_681),
        ];
        for (key, hash) in hashes {
            for partitions in [1, 4, 12, 1000] {
                assert_eq!(of_key(key, partitions), (hash & i32::MAX) % partitions, "{key:?}");
            }
        }
    }

    #[test]
    fn a_turn_lasts_for_a_request_and_then_the_next_partition_has_it() {
        let turns = Turns::new();
        assert_eq!(turns.follow(None), None, "nobody was asked yet");
        assert_eq!(turns.follow(Some(b"k")), None);
        assert_eq!(turns.choose(3, |_| true), 0);
        turns.take(REQUEST_BYTES - 1);
        assert_eq!(turns.follow(None), Some(0));
        assert_eq!(turns.choose(3, |_| true), 0, "asked again within its turn");
        turns.take(1);
        assert_eq!(turns.follow(None), None, "its turn has ended");
        assert_eq!(turns.follow(Some(b"foobar")), Some(of_key(b"foobar", 3)));
        let next: Vec<i32> = (0..4)
            .map(|_| {
                turns.end();
                turns.choose(3, |_| true)
            })
            .collect();
        assert_eq!(next, [1, 2, 0, 1]);
    }

    #[test]
    fn a_partition_without_a_leader_is_passed_over() {
        let turns = Turns::new();
        assert_eq!(turns.choose(4, |partition| partition != 0), 1);
        // It loses its leader within its turn.
        assert_eq!(turns.choose(4, |partition| partition > 2), 3);
        turns.end();
        assert_eq!(turns.choose(4, |_| false), 0, "none has one: librdkafka waits for it");
    }

    #[test]
    fn partitions_may_come_and_go() {
        let turns = Turns::new();
        assert_eq!(turns.choose(1, |_| true), 0);
        turns.end();
        assert_eq!(turns.choose(2, |_| true), 1);
        assert_eq!(turns.choose(1, |_| true), 0, "the topic was made anew with one");
    }
}

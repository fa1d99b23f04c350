//! A snapshot of the consumer's group membership: what makes an offset commit acceptable.

use std::ffi::CStr;
use std::sync::Arc;

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};

/// Immutable group metadata with a live membership (generation >= 0, member id not empty).
pub(crate) struct GroupMetadata(*mut sys::rd_kafka_consumer_group_metadata_t);

// SAFETY: librdkafka never changes a metadata object after it was made, and it belongs to no thread.
unsafe impl Send for GroupMetadata {}
// SAFETY: as above; all uses through `&self` are reads.
unsafe impl Sync for GroupMetadata {}

impl GroupMetadata {
    /// The membership now; `None` while the consumer is no member (joining, evicted, left).
    ///
    /// After an eviction the generation may stay >= 0 with an empty member id: both are refused.
    pub(crate) fn capture<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<Arc<Self>> {
        // SAFETY: the client pointer is valid while `consumer` is borrowed; the result is a new
        // object that we own, or null.
        let raw = unsafe { sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr()) };
        if raw.is_null() {
            return None;
        }
        let metadata = Self(raw);
        (metadata.generation() >= 0 && metadata.member().is_some()).then(|| Arc::new(metadata))
    }

    /// Generation of the group the member belongs to.
    pub(crate) fn generation(&self) -> i32 {
        // SAFETY: the pointer is live until drop.
        unsafe { sys::rd_kafka_consumer_group_metadata_generation_id(self.0) }
    }

    /// Whether both are of one membership: a member that was removed comes back with another id.
    pub(crate) fn is_same_member(&self, other: &Self) -> bool {
        self.member() == other.member()
    }

    fn member(&self) -> Option<&CStr> {
        // SAFETY: the pointer is live; the string it returns is NUL-terminated and lives as long.
        unsafe {
            let member = sys::rd_kafka_consumer_group_metadata_member_id(self.0);
            (!member.is_null()).then(|| CStr::from_ptr(member)).filter(|id| !id.is_empty())
        }
    }

    #[cfg(test)]
    pub(crate) fn of(generation: i32, member: &CStr) -> Arc<Self> {
        let group = c"group".as_ptr();
        // SAFETY: the strings are NUL-terminated and copied; no instance name is null, as allowed.
        Arc::new(Self(unsafe {
            sys::rd_kafka_consumer_group_metadata_new_with_genid(
                group,
                generation,
                member.as_ptr(),
                std::ptr::null(),
            )
        }))
    }

    pub(super) fn as_ptr(&self) -> *const sys::rd_kafka_consumer_group_metadata_t {
        self.0
    }
}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: we own it and nobody else frees it.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0) }
    }
}

//! The transactional calls with the errors' own classification, and a flush in short steps.
//!
//! The wrapper's `commit_transaction` may sleep 100 ms in its flush; these do not.

use std::ffi::CStr;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::GroupMetadata;

/// Why a transactional call failed, as librdkafka classifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// The transaction must be aborted; the producer lives on.
    Abort { code: RDKafkaErrorCode, text: String },
    /// Nothing is known about the outcome, or the call may be tried again.
    Retriable { code: RDKafkaErrorCode, text: String },
    /// The producer is dead.
    Fatal { code: RDKafkaErrorCode, text: String },
    /// Neither: a misuse or a configuration the broker refuses.
    Other { code: RDKafkaErrorCode, text: String },
}

impl Call {
    pub(crate) fn code(&self) -> RDKafkaErrorCode {
        match self {
            Self::Abort { code, .. }
            | Self::Retriable { code, .. }
            | Self::Fatal { code, .. }
            | Self::Other { code, .. } => *code,
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Abort { text, .. }
            | Self::Retriable { text, .. }
            | Self::Fatal { text, .. }
            | Self::Other { text, .. } => text,
        }
    }
}

/// Adds `ends` to the open transaction on behalf of the group.
pub(crate) fn send_offsets(
    producer: &impl Native,
    ends: &TopicPartitionList,
    metadata: &GroupMetadata,
    limit: Duration,
) -> Result<(), Call> {
    // SAFETY: producer, list and metadata are live for the call, which copies what it keeps.
    checked(unsafe {
        sys::rd_kafka_send_offsets_to_transaction(
            producer.native(),
            ends.ptr(),
            metadata.as_ptr(),
            millis(limit),
        )
    })
}

/// Commits the open transaction. Call it with nothing outstanding.
pub(crate) fn commit(producer: &impl Native, limit: Duration) -> Result<(), Call> {
    // SAFETY: the producer is live for the call.
    checked(unsafe { sys::rd_kafka_commit_transaction(producer.native(), millis(limit)) })
}

/// Aborts the open transaction; `Retriable` means: serve reports and call again.
pub(crate) fn abort(producer: &impl Native, limit: Duration) -> Result<(), Call> {
    // SAFETY: the producer is live for the call.
    checked(unsafe { sys::rd_kafka_abort_transaction(producer.native(), millis(limit)) })
}

/// Waits at most `limit` until nothing is outstanding; true when so. Reports must be served between calls.
pub(crate) fn flush_step(producer: &impl Native, limit: Duration) -> bool {
    // SAFETY: the producer is live for the call.
    let answer = unsafe { sys::rd_kafka_flush(producer.native(), millis(limit)) };
    answer == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Drops everything not yet sent; each dropped record becomes a failed report.
pub(crate) fn purge_queue(producer: &impl Native) {
    // SAFETY: the producer is live for the call.
    unsafe { sys::rd_kafka_purge(producer.native(), sys::RD_KAFKA_PURGE_F_QUEUE) };
}

/// A producer whose librdkafka handle lives as long as the value is borrowed.
pub(crate) trait Native {
    fn native(&self) -> *mut sys::rd_kafka_t;
}

impl<C, P> Native for rdkafka::producer::BaseProducer<C, P>
where
    P: rdkafka::producer::Partitioner,
    C: rdkafka::producer::ProducerContext<P>,
{
    fn native(&self) -> *mut sys::rd_kafka_t {
        rdkafka::producer::Producer::client(self).native_ptr()
    }
}

impl<C: rdkafka::client::ClientContext> Native for rdkafka::client::Client<C> {
    fn native(&self) -> *mut sys::rd_kafka_t {
        self.native_ptr()
    }
}

fn millis(limit: Duration) -> i32 {
    i32::try_from(limit.as_millis()).unwrap_or(i32::MAX)
}

fn checked(error: *mut sys::rd_kafka_error_t) -> Result<(), Call> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: a non-null result is an error object that we own: read, then destroyed once.
    unsafe {
        let code = RDKafkaErrorCode::from(sys::rd_kafka_error_code(error));
        let text = CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned();
        let (fatal, abort, retriable) = (
            sys::rd_kafka_error_is_fatal(error) != 0,
            sys::rd_kafka_error_txn_requires_abort(error) != 0,
            sys::rd_kafka_error_is_retriable(error) != 0,
        );
        sys::rd_kafka_error_destroy(error);
        Err(match (fatal, abort, retriable) {
            (true, _, _) => Call::Fatal { code, text },
            (false, true, _) => Call::Abort { code, text },
            (false, false, true) => Call::Retriable { code, text },
            (false, false, false) => Call::Other { code, text },
        })
    }
}

//! `DescribeTopics`: the topic id, which the wrapper does not know.

use std::ffi::CStr;
use std::ffi::CString;
use std::time::Duration;

use rdkafka::bindings as sys;

use super::transaction::Native;

/// Kafka's id of `topic` (base64, 22 characters; empty where the broker has none): another one after delete and
/// create.
pub(crate) fn describe_topic_id(
    client: &impl Native,
    topic: &CString,
    limit: Duration,
) -> Result<String, String> {
    let limit_ms = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    let rk = client.native();
    // SAFETY: every object made here is owned here and destroyed once, in reverse order, on the
    // single path out of the block; strings are copied before their owner (the event) goes; the
    // names array outlives the call that copies it.
    unsafe {
        let mut names = [topic.as_ptr()];
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
        let queue = sys::rd_kafka_queue_new(rk);
        let options = sys::rd_kafka_AdminOptions_new(
            rk,
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        let mut text = [0 as std::ffi::c_char; 256];
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            limit_ms,
            text.as_mut_ptr(),
            text.len(),
        );
        sys::rd_kafka_DescribeTopics(rk, topics, options, queue);
        let event = sys::rd_kafka_queue_poll(queue, limit_ms.saturating_add(1000));
        let answer = read_id(event);
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_TopicCollection_destroy(topics);
        answer
    }
}

/// # Safety
/// `event` must be null or a live event; nothing borrowed from it is returned.
unsafe fn read_id(event: *mut sys::rd_kafka_event_t) -> Result<String, String> {
    if event.is_null() {
        return Err("no answer from the broker".into());
    }
    // SAFETY: the caller's promise; results belong to the event and are copied out.
    unsafe {
        if sys::rd_kafka_event_error(event) != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            let text = sys::rd_kafka_event_error_string(event);
            return Err(CStr::from_ptr(text).to_string_lossy().into_owned());
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err("the broker's answer is not a topic description".into());
        }
        let mut count = 0usize;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if count != 1 {
            return Err(format!("{count} topics described, asked for one"));
        }
        let error = sys::rd_kafka_TopicDescription_error(*topics);
        if !error.is_null()
            && sys::rd_kafka_error_code(error)
                != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            return Err(CStr::from_ptr(sys::rd_kafka_error_string(error))
                .to_string_lossy()
                .into_owned());
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(*topics);
        let id = CStr::from_ptr(sys::rd_kafka_Uuid_base64str(id)).to_string_lossy().into_owned();
        // All zeros: the broker is older than these ids.
        Ok(if id.bytes().all(|byte| byte == b'A') { String::new() } else { id })
    }
}

//! Headers of a record to be produced, in librdkafka's own memory: they are copied there once.

use std::ptr;

use rdkafka::bindings as sys;

/// A list of names and values; librdkafka's as soon as it has taken the record.
#[derive(Debug)]
pub(crate) struct Headers(*mut sys::rd_kafka_headers_t);

impl Headers {
    /// Copies these, in their order.
    pub(crate) fn of<'h>(all: impl ExactSizeIterator<Item = (&'h [u8], Option<&'h [u8]>)>) -> Self {
        if all.len() == 0 {
            return Self::none();
        }
        // SAFETY: it only allocates; the list is ours.
        let headers = Self(unsafe { sys::rd_kafka_headers_new(all.len()) });
        for (name, value) in all {
            let (at, len) = value.map_or((ptr::null(), 0), |value| (value.as_ptr(), value.len()));
            // SAFETY: the list is live; name and value are read as long as they are, and copied. It answers
            // nothing but that it was done.
            unsafe {
                sys::rd_kafka_header_add(
                    headers.0,
                    name.as_ptr().cast(),
                    name.len() as isize,
                    at.cast(),
                    len as isize,
                );
            }
        }
        headers
    }

    /// Of a record without any.
    pub(crate) fn none() -> Self {
        Self(ptr::null_mut())
    }

    /// For a call that takes the list over where it succeeds; null without headers.
    pub(super) fn as_ptr(&self) -> *mut sys::rd_kafka_headers_t {
        self.0
    }

    /// The list has been taken over.
    pub(super) fn taken(&mut self) {
        self.0 = ptr::null_mut();
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the list is ours: nobody has taken it over.
            unsafe { sys::rd_kafka_headers_destroy(self.0) }
        }
    }
}

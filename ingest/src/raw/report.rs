//! Delivery reports: who was acknowledged and who failed, collected for the publisher's thread.

use std::mem;
use std::sync::Mutex;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::produce::NotTaken;
use crate::client::{log_error, log_line};

/// Which record a report is about: the held batch's number and the source row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opaque {
    pub(crate) number: u64,
    pub(crate) row: u32,
}

/// Bits of the row in a packed opaque: a batch has at most 2^24 rows.
const ROW_BITS: u32 = 24;

impl Opaque {
    /// Packs into the pointer-sized value that travels with a message.
    pub(crate) fn pack(self) -> usize {
        debug_assert!(self.row < 1 << ROW_BITS);
        ((self.number << ROW_BITS) | u64::from(self.row)) as usize
    }

    pub(crate) fn unpack(packed: usize) -> Self {
        Self { number: packed as u64 >> ROW_BITS, row: packed as u32 & ((1 << ROW_BITS) - 1) }
    }
}

/// The producer's context: gathers reports as they are served.
#[derive(Default)]
pub(crate) struct Reports(Mutex<(Vec<Opaque>, Vec<NotTaken>)>);

impl Reports {
    pub(super) fn take(&self) -> (Vec<Opaque>, Vec<NotTaken>) {
        let mut reports = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (mem::take(&mut reports.0), mem::take(&mut reports.1))
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let opaque = Opaque::unpack(opaque);
        let mut reports = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match result {
            Ok(_) => reports.0.push(opaque),
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                reports.1.push(NotTaken { code, opaque });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opaque_comes_back_as_it_was_packed() {
        for (number, row) in [(0, 0), (1, (1 << 24) - 1), ((1 << 40) - 1, 7)] {
            let opaque = Opaque { number, row };
            assert_eq!(Opaque::unpack(opaque.pack()), opaque);
        }
    }
}

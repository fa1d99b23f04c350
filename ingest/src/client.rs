//! librdkafka's log lines as `tracing` events, and the topic names it takes.

use std::ffi::CString;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};

/// One of librdkafka's own log lines.
pub(crate) fn log_line(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::warn!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
            tracing::info!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!(target: "librdkafka", facility, "{line}");
        }
    }
}

/// When a client of this process last lost a broker, or did not find one.
static CUT_OFF_AT: Mutex<Option<Instant>> = Mutex::new(None);

/// A client-wide error: informational, librdkafka goes on trying.
pub(crate) fn log_error(error: &KafkaError, reason: &str) {
    tracing::warn!(target: "librdkafka", %error, "{reason}");
    if let Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown) =
        error.rdkafka_error_code()
    {
        *CUT_OFF_AT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// How long ago a client of this process last lost a broker, or did not find one.
pub(crate) fn since_cut_off() -> Option<Duration> {
    let at = *CUT_OFF_AT.lock().unwrap_or_else(PoisonError::into_inner);
    at.map(|at| at.elapsed())
}

/// Context of clients that need no callbacks: only the log goes where ours goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for Quiet {}

impl ProducerContext for Quiet {
    type DeliveryOpaque = ();

    fn delivery(&self, _result: &DeliveryResult<'_>, (): ()) {}
}

/// A topic's name for the C calls. Kafka's own rules leave no NUL; a configuration might.
pub(crate) fn topic_name(topic: &str) -> Result<CString, String> {
    CString::new(topic).map_err(|_| format!("topic {topic:?} contains a NUL byte"))
}

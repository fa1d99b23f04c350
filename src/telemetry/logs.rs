//! Structured logs on standard error: text for people, JSON for collectors.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::LogFormat;

/// Installs the log subscriber; a filter that does not parse falls back to `info` and says so.
///
/// Called once per process; a second call changes nothing.
pub(crate) fn init(filter: &str, format: LogFormat) {
    // It tells at `info` of each of its own parts that starts.
    let quiet = if filter.contains("opentelemetry") { "" } else { ",opentelemetry=warn" };
    let (directives, complaint) = match EnvFilter::try_new(format!("{filter}{quiet}")) {
        Ok(directives) => (directives, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let builder = fmt().with_env_filter(directives).with_writer(std::io::stderr);
    let installed = if json {
        builder.json().flatten_event(true).with_current_span(false).try_init()
    } else {
        builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init()
    };
    if let (Ok(()), Some(error)) = (installed, complaint) {
        tracing::warn!(%error, filter, "telemetry.log is not a filter; using info");
    }
}

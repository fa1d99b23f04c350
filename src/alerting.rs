//! What alerting needs of the root: the way to a topic, routes and bounds from the configuration.

use std::sync::Arc;
use std::time::Duration;

use ingest::{Connection, Outgoing, Producer};
use monitor::deliver::{Http, Publish, Rendering, Route};

use crate::config::{Config, resolved_routes};

/// How long the brokers may take to acknowledge a retraining request.
const ACKNOWLEDGE: Duration = Duration::from_secs(20);

/// Puts bytes onto a topic. A producer of its own each time: requests are days apart, and nothing
/// is to be held in between.
pub(crate) fn publish(connection: Connection) -> Publish {
    Arc::new(move |topic, key, payload| {
        let mut records = Outgoing::new();
        records.push(Some(key.as_bytes()), payload, None);
        let sent = Producer::new(&connection, topic, ACKNOWLEDGE).and_then(|mut producer| {
            producer.send(records)?;
            producer.flush()
        });
        sent.map_err(|error| error.to_string())
    })
}

/// The routes that are meant.
pub(crate) fn routes(config: &Config) -> Vec<Route> {
    resolved_routes(&config.routes)
}

/// The client within the configured bounds.
pub(crate) fn http(config: &Config) -> anyhow::Result<Http> {
    Ok(Http::new(config.alerts.http_settings()?)?)
}

/// How messages are written.
pub(crate) fn rendering(config: &Config) -> Rendering {
    let link = config.alerts.link.trim_end_matches('/').to_owned();
    Rendering { link, resend_ms: i64::from(config.alerts.resend_seconds) * 1_000 }
}

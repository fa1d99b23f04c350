//! Where the cluster is and as whom we speak: the user's part of the client configuration.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use serde::Deserialize;

/// Brokers, passed-through librdkafka properties, and this process's name among its replicas.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// `host:port`, comma separated.
    pub brokers: String,
    /// librdkafka properties (security, compression, …); see [`crate::check_properties`].
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// Name of this process among those of the pipeline; part of `group.instance.id` and
    /// `transactional.id`, so two running processes must not share it.
    pub instance: String,
}

/// Shows property names only: values may be secrets.
impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("brokers", &self.brokers)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .field("instance", &self.instance)
            .finish()
    }
}

/// Which kind of client a configuration is for: librdkafka warns about the other kind's properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Consumer,
    Producer,
    Admin,
}

/// Properties that only a producer understands.
const PRODUCER_ONLY: [&str; 13] = [
    "acks",
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "linger.ms",
    "message.send.max.retries",
    "partitioner",
    "queue.buffering.max.ms",
    "request.required.acks",
    "retries",
    "sticky.partitioning.linger.ms",
];

/// Prefixes of properties that only a consumer understands.
const CONSUMER_ONLY: [&str; 3] = ["fetch.", "queued.", "check.crcs"];

impl Connection {
    /// The user's properties for a client of `kind`; ours are set on top by the caller.
    pub(crate) fn client(&self, kind: Kind) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", format!("tidegate-{}", self.instance));
        // A stall of one second follows each reconnect to a restarted broker otherwise.
        config.set("reconnect.backoff.max.ms", "2000");
        for (name, value) in &self.properties {
            let producers = PRODUCER_ONLY.contains(&name.as_str());
            let consumers = CONSUMER_ONLY.iter().any(|prefix| name.starts_with(prefix));
            let fits = match kind {
                Kind::Consumer => !producers,
                Kind::Producer => !consumers,
                Kind::Admin => !producers && !consumers,
            };
            if fits {
                config.set(name, value);
            }
        }
        config
    }

    /// A producer's configuration as [`Sender`](crate::raw::Sender) needs it; compression is the user's
    /// or LZ4.
    pub(crate) fn producer(&self) -> ClientConfig {
        let mut config = self.client(Kind::Producer);
        if !self.properties.keys().any(|name| name.starts_with("compression")) {
            config.set("compression.type", "lz4");
        }
        config
            .set("enable.idempotence", "true")
            // Records without a key have their partition from the sender.
            .set("sticky.partitioning.linger.ms", "0")
            .set("queue.buffering.max.messages", "0");
        config
    }
}

//! What alerting needs of the root: the way to a topic, offsets of the archive, routes and bounds
//! from the configuration.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray as _;
use arrow::datatypes::{Int32Type, Int64Type};
use batch::StoreError;
use ingest::{Connection, Outgoing, Producer};
use monitor::deliver::{Http, OffsetsOf, Publish, Rendering, Route};
use serde_json::{Value, json};

use crate::config::{Config, resolved_routes};
use crate::monitoring::{instant, window_time};
use crate::pipeline::Pipeline;

/// How long the brokers may take to acknowledge a retraining request.
const ACKNOWLEDGE: Duration = Duration::from_secs(20);

/// Memory for looking up the offsets of a window: one row a partition.
const OFFSETS_BYTES: usize = 64 << 20;

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

/// The way to the offsets of a window's results in the output topic, and of the events they are of.
pub(crate) fn offsets(pipeline: &Pipeline) -> anyhow::Result<OffsetsOf> {
    let config = &pipeline.config;
    let results = pipeline.results()?;
    let (input, output) = (config.input.topic.clone(), config.output.topic.clone());
    let time = window_time(&pipeline.contract);
    Ok(Arc::new(move |model, start_ms, end_ms| {
        let sides = [(&input, "input_partition", "input_offset"), (&output, "partition", "offset")];
        let of = |(topic, partition, offset): (&String, &str, &str)| {
            let sql = format!(
                "SELECT \"{partition}\", min(\"{offset}\"), max(\"{offset}\") + 1 FROM results \
                 WHERE model_name = '{}' AND {time} >= '{}' AND {time} < '{}' \
                 AND \"{partition}\" IS NOT NULL GROUP BY 1 ORDER BY 1",
                model.replace('\'', "''"),
                instant(start_ms.saturating_mul(1_000)),
                instant(end_ms.saturating_mul(1_000)),
            );
            let mut partitions = serde_json::Map::new();
            batch::sql::read(std::slice::from_ref(&results), &sql, OFFSETS_BYTES, &mut |batch| {
                let partition = batch.column(0).as_primitive::<Int32Type>();
                let [first, behind] =
                    [1, 2].map(|column| batch.column(column).as_primitive::<Int64Type>());
                for row in 0..batch.num_rows() {
                    let extent = json!([first.value(row), behind.value(row)]);
                    partitions.insert(partition.value(row).to_string(), extent);
                }
                Ok(())
            })?;
            Ok::<_, StoreError>((topic.clone(), Value::Object(partitions)))
        };
        match sides.into_iter().map(of).collect::<Result<serde_json::Map<_, _>, _>>() {
            Ok(topics) => Value::Object(topics),
            Err(error) => {
                tracing::warn!(%error, "a retraining request goes without offsets");
                Value::Null
            }
        }
    }))
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
    let ms = |seconds: u32| i64::from(seconds) * 1_000;
    let alerts = &config.alerts;
    Rendering {
        link,
        resend_ms: ms(alerts.resend_seconds),
        heartbeat_ms: ms(alerts.heartbeat_seconds),
    }
}

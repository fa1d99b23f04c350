//! Logs, metrics and traces of the process: the only home of OpenTelemetry's SDK and exporters.
//!
//! Members use the OpenTelemetry API; what this module does not install costs them nothing.

mod logs;
mod others;

use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{
    Aggregation, Instrument, PeriodicReader, SdkMeterProvider, Stream,
};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{Encoder as _, Registry, TextEncoder};

use crate::config::{Config, without_user};

pub(crate) use logs::init as init_logs;
pub(crate) use others::take_over_log;

/// How often metrics are pushed to OTLP.
const PUSH_EVERY: Duration = Duration::from_secs(10);

/// How long one push may take. The last ones, of metrics and then of traces, are made when the
/// process ends: with the default grace time they stay below the 30 s after which Kubernetes kills.
const PUSH_WITHIN: Duration = Duration::from_secs(3);

/// Upper bounds of duration histograms in seconds: from one fast batch to one lost broker.
const SECONDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// The one histogram whose seconds are of another size.
pub(crate) const JOB_DURATION: &str = "tidegate.job.duration";

/// Upper bounds of the batch-rows histogram.
const ROWS: [f64; 12] =
    [1.0, 4.0, 16.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 16384.0, 65536.0];

/// The installed providers; dropping them without [`Telemetry::flush`] loses the last push.
pub(crate) struct Telemetry {
    registry: Registry,
    meters: SdkMeterProvider,
    tracers: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Installs the global meter and tracer providers.
    pub(crate) fn install(config: &Config) -> anyhow::Result<Self> {
        let resource = Resource::builder()
            .with_service_name("tidegate")
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", config.instance()),
                KeyValue::new("tidegate.pipeline", config.pipeline.name.clone()),
            ])
            .build();
        let registry = Registry::new();
        let scrape = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()
            .context("setting up the Prometheus exporter")?;
        let mut meters = SdkMeterProvider::builder()
            .with_resource(resource.clone())
            .with_reader(scrape)
            .with_view(buckets);
        let endpoint = config.telemetry.otlp_endpoint.trim_end_matches('/');
        // The exporter's own words repeat it.
        let refused = |error: ExporterBuildError| {
            let said = error.to_string().replace(endpoint, &without_user(endpoint));
            anyhow::anyhow!("telemetry.otlp_endpoint = {}: {said}", without_user(endpoint))
        };
        let mut tracers = None;
        if !endpoint.is_empty() {
            let metrics = MetricExporter::builder()
                .with_http()
                .with_endpoint(format!("{endpoint}/v1/metrics"))
                .with_timeout(PUSH_WITHIN)
                .build()
                .map_err(refused)?;
            meters = meters
                .with_reader(PeriodicReader::builder(metrics).with_interval(PUSH_EVERY).build());
            let spans = SpanExporter::builder()
                .with_http()
                .with_endpoint(format!("{endpoint}/v1/traces"))
                .with_timeout(PUSH_WITHIN)
                .build()
                .map_err(refused)?;
            let ratio = Sampler::TraceIdRatioBased(config.telemetry.trace_ratio);
            tracers = Some(
                SdkTracerProvider::builder()
                    .with_resource(resource)
                    .with_sampler(Sampler::ParentBased(Box::new(ratio)))
                    .with_batch_exporter(spans)
                    .build(),
            );
        }
        let meters = meters.build();
        global::set_meter_provider(meters.clone());
        if let Some(tracers) = &tracers {
            global::set_tracer_provider(tracers.clone());
        }
        Ok(Self { registry, meters, tracers })
    }

    /// The registry behind `/metrics`.
    pub(crate) fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Pushes what is left; errors are logged, not returned: the work itself is done.
    pub(crate) fn flush(self) {
        if let Err(error) = self.meters.shutdown() {
            tracing::warn!(%error, "the last metrics were not pushed");
        }
        if let Some(Err(error)) = self.tracers.map(|tracers| tracers.shutdown()) {
            tracing::warn!(%error, "the last traces were not pushed");
        }
    }
}

/// Histogram bounds by unit: the SDK's defaults are made for milliseconds.
fn buckets(instrument: &Instrument) -> Option<Stream> {
    let boundaries = match instrument.unit() {
        // Of hours; it says its own bounds.
        "s" if instrument.name() == JOB_DURATION => return None,
        "s" => SECONDS.to_vec(),
        "{record}" => ROWS.to_vec(),
        _ => return None,
    };
    if instrument.kind() != opentelemetry_sdk::metrics::InstrumentKind::Histogram {
        return None;
    }
    Stream::builder()
        .with_aggregation(Aggregation::ExplicitBucketHistogram {
            boundaries,
            record_min_max: false,
        })
        .build()
        .ok()
}

/// All of a family's values together; `None` when nobody has said any.
pub(crate) fn sum(families: &[MetricFamily], name: &str) -> Option<f64> {
    let family = families.iter().find(|family| family.name() == name)?;
    let of = family.get_metric().iter();
    match family.get_field_type() {
        MetricType::COUNTER => Some(of.map(|metric| metric.get_counter().get_value()).sum()),
        MetricType::GAUGE => Some(of.map(|metric| metric.get_gauge().get_value()).sum()),
        MetricType::HISTOGRAM | MetricType::SUMMARY | MetricType::UNTYPED => None,
    }
}

/// How many values a histogram was told, and their sum; `None` when nobody has told any.
pub(crate) fn told(families: &[MetricFamily], name: &str) -> Option<(u64, f64)> {
    let family = families.iter().find(|family| family.name() == name)?;
    if family.get_field_type() != MetricType::HISTOGRAM {
        return None;
    }
    let of = family.get_metric().iter().map(|metric| metric.get_histogram());
    Some(of.fold((0, 0.0), |(count, sum), one| {
        (count + one.get_sample_count(), sum + one.get_sample_sum())
    }))
}

/// Everything in `registry` in Prometheus' text format.
pub(crate) fn render(registry: &Registry) -> Result<Vec<u8>, prometheus::Error> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(text)
}

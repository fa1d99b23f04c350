//! What a scoring thread does with one micro-batch: decode, predict, encode.
//!
//! The only place where the three meet; Kafka, ONNX and the clock are handed in.

use std::time::{Duration, Instant};

use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, global};
use schemas::{
    Decoder, Encoder, MicroBatch, PredictError, Predictor, ScoredBatch, Stamp, predict_isolating,
};

/// Decoder, model session and encoder of one thread.
pub(crate) struct Scorer {
    decoder: Decoder,
    model: Box<dyn Predictor>,
    encoder: Encoder,
    model_name: String,
    model_version: String,
    arm: String,
    instruments: Instruments,
}

/// Stage durations and row counts, shared by name with every other thread's.
struct Instruments {
    stage: Histogram<f64>,
    rows: Histogram<u64>,
    scored: Counter<u64>,
    attributes: [[KeyValue; 1]; 3],
    model: [KeyValue; 3],
    traced: bool,
}

impl Scorer {
    /// Puts one thread's parts together; `traced` makes a span per micro-batch.
    pub(crate) fn new(
        decoder: Decoder,
        model: Box<dyn Predictor>,
        encoder: Encoder,
        (name, version, arm): (&str, &str, &str),
        traced: bool,
    ) -> Self {
        Self {
            decoder,
            model,
            encoder,
            model_name: name.into(),
            model_version: version.into(),
            arm: arm.into(),
            instruments: Instruments::new(name, version, arm, traced),
        }
    }

    /// One outcome per record of `batch`; an error means that no row can be scored now.
    pub(crate) fn score(&mut self, batch: MicroBatch) -> Result<ScoredBatch, PredictError> {
        let mut span = self.instruments.traced.then(|| micro_batch_span(&batch));
        let mut clock = Instant::now();
        let decoded = self.decoder.decode(&batch);
        let decode = lap(&mut clock);
        let predicted = predict_isolating(&mut *self.model, &decoded.events)?;
        let predict = lap(&mut clock);
        let rows = predicted.outputs.num_rows() as u64;
        let stamp = Stamp {
            model_name: self.model_name.clone(),
            model_version: self.model_version.clone(),
            arm: self.arm.clone(),
            scored_at: jiff::Timestamp::now(),
        };
        let scored = self.encoder.encode(batch, decoded, predicted, &stamp);
        self.instruments.record(rows, [decode, predict, lap(&mut clock)]);
        if let Some(span) = &mut span {
            span.set_attribute(KeyValue::new("tidegate.rows", rows as i64));
            span.set_attribute(KeyValue::new("tidegate.rejects", scored.rejects().len() as i64));
            span.end();
        }
        Ok(scored)
    }
}

impl Instruments {
    fn new(name: &str, version: &str, arm: &str, traced: bool) -> Self {
        let meter = global::meter("tidegate");
        Self {
            stage: meter
                .f64_histogram("tidegate.stage.duration")
                .with_unit("s")
                .with_description("Time of one micro-batch in a stage")
                .build(),
            rows: meter
                .u64_histogram("tidegate.batch.rows")
                .with_unit("{record}")
                .with_description("Rows given to the model at once")
                .build(),
            scored: meter
                .u64_counter("tidegate.scored")
                .with_description("Rows scored, by model version and arm")
                .build(),
            attributes: ["decode", "predict", "encode"]
                .map(|stage| [KeyValue::new("stage", stage)]),
            model: [
                KeyValue::new("model", name.to_owned()),
                KeyValue::new("version", version.to_owned()),
                KeyValue::new("arm", arm.to_owned()),
            ],
            traced,
        }
    }

    fn record(&self, rows: u64, laps: [Duration; 3]) {
        for (lap, attributes) in laps.iter().zip(&self.attributes) {
            self.stage.record(lap.as_secs_f64(), attributes);
        }
        self.rows.record(rows, &[]);
        self.scored.add(rows, &self.model);
    }
}

fn lap(clock: &mut Instant) -> Duration {
    let now = Instant::now();
    now - std::mem::replace(clock, now)
}

/// Traces that one span is linked with, at most: the SDK drops more than that.
const MAX_LINKS: usize = 128;

/// A span of the batch: it continues the first `traceparent` of its records and is linked with the
/// others.
fn micro_batch_span(batch: &MicroBatch) -> global::BoxedSpan {
    let tracer = global::tracer("tidegate");
    let mut parents = trace_parents(batch).into_iter();
    let parent = parents
        .next()
        .map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
    tracer
        .span_builder("tidegate.micro_batch")
        .with_kind(SpanKind::Consumer)
        .with_attributes([
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.destination.name", batch.topic().to_string()),
            KeyValue::new("messaging.batch.message_count", batch.len() as i64),
        ])
        .with_links(parents.map(|other| Link::new(other, vec![], 0)).collect())
        .start_with_context(&tracer, &parent)
}

/// The different trace contexts of a batch's records, in their order; one that continues and
/// [`MAX_LINKS`] at most.
fn trace_parents(batch: &MicroBatch) -> Vec<SpanContext> {
    let mut found: Vec<SpanContext> = Vec::new();
    for row in 0..batch.len() {
        let header = batch.header(row, "traceparent").and_then(trace_parent);
        if let Some(context) = header.filter(|context| !found.contains(context)) {
            found.push(context);
            if found.len() > MAX_LINKS {
                break;
            }
        }
    }
    found
}

/// W3C Trace Context, version 00: `00-<32 hex>-<16 hex>-<2 hex>`.
fn trace_parent(header: &[u8]) -> Option<SpanContext> {
    let text = std::str::from_utf8(header).ok()?;
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version.len() != 2 || version == "ff" || trace.len() != 32 || span.len() != 16 {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_nonsense_is_not() {
        let good =
            trace_parent(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        assert_eq!(good.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert!(good.is_remote() && good.trace_flags().is_sampled());
        for bad in [
            &b"00-00000000000000000000000000000000-b7ad6b7169203331-01"[..],
            b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            b"00-0af7-b7ad6b7169203331-01",
            b"\xff",
            b"",
        ] {
            assert!(trace_parent(bad).is_none(), "{bad:?}");
        }
    }
}

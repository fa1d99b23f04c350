//! OpenTelemetry over OTLP: what a receiver gets, and that one that is not there harms nothing.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;

use crate::harness::{Broker, FLIGHTS, Pipeline, Receiver, ended_with, flight, scored};

/// A stop takes at most three pushes that time out after 3 s, and the drain; generously.
const STOP_BOUND: Duration = Duration::from_secs(25);

/// (trace id, span id) of the producers' spans.
const PRODUCERS: [(&str, &str); 3] = [
    ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"),
    ("11111111111111111111111111111111", "2222222222222222"),
    ("33333333333333333333333333333333", "4444444444444444"),
];

#[test]
fn a_receiver_gets_metrics_and_the_traces_of_its_producers() {
    let Some(broker) = Broker::shared() else { return };
    let receiver = Receiver::start();
    let endpoint = format!("telemetry.otlp_endpoint={}", receiver.endpoint());
    let pipeline = Pipeline::new(broker, "otlp", &[&endpoint, "telemetry.trace_ratio=1"]);
    for (trace, span) in PRODUCERS {
        let parent = format!("00-{trace}-{span}-01");
        let records = [(&b"key"[..], flight("a", "")), (b"key", b"not an event".to_vec())];
        pipeline.send_with(1, 0, &records, &[("traceparent", &parent)]);
    }
    // The last push is made while the process stops.
    scored(&pipeline);
    let (metrics, traces) = receiver.take();
    metrics_are_named_and_labelled(&metrics, pipeline.name());
    traces_continue(&traces, pipeline.name());
}

fn metrics_are_named_and_labelled(requests: &[ExportMetricsServiceRequest], pipeline: &str) {
    let resources: Vec<_> = requests.iter().flat_map(|each| &each.resource_metrics).collect();
    assert!(!resources.is_empty(), "no metrics came");
    for each in &resources {
        assert_eq!(attribute(each.resource.as_ref(), "service.name"), Some("tidegate"));
        assert_eq!(attribute(each.resource.as_ref(), "tidegate.pipeline"), Some(pipeline));
    }
    let scopes = resources.iter().flat_map(|each| &each.scope_metrics);
    let names: Vec<&str> =
        scopes.flat_map(|each| &each.metrics).map(|metric| metric.name.as_str()).collect();
    for expected in [
        "tidegate_records_in",
        "tidegate_bytes_in",
        "tidegate_results",
        "tidegate_dead_letters",
        "tidegate_commits",
        "tidegate_lag_records",
        "tidegate_archived",
        "tidegate.scored",
        "tidegate.stage.duration",
    ] {
        assert!(names.contains(&expected), "{expected} is not among {names:?}");
    }
}

fn traces_continue(requests: &[ExportTraceServiceRequest], pipeline: &str) {
    let resources: Vec<_> = requests.iter().flat_map(|each| &each.resource_spans).collect();
    for each in &resources {
        assert_eq!(attribute(each.resource.as_ref(), "tidegate.pipeline"), Some(pipeline));
    }
    let scopes = resources.iter().flat_map(|each| &each.scope_spans);
    let spans: Vec<&Span> = scopes.flat_map(|each| &each.spans).collect();
    assert!(spans.iter().all(|span| span.name == "tidegate.micro_batch"), "{spans:?}");
    // However the records were cut into micro-batches: each trace goes on in one of them, or is
    // linked with the one that continues its neighbour's.
    let continues = |span: &Span, (trace, parent): (&str, &str)| {
        hex(&span.trace_id) == trace && hex(&span.parent_span_id) == parent
    };
    let is_linked = |span: &Span, (trace, id): (&str, &str)| {
        span.links.iter().any(|link| hex(&link.trace_id) == trace && hex(&link.span_id) == id)
    };
    for producer in PRODUCERS {
        assert!(
            spans.iter().any(|span| continues(span, producer) || is_linked(span, producer)),
            "{producer:?} is in none of {spans:?}"
        );
    }
    assert!(
        spans.iter().all(|span| PRODUCERS.iter().any(|producer| continues(span, *producer))),
        "{spans:?}"
    );
    let of = |span: &Span, key: &str| {
        let value = span.attributes.iter().find(|each| each.key == key)?.value.clone()?.value?;
        if let Value::IntValue(number) = value { Some(number) } else { None }
    };
    let sum = |key| spans.iter().filter_map(|span| of(span, key)).sum::<i64>();
    assert_eq!((sum("tidegate.rows"), sum("tidegate.rejects")), (3, 3), "{spans:?}");
}

fn attribute<'a>(resource: Option<&'a Resource>, key: &str) -> Option<&'a str> {
    let found = resource?.attributes.iter().find(|each| each.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_receiver_that_is_not_there_harms_nothing() {
    let Some(broker) = Broker::shared() else { return };
    // One that refuses, and the worse one: it accepts and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = (silent.local_addr().expect("it is bound"), silent);
    for endpoint in ["http://127.0.0.1:1".to_owned(), format!("http://{}", silent.0)] {
        let set = format!("telemetry.otlp_endpoint={endpoint}");
        let pipeline = Pipeline::new(broker, "no-otlp", &[&set, "telemetry.trace_ratio=1"]);
        pipeline.produced(FLIGHTS);
        let mut child = pipeline.run("a");
        ended_with(&pipeline.command(&["verify"], &["--wait", "60"]), 0);
        assert!(child.running(), "{}", child.log());
        let asked = Instant::now();
        child.terminate();
        assert!(child.wait(STOP_BOUND).success(), "{}", child.log());
        eprintln!("{endpoint}: stopped after {:?}", asked.elapsed());
    }
}

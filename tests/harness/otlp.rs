//! A strict OTLP receiver: HTTP/1.1 with protobuf bodies, one request a connection. What is not as
//! the protocol says is kept and fails the test that asks.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use super::Request;

/// What came so far.
#[derive(Default)]
struct Received {
    metrics: Vec<ExportMetricsServiceRequest>,
    traces: Vec<ExportTraceServiceRequest>,
    breaches: Vec<String>,
}

/// A receiver on loopback; it listens until the test process ends.
pub(crate) struct Receiver {
    endpoint: String,
    received: Arc<Mutex<Received>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let received = Arc::<Mutex<Received>>::default();
        let into = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("loopback accepts");
                if let Err(breach) = serve(stream, &into) {
                    into.lock().expect("no panic").breaches.push(breach);
                }
            }
        });
        Self { endpoint, received }
    }

    /// What goes into `telemetry.otlp_endpoint`.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// All requests so far; panics where one broke the protocol.
    pub(crate) fn take(
        &self,
    ) -> (Vec<ExportMetricsServiceRequest>, Vec<ExportTraceServiceRequest>) {
        let received = std::mem::take(&mut *self.received.lock().expect("no panic"));
        assert_eq!(received.breaches, Vec::<String>::new());
        (received.metrics, received.traces)
    }
}

fn serve(mut stream: TcpStream, into: &Mutex<Received>) -> Result<(), String> {
    let request = Request::read(&stream)?;
    let kind = request.header("content-type");
    if kind != Some("application/x-protobuf") {
        return Err(format!("{}: content-type is {kind:?}", request.line));
    }
    let (line, body) = (&request.line, &request.body);
    let failed = |error: prost::DecodeError| format!("{line}: {error}");
    {
        let mut into = into.lock().expect("no panic");
        match line.as_str() {
            "POST /v1/metrics HTTP/1.1" => {
                let decoded = ExportMetricsServiceRequest::decode(&body[..]);
                into.metrics.push(decoded.map_err(failed)?);
            }
            "POST /v1/traces HTTP/1.1" => {
                let decoded = ExportTraceServiceRequest::decode(&body[..]);
                into.traces.push(decoded.map_err(failed)?);
            }
            other => return Err(format!("{other}: not an OTLP request")),
        }
    }
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n\
                  content-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(answer.as_bytes()).map_err(|error| error.to_string())
}

//! A strict OTLP receiver: HTTP/1.1 with protobuf bodies, one request a connection. What is not as
//! the protocol says is kept and fails the test that asks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

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
    let mut reader = BufReader::new(stream.try_clone().map_err(|error| error.to_string())?);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).map_err(|error| error.to_string())?;
        Ok::<_, String>(line.trim_end().to_owned())
    };
    let request = line()?;
    let mut headers = Vec::new();
    loop {
        let header = line()?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let header = |name: &str| headers.iter().find(|(have, _)| have == name).map(|(_, value)| value);
    if header("content-type").map(String::as_str) != Some("application/x-protobuf") {
        return Err(format!("{request}: content-type is {:?}", header("content-type")));
    }
    let length = header("content-length").and_then(|length| length.parse().ok());
    let length: usize = length.ok_or_else(|| format!("{request}: no content-length"))?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).map_err(|error| error.to_string())?;
    let failed = |error: prost::DecodeError| format!("{request}: {error}");
    {
        let mut into = into.lock().expect("no panic");
        match request.as_str() {
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

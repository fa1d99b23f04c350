//! Who is on call in the demo: a webhook on this machine that checks each signature, as a receiver of
//! Standard Webhooks should.

use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use monitor::deliver::SigningKey;

/// Messages that nobody has looked at yet; more are refused, and come again.
const WAITING: usize = 64;

/// A message whose signature is right.
pub(super) struct Heard {
    /// `tidegate.alert.fired`, …
    pub(super) kind: String,
    /// What it says.
    pub(super) data: Value,
}

/// The receiver; it listens until it is dropped.
pub(super) struct OnCall {
    /// Where messages are posted to.
    pub(super) url: String,
    heard: mpsc::Receiver<Heard>,
    _runtime: Runtime,
}

impl OnCall {
    /// Listens on a free port for messages that are signed with `secret`.
    pub(super) fn start(secret: &str) -> anyhow::Result<Self> {
        let key = SigningKey::parse(secret).context("the demo's signing key")?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("starting the receiver")?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.context("a free port for the receiver")?;
        let url = format!("http://{}/", listener.local_addr()?);
        let (say, heard) = mpsc::sync_channel(WAITING);
        let answer = async move |headers: HeaderMap, body: Bytes| match read(&key, &headers, &body)
        {
            None => StatusCode::UNAUTHORIZED,
            Some(message) => match say.try_send(message) {
                Ok(()) => StatusCode::NO_CONTENT,
                Err(_) => StatusCode::SERVICE_UNAVAILABLE,
            },
        };
        let routes = Router::new().route("/", post(answer));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { url, heard, _runtime: runtime })
    }

    /// The next message; `None` when none comes in time.
    pub(super) fn next(&self, within: Duration) -> Option<Heard> {
        self.heard.recv_timeout(within).ok()
    }
}

/// `None` when the signature is not right, or the body is no message.
fn read(key: &SigningKey, headers: &HeaderMap, body: &[u8]) -> Option<Heard> {
    let header = |name| headers.get(name)?.to_str().ok();
    let (id, time) = (header("webhook-id")?, header("webhook-timestamp")?.parse().ok()?);
    let right = key.sign(id, time, body);
    if !header("webhook-signature")?.split(' ').any(|signature| signature == right) {
        return None;
    }
    let mut message: Value = serde_json::from_slice(body).ok()?;
    let kind = message["type"].as_str()?.to_owned();
    Some(Heard { kind, data: message["data"].take() })
}

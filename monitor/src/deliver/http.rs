//! The one place that opens a connection: every address is checked, no redirect is followed, no
//! proxy of the environment is used, waits and answers are bounded, secrets are cut out of errors.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, Response};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{StatusCode, redirect};

use super::{Allowed, Request};
use crate::policy::clean;
use crate::state::Heard;

/// Bytes of an error's text that are kept.
const MAX_ERROR_BYTES: usize = 300;

/// Bounds of a request.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// From the first byte sent to the last one read.
    pub timeout: Duration,
    /// Bytes of an answer that are read; nothing of Tidegate's depends on more.
    pub max_response_bytes: u64,
    /// Where private addresses and plain http are meant.
    pub allowed: Allowed,
    /// Further certificate authorities, PEM.
    pub authorities_pem: Vec<u8>,
}

/// A client for all routes.
pub struct Http {
    tls: Client,
    clear: Client,
    settings: HttpSettings,
}

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The authorities are not PEM certificates.
    #[error("alerts.http.ca_file does not hold PEM certificates: {0}")]
    Authorities(String),
    /// TLS does not start.
    #[error("no HTTP client: {0}")]
    Client(String),
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 2xx.
    Delivered,
    /// The receiver finds the message itself wrong: saying it again does not help.
    Refused {
        /// Why.
        error: String,
    },
    /// 410: this receiver is gone for good.
    Gone {
        /// Why.
        error: String,
    },
    /// Anything else; it may help to try again.
    Failed {
        /// Why.
        error: String,
        /// How long the receiver wants to be left alone.
        retry_after_ms: Option<i64>,
        /// Whether it may have the message all the same.
        heard: Heard,
    },
}

type Lookup = Arc<dyn Fn(&str) -> std::io::Result<Vec<IpAddr>> + Send + Sync>;

/// Looks names up and lets through only what is allowed.
struct Guarded {
    allowed: Allowed,
    clear: bool,
    lookup: Lookup,
}

#[derive(Debug, thiserror::Error)]
#[error("{host} is {addresses}, which alerts.http.allow_private does not list")]
struct NotAllowed {
    host: String,
    addresses: String,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (allowed, clear, lookup) = (self.allowed.clone(), self.clear, self.lookup.clone());
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let asked = host.clone();
            let found = tokio::task::spawn_blocking(move || lookup(&asked)).await??;
            let good: Vec<SocketAddr> = found
                .iter()
                .filter(|address| allowed.permits(&host, **address, clear))
                .map(|address| SocketAddr::new(*address, 0))
                .collect();
            if good.is_empty() {
                let addresses: Vec<String> = found.iter().map(ToString::to_string).collect();
                let kind = if clear { "public or private, by plain http" } else { "private" };
                let addresses = format!("{kind} ({})", addresses.join(", "));
                return Err(NotAllowed { host, addresses }.into());
            }
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

fn system_lookup(host: &str) -> std::io::Result<Vec<IpAddr>> {
    Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

impl Http {
    /// A client within these bounds.
    ///
    /// # Errors
    /// When the authorities cannot be read.
    pub fn new(settings: HttpSettings) -> Result<Self, HttpError> {
        Self::with_lookup(settings, Arc::new(system_lookup))
    }

    pub(super) fn with_lookup(settings: HttpSettings, lookup: Lookup) -> Result<Self, HttpError> {
        let build = |clear: bool| {
            let guarded =
                Guarded { allowed: settings.allowed.clone(), clear, lookup: lookup.clone() };
            let mut builder = Client::builder()
                .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .https_only(!clear)
                .connect_timeout(settings.connect_timeout)
                .timeout(settings.timeout)
                .pool_max_idle_per_host(1)
                .pool_idle_timeout(Duration::from_secs(30))
                .dns_resolver(Arc::new(guarded));
            if !settings.authorities_pem.is_empty() {
                let found = reqwest::Certificate::from_pem_bundle(&settings.authorities_pem)
                    .map_err(|error| HttpError::Authorities(chain(&error)))?;
                builder = builder.tls_certs_merge(found);
            }
            builder.build().map_err(|error| HttpError::Client(chain(&error)))
        };
        Ok(Self { tls: build(false)?, clear: build(true)?, settings })
    }

    /// Posts `request` and says what became of it.
    pub fn post(&self, request: &Request, now_ms: i64) -> Outcome {
        let started = Instant::now();
        let failed = |heard, error: &str| Outcome::Failed {
            error: presentable(request, error),
            retry_after_ms: None,
            heard,
        };
        // A literal address is never looked up: it is checked here.
        if let Err(error) = self.settings.allowed.check_url(&request.url) {
            return failed(Heard::No, &format!("the URL {error}"));
        }
        let client = if is_tls(&request.url) { &self.tls } else { &self.clear };
        let mut call = client.post(&request.url).body(request.body.clone());
        for (name, value) in &request.headers {
            call = call.header(name, value);
        }
        match call.send() {
            Ok(response) => self.judge(request, response, started, now_ms),
            Err(error) => {
                let heard =
                    if error.is_connect() || error.is_builder() { Heard::No } else { Heard::Maybe };
                failed(heard, &chain(&error.without_url()))
            }
        }
    }

    fn judge(
        &self,
        request: &Request,
        response: Response,
        started: Instant,
        now_ms: i64,
    ) -> Outcome {
        let status = response.status();
        if status.is_success() {
            return Outcome::Delivered;
        }
        let after = response.headers().get(reqwest::header::RETRY_AFTER);
        let retry_after_ms =
            after.and_then(|value| value.to_str().ok()).and_then(|text| retry_after(text, now_ms));
        let said = self.beginning(response, started);
        let error = format!("answered {status}{}{said}", if said.is_empty() { "" } else { ": " });
        let error = presentable(request, &error);
        match status {
            StatusCode::GONE => Outcome::Gone { error },
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Outcome::Refused { error },
            status => {
                let heard = if status.is_server_error() { Heard::Maybe } else { Heard::No };
                let error = if status.is_redirection() {
                    format!("{error} (redirects are not followed: write the final URL)")
                } else {
                    error
                };
                Outcome::Failed { error, retry_after_ms, heard }
            }
        }
    }

    /// The beginning of an answer, whatever its length and speed; dropping the rest closes the
    /// connection.
    fn beginning(&self, response: Response, started: Instant) -> String {
        let mut body = response.take(self.settings.max_response_bytes);
        let (mut said, mut piece) = (Vec::new(), [0; 8_192]);
        while started.elapsed() < self.settings.timeout {
            match body.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(read) => said.extend_from_slice(&piece[..read]),
            }
        }
        String::from_utf8_lossy(&said).trim().to_owned()
    }
}

/// Whether a URL asks for TLS, in whatever case its scheme is written.
fn is_tls(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| url.scheme() == "https")
}

/// An error as it may be stored and logged. A secret is hidden before the text is cut: of one across
/// the cut the beginning would be left.
fn presentable(request: &Request, error: &str) -> String {
    clean(&request.without_secrets(error), MAX_ERROR_BYTES)
}

/// Seconds or a date, as a wait from now.
fn retry_after(text: &str, now_ms: i64) -> Option<i64> {
    if let Ok(seconds) = text.trim().parse::<u32>() {
        return Some(i64::from(seconds) * 1_000);
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    Some((date.timestamp().as_millisecond() - now_ms).max(0))
}

/// An error and what caused it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(source) = at {
        let next = source.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        at = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_has_no_case() {
        for (url, expected) in [
            ("https://example.org/", true),
            ("HTTPS://example.org/", true),
            ("HttpS://example.org/", true),
            ("HTTP://example.org/", false),
            ("https.example.org", false),
        ] {
            assert_eq!(is_tls(url), expected, "{url}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now_ms = 1_445_412_420_000; // 2015-10-21T07:27:00Z
        for (text, expected) in [
            ("120", Some(120_000)),
            (" 0 ", Some(0)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(60_000)),
            ("Wed, 21 Oct 2015 07:20:00 GMT", Some(0)),
            ("-5", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(text, now_ms), expected, "{text}");
        }
    }
}

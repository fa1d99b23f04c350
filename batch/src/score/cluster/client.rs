//! The way to a cluster, from the job's side. Every wait has a bound: Ballista's own for a connection never
//! ends, and a job without executors would wait for ever.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ballista::prelude::{SessionConfigExt, SessionContextExt};
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{CancelJobParams, CleanJobDataParams};
use ballista_core::utils::create_grpc_client_endpoint;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use tokio::runtime::Runtime;

use super::MESSAGE_BYTES;
use super::codec::LogicalCodec;
use crate::error::StoreError;

/// How a cluster is named.
const SCHEME: &str = "df://";
/// How long the scheduler may take for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long the first executor may take to come.
const EXECUTOR_WITHIN: Duration = Duration::from_secs(30);
/// How long there may be none later: one that is started anew is back before.
const LOST_WITHIN: Duration = Duration::from_secs(60);
/// How often a job that waits looks whether there are executors.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long giving a part back may take; what is not given back goes by age.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);
/// Most of an answer to a look.
const LOOK_BYTES: u64 = 4 << 10;

/// A scheduler that answered, and had an executor.
pub struct Cluster {
    url: String,
    /// `HOST:PORT`.
    address: String,
    pub(super) runtime: Runtime,
    pub(super) context: SessionContext,
    seen: Mutex<Seen>,
}

/// What was seen of the executors.
struct Seen {
    looked: Instant,
    /// When there was one last.
    alive: Instant,
}

impl Cluster {
    /// The cluster at `df://HOST:PORT`. Blocks until it has an executor, for a bounded time.
    pub fn connect(url: &str) -> Result<Self, StoreError> {
        let address = address(url).ok_or_else(|| StoreError::Config {
            key: "--cluster",
            value: url.to_owned(),
            expected: "df://HOST:PORT is accepted, the address of `tidegate scheduler`",
        })?;
        wait_for_executor(url, &address)?;
        let failed = |reason: String| StoreError::Cluster { url: url.to_owned(), reason };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("tg-cluster")
            .enable_all()
            .build()
            .map_err(|error| failed(format!("cannot start threads: {error}")))?;
        let config = SessionConfig::new_with_ballista()
            .with_target_partitions(1)
            .with_ballista_job_name("tidegate score")
            // One leaf: there is nothing to adapt.
            .with_ballista_adaptive_query_planner(false)
            .with_ballista_grpc_client_max_message_size(MESSAGE_BYTES)
            .with_ballista_logical_extension_codec(Arc::new(LogicalCodec::default()));
        let state = SessionStateBuilder::new().with_default_features().with_config(config).build();
        let context = runtime
            .block_on(SessionContext::remote_with_state(url, state))
            .map_err(|error| failed(error.strip_backtrace()))?;
        let now = Instant::now();
        let seen = Mutex::new(Seen { looked: now, alive: now });
        Ok(Self { url: url.to_owned(), address, runtime, context, seen })
    }

    /// An error of Ballista; its words for a scheduler that is gone name neither.
    pub(super) fn failed(&self, error: &DataFusionError) -> StoreError {
        self.broken(match look(&self.address) {
            Err(gone) => format!("its scheduler does not answer: {gone}"),
            Ok(_) => error.strip_backtrace(),
        })
    }

    pub(super) fn broken(&self, reason: String) -> StoreError {
        StoreError::Cluster { url: self.url.clone(), reason }
    }

    /// Whether waiting still makes sense; looks every few seconds.
    pub(super) fn watch(&self) -> Result<(), StoreError> {
        let mut seen = self.seen.lock().expect("nobody panics with it");
        if seen.looked.elapsed() < LOOK_EVERY {
            return Ok(());
        }
        let looked = look(&self.address);
        seen.looked = Instant::now();
        if matches!(looked, Ok(true)) {
            seen.alive = seen.looked;
        }
        if seen.alive.elapsed() < LOST_WITHIN {
            return Ok(());
        }
        let seconds = LOST_WITHIN.as_secs();
        Err(self.broken(match looked {
            Err(error) => format!("its scheduler has not answered for {seconds} s: {error}"),
            Ok(_) => format!("it has had no executor for {seconds} s: start `tidegate executor`"),
        }))
    }

    /// Lets go of a query: what executors keep of it is removed, and one that still runs is stopped.
    pub(super) fn release(&self, job: String, done: bool) {
        let release = async {
            let endpoint = create_grpc_client_endpoint(format!("http://{}", self.address), None);
            let channel = endpoint.map_err(|error| error.to_string())?.connect().await;
            let mut scheduler = SchedulerGrpcClient::new(channel.map_err(|e| e.to_string())?);
            if done {
                let asked = CleanJobDataParams { job_id: job, remove_stage_ids: Vec::new() };
                scheduler.clean_job_data(asked).await.map_err(|error| error.to_string())?;
            } else {
                let asked = CancelJobParams { job_id: job };
                scheduler.cancel_job(asked).await.map_err(|error| error.to_string())?;
            }
            Ok::<(), String>(())
        };
        let bounded = async { tokio::time::timeout(RELEASE_WITHIN, release).await };
        match self.runtime.block_on(bounded) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error, "a query was not given back"),
            Err(_) => tracing::debug!("a query was not given back in time"),
        }
    }
}

/// `HOST:PORT` of a URL.
pub(super) fn address(url: &str) -> Option<String> {
    let address = url.strip_prefix(SCHEME)?;
    let address = address.strip_suffix('/').unwrap_or(address);
    let (host, port) = address.rsplit_once(':')?;
    let plain = !host.is_empty() && !host.contains(['/', '@', '?', '#']);
    (plain && port.parse::<u16>().is_ok_and(|port| port > 0)).then(|| address.to_owned())
}

fn wait_for_executor(url: &str, address: &str) -> Result<(), StoreError> {
    let end = Instant::now() + EXECUTOR_WITHIN;
    let failed = |reason: String| Err(StoreError::Cluster { url: url.to_owned(), reason });
    loop {
        match look(address) {
            Ok(true) => return Ok(()),
            Ok(false) if Instant::now() < end => std::thread::sleep(Duration::from_millis(250)),
            Ok(false) => {
                let seconds = EXECUTOR_WITHIN.as_secs();
                return failed(format!(
                    "its scheduler has no executor, and none came within {seconds} s: start `tidegate \
                     executor`"
                ));
            }
            Err(error) => {
                return failed(format!(
                    "no scheduler answers there ({error}): start `tidegate scheduler`, or leave --cluster out"
                ));
            }
        }
    }
}

/// Whether the scheduler at `HOST:PORT` has executors.
pub(super) fn look(address: &str) -> io::Result<bool> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, ANSWER_WITHIN) {
            Ok(stream) => return ready(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Asks for the scheduler's own answer: 200 with executors, 503 without.
fn ready(mut stream: TcpStream) -> io::Result<bool> {
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: scheduler\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    // A time-out behind the first line is no failure, and the first line comes first.
    let read = stream.take(LOOK_BYTES).read_to_end(&mut answer);
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    match line {
        b"HTTP/1.1 200 OK" => Ok(true),
        b"HTTP/1.1 503 Service Unavailable" => Ok(false),
        _ => Err(read.err().unwrap_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "what listens there is no scheduler")
        })),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_url_names_host_and_port() {
        for (url, expected) in [
            ("df://127.0.0.1:50050", Some("127.0.0.1:50050")),
            ("df://scheduler.example:1/", Some("scheduler.example:1")),
            ("df://[::1]:50050", Some("[::1]:50050")),
            ("df://127.0.0.1", None),
            ("df://127.0.0.1:0", None),
            ("df://127.0.0.1:70000", None),
            ("df://:50050", None),
            ("df://user@host:1", None),
            ("http://127.0.0.1:50050", None),
            ("127.0.0.1:50050", None),
            ("", None),
        ] {
            assert_eq!(address(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn what_listens_is_told_apart() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\nready: 2", Some(true)),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", Some(false)),
            ("HTTP/1.1 404 Not Found\r\n\r\n", None),
            ("SSH-2.0-x\r\n", None),
            ("", None),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = [0; 16];
                stream.read_exact(&mut asked).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            });
            assert_eq!(look(&address).ok(), expected, "{answer:?}");
            server.join().unwrap();
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let began = Instant::now();
        let error = Cluster::connect(&format!("df://{free}")).err().unwrap().to_string();
        assert!(
            error.contains("tidegate scheduler") && error.contains(&free.to_string()),
            "{error}"
        );
        assert!(began.elapsed() < EXECUTOR_WITHIN, "said at once");
    }
}

//! The archive over the PostgreSQL protocol: psql, drivers and BI tools ask the tables of [`super`].
//!
//! Reads only, whatever the user: a plan is answered when it is a query, and nothing else is run. Each
//! connection has a session of its own over one runtime, so that nobody changes another's settings, and
//! memory, spill space, queries and connections are bounded for all of them together.

mod auth;
mod catalog;
mod connection;
mod cursors;
mod errors;
mod events;
mod extended;
mod gate;
mod pauses;
mod reply;
mod service;
mod settings;
mod strangers;
mod stream;
mod tls;
mod turn;
mod types;

use std::sync::Arc;
use std::time::Duration;

use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::pgwire::api::auth::sasl::scram::ScramAuth;
use datafusion_postgres::pgwire::api::{ConnectionManager, RandomPidSecretKeyGenerator};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::auth::{Salted, Users};
use self::catalog::Catalog;
use self::strangers::Strangers;
use self::tls::Tls;
use super::{FindModel, SqlTable, TwoSample};
use crate::error::StoreError;

pub use self::events::SqlEvents;
pub use self::tls::TlsFiles;

/// The tables as they are now; asked again every few seconds while there are queries.
pub type FindTables = Arc<dyn Fn() -> Result<Vec<SqlTable>, String> + Send + Sync>;

/// Until a client has said who it is, while which it has a place among the [`Strangers`] and not one of
/// [`Limits::connections`]; longer than a wrong password is slowed down.
const START_UP: Duration = Duration::from_secs(15);

/// After an error of `accept` (no more file descriptors, say), which a new try would only repeat.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Name of the database: clients may ask for any, this is what they are shown.
const DATABASE: &str = "tidegate";

/// What a server serves.
pub struct ServeConfig {
    /// Finds the tables.
    pub tables: FindTables,
    /// Finds the models of `predict`.
    pub models: FindModel,
    /// Aggregates over reference and current values.
    pub statistics: Vec<TwoSample>,
    /// Names and passwords; without any, everybody may come in.
    pub users: Vec<(String, String)>,
    /// With these, connections without TLS are refused.
    pub tls: Option<TlsFiles>,
    /// How much of everything.
    pub limits: Limits,
}

/// How much of everything all clients may have together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Memory of queries before they spill, or end with an error.
    pub memory_bytes: usize,
    /// Temporary files of queries.
    pub spill_bytes: u64,
    /// Clients at once.
    pub connections: usize,
    /// Queries that run at once.
    pub queries: usize,
    /// A query waits so long for its turn.
    pub queue: Duration,
    /// A query may run, and its answer be read, for so long.
    pub query: Duration,
    /// A client may say nothing for so long.
    pub idle: Duration,
    /// Running queries may end within so long when the server stops.
    pub grace: Duration,
}

/// A server whose tables, users and certificate are in order.
pub struct Server {
    shared: Arc<Shared>,
}

/// What all connections have together.
struct Shared {
    catalog: Catalog,
    parser: PostgresCompatibilityParser,
    users: Option<Arc<Users>>,
    tls: Option<Tls>,
    limits: Limits,
    connections: Arc<Semaphore>,
    queries: Arc<Semaphore>,
    cancels: Arc<ConnectionManager>,
    keys: Arc<RandomPidSecretKeyGenerator>,
    events: SqlEvents,
}

impl Server {
    /// Reads the certificate, looks at the tables and salts the passwords.
    pub async fn open(config: ServeConfig, events: SqlEvents) -> Result<Self, StoreError> {
        let tls = config.tls.as_ref().map(Tls::open).transpose()?;
        let users = match config.users.as_slice() {
            [] => None,
            users => {
                let salted = users.iter().map(|(name, password)| Salted::new(name, password));
                Some(Arc::new(Users::new(salted.collect::<Result<_, _>>()?)?))
            }
        };
        let limits = config.limits;
        let shared = Shared {
            catalog: Catalog::open(config).await?,
            parser: PostgresCompatibilityParser::new(),
            users,
            tls,
            limits,
            connections: Arc::new(Semaphore::new(limits.connections)),
            queries: Arc::new(Semaphore::new(limits.queries)),
            cancels: Arc::new(ConnectionManager::new()),
            keys: Arc::default(),
            events,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Serves until `stop`; idle clients are sent away then, and queries may end within the grace time.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let mut clients = JoinSet::new();
        let strangers = Arc::new(Strangers::default());
        loop {
            while let Some(ended) = clients.try_join_next() {
                self.told(ended);
            }
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => match strangers.admit(peer.ip()) {
                    Some(place) => {
                        let (shared, stop) = (Arc::clone(&self.shared), stop.clone());
                        clients.spawn(connection::attend(shared, socket, peer, place, stop));
                    }
                    None => self.shared.events.no_room(peer),
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        let rest = async {
            while let Some(ended) = clients.join_next().await {
                self.told(ended);
            }
        };
        if tokio::time::timeout(self.shared.limits.grace, rest).await.is_err() {
            tracing::warn!(clients = clients.len(), "queries cut short: the grace time is over");
            clients.shutdown().await;
        }
    }

    /// A panic is one client's: the others are served on.
    fn told(&self, ended: Result<(), tokio::task::JoinError>) {
        if ended.is_err_and(|error| error.is_panic()) {
            self.shared.events.broke();
        }
    }
}

impl Shared {
    fn scram(&self) -> Option<ScramAuth> {
        let users: Arc<Users> = Arc::clone(self.users.as_ref()?);
        let mut scram = ScramAuth::new(users);
        if let Some(tls) = &self.tls {
            tls.bind(&mut scram);
        }
        Some(scram)
    }
}

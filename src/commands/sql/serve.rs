//! `tidegate sql --serve`: the archive over the PostgreSQL protocol, until asked to stop.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use batch::StoreError;
use batch::sql::STACK_BYTES;
use batch::sql::serve::{Limits, ServeConfig, Server, SqlEvents, TlsFiles};
use opentelemetry::global;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cli::SqlArgs;
use crate::config;
use crate::exit::{self, Exit, WithExit};
use crate::health::Health;
use crate::pipeline::Pipeline;
use crate::signals::Signals;
use crate::telemetry::{self, Telemetry};
use crate::{models, server};

/// Serves at `address`, at `sql.listen` when it is empty.
pub(super) fn run(args: &SqlArgs, pipeline: Pipeline, address: &str) -> anyhow::Result<Exit> {
    let config = &pipeline.config;
    let address = if address.is_empty() { config.sql.listen.clone() } else { address.to_owned() };
    let users = users(args, &config.sql)?;
    let addresses = addresses(&address, users.is_empty())?;
    telemetry::init_logs(&config.telemetry.log, config.telemetry.format);
    let telemetry = Telemetry::install(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("tg-sql")
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .context("starting the threads of SQL")?;
    let pipeline = Arc::new(pipeline);
    let exit = runtime.block_on(serve(&pipeline, users, &addresses, &telemetry));
    // A model that is being loaded for a query is not waited for.
    runtime.shutdown_background();
    telemetry.flush();
    exit
}

/// Everybody's name and password.
fn users(args: &SqlArgs, sql: &config::Sql) -> anyhow::Result<Vec<(String, String)>> {
    let mut users = sql.users.clone();
    if let Some(file) = &args.password_file {
        let secret = config::Secret::from_file(file)
            .map_err(|error| exit::usage(format!("--password-file {}: {error}", file.display())))?;
        if secret.expose().is_empty() {
            return Err(exit::usage(format!(
                "--password-file {}: the file is empty",
                file.display()
            )));
        }
        users.insert(args.user.clone(), secret);
    }
    Ok(users.into_iter().map(|(name, secret)| (name, secret.expose().to_owned())).collect())
}

/// What `address` means; beyond loopback, somebody must have a password.
fn addresses(address: &str, open: bool) -> anyhow::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> = address
        .to_socket_addrs()
        .map_err(|error| exit::usage(format!("sql.listen = {address}: {error}; write host:port")))?
        .collect();
    match found.iter().find(|address| !address.ip().is_loopback()) {
        Some(beyond) if open => Err(exit::usage(format!(
            "sql.listen = {address}: {beyond} can be reached from other machines, and nobody has a \
             password, which is for loopback only: give one with --password-file or [sql.users], or \
             listen on 127.0.0.1"
        ))),
        Some(_) | None => Ok(found),
    }
}

async fn serve(
    pipeline: &Arc<Pipeline>,
    users: Vec<(String, String)>,
    addresses: &[SocketAddr],
    telemetry: &Telemetry,
) -> anyhow::Result<Exit> {
    let sql = &pipeline.config.sql;
    let (health, closing, stop) =
        (Arc::new(Health::default()), CancellationToken::new(), CancellationToken::new());
    let ready = health.part("sql");
    let told = listener(&sql.metrics).await?;
    let (many, tls) = (users.len(), !sql.tls_certificate.as_os_str().is_empty());
    let server = Server::open(served(pipeline, users), SqlEvents::new(&global::meter("tidegate")))
        .await
        .map_err(|error| match error {
            StoreError::Config { .. } => exit::usage(error.to_string()),
            other => other.into(),
        })?;
    let listener = TcpListener::bind(addresses).await.with_context(|| {
        format!("sql.listen = {addresses:?} cannot be opened; choose another port")
    })?;
    let address = listener.local_addr()?;
    tracing::info!(%address, users = many, tls, "serving the PostgreSQL protocol");
    ready.set(true);
    let (mut beside, mut serving) = (JoinSet::new(), JoinSet::new());
    if let Some(told) = told {
        let (health, registry, closing) = (health.clone(), telemetry.registry(), closing.clone());
        beside.spawn(server::serve(told, health, registry, None, closing));
    }
    serving.spawn(server.serve(listener, stop.clone()));
    let mut signals = Signals::listen()?;
    tokio::select! {
        _ = signals.next() => {}
        ended = beside.join_next(), if !beside.is_empty() => {
            ended.expect("not empty").context("serving metrics")?.context("serving metrics")?;
        }
        ended = serving.join_next() => ended.expect("not empty").context("serving SQL")?,
    }
    tracing::info!("stopping: queries that run may end");
    ready.set(false);
    stop.cancel();
    while !serving.is_empty() {
        tokio::select! {
            ended = serving.join_next() => ended.expect("not empty").context("serving SQL")?,
            signal = signals.next() => return Err(cut_short(&format!("a second {signal}"))),
        }
    }
    closing.cancel();
    tracing::info!("stopped");
    Ok(Exit::Fine)
}

fn served(pipeline: &Arc<Pipeline>, users: Vec<(String, String)>) -> ServeConfig {
    let config = &pipeline.config;
    let sql = &config.sql;
    let tls = (!sql.tls_certificate.as_os_str().is_empty())
        .then(|| TlsFiles { certificate: sql.tls_certificate.clone(), key: sql.tls_key.clone() });
    let of = Arc::clone(pipeline);
    ServeConfig {
        tables: Arc::new(move || super::tables(&of).map_err(|error| format!("{error:#}"))),
        models: models::finder(config, &pipeline.contract),
        statistics: super::statistics(),
        users,
        tls,
        limits: Limits {
            memory_bytes: sql.memory_mib << 20,
            spill_bytes: sql.spill_mib << 20,
            connections: sql.max_connections,
            queries: sql.max_queries,
            queue: Duration::from_secs(sql.queue_seconds),
            query: Duration::from_secs(sql.query_seconds),
            idle: Duration::from_secs(sql.idle_seconds),
            grace: Duration::from_secs(config.shutdown.grace_seconds),
        },
    }
}

/// Where metrics are told; none for an empty address.
async fn listener(address: &str) -> anyhow::Result<Option<TcpListener>> {
    if address.is_empty() {
        return Ok(None);
    }
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("sql.metrics = {address} cannot be opened; choose another port, or \"\" for none")
    })?;
    tracing::info!(address = %listener.local_addr()?, "serving /livez, /readyz and /metrics");
    Ok(Some(listener))
}

fn cut_short(why: &str) -> anyhow::Error {
    let message = format!("{why}: ending before every query has ended; nothing is written by them");
    WithExit { message, exit: Exit::Failed }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_loopback_somebody_has_a_password() {
        for (address, open, fine) in [
            ("127.0.0.1:5432", true, true),
            ("[::1]:5432", true, true),
            ("0.0.0.0:5432", true, false),
            ("0.0.0.0:5432", false, true),
            ("127.0.0.1", false, false),
        ] {
            let found = addresses(address, open);
            assert_eq!(found.is_ok(), fine, "{address}, open {open}: {found:?}");
        }
        let said = addresses("[::]:5432", true).unwrap_err().to_string();
        assert!(said.contains("--password-file"), "{said}");
    }
}

//! Who may come in: SCRAM-SHA-256, TLS where it is configured, and room for one more.
//!
//! A password is salted once, at the start, and forgotten. A name that nobody has goes through the
//! same exchange with a salt of its own, so that it cannot be told from a wrong password.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::auth::sasl::SASLAuthStartupHandler;
use datafusion_postgres::pgwire::api::auth::sasl::scram::{SCRAM_ITERATIONS, gen_salted_password};
use datafusion_postgres::pgwire::api::auth::{
    AuthSource, DefaultServerParameterProvider, LoginInfo, Password, StartupHandler,
    finish_authentication, protocol_negotiation, save_startup_parameters_to_metadata,
};
use datafusion_postgres::pgwire::api::{
    ClientInfo, METADATA_USER, PgWireConnectionState, PidSecretKeyGenerator as _,
};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::startup::Startup;
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use futures::Sink;
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedSemaphorePermit;

use super::errors::{NOT_AUTHORISED, TOO_MANY, WRONG_PASSWORD, fatal};
use super::{Shared, settings};
use crate::error::StoreError;

/// A wrong password is answered so late: guessing takes as long.
const WRONG_PASSWORD_DELAY: Duration = Duration::from_secs(1);

/// Longest name of a user that is logged or shown.
const NAME_LENGTH: usize = 63;

/// A user, and what their password became.
pub(super) struct Salted {
    name: String,
    salt: [u8; 16],
    password: Vec<u8>,
}

impl Salted {
    pub(super) fn new(name: &str, password: &str) -> Result<Self, StoreError> {
        let salt = random()?;
        let password = gen_salted_password(password, &salt, SCRAM_ITERATIONS);
        Ok(Self { name: name.to_owned(), salt, password })
    }
}

/// Everybody who may come in.
pub(super) struct Users {
    known: HashMap<String, Salted>,
    /// Salts of names that nobody has follow from it.
    unknown: [u8; 16],
}

impl Users {
    pub(super) fn new(users: Vec<Salted>) -> Result<Self, StoreError> {
        let known = users.into_iter().map(|user| (user.name.clone(), user)).collect();
        Ok(Self { known, unknown: random()? })
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} users", self.known.len())
    }
}

#[async_trait]
impl AuthSource for Users {
    async fn get_password(&self, login: &LoginInfo) -> PgWireResult<Password> {
        let name = login.user().unwrap_or_default();
        Ok(match self.known.get(name) {
            Some(user) => Password::new(Some(user.salt.to_vec()), user.password.clone()),
            None => {
                let salt = Sha256::new().chain_update(self.unknown).chain_update(name).finalize();
                let password = Sha256::new().chain_update(salt).chain_update(self.unknown);
                Password::new(Some(salt[..16].to_vec()), password.finalize().to_vec())
            }
        })
    }
}

fn random() -> Result<[u8; 16], StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| StoreError::Query(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

/// The beginning of one connection.
pub(super) struct StartUp {
    shared: Arc<Shared>,
    scram: Option<SASLAuthStartupHandler<DefaultServerParameterProvider>>,
    parameters: Arc<DefaultServerParameterProvider>,
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

impl StartUp {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let parameters = Arc::new(settings::parameters());
        let scram = shared.scram().map(|scram| {
            SASLAuthStartupHandler::new(Arc::clone(&parameters))
                .with_scram(scram)
                .with_pid_secret_key_generator(shared.keys.clone())
                .with_connection_manager(Arc::clone(&shared.cancels))
        });
        Self { shared, scram, parameters, place: Mutex::default() }
    }

    /// What is known of a client before it is known to be itself.
    fn greet<C: ClientInfo>(&self, client: &C, startup: &mut Startup) -> PgWireResult<()> {
        let user: String = startup
            .parameters
            .get(METADATA_USER)
            .map(|name| name.chars().take(NAME_LENGTH).collect())
            .unwrap_or_default();
        if self.shared.tls.is_some() && !client.is_secure() {
            self.shared.events.refused(client.socket_addr(), &user, "plain");
            let message = "this server takes connections with TLS only: set sslmode=require, or \
                           verify-full with its certificate authority";
            return Err(fatal(NOT_AUTHORISED, message));
        }
        if user.is_empty() {
            return Err(fatal(NOT_AUTHORISED, "no user is named"));
        }
        settings::sift(startup)
    }

    fn take_place<C: ClientInfo>(&self, client: &C) -> PgWireResult<()> {
        let Ok(place) = Arc::clone(&self.shared.connections).try_acquire_owned() else {
            self.shared.events.refused(client.socket_addr(), user_of(client), "connections");
            let limit = self.shared.limits.connections;
            let message = format!(
                "sql.max_connections = {limit} clients are connected already: close one, or raise it"
            );
            return Err(fatal(TOO_MANY, message));
        };
        *self.place.lock().expect("nobody panics with it") = Some(place);
        Ok(())
    }

    fn leave_place(&self) {
        self.place.lock().expect("nobody panics with it").take();
    }

    /// Nobody has a password, which is for loopback only.
    async fn open_door<C>(&self, client: &mut C, startup: &Startup) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        protocol_negotiation(client, startup).await?;
        save_startup_parameters_to_metadata(client, startup);
        self.take_place(client)?;
        let (pid, key) = self.shared.keys.generate(client);
        client.set_pid_and_secret_key(pid, key.clone());
        let (handle, guard) = self.shared.cancels.register(pid, key);
        client.session_extensions().insert(handle);
        client.session_extensions().insert(guard);
        finish_authentication(client, self.parameters.as_ref()).await
    }
}

#[async_trait]
impl StartupHandler for StartUp {
    async fn on_startup<C>(
        &self,
        client: &mut C,
        message: PgWireFrontendMessage,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let message = match message {
            PgWireFrontendMessage::Startup(mut startup) => {
                self.greet(client, &mut startup)?;
                if self.scram.is_none() {
                    return self.open_door(client, &startup).await;
                }
                PgWireFrontendMessage::Startup(startup)
            }
            other => other,
        };
        let Some(scram) = &self.scram else { return Ok(()) };
        let answers = matches!(message, PgWireFrontendMessage::PasswordMessageFamily(_));
        if answers {
            self.take_place(client)?;
        }
        let done = scram.on_startup(client, message).await;
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            self.leave_place();
        }
        match done {
            Err(PgWireError::InvalidPassword(_)) => {
                let user = user_of(client).to_owned();
                self.shared.events.refused(client.socket_addr(), &user, "password");
                tokio::time::sleep(WRONG_PASSWORD_DELAY).await;
                let message = format!("password authentication failed for user \"{user}\"");
                Err(fatal(WRONG_PASSWORD, message))
            }
            other => other,
        }
    }
}

pub(super) fn user_of<C: ClientInfo>(client: &C) -> &str {
    let name = client.metadata().get(METADATA_USER).map_or("", String::as_str);
    name.char_indices().nth(NAME_LENGTH).map_or(name, |(end, _)| &name[..end])
}

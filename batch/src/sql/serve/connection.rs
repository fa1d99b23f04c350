//! One client from its first byte to its last: TLS, login, messages, and an end in every case.
//!
//! A client that is not known yet may send little and has little time; whatever goes wrong before it
//! is known ends the connection. pgwire's own loop answers an error of the login and goes on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use datafusion_postgres::DfSessionService;
use datafusion_postgres::pgwire::api::cancel::DefaultCancelHandler;
use datafusion_postgres::pgwire::api::query::ExtendedQueryHandler;
use datafusion_postgres::pgwire::api::{ClientInfo as _, NoopHandler, PgWireConnectionState};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use datafusion_postgres::pgwire::tokio::server::{
    PgWireMessageServerCodec, negotiate_tls, process_error, process_message,
};
use futures::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::codec::{Framed, FramedParts};
use tokio_util::sync::CancellationToken;

use super::auth::{StartUp, user_of};
use super::errors::{BAD_PROTOCOL, GOING_DOWN, IDLE, fatal, told};
use super::service::Service;
use super::strangers::Place;
use super::stream::{Budget, Guarded, Line, MESSAGE_BYTES, STRANGER_BYTES};
use super::{START_UP, Shared};

/// Bytes of an answer that wait to be sent: one call of the system for many rows.
const WRITE_BYTES: usize = 64 << 10;

/// A last word to a client may take so long.
const LAST_WORD: Duration = Duration::from_secs(5);

/// Longest error that is told, in bytes: clients refuse longer ones.
const ERROR_BYTES: usize = 8 << 10;

type Statement = <DfSessionService as ExtendedQueryHandler>::Statement;
type Socket = Framed<Guarded, PgWireMessageServerCodec<Statement>>;

/// Serves one client until it leaves, is sent away, or `stop`.
pub(super) async fn attend(
    shared: Arc<Shared>,
    socket: TcpStream,
    peer: SocketAddr,
    place: Place,
    stop: CancellationToken,
) {
    let known_by = Instant::now() + START_UP;
    let budget = Budget::new(STRANGER_BYTES);
    let opened = tokio::select! {
        () = place.is_needed() => return shared.events.no_room(peer),
        opened = timeout_at(known_by, open(&shared, socket, budget.clone())) => opened,
    };
    match opened {
        Ok(Ok(Some((socket, line)))) => {
            let service = Arc::new(Service::new(shared.clone(), line));
            let client = Client { service, shared, socket, budget };
            client.attend(peer, known_by, place, stop).await;
        }
        Ok(Ok(None)) => {}
        Ok(Err(error)) => tracing::debug!(%peer, %error, "an SQL connection did not begin"),
        Err(_) => tracing::debug!(%peer, "an SQL client said nothing"),
    }
}

/// The client's socket behind TLS, where it asks for that and it is configured.
async fn open(
    shared: &Shared,
    socket: TcpStream,
    budget: Budget,
) -> io::Result<Option<(Socket, Line)>> {
    let line = Line::of(&socket)?;
    let acceptor = shared.tls.as_ref().map(super::Tls::acceptor);
    let Some(socket) = negotiate_tls(socket, acceptor).await? else { return Ok(None) };
    // Bytes that came in the clear before TLS stood would be taken for the client's own.
    if socket.is_secure() && !socket.read_buffer().is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes in the clear before TLS"));
    }
    let parts = socket.into_parts();
    let mut guarded = FramedParts::new(Guarded::new(parts.io, budget), parts.codec);
    guarded.read_buf = parts.read_buf;
    guarded.write_buf = parts.write_buf;
    let mut socket = Framed::from_parts(guarded);
    socket.set_backpressure_boundary(WRITE_BYTES);
    Ok(Some((socket, line)))
}

struct Client {
    shared: Arc<Shared>,
    service: Arc<Service>,
    socket: Socket,
    budget: Budget,
}

impl Client {
    async fn attend(
        mut self,
        peer: SocketAddr,
        known_by: Instant,
        place: Place,
        stop: CancellationToken,
    ) {
        let start_up = Arc::new(StartUp::new(self.shared.clone()));
        let shared = self.shared.clone();
        let known = tokio::select! {
            () = place.is_needed() => return shared.events.no_room(peer),
            known = timeout_at(known_by, self.log_in(&start_up, &place)) => known,
        };
        drop(place);
        if !matches!(known, Ok(true)) {
            return;
        }
        let begun = Instant::now();
        let user = user_of(&self.socket).to_owned();
        let _left = Left { shared: self.shared.clone(), peer, begun };
        self.shared.events.came(peer, &user, self.socket.is_secure());
        self.service.begin(&self.socket);
        let Self { shared, service, mut socket, budget } = self;
        loop {
            budget.renew(MESSAGE_BYTES);
            let message = tokio::select! {
                () = stop.cancelled() => {
                    last_word(&mut socket, fatal(GOING_DOWN, "the server stops")).await;
                    return;
                }
                next = timeout(shared.limits.idle, socket.next()) => next,
            };
            let message = match message {
                Ok(Some(Ok(PgWireFrontendMessage::Terminate(_))) | None) => return,
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => {
                    let error = fatal(BAD_PROTOCOL, error.to_string());
                    last_word(&mut socket, error).await;
                    return;
                }
                Err(_) => {
                    let seconds = shared.limits.idle.as_secs();
                    let message = format!(
                        "nothing was asked for sql.idle_seconds = {seconds}: connect again, or raise it"
                    );
                    last_word(&mut socket, fatal(IDLE, message)).await;
                    return;
                }
            };
            let extended = message.is_extended_query();
            let done = process_message(
                message,
                &mut socket,
                start_up.clone(),
                service.clone(),
                service.clone(),
                Arc::new(NoopHandler),
                Arc::new(NoopHandler),
            )
            .await;
            let Err(error) = done else { continue };
            let error = shortened(error);
            if matches!(error, PgWireError::IoError(_)) {
                tracing::debug!(%peer, %error, "an SQL connection broke");
                return;
            }
            let is_fatal = is_fatal(&error);
            let answered = timeout(LAST_WORD, process_error(&mut socket, error, extended)).await;
            if is_fatal || !matches!(answered, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// Whether the client is known now.
    async fn log_in(&mut self, start_up: &Arc<StartUp>, place: &Place) -> bool {
        let cancels = Arc::new(DefaultCancelHandler::new(self.shared.cancels.clone()));
        loop {
            let Some(Ok(message)) = self.socket.next().await else { return false };
            let asks_to_cancel = matches!(message, PgWireFrontendMessage::CancelRequest(_));
            let has_password = matches!(message, PgWireFrontendMessage::PasswordMessageFamily(_));
            let _answered = has_password.then(|| place.answered());
            let done = process_message(
                message,
                &mut self.socket,
                start_up.clone(),
                self.service.clone(),
                self.service.clone(),
                Arc::new(NoopHandler),
                cancels.clone(),
            )
            .await;
            if let Err(error) = done {
                tracing::debug!(%error, "an SQL client did not come in");
                last_word(&mut self.socket, error).await;
                return false;
            }
            if asks_to_cancel {
                return false;
            }
            if matches!(self.socket.state(), PgWireConnectionState::ReadyForQuery) {
                return true;
            }
        }
    }
}

/// Says that the client has left, however it does.
struct Left {
    shared: Arc<Shared>,
    peer: SocketAddr,
    begun: Instant,
}

impl Drop for Left {
    fn drop(&mut self) {
        self.shared.events.left(self.peer, self.begun.elapsed());
    }
}

fn is_fatal(error: &PgWireError) -> bool {
    match error {
        PgWireError::UserError(told) => told.is_fatal(),
        PgWireError::MessageTooLarge(..)
        | PgWireError::InvalidElementCount(..)
        | PgWireError::InvalidMessageType(_) => true,
        _ => false,
    }
}

/// An error as the client is told it.
fn shortened(error: PgWireError) -> PgWireError {
    let error = told(error);
    if matches!(error, PgWireError::IoError(_)) {
        return error;
    }
    let mut info = ErrorInfo::from(error);
    if info.message.len() > ERROR_BYTES {
        let end = (0..=ERROR_BYTES).rev().find(|end| info.message.is_char_boundary(*end));
        info.message.truncate(end.unwrap_or_default());
        info.message.push('…');
    }
    PgWireError::UserError(Box::new(info))
}

/// Tells the client why it is sent away.
async fn last_word(socket: &mut Socket, error: PgWireError) {
    let mut info = ErrorInfo::from(shortened(error));
    info.severity = "FATAL".into();
    let message = PgWireBackendMessage::ErrorResponse(info.into());
    let said = async {
        socket.send(message).await?;
        socket.close().await
    };
    if let Ok(Err(error)) = timeout(LAST_WORD, said).await {
        tracing::debug!(%error, "an SQL client did not hear why it was sent away");
    }
}

//! A query's turn: it waits for one, holds it, and loses it when it is cancelled, out of time, or
//! when nobody is there any more to read the answer.

use std::sync::Arc;
use std::time::Duration;

use datafusion_postgres::pgwire::api::{ClientInfo, ConnectionHandle};
use datafusion_postgres::pgwire::error::PgWireResult;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::errors::{CANCELLED, TOO_MANY, error, fatal, told};
use super::events::Outcome;
use super::stream::Line;
use super::{Shared, settings};

/// See the module.
pub(super) struct Turn<'c> {
    shared: &'c Shared,
    line: &'c Line,
    _place: OwnedSemaphorePermit,
    cancelled: futures::channel::oneshot::Receiver<()>,
    begun: Instant,
    limit: Duration,
    outcome: Outcome,
}

impl<'c> Turn<'c> {
    /// Waits for a turn.
    pub(super) async fn take<C: ClientInfo>(
        shared: &'c Shared,
        line: &'c Line,
        client: &C,
    ) -> PgWireResult<Self> {
        let handle = client.session_extensions().get::<Arc<ConnectionHandle>>();
        let mut cancelled = match handle {
            Some(handle) => handle.start_query().await,
            None => futures::channel::oneshot::channel().1,
        };
        let limit = shared.limits.query;
        let limit = settings::statement_timeout(client).map_or(limit, |own| own.min(limit));
        let free = Arc::clone(&shared.queries).acquire_owned();
        let place = tokio::select! {
            place = tokio::time::timeout(shared.limits.queue, free) => place,
            () = asked_to_stop(&mut cancelled) => return Err(cancelled_by_user()),
            () = line.gone() => return Err(fatal(CANCELLED, "the client has gone")),
        };
        let Ok(place) = place else {
            shared.events.asked(Outcome::NoTurn, shared.limits.queue);
            let message = format!(
                "sql.max_queries = {} queries run, and none has ended within sql.queue_seconds = {}: \
                 ask again later",
                shared.limits.queries,
                shared.limits.queue.as_secs()
            );
            return Err(error(TOO_MANY, message));
        };
        shared.events.begins();
        Ok(Self {
            shared,
            line,
            _place: place.expect("it is never closed"),
            cancelled,
            begun: Instant::now(),
            limit,
            outcome: Outcome::ClientGone,
        })
    }

    /// Does `work`, which is dropped where it stands when the turn is lost.
    pub(super) async fn within<T>(
        mut self,
        work: impl Future<Output = PgWireResult<T>>,
    ) -> PgWireResult<T> {
        let (outcome, result) = tokio::select! {
            biased;
            () = asked_to_stop(&mut self.cancelled) => (Outcome::Cancelled, Err(cancelled_by_user())),
            () = tokio::time::sleep_until(self.begun + self.limit) => {
                let seconds = self.limit.as_secs_f64();
                let message = format!(
                    "cancelled: the query has run for {seconds} s, the limit (sql.query_seconds, or the \
                     connection's statement_timeout): ask for less, or raise it"
                );
                (Outcome::TimedOut, Err(error(CANCELLED, message)))
            }
            () = self.line.gone() => {
                (Outcome::ClientGone, Err(fatal(CANCELLED, "the client has gone")))
            }
            done = work => match done {
                Ok(done) => (Outcome::Answered, Ok(done)),
                Err(error) => (Outcome::Failed, Err(told(error))),
            },
        };
        self.outcome = outcome;
        result
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.shared.events.ends();
        self.shared.events.asked(self.outcome, self.begun.elapsed());
    }
}

fn cancelled_by_user() -> datafusion_postgres::pgwire::error::PgWireError {
    error(CANCELLED, "cancelled as the client asked")
}

/// Ends when the client sends a cancel request; never, when it cannot any more.
async fn asked_to_stop(cancelled: &mut futures::channel::oneshot::Receiver<()>) {
    if cancelled.await.is_err() {
        std::future::pending::<()>().await;
    }
}

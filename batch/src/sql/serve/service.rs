//! Statements of one connection: each query in its turn, its rows at the client's pace, and what is said
//! around them. Here is the simple protocol; [`extended`](super::extended) has the other one.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::DfSessionService;
use datafusion_postgres::arrow_pg::datatypes::df::encode_dataframe;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::query::{
    ExtendedQueryHandler, SimpleQueryHandler, send_ready_for_query,
};
use datafusion_postgres::pgwire::api::results::{Response, Tag};
use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::api::{ClientInfo, ClientPortalStore, PgWireConnectionState};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::response::{EmptyQueryResponse, TransactionStatus};
use datafusion_postgres::pgwire::messages::simplequery::Query;
use datafusion_postgres::pgwire::messages::startup::ParameterStatus;
use futures::{Sink, SinkExt as _};

use super::cursors::Cursors;
use super::errors::{
    ACTIVE_TRANSACTION_FAILED, NOT_SUPPORTED, TOO_MANY, error, from_parser, from_query,
};
use super::gate::{Gate, Kind, bounded, plan};
use super::stream::Line;
use super::turn::Turn;
use super::{Shared, reply, settings};

/// Statements in one message.
const MAX_STATEMENTS: usize = 64;

/// What a prepared statement is kept as.
pub(super) type Prepared = <DfSessionService as ExtendedQueryHandler>::Statement;

/// See the module.
pub(super) struct Service {
    pub(super) shared: Arc<Shared>,
    /// Plans prepared statements and reads their parameters.
    pub(super) inner: DfSessionService,
    pub(super) line: Line,
    /// Names that are taken.
    pub(super) prepared: Mutex<HashSet<String>>,
    pub(super) portals: Mutex<HashSet<String>>,
    context: Arc<SessionContext>,
    pub(super) cursors: Arc<Cursors>,
}

impl Service {
    pub(super) fn new(shared: Arc<Shared>, line: Line) -> Self {
        let context = Arc::new(shared.catalog.session());
        let cursors = Arc::new(Cursors::default());
        let gate = Gate::new(Arc::clone(&cursors));
        let inner = DfSessionService::new_with_hooks(Arc::clone(&context), vec![Arc::new(gate)]);
        let (prepared, portals) = (Mutex::default(), Mutex::default());
        Self { shared, context, inner, cursors, prepared, portals, line }
    }

    /// Takes over what the client said of itself when it came in.
    pub(super) fn begin<C: ClientInfo>(&self, client: &C) {
        settings::begin(client, &self.context);
    }

    /// One statement of the simple protocol, its answer sent.
    async fn answer<C>(&self, client: &mut C, statement: &Statement) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        PgWireError: From<C::Error>,
    {
        let kind = Kind::of(statement);
        heard(client, &kind)?;
        let format = Format::UnifiedText;
        let rows = match kind {
            Kind::Query => {
                self.shared.catalog.refresh().await;
                let plan = plan(&self.context, statement).await?;
                let frame = self.context.execute_logical_plan(plan).await.map_err(from_query)?;
                let options = reply::options(client);
                let answer = encode_dataframe(frame, &format, Some(options)).await?;
                reply::send(client, Response::Query(answer), true).await?
            }
            kind => {
                let response = self.aside(client, statement, kind, &format).await?;
                reply::send(client, response, true).await?
            }
        };
        self.shared.events.rows(rows);
        Ok(())
    }

    /// What is no query: transactions, settings, cursors.
    pub(super) async fn aside<C>(
        &self,
        client: &mut C,
        statement: &Statement,
        kind: Kind,
        format: &Format,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        PgWireError: From<C::Error>,
    {
        let done = |tag: &str| Ok(Response::Execution(Tag::new(tag)));
        match (kind, statement) {
            (Kind::Begin, Statement::StartTransaction { modes, .. }) => {
                settings::allowed(modes)?;
                Ok(Response::TransactionStart(Tag::new("BEGIN")))
            }
            (Kind::Commit, _) => {
                self.end_transaction(client);
                let failed = client.transaction_status() == TransactionStatus::Error;
                let tag = if failed { "ROLLBACK" } else { "COMMIT" };
                Ok(Response::TransactionEnd(Tag::new(tag)))
            }
            (Kind::Rollback, _) => {
                self.end_transaction(client);
                Ok(Response::TransactionEnd(Tag::new("ROLLBACK")))
            }
            (Kind::Set, Statement::Set(set)) => {
                let told = settings::set(client, &self.context, set)?;
                tell(client, told).await?;
                done("SET")
            }
            (Kind::Reset(name), _) => {
                let told = settings::reset(client, &self.context, name.as_deref())?;
                tell(client, told).await?;
                done("RESET")
            }
            (Kind::Show(name), _) => {
                let value = settings::shown(client, &name).unwrap_or_default();
                Ok(Response::Query(reply::shown(&name, &value, format)?))
            }
            (Kind::Discard, _) => {
                settings::reset(client, &self.context, None)?;
                self.end_transaction(client);
                self.forget(client, None);
                done("DISCARD ALL")
            }
            (Kind::Deallocate(name), _) => {
                self.forget(client, name.as_deref());
                done("DEALLOCATE")
            }
            (Kind::Declare, Statement::Declare { stmts }) => {
                let within = client.transaction_status() != TransactionStatus::Idle;
                self.cursors.declare(&self.context, stmts, within).await?;
                done("DECLARE CURSOR")
            }
            (Kind::Fetch, _) => {
                let answer = self.cursors.fetch(statement, format, reply::options(client))?;
                Ok(Response::Query(answer))
            }
            (Kind::CloseCursor, Statement::Close { cursor }) => {
                self.cursors.close(cursor);
                done("CLOSE CURSOR")
            }
            _ => Err(error(NOT_SUPPORTED, format!("not answered here: {statement}"))),
        }
    }

    /// Forgets a prepared statement, or all.
    pub(super) fn forget<C>(&self, client: &C, name: Option<&str>)
    where
        C: ClientPortalStore,
        C::PortalStore: PortalStore,
    {
        let mut prepared = self.prepared.lock().expect("nobody panics with it");
        match name {
            Some(name) => {
                prepared.remove(name);
                client.portal_store().rm_statement(name);
            }
            None => {
                prepared.drain().for_each(|name| client.portal_store().rm_statement(&name));
            }
        }
    }

    /// Cursors and portals end with their transaction.
    pub(super) fn end_transaction<C>(&self, client: &C)
    where
        C: ClientPortalStore,
        C::PortalStore: PortalStore,
    {
        self.cursors.close_all();
        let mut portals = self.portals.lock().expect("nobody panics with it");
        portals.drain().for_each(|name| client.portal_store().rm_portal(&name));
    }
}

#[async_trait]
impl SimpleQueryHandler for Service {
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        begin_work(client)?;
        bounded(&query.query)?;
        let statements = self.shared.parser.parse(&query.query).map_err(|it| from_parser(&it))?;
        if statements.len() > MAX_STATEMENTS {
            let many = statements.len();
            return Err(error(
                TOO_MANY,
                format!(
                    "{many} statements at once, {MAX_STATEMENTS} may be: send them in several messages"
                ),
            ));
        }
        if statements.is_empty() {
            client
                .feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()))
                .await?;
        }
        for statement in &statements {
            if works(statement) {
                let turn = Turn::take(&self.shared, &self.line, client).await?;
                turn.within(self.answer(client, statement)).await?;
            } else {
                self.answer(client, statement).await?;
            }
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        let status = client.transaction_status();
        send_ready_for_query(client, status).await
    }

    /// Statements are answered one by one in `on_query`.
    async fn do_query<C>(&self, _: &mut C, _: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Err(error(NOT_SUPPORTED, "answered statement by statement"))
    }
}

/// Whether a statement reads, and so needs a turn.
pub(super) fn works(statement: &Statement) -> bool {
    matches!(Kind::of(statement), Kind::Query | Kind::Declare | Kind::Fetch)
}

pub(super) fn begin_work<C: ClientInfo>(client: &mut C) -> PgWireResult<()> {
    if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
        return Err(PgWireError::NotReadyForQuery);
    }
    client.set_state(PgWireConnectionState::QueryInProgress);
    Ok(())
}

/// After an error only the end of the transaction is heard.
pub(super) fn heard<C: ClientInfo>(client: &C, kind: &Kind) -> PgWireResult<()> {
    if client.transaction_status() == TransactionStatus::Error && !kind.ends_a_transaction() {
        let message = "the transaction has failed: nothing is heard before ROLLBACK";
        return Err(error(ACTIVE_TRANSACTION_FAILED, message));
    }
    Ok(())
}

async fn tell<C>(client: &mut C, told: Option<(&'static str, String)>) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
    PgWireError: From<C::Error>,
{
    if let Some((name, value)) = told {
        let status = ParameterStatus::new(name.to_owned(), value);
        client.feed(PgWireBackendMessage::ParameterStatus(status)).await?;
    }
    Ok(())
}

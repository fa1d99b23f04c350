//! The extended protocol: statements parsed, bound to parameters and executed, piece by piece where the
//! client wants it so.
//!
//! pgwire's own handling reads all rows of an answer before it sends the first; this sends them as they
//! come, and bounds what a client may leave prepared.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use datafusion_postgres::DfSessionService;
use datafusion_postgres::pgwire::api::portal::{Portal, PortalExecutionState};
use datafusion_postgres::pgwire::api::query::{ExtendedQueryHandler, send_ready_for_query};
use datafusion_postgres::pgwire::api::results::{QueryResponse, Response, Tag};
use datafusion_postgres::pgwire::api::stmt::StoredStatement;
use datafusion_postgres::pgwire::api::store::{Entry, PortalStore};
use datafusion_postgres::pgwire::api::{
    ClientInfo, ClientPortalStore, DEFAULT_NAME, PgWireConnectionState,
};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete,
    PortalSuspended, Sync as EndOfQuery, TARGET_TYPE_BYTE_PORTAL, TARGET_TYPE_BYTE_STATEMENT,
};
use datafusion_postgres::pgwire::messages::response::{EmptyQueryResponse, TransactionStatus};
use futures::{Sink, SinkExt as _};

use super::errors::{BAD_PROTOCOL, TOO_MANY, error};
use super::gate::{Kind, bounded};
use super::reply;
use super::service::{Prepared, Service, begin_work, heard, works};
use super::turn::Turn;

/// Prepared statements that a connection may have: each holds a plan.
const MAX_PREPARED: usize = 256;

/// Portals that a connection may have: each may hold memory of its query.
const MAX_PORTALS: usize = 16;

impl Service {
    /// Goes on with a portal: from its beginning, or where it was left.
    async fn advance<C>(
        &self,
        client: &mut C,
        portal: &Portal<Prepared>,
        max_rows: usize,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let state = portal.state();
        let mut state = state.lock().await;
        let begun = std::mem::replace(&mut *state, PortalExecutionState::Finished);
        let mut answer = match begun {
            PortalExecutionState::Suspended(answer) => answer,
            PortalExecutionState::Finished => {
                QueryResponse::new(Arc::new(vec![]), futures::stream::empty())
            }
            PortalExecutionState::Initial => {
                match ExtendedQueryHandler::do_query(self, client, portal, max_rows).await? {
                    Response::Query(answer) => answer,
                    other => {
                        reply::send(client, other, false).await?;
                        return Ok(());
                    }
                }
            }
        };
        let (rows, all) = reply::send_rows(client, answer.data_rows(), max_rows).await?;
        self.shared.events.rows(rows);
        if all {
            let tag = Tag::new(answer.command_tag()).with_rows(rows);
            client.feed(PgWireBackendMessage::CommandComplete(tag.into())).await?;
        } else {
            *state = PortalExecutionState::Suspended(answer);
            client.feed(PgWireBackendMessage::PortalSuspended(PortalSuspended::new())).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl ExtendedQueryHandler for Service {
    type Statement = Prepared;
    type QueryParser = <DfSessionService as ExtendedQueryHandler>::QueryParser;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        self.inner.query_parser()
    }

    async fn on_parse<C>(&self, client: &mut C, message: Parse) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        bounded(&message.query)?;
        let name = message.name.clone().unwrap_or_else(|| DEFAULT_NAME.to_owned());
        self.shared.catalog.refresh().await;
        let parsed = StoredStatement::parse(client, &message, self.query_parser()).await?;
        if name != DEFAULT_NAME {
            hold(&self.prepared, &name, MAX_PREPARED, "prepared statements")?;
        }
        match parsed {
            Some(statement) => client.portal_store().put_statement(Arc::new(statement)),
            None => client.portal_store().put_empty_statement(&name),
        }
        client.feed(PgWireBackendMessage::ParseComplete(ParseComplete::new())).await?;
        Ok(())
    }

    async fn on_bind<C>(&self, client: &mut C, message: Bind) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let statement = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        let name = message.portal_name.as_deref().unwrap_or(DEFAULT_NAME);
        let Some(found) = client.portal_store().get_statement(statement) else {
            return Err(PgWireError::StatementNotFound(statement.to_owned()));
        };
        if name != DEFAULT_NAME {
            hold(&self.portals, name, MAX_PORTALS, "portals")?;
        }
        match found {
            Entry::Value(statement) => {
                let columns = match &statement.statement {
                    (_, Some((_, plan))) => plan.schema().fields().len(),
                    (_, None) => 0,
                };
                one_each("results", message.result_column_format_codes.len(), columns)?;
                one_each(
                    "parameters",
                    message.parameter_format_codes.len(),
                    message.parameters.len(),
                )?;
                let portal = Portal::try_new(&message, statement)?;
                client.portal_store().put_portal(Arc::new(portal));
            }
            Entry::Empty if message.parameters.is_empty() => {
                client.portal_store().put_empty_portal(name);
            }
            Entry::Empty => {
                return Err(error(BAD_PROTOCOL, "an empty statement has no parameters"));
            }
        }
        client.feed(PgWireBackendMessage::BindComplete(BindComplete::new())).await?;
        Ok(())
    }

    /// A cursor of `DECLARE` is a portal, too: drivers ask for its columns before they fetch.
    async fn on_describe<C>(&self, client: &mut C, message: Describe) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let cursor = match client.portal_store().get_portal(name) {
            None if message.target_type == TARGET_TYPE_BYTE_PORTAL => self.cursors.named(name),
            None | Some(_) => None,
        };
        match cursor {
            Some(columns) => reply::describe(client, &columns).await,
            None => self._on_describe(client, message).await,
        }
    }

    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        begin_work(client)?;
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let max_rows = usize::try_from(message.max_rows).unwrap_or_default();
        match client.portal_store().get_portal(name) {
            None => return Err(PgWireError::PortalNotFound(name.to_owned())),
            Some(Entry::Empty) => {
                client
                    .feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()))
                    .await?;
            }
            Some(Entry::Value(portal)) => {
                let statement =
                    portal.statement.statement.1.as_ref().map(|(statement, _)| statement);
                if let Some(statement) = statement {
                    heard(client, &Kind::of(statement))?;
                }
                if statement.is_some_and(works) {
                    let turn = Turn::take(&self.shared, &self.line, client).await?;
                    turn.within(self.advance(client, &portal, max_rows)).await?;
                } else {
                    self.advance(client, &portal, max_rows).await?;
                }
            }
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        Ok(())
    }

    async fn on_sync<C>(&self, client: &mut C, _: EndOfQuery) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        client.portal_store().rm_portal(DEFAULT_NAME);
        let status = client.transaction_status();
        if status == TransactionStatus::Idle {
            self.end_transaction(client);
        }
        send_ready_for_query(client, status).await
    }

    async fn on_close<C>(&self, client: &mut C, message: Close) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        if message.target_type == TARGET_TYPE_BYTE_STATEMENT {
            self.forget(client, Some(name));
        } else {
            self.portals.lock().expect("nobody panics with it").remove(name);
            client.portal_store().rm_portal(name);
        }
        client.feed(PgWireBackendMessage::CloseComplete(CloseComplete::new())).await?;
        Ok(())
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Self::Statement>,
        max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match &portal.statement.statement.1 {
            Some((statement, _)) => match Kind::of(statement) {
                Kind::Query => {
                    ExtendedQueryHandler::do_query(&self.inner, client, portal, max_rows).await
                }
                kind => self.aside(client, statement, kind, &portal.result_column_format).await,
            },
            None => Ok(Response::EmptyQuery),
        }
    }
}

/// Formats are given for all, or for each.
fn one_each(of: &str, given: usize, needed: usize) -> PgWireResult<()> {
    if given > 1 && given != needed {
        let message = format!("{given} formats for {needed} {of}");
        return Err(error(BAD_PROTOCOL, message));
    }
    Ok(())
}

fn hold(names: &Mutex<HashSet<String>>, name: &str, most: usize, what: &str) -> PgWireResult<()> {
    let mut names = names.lock().expect("nobody panics with it");
    if !names.contains(name) && names.len() >= most {
        let held = names.len();
        let message = format!("{held} {what} are held, a connection may have {most}: close some");
        return Err(error(TOO_MANY, message));
    }
    names.insert(name.to_owned());
    Ok(())
}

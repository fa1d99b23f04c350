//! What a statement is, and whether it is answered: queries are planned and held to be queries,
//! what client libraries say around them is the connection's own affair, the rest is refused.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::common::{DFSchema, ParamValues};
use datafusion::logical_expr::{EmptyRelation, LogicalPlan};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as QueryStatement;
use datafusion::sql::sqlparser::ast::{DiscardObject, Reset, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion_postgres::QueryHook;
use datafusion_postgres::hooks::HookClient;
use datafusion_postgres::pgwire::api::ClientInfo;
use datafusion_postgres::pgwire::api::results::Response;
use datafusion_postgres::pgwire::error::PgWireResult;

use super::cursors::Cursors;
use super::errors::{READ_ONLY, TOO_COMPLEX, TOO_LONG, error, from_query};
use super::{settings, types};
use crate::sql::depth;
use crate::sql::plan::{self, Refused};

/// What a statement is to this server.
pub(super) enum Kind {
    Query,
    Begin,
    Commit,
    Rollback,
    Set,
    Reset(Option<String>),
    Show(String),
    /// Gives up what the connection has: settings, cursors, prepared statements.
    Discard,
    /// Gives up one prepared statement, or all.
    Deallocate(Option<String>),
    Declare,
    Fetch,
    CloseCursor,
}

impl Kind {
    pub(super) fn of(statement: &Statement) -> Self {
        match statement {
            Statement::StartTransaction { .. } => Self::Begin,
            Statement::Commit { .. } => Self::Commit,
            Statement::Rollback { savepoint: None, .. } => Self::Rollback,
            Statement::Set(_) => Self::Set,
            Statement::Reset(reset) => Self::Reset(match &reset.reset {
                Reset::ALL => None,
                Reset::ConfigurationParameter(name) => Some(name.to_string()),
            }),
            Statement::ShowVariable { variable } => {
                let words: Vec<String> =
                    variable.iter().map(|word| word.value.to_lowercase()).collect();
                let name = words.join(" ");
                // What is not of PostgreSQL may be DataFusion's (`SHOW datafusion.…`), which plans it.
                if settings::shows(&name) { Self::Show(name) } else { Self::Query }
            }
            Statement::Discard { object_type: DiscardObject::ALL } => Self::Discard,
            Statement::Deallocate { name, .. } => {
                let all = name.value.eq_ignore_ascii_case("all") && name.quote_style.is_none();
                Self::Deallocate((!all).then(|| name.value.clone()))
            }
            Statement::Declare { .. } => Self::Declare,
            Statement::Fetch { .. } => Self::Fetch,
            Statement::Close { .. } => Self::CloseCursor,
            _ => Self::Query,
        }
    }

    /// Whether it is heard in a transaction that has failed.
    pub(super) fn ends_a_transaction(&self) -> bool {
        matches!(self, Self::Commit | Self::Rollback)
    }
}

/// Refuses a text that is too long, or too deep, before it is parsed.
pub(super) fn bounded(query: &str) -> PgWireResult<()> {
    let deep = |()| depth::operators(query, &PostgreSqlDialect {});
    depth::length(query).and_then(deep).map_err(|said| error(TOO_LONG, said))
}

/// The plan of a query, which reads and does nothing else, and whose answer can be written.
pub(super) async fn plan(
    context: &SessionContext,
    statement: &Statement,
) -> PgWireResult<LogicalPlan> {
    let statement = QueryStatement::Statement(Box::new(statement.clone()));
    let plan = plan::plan(context, statement).await.map_err(|refused| match refused {
        Refused::TooLarge(said) => error(TOO_COMPLEX, said),
        Refused::Query(error) => from_query(error),
        Refused::Writes(said) => error(READ_ONLY, said),
    })?;
    types::writable(plan).map_err(from_query)
}

/// Plans prepared statements; how they run is the service's.
pub(super) struct Gate {
    cursors: Arc<Cursors>,
}

impl Gate {
    pub(super) fn new(cursors: Arc<Cursors>) -> Self {
        Self { cursors }
    }
}

#[async_trait]
impl QueryHook for Gate {
    async fn handle_simple_query(
        &self,
        _: &Statement,
        _: &SessionContext,
        _: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        None
    }

    async fn handle_extended_parse_query(
        &self,
        statement: &Statement,
        context: &SessionContext,
        _: &(dyn ClientInfo + Send + Sync),
    ) -> Option<PgWireResult<LogicalPlan>> {
        let columns = match Kind::of(statement) {
            Kind::Query => return Some(plan(context, statement).await),
            Kind::Show(name) => shown_as(&name),
            Kind::Fetch => match self.cursors.columns(statement) {
                Ok(columns) => columns,
                Err(error) => return Some(Err(error)),
            },
            _ => Arc::new(Schema::empty()),
        };
        let schema = DFSchema::try_from(columns).map(Arc::new);
        let empty =
            |schema| LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema });
        Some(schema.map(empty).map_err(from_query))
    }

    async fn handle_extended_query(
        &self,
        _: &Statement,
        _: &LogicalPlan,
        _: &ParamValues,
        _: &SessionContext,
        _: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        None
    }
}

/// The column of `SHOW name`.
pub(super) fn shown_as(name: &str) -> SchemaRef {
    let name = name.replace(' ', "_");
    Arc::new(Schema::new(vec![Field::new(name, DataType::Utf8, false)]))
}

//! From a statement to a query's plan: the one way there, for the prompt and for the server.

use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;

use super::{growth, references, told};
use crate::error::StoreError;

/// Why a statement has no plan.
pub(super) enum Refused {
    /// It would read too much at once, or grow too much.
    TooLarge(String),
    /// It is no query that can be answered.
    Query(DataFusionError),
    /// It does more than read.
    Writes(String),
}

/// The plan of a query, which reads and does nothing else.
pub(super) async fn plan(
    context: &SessionContext,
    statement: Statement,
) -> Result<LogicalPlan, Refused> {
    references::check(&statement).map_err(Refused::TooLarge)?;
    let plan = context.state().statement_to_plan(statement).await.map_err(Refused::Query)?;
    let reading =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    reading.verify_plan(&plan).map_err(|error| {
        let error = error.strip_backtrace();
        Refused::Writes(format!("only queries are answered here ({error})"))
    })?;
    growth::check(&plan).map_err(Refused::TooLarge)?;
    Ok(plan)
}

impl Refused {
    /// As the prompt says it.
    pub(super) fn told(self) -> StoreError {
        match self {
            Self::TooLarge(said) | Self::Writes(said) => StoreError::Query(said),
            Self::Query(error) => told(error),
        }
    }
}

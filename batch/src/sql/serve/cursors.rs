//! `DECLARE`, `FETCH` and `CLOSE`: answers that a client takes piece by piece.
//!
//! Forward only, within a transaction, with which it ends. `DECLARE` plans, and a cursor reads when it is fetched
//! from: each has its turn among the queries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::sqlparser::ast::{CloseCursor, Declare, FetchDirection, Statement, Value};
use datafusion_postgres::arrow_pg::datatypes::{arrow_schema_to_pg_fields, encode_recordbatch};
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::QueryResponse;
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::types::format::FormatOptions;
use futures::{StreamExt as _, stream};

use super::errors::{
    CURSOR_EXISTS, NO_CURSOR, NO_TRANSACTION, NOT_SUPPORTED, SYNTAX, TOO_MANY, error, from_query,
};
use super::gate;

/// Cursors that a connection may have open: each may hold memory of its query.
const MAX_CURSORS: usize = 16;

/// The open cursors of one connection.
#[derive(Default)]
pub(super) struct Cursors(Mutex<HashMap<String, Arc<Cursor>>>);

struct Cursor {
    columns: SchemaRef,
    rest: tokio::sync::Mutex<Rest>,
}

/// What has not been fetched.
struct Rest {
    /// Until the first row is asked for.
    query: Option<Box<DataFrame>>,
    stream: Option<SendableRecordBatchStream>,
    begun: Option<RecordBatch>,
}

impl Cursors {
    /// Opens what `declares` says, where it is said in a transaction; nothing is read yet.
    pub(super) async fn declare(
        &self,
        context: &SessionContext,
        declares: &[Declare],
        in_transaction: bool,
    ) -> PgWireResult<()> {
        if !in_transaction {
            let message =
                "DECLARE CURSOR can only be used in transaction blocks: say BEGIN before it";
            return Err(error(NO_TRANSACTION, message));
        }
        for declare in declares {
            let (Some(name), Some(query)) = (declare.names.first(), &declare.for_query) else {
                return Err(error(SYNTAX, "write DECLARE name CURSOR FOR query"));
            };
            if declare.scroll == Some(true)
                || declare.hold == Some(true)
                || declare.binary == Some(true)
            {
                let message = "cursors go forward, end with their transaction, and have the format of \
                               FETCH: no SCROLL, WITH HOLD or BINARY";
                return Err(error(NOT_SUPPORTED, message));
            }
            if self.all().contains_key(&name.value) {
                let name = &name.value;
                let message =
                    format!("cursor \"{name}\" already exists: CLOSE it, or take another name");
                return Err(error(CURSOR_EXISTS, message));
            }
            let open = self.all().len();
            if open >= MAX_CURSORS {
                let message = format!(
                    "{open} cursors are open, a connection may have {MAX_CURSORS}: CLOSE one"
                );
                return Err(error(TOO_MANY, message));
            }
            let plan = gate::plan(context, &Statement::Query(query.clone())).await?;
            let frame = context.execute_logical_plan(plan).await.map_err(from_query)?;
            let columns = Arc::clone(frame.schema().inner());
            let rest = Rest { query: Some(Box::new(frame)), stream: None, begun: None };
            let cursor = Cursor { columns, rest: tokio::sync::Mutex::new(rest) };
            self.all().insert(name.value.clone(), Arc::new(cursor));
        }
        Ok(())
    }

    /// The columns of the cursor of this name.
    pub(super) fn named(&self, name: &str) -> Option<SchemaRef> {
        self.all().get(name).map(|cursor| Arc::clone(&cursor.columns))
    }

    /// The columns of what `statement` fetches from.
    pub(super) fn columns(&self, statement: &Statement) -> PgWireResult<SchemaRef> {
        Ok(Arc::clone(&self.find(statement)?.columns))
    }

    /// The rows that `statement` asks for, read as they are sent.
    pub(super) fn fetch(
        &self,
        statement: &Statement,
        format: &Format,
        options: Arc<FormatOptions>,
    ) -> PgWireResult<QueryResponse> {
        let cursor = self.find(statement)?;
        let Statement::Fetch { direction, .. } = statement else {
            return Err(error(SYNTAX, "that is no FETCH"));
        };
        let wanted = wanted(direction)?;
        let fields = arrow_schema_to_pg_fields(&cursor.columns, format, Some(options))?;
        let fields = Arc::new(fields);
        let encoded = Arc::clone(&fields);
        let batches = stream::try_unfold((cursor, wanted), async |(cursor, wanted)| {
            let batch = cursor.next(wanted).await?;
            Ok::<_, PgWireError>(batch.map(|batch| {
                let left = wanted - batch.num_rows();
                (batch, (cursor, left))
            }))
        });
        let rows = batches.flat_map(move |batch| match batch {
            Ok(batch) => stream::iter(encode_recordbatch(Arc::clone(&encoded), batch)).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        });
        let mut answer = QueryResponse::new(fields, rows);
        answer.set_command_tag("FETCH");
        Ok(answer)
    }

    pub(super) fn close(&self, which: &CloseCursor) {
        match which {
            CloseCursor::All => self.close_all(),
            CloseCursor::Specific { name } => drop(self.all().remove(&name.value)),
        }
    }

    pub(super) fn close_all(&self) {
        self.all().clear();
    }

    fn find(&self, statement: &Statement) -> PgWireResult<Arc<Cursor>> {
        let Statement::Fetch { name, .. } = statement else {
            return Err(error(SYNTAX, "that is no FETCH"));
        };
        let found = self.all().get(&name.value).cloned();
        found.ok_or_else(|| error(NO_CURSOR, format!("cursor \"{}\" does not exist", name.value)))
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Cursor>>> {
        self.0.lock().expect("nobody panics with it")
    }
}

impl Cursor {
    /// Up to `wanted` rows; none when there are no more, or none are wanted.
    async fn next(&self, wanted: usize) -> PgWireResult<Option<RecordBatch>> {
        if wanted == 0 {
            return Ok(None);
        }
        let mut rest = self.rest.lock().await;
        let rest = &mut *rest;
        if let Some(query) = rest.query.take() {
            rest.stream = Some(query.execute_stream().await.map_err(from_query)?);
        }
        let Some(stream) = &mut rest.stream else {
            return Err(error(NO_CURSOR, "the cursor's query did not begin: DECLARE it again"));
        };
        let batch = match rest.begun.take() {
            Some(batch) => batch,
            None => match stream.next().await {
                Some(batch) => batch.map_err(from_query)?,
                None => return Ok(None),
            },
        };
        let now = batch.num_rows().min(wanted);
        if now < batch.num_rows() {
            rest.begun = Some(batch.slice(now, batch.num_rows() - now));
        }
        Ok(Some(batch.slice(0, now)))
    }
}

fn wanted(direction: &FetchDirection) -> PgWireResult<usize> {
    let number = |value: &Value| match value {
        Value::Number(digits, _) => digits.parse::<usize>().ok(),
        _ => None,
    };
    let wanted = match direction {
        FetchDirection::Next | FetchDirection::Forward { limit: None } => Some(1),
        FetchDirection::Count { limit } | FetchDirection::Forward { limit: Some(limit) } => {
            number(&limit.value)
        }
        FetchDirection::All | FetchDirection::ForwardAll => Some(usize::MAX),
        FetchDirection::Prior
        | FetchDirection::First
        | FetchDirection::Last
        | FetchDirection::Absolute { .. }
        | FetchDirection::Relative { .. }
        | FetchDirection::Backward { .. }
        | FetchDirection::BackwardAll => None,
    };
    wanted.ok_or_else(|| error(NOT_SUPPORTED, "cursors go forward: FETCH number, NEXT or ALL"))
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    async fn declare(
        cursors: &Cursors,
        name: &str,
        in_transaction: bool,
    ) -> Result<(), (String, String)> {
        let sql = format!("DECLARE {name} CURSOR FOR SELECT * FROM generate_series(1, 3)");
        let parsed = Parser::parse_sql(&PostgreSqlDialect {}, &sql).unwrap();
        let [Statement::Declare { stmts }] = parsed.as_slice() else { panic!("{parsed:?}") };
        match cursors.declare(&SessionContext::new(), stmts, in_transaction).await {
            Ok(()) => Ok(()),
            Err(PgWireError::UserError(told)) => Err((told.code, told.message)),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_cursor_has_a_transaction_and_a_name_of_its_own() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let cursors = Cursors::default();
            let code = |refused: Result<(), (String, String)>| refused.unwrap_err().0;
            assert_eq!(code(declare(&cursors, "a", false).await), "25P01");
            assert!(cursors.named("a").is_none());
            declare(&cursors, "a", true).await.unwrap();
            assert_eq!(code(declare(&cursors, "a", true).await), "42P03");
            for number in 1..MAX_CURSORS {
                declare(&cursors, &format!("c{number}"), true).await.unwrap();
            }
            let (code, message) = declare(&cursors, "more", true).await.unwrap_err();
            assert_eq!(code, "53300");
            assert!(message.contains("16 cursors are open"), "{message}");
            // The first one reads on where it was left.
            let first = cursors.all().get("a").cloned().unwrap();
            let mut rows = Vec::new();
            while let Some(batch) = first.next(2).await.unwrap() {
                rows.push(batch.num_rows());
            }
            assert_eq!(rows, [2, 1]);
            cursors.close_all();
            declare(&cursors, "a", true).await.unwrap();
        });
    }
}

//! Answers on their way to a client: rows are sent as they come, at the client's pace.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use datafusion_postgres::arrow_pg::datatypes::{arrow_schema_to_pg_fields, encode_recordbatch};
use datafusion_postgres::pgwire::api::ClientInfo;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::{QueryResponse, Response, SendableRowStream, Tag};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::data::RowDescription;
use datafusion_postgres::pgwire::messages::response::EmptyQueryResponse;
use datafusion_postgres::pgwire::types::format::FormatOptions;
use futures::{Sink, SinkExt as _, StreamExt as _, stream};

use super::errors::{NOT_SUPPORTED, error};
use super::gate;

/// How values are written for this client.
pub(super) fn options<C: ClientInfo>(client: &C) -> Arc<FormatOptions> {
    Arc::new(FormatOptions::from_client_metadata(client.metadata()))
}

/// The answer to `SHOW name`.
pub(super) fn shown(name: &str, value: &str, format: &Format) -> PgWireResult<QueryResponse> {
    let schema = gate::shown_as(name);
    let fields = Arc::new(arrow_schema_to_pg_fields(&schema, format, None)?);
    let column: ArrayRef = Arc::new(StringArray::from(vec![value]));
    let row = RecordBatch::try_new(schema, vec![column])
        .map_err(|it| PgWireError::ApiError(Box::new(it)))?;
    let rows = stream::iter(encode_recordbatch(Arc::clone(&fields), row));
    let mut answer = QueryResponse::new(fields, rows);
    answer.set_command_tag("SHOW");
    Ok(answer)
}

/// Says what columns a cursor has; rows are fetched as text unless the client asks otherwise.
pub(super) async fn describe<C>(client: &mut C, columns: &SchemaRef) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
    PgWireError: From<C::Error>,
{
    let fields = arrow_schema_to_pg_fields(columns, &Format::UnifiedText, None)?;
    let columns = RowDescription::new(fields.iter().map(Into::into).collect());
    client.feed(PgWireBackendMessage::RowDescription(columns)).await?;
    Ok(())
}

/// Sends all of an answer, its columns first where `describe`; answers the rows.
pub(super) async fn send<C>(
    client: &mut C,
    response: Response,
    describe: bool,
) -> PgWireResult<usize>
where
    C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
    PgWireError: From<C::Error>,
{
    let status = client.transaction_status();
    let tag = match response {
        Response::EmptyQuery => {
            client
                .feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()))
                .await?;
            return Ok(0);
        }
        Response::Query(mut answer) => {
            if describe {
                let columns = answer.row_schema.iter().map(Into::into).collect();
                let columns = RowDescription::new(columns);
                client.feed(PgWireBackendMessage::RowDescription(columns)).await?;
            }
            let (rows, _) = send_rows(client, answer.data_rows(), 0).await?;
            let tag = Tag::new(answer.command_tag()).with_rows(rows);
            client.feed(PgWireBackendMessage::CommandComplete(tag.into())).await?;
            return Ok(rows);
        }
        Response::Execution(tag) => tag,
        Response::TransactionStart(tag) => {
            client.set_transaction_status(status.to_in_transaction_state());
            tag
        }
        Response::TransactionEnd(tag) => {
            client.set_transaction_status(status.to_idle_state());
            tag
        }
        Response::Error(told) => return Err(PgWireError::UserError(told)),
        Response::CopyIn(_) | Response::CopyOut(_) | Response::CopyBoth(_) => {
            return Err(error(NOT_SUPPORTED, "COPY is not answered here"));
        }
    };
    client.feed(PgWireBackendMessage::CommandComplete(tag.into())).await?;
    Ok(0)
}

/// Sends up to `limit` rows, all where it is 0; answers how many, and whether these were the last.
pub(super) async fn send_rows<C>(
    client: &mut C,
    rows: &mut SendableRowStream,
    limit: usize,
) -> PgWireResult<(usize, bool)>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
    PgWireError: From<C::Error>,
{
    let mut sent = 0;
    while limit == 0 || sent < limit {
        let Some(row) = rows.next().await else { return Ok((sent, true)) };
        client.feed(PgWireBackendMessage::DataRow(row?)).await?;
        sent += 1;
    }
    Ok((sent, false))
}

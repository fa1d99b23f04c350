//! What a job asks of its cluster, part by part, and the answers.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use ballista_core::execution_plans::DistributedQueryExec;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::protobuf::LogicalPlanNode;
use futures::StreamExt;
use schemas::Contract;

use super::client::Cluster;
use super::end::{self, End};
use super::models::ModelId;
use super::order::Order;
use super::table::PartTable;
use crate::error::StoreError;
use crate::score::Model;
use crate::score::parts::{Input, Shape};
use crate::score::text::Read;

/// How long a part is waited for before somebody may say stop.
const WAIT: Duration = Duration::from_millis(200);

/// See the module.
pub(in crate::score) struct Office {
    cluster: Cluster,
    model: ModelId,
    contract: Contract,
    shape: Shape,
    kept: Vec<String>,
    predicate: Option<String>,
    answer: SchemaRef,
}

/// Rows of a part that a cluster scores. Dropped early, it is not scored to its end.
pub(in crate::score) struct Answer<'a> {
    cluster: &'a Cluster,
    query: Arc<dyn ExecutionPlan>,
    stream: SendableRecordBatchStream,
    schema: SchemaRef,
    read: Arc<Read>,
    received: u64,
    end: Option<End>,
}

/// What came next.
pub(in crate::score) enum Next {
    Batch(RecordBatch),
    /// Nothing yet.
    Waiting,
    End,
}

impl Office {
    /// `answer` are the columns of the plan.
    pub(in crate::score) fn new(
        cluster: Cluster,
        model: &Model,
        shape: Shape,
        kept: Vec<String>,
        predicate: Option<String>,
        answer: &Schema,
    ) -> Self {
        let (contract, answer) = (model.contract.clone(), end::schema(answer));
        Self { cluster, model: ModelId::of(model), contract, shape, kept, predicate, answer }
    }

    /// Whether there is a condition.
    pub(in crate::score) fn leaves_out(&self) -> bool {
        self.predicate.is_some()
    }

    /// Asks for what starts in `range` of `input`; `read` has what was read of it when all of it came.
    pub(in crate::score) fn ask(
        &self,
        input: &Input,
        range: &Range<u64>,
        read: &Arc<Read>,
    ) -> Result<Answer<'_>, StoreError> {
        let order = Order {
            model: self.model.clone(),
            contract: self.contract.clone(),
            shape: self.shape.clone(),
            input: input.clone(),
            range: range.clone(),
            kept: self.kept.clone(),
            predicate: self.predicate.clone(),
            answer: Arc::clone(&self.answer),
        };
        let cluster = &self.cluster;
        let ask = async {
            let frame =
                cluster.context.read_table(Arc::new(PartTable { order: Arc::new(order) }))?;
            let query = frame.create_physical_plan().await?;
            let stream = query.execute(0, cluster.context.task_ctx())?;
            Ok::<_, DataFusionError>((query, stream))
        };
        let asked = cluster.runtime.block_on(ask);
        let (query, stream) = asked.map_err(|error| cluster.failed(&error))?;
        let (schema, read) = (Arc::clone(&self.answer), Arc::clone(read));
        Ok(Answer { cluster, query, stream, schema, read, received: 0, end: None })
    }
}

impl Answer<'_> {
    /// The next rows; an error where asking again cannot help is no [`StoreError::Cluster`].
    pub(in crate::score) fn next(&mut self) -> Result<Next, StoreError> {
        loop {
            let waited = async { tokio::time::timeout(WAIT, self.stream.next()).await };
            let batch = match self.cluster.runtime.block_on(waited) {
                Err(_) => {
                    self.cluster.watch()?;
                    return Ok(Next::Waiting);
                }
                Ok(None) => return self.ended(),
                Ok(Some(batch)) => batch.map_err(|error| self.cluster.failed(&error))?,
            };
            let broken = |reason| self.cluster.broken(reason);
            if self.end.is_some() && batch.num_rows() > 0 {
                return Err(broken("rows came behind the end of a part".to_owned()));
            }
            let (rows, end) = end::split(&self.schema, &batch).map_err(broken)?;
            self.received += rows.num_rows() as u64;
            if end.is_some() {
                self.end = end;
            }
            if let Some(End::Refused { reason }) = &self.end {
                return Err(StoreError::Query(reason.clone()));
            }
            if rows.num_rows() > 0 {
                return Ok(Next::Batch(rows));
            }
        }
    }

    fn ended(&self) -> Result<Next, StoreError> {
        match self.end {
            Some(End::Whole { sent, read, bytes }) if sent == self.received => {
                self.read.rows.store(read, Ordering::Relaxed);
                self.read.bytes.store(bytes, Ordering::Relaxed);
                Ok(Next::End)
            }
            Some(End::Whole { .. } | End::Refused { .. }) | None => {
                let rows = self.received;
                Err(self.cluster.broken(format!("a part's answer broke off after {rows} rows")))
            }
        }
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        let query = self.query.downcast_ref::<DistributedQueryExec<LogicalPlanNode>>();
        if let Some(job) = query.and_then(DistributedQueryExec::job_id) {
            self.cluster.release(job.to_string(), self.end.is_some());
        }
    }
}

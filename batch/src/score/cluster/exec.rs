//! A part as a leaf of a physical plan. Executors run it; the scheduler only carries it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::StreamExt;

use super::end::{self, End};
use super::models::Models;
use super::order::Order;
use crate::error::StoreError;
use crate::score::plan::{Plan, explain, named};
use crate::score::text::Read;

/// See the module.
#[derive(Debug)]
pub(super) struct PartExec {
    pub(super) order: Arc<Order>,
    /// Models of this process; none on a scheduler.
    models: Option<Arc<Models>>,
    properties: Arc<PlanProperties>,
}

impl PartExec {
    pub(super) fn new(order: Arc<Order>, models: Option<Arc<Models>>) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&order.answer)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Self { order, models, properties }
    }
}

impl DisplayAs for PartExec {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Order { model, input, range, .. } = &*self.order;
        write!(out, "PartExec: {}@{} over {}", model.name, model.version, input.path.display())?;
        write!(out, ", bytes {}..{}", range.start, range.end)
    }
}

impl ExecutionPlan for PartExec {
    fn name(&self) -> &str {
        "PartExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(models) = &self.models else {
            let message = "a part is scored by an executor, and this is none".to_owned();
            return Err(DataFusionError::Execution(message));
        };
        let (order, models) = (Arc::clone(&self.order), Arc::clone(models));
        let steps = Steps { order, models, state: State::Begin };
        let stream = futures::stream::unfold(steps, |mut steps| async move {
            let batch = steps.next().await?;
            Some((batch.map_err(DataFusionError::Execution), steps))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.order.answer), stream)))
    }
}

/// A part on its way through an executor.
struct Steps {
    order: Arc<Order>,
    models: Arc<Models>,
    state: State,
}

enum State {
    Begin,
    Rows(Running),
    Over,
}

struct Running {
    stream: SendableRecordBatchStream,
    read: Arc<Read>,
    sent: u64,
    began: Instant,
}

impl Steps {
    /// The next batch to send; what goes wrong with the part is the last one, not an error.
    async fn next(&mut self) -> Option<std::result::Result<RecordBatch, String>> {
        let order = Arc::clone(&self.order);
        if let State::Begin = self.state {
            match begin(&order, &self.models).await {
                Ok(running) => self.state = State::Rows(running),
                Err(reason) => return Some(self.refuse(reason)),
            }
        }
        let State::Rows(running) = &mut self.state else { return None };
        match running.stream.next().await {
            Some(Ok(batch)) => {
                running.sent += batch.num_rows() as u64;
                Some(end::rows(&order.answer, &batch))
            }
            Some(Err(error)) => {
                let error = named(&order.input.path, explain(error));
                // A file that went away under the reader is told as such.
                let error = order.input.check().err().unwrap_or(error);
                Some(self.refuse(error.to_string()))
            }
            None => match order.input.check() {
                Ok(()) => {
                    let (whole, took) = (running.whole(), running.began.elapsed());
                    let (model, version) = (&order.model.name, &order.model.version);
                    tracing::info!(
                        model, version, input = %order.input.path.display(), start = order.range.start,
                        rows = running.sent, seconds = took.as_secs_f64(), "scored a part"
                    );
                    self.state = State::Over;
                    Some(end::row(&order.answer, &whole))
                }
                Err(error) => Some(self.refuse(error.to_string())),
            },
        }
    }

    fn refuse(&mut self, reason: String) -> std::result::Result<RecordBatch, String> {
        self.state = State::Over;
        tracing::error!(input = %self.order.input.path.display(), reason, "refused a part");
        let reason = format!("executor {}: {reason}", self.models.executor);
        end::row(&self.order.answer, &End::Refused { reason })
    }
}

impl Running {
    fn whole(&self) -> End {
        let [read, bytes] =
            [&self.read.rows, &self.read.bytes].map(|count| count.load(Ordering::Relaxed));
        End::Whole { sent: self.sent, read, bytes }
    }
}

async fn begin(order: &Order, models: &Models) -> std::result::Result<Running, String> {
    let said = |error: StoreError| error.to_string();
    let began = Instant::now();
    let model = models.get(&order.model, &order.contract)?;
    order.input.check().map_err(said)?;
    let (shape, predicate) = (&order.shape, order.predicate.as_deref());
    let path = Some(order.input.path.as_path());
    let plan = Plan::new(&model, shape, order.kept.clone(), predicate, path).map_err(said)?;
    let read = Arc::new(Read::default());
    let frame = plan.frame(&order.input, &order.range, &read).map_err(said)?;
    let stream = frame.execute_stream().await.map_err(|error| said(explain(error)))?;
    Ok(Running { stream, read, sent: 0, began })
}

//! `predict('model[@version]', features…)`: the model of the stream in any query.
//!
//! The features come in the order in which the package lists them. A row that the model refuses is
//! null: a query has no place for reasons, `tidegate score` has.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use datafusion::common::{ScalarValue, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use schemas::Intake;

use super::models::{FindModel, Models};
use crate::score::Model;

/// See the module.
pub(super) struct Predict {
    models: Arc<Models>,
    /// In the plan of a query: whatever is published while it runs, it has one model.
    planned: Option<Arc<Model>>,
    signature: Signature,
}

impl Predict {
    pub(super) fn new(find: FindModel) -> Self {
        let signature = Signature::variadic_any(Volatility::Immutable);
        Self { models: Arc::new(Models::new(find)), planned: None, signature }
    }

    /// The model of the first argument, which must be written out: the answer's type depends on it.
    fn model(&self, named: Option<&ScalarValue>) -> Result<Arc<Model>> {
        let Some(name) = named.and_then(|named| named.try_as_str().flatten()) else {
            return plan_err!(
                "predict: the first argument is the model in quotes, 'name' or 'name@version'"
            );
        };
        if let Some(model) = &self.planned {
            return Ok(Arc::clone(model));
        }
        match self.models.get(name, Instant::now()) {
            Ok(model) => Ok(model),
            Err(reason) => plan_err!("predict: {reason}"),
        }
    }
}

/// The model's features as they are called with, and how they are taken.
fn intake(model: &Model, types: &[DataType]) -> Result<(Arc<Schema>, Intake)> {
    let features = model.contract.fields();
    if types.len() != features.len() {
        let names: Vec<String> =
            features.iter().map(|field| format!("{} {}", field.name, field.kind)).collect();
        return plan_err!(
            "predict: {}@{} takes {} features, in this order: {}; {} are given",
            model.name,
            model.version,
            features.len(),
            names.join(", "),
            types.len()
        );
    }
    let columns = features.iter().zip(types);
    let columns = columns.map(|(field, kind)| Field::new(&field.name, kind.clone(), true));
    let schema = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
    match Intake::new(&model.contract, &schema) {
        Ok(intake) => Ok((schema, intake)),
        Err(error) => plan_err!("predict: {error}"),
    }
}

fn answer(model: &Model) -> DataType {
    match model.outputs.fields().as_ref() {
        [one] => one.data_type().clone(),
        _ => DataType::Struct(members(model)),
    }
}

fn members(model: &Model) -> Fields {
    let outputs = model.outputs.fields().iter();
    outputs.map(|output| Field::clone(output).with_nullable(true)).collect()
}

impl ScalarUDFImpl for Predict {
    fn name(&self) -> &str {
        "predict"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        plan_err!("predict: the answer's type depends on the model")
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let model = self.model(arguments.scalar_arguments.first().copied().flatten())?;
        let types: Vec<DataType> =
            arguments.arg_fields.iter().skip(1).map(|field| field.data_type().clone()).collect();
        intake(&model, &types)?;
        Ok(Arc::new(Field::new(self.name(), answer(&model), true)))
    }

    fn simplify(&self, arguments: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let named = match arguments.first() {
            Some(Expr::Literal(named, _)) if self.planned.is_none() => named,
            Some(_) | None => return Ok(ExprSimplifyResult::Original(arguments)),
        };
        let planned = Self {
            models: Arc::clone(&self.models),
            planned: Some(self.model(Some(named))?),
            signature: self.signature.clone(),
        };
        let planned = ScalarFunction::new_udf(Arc::new(ScalarUDF::from(planned)), arguments);
        Ok(ExprSimplifyResult::Simplified(Expr::ScalarFunction(planned)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let named = match arguments.args.first() {
            Some(ColumnarValue::Scalar(named)) => Some(named),
            Some(ColumnarValue::Array(_)) | None => None,
        };
        let model = self.model(named)?;
        let columns: Vec<ArrayRef> = arguments.args[1..]
            .iter()
            .map(|argument| argument.to_array(rows))
            .collect::<Result<_>>()?;
        let types: Vec<DataType> = columns.iter().map(|it| it.data_type().clone()).collect();
        let (schema, intake) = intake(&model, &types)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
        let mut scored = model
            .score(&intake, &batch, None)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        if scored.outputs.len() == 1 {
            return Ok(ColumnarValue::Array(scored.outputs.remove(0)));
        }
        let answer = StructArray::try_new_with_length(members(&model), scored.outputs, None, rows)?;
        Ok(ColumnarValue::Array(Arc::new(answer)))
    }
}

impl fmt::Debug for Predict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("predict")
    }
}

impl PartialEq for Predict {
    fn eq(&self, other: &Self) -> bool {
        let planned = match (&self.planned, &other.planned) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        planned && Arc::ptr_eq(&self.models, &other.models)
    }
}

impl Eq for Predict {}

impl Hash for Predict {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use arrow::array::AsArray;
    use arrow::datatypes::Float64Type;
    use datafusion::physical_plan::collect;
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::sql::models::{FoundModel, tests::model};

    #[test]
    fn a_query_keeps_the_model_that_it_was_planned_with() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let newest = Arc::new(Mutex::new("1"));
            let there = Arc::clone(&newest);
            let find: FindModel = Arc::new(move |_| {
                let version = *there.lock().unwrap();
                let open = Box::new(move || Ok(model(version)));
                Ok(FoundModel { mark: version.to_owned(), open })
            });
            let context = SessionContext::new();
            context.register_udf(ScalarUDF::from(Predict::new(find)));
            let sql = "select predict('m', cast(value as double)) v from generate_series(1, 3)";
            let versions = |rows: Vec<RecordBatch>| -> Vec<f64> {
                let columns = rows.iter().map(|batch| batch.column(0));
                columns.flat_map(|it| it.as_primitive::<Float64Type>().values().to_vec()).collect()
            };
            let planned = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
            *newest.lock().unwrap() = "2";
            tokio::time::sleep(Duration::from_millis(1100)).await;
            let rows = collect(planned, context.task_ctx()).await.unwrap();
            assert_eq!(versions(rows), [1.0; 3]);
            let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
            assert_eq!(versions(rows), [2.0; 3]);
        });
    }
}

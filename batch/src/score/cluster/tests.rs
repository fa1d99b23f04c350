//! Orders there and back, what an executor refuses, and its rows beside those of a thread here.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::physical_plan::{DefaultPhysicalProtoConverter, PhysicalExtensionCodec};
use futures::StreamExt;
use schemas::Contract;

use super::codec::{LogicalCodec, PhysicalCodec};
use super::end::{self, End};
use super::exec::PartExec;
use super::models::{ModelId, Models};
use super::order::Order;
use super::table::PartTable;
use crate::score::parts;
use crate::score::plan::Plan;
use crate::score::tests::{CONTRACT, model};

const LINES: &str = "{\"id\":\"r0\",\"x\":null,\"n\":0}\n{\"id\":\"r1\",\"x\":1,\"n\":1}\nnot json\n\
    {\"id\":\"r2\",\"x\":-2.5,\"n\":2}\n{\"id\":\"r4\",\"x\":4,\"n\":4}\n";

fn contract() -> Contract {
    Contract::from_toml(CONTRACT).unwrap()
}

/// The plan of a file of lines in `folder`, and its order.
fn order(folder: &Path, predicate: Option<&str>) -> (Plan, Order) {
    let day = folder.join("day=3");
    fs::create_dir_all(&day).unwrap();
    let path = day.join("in.jsonl");
    fs::write(&path, LINES).unwrap();
    let model = model(CONTRACT);
    let mut planned = parts::plan(&[path], &model.contract).unwrap();
    let (part, input) = (planned.parts.remove(0), planned.inputs.remove(0));
    let kept = vec!["id".to_owned(), "day".to_owned()];
    let plan = Plan::new(&model, &planned.shape, kept.clone(), predicate, None).unwrap();
    let frame = plan.frame(&input, &part.range, &Arc::default()).unwrap();
    let answer = end::schema(frame.schema().as_arrow());
    let order = Order {
        model: ModelId::of(&model),
        contract: contract(),
        shape: planned.shape,
        input,
        range: part.range,
        kept,
        predicate: predicate.map(str::to_owned),
        answer,
    };
    (plan, order)
}

fn models() -> Arc<Models> {
    let open = |(name, version): (&str, &str), contract: &Contract| match (name, version) {
        ("double", "1") => Ok(Arc::into_inner(model(&contract.to_toml())).expect("nobody else's")),
        _ => Err(format!("no model {name}@{version} is here")),
    };
    Arc::new(Models::new("here".to_owned(), Box::new(open)))
}

/// All that an executor sends for an order, and how it ended.
fn sent(order: Order, models: Option<Arc<Models>>) -> Result<(RecordBatch, End), String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let schema = Arc::clone(&order.answer);
    let part = PartExec::new(Arc::new(order), models);
    let stream = part.execute(0, SessionContext::new().task_ctx());
    let mut stream = stream.map_err(|error| error.to_string())?;
    let (mut rows, mut ends) = (Vec::new(), Vec::new());
    while let Some(batch) = runtime.block_on(stream.next()) {
        let batch = batch.map_err(|error| error.to_string())?;
        let (some, end) = end::split(&schema, &batch)?;
        rows.push(some);
        ends.extend(end);
    }
    assert_eq!(ends.len(), 1, "a part has one end");
    Ok((concat_batches(&rows[0].schema(), &rows).unwrap(), ends.remove(0)))
}

#[test]
fn an_order_comes_back_from_both_codecs() {
    let folder = tempfile::tempdir().unwrap();
    let (_, order) = order(folder.path(), Some("n < 9"));
    let context = SessionContext::new().task_ctx();
    let (name, logical) = (TableReference::bare("part"), LogicalCodec::default());
    let mut bytes = Vec::new();
    let table: Arc<dyn TableProvider> = Arc::new(PartTable { order: Arc::new(order.clone()) });
    logical.try_encode_table_provider(&name, Arc::clone(&table), &mut bytes).unwrap();
    let decoded =
        logical.try_decode_table_provider(&bytes, &name, table.schema(), &context).unwrap();
    assert_eq!(*decoded.downcast_ref::<PartTable>().expect("a part").order, order);
    // The scheduler writes for executors what it read from the job.
    let (converter, mut bytes) = (DefaultPhysicalProtoConverter {}, Vec::new());
    let part = Arc::new(PartExec::new(Arc::new(order.clone()), None));
    PhysicalCodec::default().try_encode(part, &mut bytes, &converter).unwrap();
    let decoded =
        PhysicalCodec::with(models()).try_decode(&bytes, &[], &context, &converter).unwrap();
    assert_eq!(*decoded.downcast_ref::<PartExec>().expect("a part").order, order);
    assert_eq!(decoded.schema(), order.answer);
}

#[test]
fn what_is_no_order_or_of_another_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_, order) = order(folder.path(), None);
    let bytes = order.encode().unwrap();
    assert_eq!(Order::decode(&bytes).as_ref(), Ok(&order));
    for cut in [0, 5, 20, bytes.len() / 2] {
        let error = Order::decode(&bytes[..cut]).unwrap_err();
        assert!(error.contains("no order"), "cut at {cut}: {error}");
    }
    let version = format!("\"tidegate\":\"{}\"", env!("CARGO_PKG_VERSION"));
    let other = version.replace(|digit: char| digit.is_ascii_digit(), "7");
    let at = bytes.windows(version.len()).position(|some| some == version.as_bytes());
    let mut changed = bytes.clone();
    changed[at.expect("it says its version")..][..version.len()].copy_from_slice(other.as_bytes());
    let error = Order::decode(&changed).unwrap_err();
    assert!(error.contains("same version") && error.contains("7.7.7"), "{error}");
}

#[test]
fn an_executor_sends_the_rows_of_a_thread_here_and_an_end() {
    for predicate in [None, Some("n > 1"), Some("n > 99")] {
        let folder = tempfile::tempdir().unwrap();
        let (plan, order) = order(folder.path(), predicate);
        let frame = plan.frame(&order.input, &order.range, &Arc::default()).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let local = runtime.block_on(frame.collect()).unwrap();
        let (rows, end) = sent(order, Some(models())).unwrap();
        let local: Vec<RecordBatch> = local
            .iter()
            .map(|batch| RecordBatch::try_new(rows.schema(), batch.columns().to_vec()).unwrap())
            .collect();
        assert_eq!(rows, concat_batches(&rows.schema(), &local).unwrap(), "{predicate:?}");
        let sent = rows.num_rows() as u64;
        assert_eq!(end, End::Whole { sent, read: 5, bytes: LINES.len() as u64 }, "{predicate:?}");
    }
}

#[test]
fn only_the_model_that_is_meant_scores() {
    let folder = tempfile::tempdir().unwrap();
    let (_, meant) = order(folder.path(), None);
    let refused = |change: &dyn Fn(&mut Order)| {
        let mut order = meant.clone();
        change(&mut order);
        match sent(order, Some(models())) {
            Ok((rows, End::Refused { reason })) if rows.num_rows() == 0 => reason,
            other => panic!("not refused: {other:?}"),
        }
    };
    let said = refused(&|order| order.model.package = "ffff".into());
    assert!(
        said.contains("SHA-256 00") && said.contains("ffff") && said.contains("double@1"),
        "{said}"
    );
    assert!(said.contains("executor here"), "{said}");
    let said = refused(&|order| order.model.version = "2".into());
    assert!(said.contains("no model double@2"), "{said}");
    let said = refused(&|order| order.input.bytes += 1);
    assert!(said.contains("changed since the job was planned"), "{said}");
    let said = sent(meant, None).unwrap_err();
    assert!(said.contains("an executor"), "{said}");
}

#[test]
fn models_stay_open_and_the_ones_used_last_do() {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let open = move |(name, _): (&str, &str), contract: &Contract| {
        count.fetch_add(1, Ordering::Relaxed);
        let mut model = Arc::into_inner(model(&contract.to_toml())).expect("nobody else's");
        model.name = name.to_owned();
        Ok(model)
    };
    let models = Models::new("here".to_owned(), Box::new(open));
    let contract = contract();
    let id = |name: &str| ModelId { name: name.into(), ..ModelId::of(&model(CONTRACT)) };
    let after = |name: &str| {
        models.get(&id(name), &contract).unwrap();
        opened.load(Ordering::Relaxed)
    };
    assert_eq!(["a", "b", "c", "d", "a"].map(after), [1, 2, 3, 4, 4]);
    // The fifth takes the place of b, which was used first.
    assert_eq!(["e", "a", "b"].map(after), [5, 5, 6]);
}

#[test]
fn rows_behind_the_end_and_other_columns_are_refused() {
    let plan = Schema::new(vec![Field::new("x", DataType::Int64, false)]);
    let schema = end::schema(&plan);
    let end = End::Whole { sent: 0, read: 0, bytes: 0 };
    let last = end::row(&schema, &end).unwrap();
    let (rows, found) = end::split(&schema, &last).unwrap();
    assert_eq!((rows.num_rows(), found), (0, Some(end)));
    let twice = concat_batches(&schema, [&last, &last]).unwrap();
    assert!(end::split(&schema, &twice).unwrap_err().contains("behind the end"));
    let less = last.project(&[1]).unwrap();
    assert!(end::split(&schema, &less).unwrap_err().contains("1 columns"));
}

//! One query's rows for the program's own use, batch by batch.
//!
//! One partition: memory is shared out among all sorts, and one that gets less than its first ten megabytes
//! fails instead of spilling, which on a machine of many cores each of them would. Joins and sorts larger
//! than memory are not for here: DataFusion's merge finds none beside its sorters.

use arrow::array::RecordBatch;
use futures::StreamExt;

use super::session::context;
use super::{SqlTable, explain, tables};
use crate::error::StoreError;

/// Answers `sql` over `tables`, each batch to `each`, with `memory_bytes` at most for what sorts,
/// groups and joins hold. Blocks: call it off the async threads.
pub fn read(
    tables: &[SqlTable],
    sql: &str,
    memory_bytes: usize,
    each: &mut dyn FnMut(&RecordBatch) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| StoreError::Query(format!("cannot start threads: {error}")))?;
    runtime.block_on(async {
        let context = context(memory_bytes, None)?;
        {
            let state = context.state_ref();
            let mut state = state.write();
            let options = state.config_mut().options_mut();
            options.execution.target_partitions = 1;
        }
        for table in tables {
            tables::register(&context, table).await?;
        }
        let frame = context.sql(sql).await.map_err(explain)?;
        let mut stream = frame.execute_stream().await.map_err(explain)?;
        while let Some(batch) = stream.next().await {
            each(&batch.map_err(explain)?)?;
        }
        Ok(())
    })
}

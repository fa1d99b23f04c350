//! The rows of some archive files in order of their times: DataFusion's sort, which spills.
//!
//! One partition: memory is shared out among sorts, and one that gets less than its first ten
//! megabytes fails instead of spilling.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use tokio::runtime::Runtime;

use super::plan::Input;
use crate::error::StoreError;
use crate::files::url_of_file;
use crate::sql::explain;

/// A row's time is its event's, else its record's; what has neither comes last.
const SORTED: &str = r#"SELECT * FROM inputs
    ORDER BY COALESCE(event_time, "timestamp") NULLS LAST, "partition", "offset""#;

/// Batches in order; blocks while it waits.
pub(super) struct Sorted {
    runtime: Runtime,
    stream: SendableRecordBatchStream,
}

impl Sorted {
    /// Starts reading; sorts past `memory_bytes` spill to `spill`.
    pub(super) fn open(
        inputs: &[Input],
        columns: &SchemaRef,
        memory_bytes: usize,
        spill: &Path,
    ) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| StoreError::Query(format!("cannot start threads: {error}")))?;
        let context = context(memory_bytes, spill)?;
        let urls = inputs
            .iter()
            .map(|input| {
                let path = std::path::absolute(&input.path)
                    .map_err(|e| StoreError::io("resolve", &input.path, e))?;
                ListingTableUrl::parse(url_of_file(&path)).map_err(explain)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let format = ParquetFormat::default().with_force_view_types(false);
        let options = ListingOptions::new(Arc::new(format)).with_file_extension(".parquet");
        let listing = ListingTableConfig::new_with_multi_paths(urls)
            .with_listing_options(options)
            .with_schema(Arc::clone(columns));
        let table = Arc::new(ListingTable::try_new(listing).map_err(explain)?);
        context.register_table("inputs", table).map_err(explain)?;
        let stream = runtime.block_on(async { context.sql(SORTED).await?.execute_stream().await });
        Ok(Self { stream: stream.map_err(explain)?, runtime })
    }
}

impl Iterator for Sorted {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.runtime.block_on(self.stream.next())?;
        Some(batch.map_err(explain))
    }
}

fn context(memory_bytes: usize, spill: &Path) -> Result<SessionContext, StoreError> {
    let mut config = SessionConfig::new().with_target_partitions(1).with_collect_statistics(false);
    config.options_mut().execution.parquet.schema_force_view_types = false;
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![spill.to_path_buf()]))
        // The disk is the limit.
        .with_max_temp_directory_size(u64::MAX);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(memory_bytes)))
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(explain)?;
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

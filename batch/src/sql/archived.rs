//! A table of the archive of which a part is compacted: both parts as one table, each row once.
//!
//! The record says which files hold the rows up to a position of each partition; behind it the archive
//! itself is read. Files are told from one another by their statistics, so that a condition on time or
//! partition leaves the others unread, as folders do where nothing is compacted.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, TableReference};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::logical_expr::Expr;
use datafusion::prelude::SessionContext;

use super::explain;
use super::tables::{PARTITION_COLUMN, with_new_columns};
use crate::archive::read_footer;
use crate::compact::{Snapshot, columns};
use crate::error::StoreError;
use crate::files::{self, url_of_file};
use crate::parquet_io::ParquetRows;

/// The row's own number of its partition, in every file of both parts.
const PARTITION: &str = "partition";

/// Both parts; `None` when there is no file in them.
pub(super) fn provider(
    context: &SessionContext,
    snapshot: &Snapshot,
    schema: &SchemaRef,
) -> Result<Option<Arc<dyn TableProvider>>, StoreError> {
    let (compacted, rest) = (snapshot.compacted().collect::<Vec<_>>(), snapshot.rest()?);
    let mut schemas = BTreeMap::new();
    if let Some(newest) = compacted.last() {
        // It has the columns of all before it.
        schemas.insert(String::new(), ParquetRows::open(newest, 1)?.schema().clone());
    }
    for path in &rest {
        let footer = read_footer(&*files::of(path)?, path)?;
        schemas.entry(footer.position.contract_id).or_insert(footer.schema);
    }
    if schemas.is_empty() {
        return Ok(None);
    }
    let found = columns(&schemas.into_values().collect::<Vec<_>>())?;
    if let Some(path) = compacted.iter().chain(&rest).next() {
        files::register(&context.runtime_env(), path)?;
    }
    let urls = compacted
        .iter()
        .chain(&rest)
        .map(|path| {
            let path = files::absolute(path).map_err(|e| StoreError::io("resolve", path, e))?;
            ListingTableUrl::parse(url_of_file(&path)).map_err(explain)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let options =
        ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(".parquet");
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(options)
        .with_schema(with_new_columns(&found, Some(schema)));
    let files = Arc::new(ListingTable::try_new(config).map_err(explain)?);
    let frame = context.read_table(files).map_err(explain)?;
    let column = |name: &str| Expr::Column(Column::new(None::<TableReference>, name));
    let fields = frame.schema().fields().clone();
    let own = fields.iter().map(|field| column(field.name()));
    let all = own.chain([column(PARTITION).alias(PARTITION_COLUMN)]).collect::<Vec<_>>();
    Ok(Some(frame.select(all).map_err(explain)?.into_view()))
}

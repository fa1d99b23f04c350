//! A table of the archive, each row once whether it is compacted or not: the files are looked up for each scan.
//!
//! The record says which files hold the rows up to a position of each partition; behind it the archive
//! itself is read. Files are told from one another by their statistics, so that a condition on time or
//! partition leaves the others unread, as folders do where nothing is compacted.
//!
//! Compaction and expiry go on beside a query. DataFusion passes over a file that is gone when it lists it, and its
//! rows would be missing without a word: a list counts when the record was the same before and after it and all
//! of its files are there still. One that goes later is an error of the query.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Column, TableReference, exec_err};
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::datasource::{TableType, ViewTable, provider_as_source};
use datafusion::error::{DataFusionError, Result as QueryResult};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;

use super::tables::{PARTITION_COLUMN, has_files, listing, of_folder, options, with_new_columns};
use crate::archive::{read_footer, topic_folder};
use crate::compact::{Snapshot, columns};
use crate::error::StoreError;
use crate::files::{self, url_of_file, url_of_folder};
use crate::parquet_io::ParquetRows;

/// The row's own number of its partition, in every file of both parts.
const PARTITION: &str = "partition";

/// Looks at a table that is being compacted, until one is of one moment.
const LOOKS: usize = 10;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Archived {
    root: PathBuf,
    name: String,
    topic: String,
    /// Columns of the files.
    own: SchemaRef,
    /// And the partition by its folder's name.
    schema: SchemaRef,
}

/// What a scan reads.
enum Files {
    None,
    /// Everything in the folder of the table.
    Folder(PathBuf),
    Listed(Vec<PathBuf>),
}

impl Archived {
    /// `schema` are the columns that it has while it is empty; those of the files are looked up now.
    pub(super) async fn open(
        context: &SessionContext,
        root: &Path,
        name: &str,
        topic: &str,
        schema: &SchemaRef,
    ) -> Result<Self, StoreError> {
        let folder = topic_folder(root, name, topic);
        let found = match Snapshot::read(root, name, topic)? {
            Some(snapshot) => of_both_parts(&snapshot)?,
            None if has_files(&folder)? => {
                Some(of_folder(context, name, &folder, None).await?.schema())
            }
            None => None,
        };
        let own = with_new_columns(found.as_ref().unwrap_or(schema), Some(schema));
        let own = own.fields().iter().filter(|field| field.name() != PARTITION_COLUMN).cloned();
        let own: Vec<_> = own.collect();
        let partition = Arc::new(Field::new(PARTITION_COLUMN, DataType::Int32, true));
        let schema = own.iter().cloned().chain([partition]).collect::<Vec<_>>();
        files::register(&context.runtime_env(), root)?;
        Ok(Self {
            root: root.to_path_buf(),
            name: name.to_owned(),
            topic: topic.to_owned(),
            own: Arc::new(Schema::new(own)),
            schema: Arc::new(Schema::new(schema)),
        })
    }

    /// Only what lies on this machine is ever compacted.
    fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        if files::is_object(&self.root) {
            return Ok(None);
        }
        Snapshot::read(&self.root, &self.name, &self.topic)
    }

    fn files(&self, snapshot: Option<&Snapshot>) -> Result<Files, StoreError> {
        let Some(snapshot) = snapshot else {
            let folder = topic_folder(&self.root, &self.name, &self.topic);
            return Ok(if has_files(&folder)? { Files::Folder(folder) } else { Files::None });
        };
        let rest = snapshot.rest()?;
        let all: Vec<PathBuf> = snapshot.compacted().chain(rest).collect();
        Ok(if all.is_empty() { Files::None } else { Files::Listed(all) })
    }

    /// The table of these files, with the columns that this one has.
    fn provider(&self, of: &Files) -> QueryResult<Arc<dyn TableProvider>> {
        let absolute = |path: &Path| {
            files::absolute(path).map_err(|error| outside(StoreError::io("resolve", path, error)))
        };
        match of {
            Files::None => Ok(Arc::new(EmptyTable::new(Arc::clone(&self.schema)))),
            Files::Folder(folder) => {
                let url = ListingTableUrl::parse(url_of_folder(&absolute(folder)?))?;
                let keys = vec![(PARTITION_COLUMN.to_owned(), DataType::Int32)];
                listing(vec![url], options(keys), Arc::clone(&self.own))
            }
            Files::Listed(paths) => {
                let url = |path: &PathBuf| ListingTableUrl::parse(url_of_file(&absolute(path)?));
                let urls = paths.iter().map(url).collect::<QueryResult<Vec<_>>>()?;
                let files = listing(urls, options(vec![]), Arc::clone(&self.own))?;
                let files = provider_as_source(files);
                let column = |name: &str| Expr::Column(Column::new(None::<TableReference>, name));
                let own = self.own.fields().iter().map(|field| column(field.name()));
                let all = own.chain([column(PARTITION).alias(PARTITION_COLUMN)]);
                let plan = LogicalPlanBuilder::scan(self.name.as_str(), files, None)?
                    .project(all.collect::<Vec<_>>())?
                    .build()?;
                Ok(Arc::new(ViewTable::new(plan, None)))
            }
        }
    }
}

#[async_trait]
impl TableProvider for Archived {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> QueryResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> QueryResult<Arc<dyn ExecutionPlan>> {
        for _ in 0..LOOKS {
            let (before, files) = blocking(self, |table| {
                let snapshot = table.snapshot()?;
                let files = table.files(snapshot.as_ref())?;
                Ok((snapshot, files))
            })
            .await?;
            let plan = self.provider(&files)?.scan(state, projection, filters, limit).await?;
            let holds = blocking(self, move |table| {
                let all_there = match &files {
                    Files::Listed(paths) => paths.iter().all(|path| path.exists()),
                    Files::Folder(_) | Files::None => true,
                };
                Ok(all_there && table.snapshot()? == before)
            })
            .await?;
            if holds {
                return Ok(plan);
            }
        }
        exec_err!("files of table {} come and go faster than they are listed; ask again", self.name)
    }
}

/// Does what looks at files off the threads that answer queries.
async fn blocking<T: Send + 'static>(
    table: &Archived,
    work: impl FnOnce(&Archived) -> Result<T, StoreError> + Send + 'static,
) -> QueryResult<T> {
    let table = table.clone();
    let done = tokio::task::spawn_blocking(move || work(&table)).await;
    done.map_err(|error| DataFusionError::External(error.into()))?.map_err(outside)
}

fn outside(error: StoreError) -> DataFusionError {
    DataFusionError::External(error.into())
}

/// Columns of the compacted files and of those behind them; none where there is no file.
fn of_both_parts(snapshot: &Snapshot) -> Result<Option<SchemaRef>, StoreError> {
    let mut schemas = BTreeMap::new();
    if let Some(newest) = snapshot.compacted().last() {
        // It has the columns of all before it.
        schemas.insert(String::new(), ParquetRows::open(&newest, 1)?.schema().clone());
    }
    for path in snapshot.rest()? {
        let footer = read_footer(&*files::of(&path)?, &path)?;
        schemas.entry(footer.position.contract_id).or_insert(footer.schema);
    }
    if schemas.is_empty() {
        return Ok(None);
    }
    columns(&schemas.into_values().collect::<Vec<_>>()).map(Some)
}

//! The tables, functions and `pg_catalog` that all sessions share, looked at again every few seconds.
//!
//! A new file of a table is seen by the next query: files are listed for each. What a look finds is
//! new tables, the first file of one, and columns that no file had before.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result as QueryResult};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionContext;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::{
    PgCatalogContextProvider, Role,
};
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use tokio::runtime::Handle;

use super::pauses::Pauses;
use super::{DATABASE, FindTables, ServeConfig};
use crate::archive::topic_folder;
use crate::compact::Folders;
use crate::error::StoreError;
use crate::files;
use crate::sql::predict::Predict;
use crate::sql::session::settings;
use crate::sql::{Rows, SqlTable, explain, tables};

/// Between two looks, while there are queries.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Folders in one another below a table's.
const MAX_DEPTH: usize = 8;

const SCHEMA: &str = "public";

/// See the module.
pub(super) struct Catalog {
    find: FindTables,
    tables: Arc<Tables>,
    template: SessionState,
    looked: tokio::sync::Mutex<Looked>,
}

#[derive(Default)]
struct Looked {
    at: Option<Instant>,
    marks: Marks,
}

/// What stands for the files of each table.
type Marks = BTreeMap<String, u64>;

type Providers = BTreeMap<String, Arc<dyn TableProvider>>;

impl Catalog {
    pub(super) async fn open(config: ServeConfig) -> Result<Self, StoreError> {
        let limits = config.limits;
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(limits.memory_bytes)))
            .with_max_temp_directory_size(limits.spill_bytes)
            // A list that is kept would hide the files that came since.
            .with_object_list_cache_limit(0)
            .build_arc()
            .map_err(explain)?;
        let own = settings().with_default_catalog_and_schema(DATABASE, SCHEMA);
        let context = SessionContext::new_with_config_rt(own, runtime);
        let tables = Arc::new(Tables::default());
        let catalog = context.catalog(DATABASE).expect("the session made it");
        catalog.register_schema(SCHEMA, tables.clone()).map_err(explain)?;
        let users = config.users.iter().map(|(name, _)| name.clone());
        let roles = Roles(users.collect());
        setup_pg_catalog(&context, DATABASE, roles).map_err(|error| explain(*error))?;
        context.register_udf(ScalarUDF::from(Predict::new(config.models)));
        for statistic in config.statistics {
            context.register_udaf(AggregateUDF::from(statistic));
        }
        let state = SessionStateBuilder::new_from_existing(context.state())
            .with_physical_optimizer_rule(Arc::new(Pauses))
            .build();
        let catalog =
            Self { find: config.tables, tables, template: state, looked: Default::default() };
        catalog.look(&mut *catalog.looked.lock().await).await?;
        Ok(catalog)
    }

    /// A session with settings of its own.
    pub(super) fn session(&self) -> SessionContext {
        SessionContext::new_with_state(self.template.clone())
    }

    /// Looks at the folders again when the last look is too old; one that fails changes nothing. Nobody waits
    /// for a look of somebody else: a store may be slow.
    pub(super) async fn refresh(&self) {
        let Ok(mut looked) = self.looked.try_lock() else { return };
        if looked.at.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        if let Err(error) = self.look(&mut looked).await {
            tracing::warn!(%error, "the archive's tables stay as they were");
        }
    }

    async fn look(&self, looked: &mut Looked) -> Result<(), StoreError> {
        looked.at = Some(Instant::now());
        let (find, context) = (Arc::clone(&self.find), self.session());
        let (have, before) = (self.tables.all(), looked.marks.clone());
        let runtime = Handle::current();
        let found = tokio::task::spawn_blocking(move || {
            let tables = find().map_err(StoreError::Query)?;
            runtime.block_on(found(&context, tables, &have, &before))
        });
        let (now, marks) = found.await.map_err(|error| StoreError::Query(error.to_string()))??;
        self.tables.replace(now);
        looked.marks = marks;
        Ok(())
    }
}

/// `tables` as they are read, those as before whose files are, and what stands for their files. Blocks.
async fn found(
    context: &SessionContext,
    tables: Vec<SqlTable>,
    have: &Providers,
    before: &Marks,
) -> Result<(Providers, Marks), StoreError> {
    let (mut now, mut marks) = (BTreeMap::new(), BTreeMap::new());
    for table in tables {
        let mark = mark(&table)?;
        let same = mark.is_some() && before.get(&table.name).copied() == mark;
        let provider = match have.get(&table.name) {
            Some(provider) if same => Arc::clone(provider),
            Some(_) | None => tables::provider(context, &table).await?,
        };
        marks.extend(mark.map(|mark| (table.name.clone(), mark)));
        now.insert(table.name, provider);
    }
    Ok((now, marks))
}

/// Stands for the names of a table's files; rows at hand are new each time.
fn mark(table: &SqlTable) -> Result<Option<u64>, StoreError> {
    let folders = match &table.rows {
        Rows::Here(_) => return Ok(None),
        Rows::Folder { folder, .. } => vec![folder.clone()],
        Rows::Archive { root, topic, .. } => {
            let of = Folders::of(root, &table.name, topic);
            vec![topic_folder(root, &table.name, topic), of.records]
        }
    };
    let mut sum = 0;
    for folder in &folders {
        add_names(folder, MAX_DEPTH, &mut sum)?;
    }
    Ok(Some(sum))
}

/// Adds, so that the order in which a folder lists its files does not matter.
fn add_names(folder: &Path, depth: usize, sum: &mut u64) -> Result<(), StoreError> {
    let entries = match files::of(folder)?.list(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::io("list", folder, error)),
    };
    for entry in entries {
        let path = folder.join(&entry.name);
        if entry.name.contains('=') && depth > 0 {
            add_names(&path, depth - 1, sum)?;
        } else if entry.name.ends_with(".parquet") || entry.name.ends_with(".json") {
            let mut hash = DefaultHasher::new();
            path.hash(&mut hash);
            *sum = sum.wrapping_add(hash.finish());
        }
    }
    Ok(())
}

/// The tables by name, replaced all at once; nobody else adds or removes one.
#[derive(Debug, Default)]
struct Tables(RwLock<Arc<Providers>>);

impl Tables {
    fn all(&self) -> Arc<Providers> {
        self.0.read().expect("nobody panics with it").clone()
    }

    fn replace(&self, tables: Providers) {
        *self.0.write().expect("nobody panics with it") = Arc::new(tables);
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        self.all().keys().cloned().collect()
    }

    async fn table(
        &self,
        name: &str,
    ) -> QueryResult<Option<Arc<dyn TableProvider>>, DataFusionError> {
        Ok(self.all().get(name).cloned())
    }

    fn table_exist(&self, name: &str) -> bool {
        self.all().contains_key(name)
    }
}

/// The users as `\du` and the catalog show them: they may read.
#[derive(Clone, Debug)]
struct Roles(Vec<String>);

#[async_trait]
impl PgCatalogContextProvider for Roles {
    async fn roles(&self) -> Vec<String> {
        self.0.clone()
    }

    async fn role(&self, name: &str) -> Option<Role> {
        self.0.iter().any(|user| user == name).then(|| Role {
            name: name.to_owned(),
            is_superuser: false,
            can_login: true,
            can_create_db: false,
            can_create_role: false,
            can_create_user: false,
            can_replication: false,
            grants: vec![],
            inherited_roles: vec![],
        })
    }
}

//! The models of an executor: opened when an order names them, and no others in their stead.

use std::fmt;
use std::sync::{Arc, Mutex};

use schemas::Contract;
use serde::{Deserialize, Serialize};

use crate::score::Model;

/// Models that stay open, the ones used last: jobs of a day seldom alternate between more.
const OPEN: usize = 4;

/// Opens version `.1` of model `.0` for events of a contract.
pub type OpenModel = Box<dyn Fn((&str, &str), &Contract) -> Result<Model, String> + Send + Sync>;

/// Which model, to the byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelId {
    /// Name of the model.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the package, in hex.
    pub package: String,
}

/// See the module.
pub(super) struct Models {
    /// Whose they are, for whoever is refused one.
    pub(super) executor: String,
    open: OpenModel,
    /// The one used last at the end.
    recent: Mutex<Vec<Arc<Model>>>,
}

impl ModelId {
    pub(super) fn of(model: &Model) -> Self {
        Self {
            name: model.name.clone(),
            version: model.version.clone(),
            package: model.package.clone(),
        }
    }
}

impl Models {
    pub(super) fn new(executor: String, open: OpenModel) -> Self {
        Self { executor, open, recent: Mutex::default() }
    }

    /// The model that is meant; another package of its name is refused.
    pub(super) fn get(&self, id: &ModelId, contract: &Contract) -> Result<Arc<Model>, String> {
        // Held while one is opened: tasks that start together need the same one.
        let mut recent = self.recent.lock().expect("nobody panics with it");
        let known = recent
            .iter()
            .position(|model| ModelId::of(model) == *id && model.contract.id() == contract.id());
        let model = match known {
            Some(place) => recent.remove(place),
            None => Arc::new(self.opened(id, contract)?),
        };
        if recent.len() >= OPEN {
            recent.remove(0);
        }
        recent.push(Arc::clone(&model));
        Ok(model)
    }

    fn opened(&self, id: &ModelId, contract: &Contract) -> Result<Model, String> {
        let ModelId { name, version, package } = id;
        let model = (self.open)((name.as_str(), version.as_str()), contract)?;
        if model.package == *package {
            return Ok(model);
        }
        Err(format!(
            "the package of model {name}@{version} here has SHA-256 {}, the job's {package}: put the job's \
             package into the executor's models",
            model.package
        ))
    }
}

impl fmt::Debug for Models {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Models")
    }
}

//! The models that queries named: looked for at each planning, kept while their packages stay as they are.
//!
//! A server runs for months, and packages come meanwhile: a name without a version means the newest one that
//! there is. A query that runs keeps the model that it was planned with.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::score::Model;

/// Models that are kept for the next query, the last used ones: each holds its file and its sessions in memory.
const MAX_MODELS: usize = 8;

/// Between two looks at a package: planning a query asks for its models many times.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Finds the package that `NAME[@VERSION]` means now, without reading its model.
pub type FindModel = Arc<dyn Fn(&str) -> Result<FoundModel, String> + Send + Sync>;

/// A package that is not opened yet.
pub struct FoundModel {
    /// Stands for its files: another version, or files that were written anew, have another one.
    pub mark: String,
    /// Opens it; the model's contract has the features alone, in their order.
    pub open: Box<dyn FnOnce() -> Result<Model, String>>,
}

/// See the module.
pub(super) struct Models {
    find: FindModel,
    /// The last used one is the last.
    known: Mutex<Vec<Known>>,
}

struct Known {
    said: String,
    mark: String,
    looked: Instant,
    model: Arc<Model>,
}

impl Models {
    pub(super) fn new(find: FindModel) -> Self {
        Self { find, known: Mutex::default() }
    }

    /// The model that `said` means at `now`.
    pub(super) fn get(&self, said: &str, now: Instant) -> Result<Arc<Model>, String> {
        let fresh = |known: &mut Known| now.saturating_duration_since(known.looked) < LOOK_EVERY;
        if let Some(model) = self.keep(said, fresh) {
            return Ok(model);
        }
        let FoundModel { mark, open } = (self.find)(said)?;
        let looked = |known: &mut Known| {
            let same = known.mark == mark;
            if same {
                known.looked = now;
            }
            same
        };
        if let Some(model) = self.keep(said, looked) {
            return Ok(model);
        }
        // Nobody waits for a large file that somebody else reads.
        let model = Arc::new(open()?);
        let opened = Known { said: said.to_owned(), mark, looked: now, model: Arc::clone(&model) };
        let mut known = self.known.lock().expect("nobody panics with it");
        known.retain(|known| known.said != said);
        known.push(opened);
        if known.len() > MAX_MODELS {
            known.remove(0);
        }
        Ok(model)
    }

    /// The model of this name if it is `right`, which makes it the last used one.
    fn keep(&self, said: &str, right: impl FnOnce(&mut Known) -> bool) -> Option<Arc<Model>> {
        let mut known = self.known.lock().expect("nobody panics with it");
        let place = known.iter().position(|known| known.said == said)?;
        if !right(&mut known[place]) {
            return None;
        }
        let used = known.remove(place);
        let model = Arc::clone(&used.model);
        known.push(used);
        Some(model)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use arrow::array::{Float64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
    use schemas::{Contract, PredictError, Predictor};

    use super::*;
    use crate::score::Sessions;

    /// Answers its version, whatever it is asked.
    struct Says(f64);

    impl Predictor for Says {
        fn outputs(&self) -> SchemaRef {
            Arc::new(Schema::new(vec![Field::new("version", DataType::Float64, true)]))
        }

        fn predict(&mut self, events: &RecordBatch) -> Result<RecordBatch, PredictError> {
            let said = Float64Array::from(vec![self.0; events.num_rows()]);
            Ok(RecordBatch::try_new(self.outputs(), vec![Arc::new(said)]).unwrap())
        }
    }

    pub(in crate::sql) fn model(version: &str) -> Model {
        let text = "name = 'events'\n[[fields]]\nname = 'x'\ntype = 'float64'\n";
        let number: f64 = version.parse().unwrap();
        Model {
            name: "m".into(),
            version: version.into(),
            sha256: String::new(),
            package: String::new(),
            contract: Contract::from_toml(text).unwrap(),
            outputs: Says(number).outputs(),
            sessions: Sessions::new(1, Box::new(move || Ok(Box::new(Says(number))))),
        }
    }

    #[test]
    fn a_new_version_is_found_and_old_ones_are_let_go() {
        let packages: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
        let opened = Arc::new(AtomicUsize::new(0));
        let (there, count) = (Arc::clone(&packages), Arc::clone(&opened));
        let models = Models::new(Arc::new(move |said| {
            let version = there.lock().unwrap().get(said).cloned().ok_or("there is none")?;
            let (mark, count) = (version.clone(), Arc::clone(&count));
            let open = move || {
                count.fetch_add(1, Ordering::Relaxed);
                Ok(model(&version))
            };
            Ok(FoundModel { mark, open: Box::new(open) })
        }));
        let publish = |said: &str, version: &str| {
            packages.lock().unwrap().insert(said.to_owned(), version.to_owned());
        };
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let version =
            |said: &str, seconds| models.get(said, at(seconds)).map(|it| it.version.clone());
        assert_eq!(version("m", 0), Err("there is none".into()));
        publish("m", "1");
        let first = models.get("m", at(0)).unwrap();
        for second in 0..10 {
            assert_eq!(version("m", second), Ok("1".into()));
        }
        assert_eq!(opened.load(Ordering::Relaxed), 1, "what has not changed is not read again");
        publish("m", "2");
        assert_eq!(version("m", 20), Ok("2".into()));
        assert_eq!(Arc::strong_count(&first), 1, "only who asked for the old one has it");
        for number in 0..3 * MAX_MODELS {
            let said = format!("other{number}");
            publish(&said, "1");
            version(&said, 21).unwrap();
            // It is used, so it stays.
            version("m", 21).unwrap();
        }
        assert_eq!(models.known.lock().unwrap().len(), MAX_MODELS);
        let before = opened.load(Ordering::Relaxed);
        version("m", 30).unwrap();
        assert_eq!(opened.load(Ordering::Relaxed), before);
        packages.lock().unwrap().clear();
        assert!(version("m", 40).is_err(), "what is gone is not answered for");
    }
}

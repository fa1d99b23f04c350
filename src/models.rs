//! Models by name, for jobs and queries: a package of the repository, its predictor made by need.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use batch::score::cluster::OpenModel;
use batch::score::{Model, Sessions};
use batch::sql::{FindModel, FoundModel};
use infer::{OnnxPredictor, Package, Runtime};
use schemas::{Contract, Predictor};

use crate::config::Config;
use crate::{exit, panics};

/// The package that `NAME[@VERSION]` means; the configured one when nothing is said.
pub(crate) fn package(config: &Config, said: Option<&str>) -> anyhow::Result<Package> {
    Package::open(&folder(config, said)?).map_err(|error| exit::usage(error.to_string()))
}

/// Where that package lies.
fn folder(config: &Config, said: Option<&str>) -> anyhow::Result<PathBuf> {
    let own = &config.model;
    let configured = || format!("{}@{}", own.name, own.version);
    let said = said.map_or_else(configured, str::to_owned);
    let (name, version) = said.split_once('@').unwrap_or((&said, ""));
    let version = match version {
        "" if !one_folder(name) => String::new(),
        "" if name == own.name => own.version.clone(),
        "" => newest(&own.repository.join(name), name)?,
        version => version.to_owned(),
    };
    if !one_folder(name) || !one_folder(&version) {
        let repository = own.repository.display();
        return Err(exit::usage(format!(
            "model {said:?}: write NAME or NAME@VERSION, folders of {repository}"
        )));
    }
    Ok(own.repository.join(name).join(version))
}

/// Whether a name stays one folder below the repository.
fn one_folder(part: &str) -> bool {
    !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\\'])
}

/// The largest number among a model's versions, or its only version.
fn newest(folder: &Path, name: &str) -> anyhow::Result<String> {
    let entries = std::fs::read_dir(folder);
    let entries = entries
        .with_context(|| format!("no versions of model {name:?} are in {}", folder.display()))?;
    let mut versions: Vec<String> = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("listing {}", folder.display()))?;
        if entry.path().join("model.toml").is_file() {
            versions.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    let number = |version: &&String| version.parse::<u64>().ok();
    match (versions.iter().filter(|it| number(it).is_some()).max_by_key(number), &versions[..]) {
        (Some(newest), _) => Ok(newest.clone()),
        (None, [only]) => Ok(only.clone()),
        (None, _) => {
            versions.sort();
            let versions = versions.join(", ");
            Err(exit::usage(format!(
                "which version of {name}? Write {name}@VERSION; there are: {versions}"
            )))
        }
    }
}

/// The model of a package, with at most `sessions` of ONNX Runtime.
pub(crate) fn model(package: &Package, contract: &Contract, sessions: usize) -> Model {
    let (of, events) = (package.clone(), contract.clone());
    let make = move || -> Result<Box<dyn Predictor>, String> {
        let failed =
            |error: &dyn std::fmt::Display| format!("model {}: {error}", of.folder().display());
        let runtime = Runtime::find().map_err(|error| failed(&error))?;
        let made = OnnxPredictor::new(&runtime, &of, &events).map_err(|error| failed(&error))?;
        Ok(Box::new(made))
    };
    Model {
        name: package.name().to_owned(),
        version: package.version().to_owned(),
        sha256: package.descriptor().sha256.clone(),
        package: package.sha256(),
        contract: contract.clone(),
        outputs: Arc::clone(&package.output_schema()),
        sessions: Sessions::new(sessions, Box::new(make)),
    }
}

/// Models for an executor: those of `repository` as they are named, each with at most `sessions`.
pub(crate) fn opener(repository: &Path, sessions: usize) -> OpenModel {
    let repository = repository.to_path_buf();
    Box::new(move |(name, version): (&str, &str), contract: &Contract| {
        if !one_folder(name) || !one_folder(version) {
            return Err(format!("{name:?} and {version:?} are no folders of models"));
        }
        panics::withhold(contract);
        let folder = repository.join(name).join(version);
        let package = Package::open(&folder).map_err(|error| error.to_string())?;
        Ok(model(&package, contract, sessions))
    })
}

/// Models for `predict`: of the contract they have the features alone, in the package's order.
pub(crate) fn finder(config: &Config, contract: &Contract) -> FindModel {
    let (config, contract) = (config.clone(), Arc::new(contract.clone()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(move |said| {
        let folder = folder(&config, Some(said)).map_err(|error| format!("{error:#}"))?;
        let (mark, contract) = (mark(&folder)?, Arc::clone(&contract));
        let open = move || {
            let package = Package::open(&folder).map_err(|error| error.to_string())?;
            let features = features(&package, &contract)?;
            Ok(model(&package, &features, threads))
        };
        Ok(FoundModel { mark, open: Box::new(open) })
    })
}

/// Stands for the files of a package: which they are, how long, and when each was changed.
fn mark(folder: &Path) -> Result<String, String> {
    let mut mark = folder.display().to_string();
    for name in ["model.toml", "model.onnx"] {
        let path = folder.join(name);
        let found = std::fs::metadata(&path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let (inode, bytes) = (found.ino(), found.size());
        let changed = format!("{}.{:09}", found.ctime(), found.ctime_nsec());
        mark.push_str(&format!(" {inode} {bytes} {changed}"));
    }
    Ok(mark)
}

fn features(package: &Package, contract: &Contract) -> Result<Contract, String> {
    let mut fields: Vec<schemas::Field> = Vec::new();
    for feature in package.descriptor().inputs.iter().flat_map(|input| &input.features) {
        if fields.iter().any(|field| field.name == *feature) {
            continue;
        }
        let field = contract.field(feature).ok_or_else(|| {
            let (folder, contract) = (package.folder().display(), contract.name());
            format!("model {folder}: its feature {feature:?} is no field of contract {contract:?}")
        })?;
        fields.push(field.clone());
    }
    Contract::new(contract.name(), fields).map_err(|errors| errors.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_was_written_anew_has_another_mark() {
        let folder = tempfile::tempdir().expect("a folder");
        let said = mark(folder.path()).expect_err("there is none");
        assert!(said.contains("model.toml"), "{said}");
        for name in ["model.toml", "model.onnx"] {
            std::fs::write(folder.path().join(name), "1").expect("writable");
        }
        let first = mark(folder.path()).expect("it is there");
        assert_eq!(mark(folder.path()), Ok(first.clone()));
        // As long as before, and beside it first, as whoever publishes does.
        std::fs::write(folder.path().join("new"), "2").expect("writable");
        std::fs::rename(folder.path().join("new"), folder.path().join("model.onnx"))
            .expect("writable");
        assert_ne!(mark(folder.path()), Ok(first));
    }
}

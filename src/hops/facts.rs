//! What a request to train a window's models again says of them: versions with their hashes, references,
//! performance, and where the data lie.

use std::collections::BTreeMap;

use infer::Package;
use monitor::deliver::ModelFacts;
use monitor::evaluate::ReportRow;
use serde_json::{Value, json};

use crate::monitoring::{instant, reference_path, window_time};
use crate::pipeline::Pipeline;

/// How each model did last.
pub(super) type Newest = BTreeMap<String, Value>;

/// See the module.
pub(super) fn facts(pipeline: &Pipeline, rows: &[&ReportRow], newest: &Newest) -> Vec<ModelFacts> {
    let mut models: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    // A group's row without a column holds its number of rows; segments are parts of it.
    for row in rows.iter().filter(|row| row.column.is_none() && row.group.segment.is_none()) {
        let versions = models.entry(named(&row.group.model_name)).or_default();
        *versions.entry(named(&row.group.model_version)).or_default() += row.n;
    }
    let reference = references(pipeline, rows);
    let (from, to) = rows.first().map_or((0, 0), |row| (row.start_us, row.end_us));
    let time = window_time(&pipeline.contract);
    let sql = format!(
        "SELECT * FROM results WHERE {time} >= '{}' AND {time} < '{}'",
        instant(from),
        instant(to)
    );
    models
        .into_iter()
        .map(|(model, versions)| ModelFacts {
            model: model.to_owned(),
            rows: versions.values().sum(),
            versions: of_versions(&pipeline.package, model, &versions),
            reference: reference.clone(),
            performance: newest.get(model).cloned().unwrap_or(Value::Null),
            data: json!({ "folder": pipeline.config.archive.directory, "sql": sql }),
        })
        .collect()
}

/// The reference of each version: its id, and where it lies.
fn references(pipeline: &Pipeline, rows: &[&ReportRow]) -> Value {
    let profiles: BTreeMap<&str, &str> =
        rows.iter().map(|row| (named(&row.group.model_version), row.profile.as_str())).collect();
    let reference = |(version, id): (&str, &str)| {
        let path = reference_path(pipeline, version).map(|path| path.display().to_string());
        (version.to_owned(), json!({ "id": id, "path": path }))
    };
    Value::Object(profiles.into_iter().map(reference).collect())
}

/// The rows of each version and, of the one that is configured, the hashes of its files: the others' are those
/// of other processes.
fn of_versions(package: &Package, model: &str, versions: &BTreeMap<&str, u64>) -> Value {
    let of_version = |(version, rows): (&&str, &u64)| {
        let is_own = (package.name(), package.version()) == (model, *version);
        let facts = if is_own {
            let (model, package) = (&package.descriptor().sha256, package.sha256());
            json!({ "rows": rows, "model_sha256": model, "package_sha256": package })
        } else {
            json!({ "rows": rows })
        };
        ((*version).to_owned(), facts)
    };
    Value::Object(versions.iter().map(of_version).collect())
}

fn named(name: &Option<String>) -> &str {
    name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn hashes_are_of_the_version_that_is_configured() {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/demo/models/flight-delay/1");
        let package = Package::open(&demo).expect("the demo's model");
        let versions = BTreeMap::from([("1", 600), ("2", 7)]);
        let told = of_versions(&package, "flight-delay", &versions);
        let own = &told["1"];
        assert_eq!((&own["rows"], &told["2"]), (&json!(600), &json!({ "rows": 7 })));
        assert_eq!(own["model_sha256"], package.descriptor().sha256);
        assert_eq!(own["package_sha256"], package.sha256());
        assert_eq!(of_versions(&package, "other", &versions)["1"], json!({ "rows": 600 }));
    }
}

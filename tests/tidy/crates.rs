//! Crate edges and homes of technologies (ARCHITECTURE.md), and what every member's manifest has.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::{none, tree};

/// Who may depend on whom; nothing else.
const EDGES: &[(&str, &[&str])] = &[
    ("tidegate", &["schemas", "ingest", "infer", "batch", "monitor"]),
    ("schemas", &[]),
    ("ingest", &["schemas"]),
    ("infer", &["schemas"]),
    ("batch", &["schemas"]),
    ("monitor", &["schemas", "batch"]),
];

/// Where a technology lives; nobody else may depend on it, not even in tests. (A log subscriber may
/// be installed by anybody's example: it is left out for development dependencies.)
const HOMES: &[(&str, &[&str])] = &[
    ("rdkafka", &["ingest"]),
    ("rdkafka-sys", &["ingest"]),
    ("ort", &["infer"]),
    ("ort-sys", &["infer"]),
    ("parquet", &["batch"]),
    ("object_store", &["batch"]),
    ("datafusion", &["batch", "monitor"]),
    ("datafusion-postgres", &["batch"]),
    ("datafusion-proto", &["batch"]),
    ("ballista", &["batch"]),
    ("ballista-core", &["batch"]),
    ("ballista-executor", &["batch"]),
    ("ballista-scheduler", &["batch"]),
    ("reqwest", &["monitor"]),
    ("rusqlite", &["monitor"]),
    ("axum", &["tidegate"]),
    ("clap", &["tidegate"]),
    ("opentelemetry_sdk", &["tidegate"]),
    ("opentelemetry-otlp", &["tidegate"]),
    ("opentelemetry-prometheus", &["tidegate"]),
    ("prometheus", &["tidegate"]),
    ("tracing-subscriber", &["tidegate"]),
    ("log", &["tidegate"]),
];

/// What the pure crate would need to do I/O, tell the time or wait.
const IMPURE: &[&str] =
    &["std::fs", "std::net", "std::env", "std::process", "std::thread", "::now()", "async fn"];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(tree::root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata reads the workspace")
}

fn allowed(table: &'static [(&str, &[&str])], name: &str) -> Option<&'static [&'static str]> {
    table.iter().find(|(of, _)| *of == name).map(|(_, allowed)| *allowed)
}

#[test]
fn edges_between_crates_are_the_ones_architecture_names() {
    let metadata = metadata();
    let mut breaches = Vec::new();
    for package in &metadata.packages {
        let Some(may) = allowed(EDGES, &package.name) else {
            breaches.push(format!("{} is a new crate: give it a row in EDGES", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some())
        {
            if !may.contains(&dependency.name.as_str()) {
                breaches.push(format!("{} -> {}", package.name, dependency.name));
            }
        }
    }
    assert_eq!(metadata.packages.len(), EDGES.len(), "every crate of EDGES exists");
    none("an edge that is not in EDGES; hand it in as data or a closure from the root", &breaches);
}

#[test]
fn a_technology_has_one_home() {
    let mut breaches = Vec::new();
    for package in &metadata().packages {
        for dependency in &package.dependencies {
            let of_an_example = dependency.name == "tracing-subscriber"
                && dependency.kind == DependencyKind::Development;
            if let Some(homes) = allowed(HOMES, &dependency.name)
                && !of_an_example
                && !homes.contains(&package.name.as_str())
            {
                let home = homes.join(" and ");
                breaches.push(format!(
                    "{} uses {}, whose home is {home}",
                    package.name, dependency.name
                ));
            }
        }
    }
    none("a technology outside its home", &breaches);
}

#[test]
fn schemas_is_pure() {
    // Hop 1 and hop 2 are ended at named places by one variable; `schemas` is what both stand on.
    let for_tests = "schemas/src/failpoint.rs";
    let sources = tree::paths(&[".rs"]);
    let breaches: Vec<String> = sources
        .iter()
        .filter(|path| path.starts_with("schemas/src/") && !path.ends_with("tests.rs"))
        .filter(|path| path.as_str() != for_tests)
        .flat_map(|path| {
            let text = tree::product_text(path);
            IMPURE
                .iter()
                .filter(move |word| text.contains(**word))
                .map(move |word| format!("{path}: {word}"))
        })
        .collect();
    none("schemas does no I/O and knows no clock; pass it in", &breaches);
}

#[test]
fn unsafe_code_is_allowed_in_one_module() {
    let allowance = concat!("allow(unsafe", "_code");
    let breaches: Vec<String> = tree::paths(&[".rs"])
        .into_iter()
        .filter(|path| tree::text(path).is_some_and(|text| text.contains(allowance)))
        .filter(|path| !path.starts_with("ingest/src/raw"))
        .collect();
    none("unsafe code is allowed outside ingest/src/raw", &breaches);
}

#[test]
fn every_member_takes_the_workspace_lints_and_opens_with_lib_rs() {
    let mut breaches = Vec::new();
    for package in &metadata().packages {
        let manifest =
            std::fs::read_to_string(&package.manifest_path).expect("a manifest is readable");
        let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        if lints.and_then(toml::Value::as_bool) != Some(true) {
            breaches.push(format!("{}: [lints] workspace = true is missing", package.name));
        }
        if package.publish.as_ref().is_none_or(|registries| !registries.is_empty()) {
            breaches.push(format!("{}: publish.workspace = true is missing", package.name));
        }
        let folder = package.manifest_path.parent().expect("a manifest lies in a folder");
        if package.name != "tidegate" && !folder.join("src/lib.rs").is_file() {
            breaches.push(format!("{}: src/lib.rs is missing", package.name));
        }
        if package.name != "tidegate" && folder.join("README.md").exists() {
            breaches.push(format!("{}: what README.md says belongs into src/lib.rs", package.name));
        }
    }
    none("a member's manifest", &breaches);
}

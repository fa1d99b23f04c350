//! Layers of a configuration, laid over each other leaf by leaf so that every problem is found
//! in one go, each with its key path, the value given and what would be accepted.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use batch::location;
use toml::{Table, Value};

use super::shown::{
    has_table, is_secret, key_shown, resembles_secret, shown, syntax, without_value,
};
use super::{Config, lists, rules};

/// Every key with its default and a comment.
pub(crate) const DEFAULT: &str = include_str!("default.toml");

/// Tables whose keys are the user's own.
const OPEN_TABLES: [&str; 4] =
    ["kafka.properties", "monitor.references", "labels.baseline", "sql.users"];

/// Lists of tables: an entry changes the one of the same name, key by key, or is added.
const LISTS: [&str; 3] = ["routes", "rules", "jobs"];

/// Letters by which a key may differ from the one that is suggested.
const SUGGESTED: usize = 4;

/// Letters by which an unknown key may differ from one that is no secret, and its value is said.
const SAID: usize = 2;

/// Prefix of environment variables; levels are separated by two underscores.
const ENV_PREFIX: &str = "TIDEGATE__";

/// One thing wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Dotted key path.
    pub(crate) key: String,
    /// The value given, as written; empty where none was.
    pub(crate) value: String,
    /// What is wrong and what would be accepted.
    pub(crate) message: String,
}

/// All that is wrong with the configuration.
#[derive(Debug)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the configuration has {count} problem{}:", if count == 1 { "" } else { "s" })?;
        for problem in &self.0 {
            write!(f, "\n  {}", problem.key)?;
            if !problem.value.is_empty() {
                write!(f, " = {}", problem.value)?;
            }
            write!(f, ": {}", problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Reads default ← `file` ← `env` ← `sets` (`section.key=value`), and checks the rules.
pub(crate) fn load(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    sets: &[String],
) -> Result<Config, Problems> {
    let defaults: Table = DEFAULT.parse().expect("the embedded default.toml is valid");
    let mut leaves = Vec::new();
    let mut problems = Vec::new();
    if let Some(path) = file {
        match read(path) {
            Ok(table) => flatten(String::new(), Value::Table(table), &defaults, &mut leaves),
            Err(message) => problems.push(Problem {
                key: path.display().to_string(),
                value: String::new(),
                message,
            }),
        }
    }
    for (name, text) in env {
        if let Some(rest) = name.strip_prefix(ENV_PREFIX) {
            let key = rest.to_lowercase().replace("__", ".");
            let value = parse_scalar(&text, lookup(&defaults, &key));
            leaves.push((key, value));
        }
    }
    for set in sets {
        match set.split_once('=') {
            Some((key, text)) => {
                leaves.push((key.trim().into(), parse_scalar(text, lookup(&defaults, key.trim()))));
            }
            None => {
                // Without a section of ours in front, it may be a value alone.
                let section = set.split('.').next().unwrap_or_default();
                let known = defaults.contains_key(section);
                let key = if known { format!("--set {}", key_shown(set)) } else { "--set".into() };
                let message = "has no `=`: --set takes section.key=value".into();
                problems.push(Problem { key, value: String::new(), message });
            }
        }
    }
    let merged = merge(&defaults, leaves, &mut problems);
    let base = file.and_then(Path::parent).unwrap_or(Path::new(""));
    let mut config: Config = merged.try_into().expect("each leaf was accepted on its own");
    let archive = &mut config.archive.directory;
    *archive = location::from_folder(base, archive);
    for path in [
        &mut config.contract.file,
        &mut config.model.repository,
        &mut config.alerts.state,
        &mut config.scheduler.state,
    ] {
        *path = location::from_folder(base, path);
    }
    config.jobs.iter_mut().for_each(|job| job.rebase(base));
    let perhaps = config.monitor.references.values_mut().chain([
        &mut config.monitor.reference,
        &mut config.alerts.http.ca_file,
        &mut config.sql.tls_certificate,
        &mut config.sql.tls_key,
    ]);
    for path in perhaps.filter(|path| !path.as_os_str().is_empty()) {
        *path = location::from_folder(base, path);
    }
    for problem in rules::check(&config) {
        if !problems.iter().any(|have| have.key == problem.key) {
            problems.push(problem);
        }
    }
    if problems.is_empty() { Ok(config) } else { Err(Problems(problems)) }
}

fn read(path: &Path) -> Result<Table, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot be read: {error}; name a configuration with --config"))?;
    text.parse::<Table>().map_err(|error| syntax(&text, &error))
}

/// Takes over every leaf that the configuration's type accepts in its place.
fn merge(defaults: &Table, leaves: Vec<(String, Value)>, problems: &mut Vec<Problem>) -> Table {
    let mut merged = defaults.clone();
    for (key, value) in leaves {
        if LISTS.contains(&key.as_str())
            && let Value::Array(entries) = &value
            && entries.iter().all(Value::is_table)
        {
            lists::merge(&mut merged, defaults, &key, entries, problems);
            continue;
        }
        if lookup(defaults, &key).is_none() && open_table(&key).is_none() {
            problems.push(unknown(defaults, &key, &value));
            continue;
        }
        let mut alone = defaults.clone();
        put(&mut alone, &key, value.clone());
        match alone.try_into::<Config>() {
            Ok(_) => put(&mut merged, &key, value),
            Err(error) => problems.push(refused(defaults, key, &value, error.message())),
        }
    }
    merged
}

/// The problem with a value that the configuration's type does not accept under `key`.
fn refused(defaults: &Table, key: String, value: &Value, why: &str) -> Problem {
    let hidden = is_hidden(defaults, &key);
    let unsaid = hidden || has_table(value, &mut BTreeSet::new());
    let mut message = if unsaid { without_value(why) } else { why.to_owned() };
    if value.is_str() && matches!(lookup(defaults, &key), Some(Value::Table(_) | Value::Array(_))) {
        message += "; write it in TOML, not JSON: [\"a\"], [{ name = \"a\" }] or { name = \"a\" }";
    }
    Problem { value: shown(hidden, value), key, message }
}

/// The problem with a key that there is not. Its value is said only if it was surely meant for no secret.
fn unknown(defaults: &Table, key: &str, value: &Value) -> Problem {
    let nearest = nearest(defaults, key);
    let is_plain = nearest
        .as_ref()
        .is_some_and(|(distance, near)| *distance <= SAID && !is_hidden(defaults, near));
    let hint = nearest.map_or_else(String::new, |(_, near)| {
        let list = LISTS.contains(&near.as_str());
        if list { format!("; did you mean [[{near}]]?") } else { format!("; did you mean {near}?") }
    });
    Problem {
        key: key_shown(key),
        value: shown(resembles_secret(key) || !is_plain, value),
        message: format!(
            "is not a key of the configuration{hint} (`tidegate check --defaults` lists them)"
        ),
    }
}

/// Whether the value under a known `key` is never said: where tables belong, another text may be one
/// with secrets in it.
fn is_hidden(defaults: &Table, key: &str) -> bool {
    is_secret(key) || LISTS.contains(&key) || matches!(lookup(defaults, key), Some(Value::Table(_)))
}

/// The key that was probably meant, and by how many letters it differs.
fn nearest(defaults: &Table, key: &str) -> Option<(usize, String)> {
    let mut leaves = Vec::new();
    flatten(String::new(), Value::Table(defaults.clone()), defaults, &mut leaves);
    let distance = strsim::damerau_levenshtein;
    let known = leaves.iter().map(|(have, _)| (distance(have, key), have.as_str()));
    // What follows the name of an open table is the user's own.
    let level = key.match_indices('.').nth(1).map_or(key, |(end, _)| &key[..end]);
    let open = OPEN_TABLES.iter().map(|open| (distance(open, level), *open));
    // A list may have been looked for within a section.
    let own = key.rsplit('.').next().unwrap_or(key);
    let lists = LISTS.iter().map(|list| (distance(list, own), *list));
    let lists = lists.filter(|(letters, _)| *letters <= 1);
    let nearest = known.chain(open).chain(lists).min();
    nearest
        .filter(|(letters, _)| *letters <= SUGGESTED)
        .map(|(letters, near)| (letters, near.to_owned()))
}

fn open_table(key: &str) -> Option<&'static str> {
    OPEN_TABLES.into_iter().find(|open| {
        key.strip_prefix(open).is_some_and(|rest| rest.starts_with('.') && rest.len() > 1)
    })
}

/// Leaves of `value` with their dotted paths. A table where the defaults have none is a leaf.
fn flatten(path: String, value: Value, defaults: &Table, leaves: &mut Vec<(String, Value)>) {
    let is_level = path.is_empty() || matches!(lookup(defaults, &path), Some(Value::Table(_)));
    match value {
        Value::Table(table) if is_level => {
            for (name, inner) in table {
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                flatten(path, inner, defaults, leaves);
            }
        }
        leaf => leaves.push((path, leaf)),
    }
}

fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    let mut parts = key.split('.');
    let mut at = table.get(parts.next()?)?;
    for part in parts {
        at = at.as_table()?.get(part)?;
    }
    Some(at)
}

/// Sets `key`; below an open table the rest of the path is one name, dots included.
fn put(table: &mut Table, key: &str, value: Value) {
    let (levels, name) = match open_table(key) {
        Some(open) => (open, &key[open.len() + 1..]),
        None => key.rsplit_once('.').unwrap_or(("", key)),
    };
    let mut at = table;
    for level in levels.split('.').filter(|level| !level.is_empty()) {
        let entry = at.entry(level).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(inner) = entry else { return };
        at = inner;
    }
    at.insert(name.to_owned(), value);
}

/// What an environment variable or flag means: text where the default is text, else TOML.
fn parse_scalar(text: &str, default: Option<&Value>) -> Value {
    let as_toml = || format!("v = {text}").parse::<Table>().ok().and_then(|mut t| t.remove("v"));
    match default {
        Some(Value::String(_)) if !text.starts_with(['{', '[']) => Value::String(text.into()),
        _ => as_toml().unwrap_or_else(|| Value::String(text.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> Vec<String> {
        [
            "input.topic=a",
            "output.topic=b",
            "dead_letters.topic=c",
            "model.name=m",
            "model.version=1",
        ]
        .map(String::from)
        .to_vec()
    }

    #[test]
    fn later_layers_win_and_types_follow_the_default() {
        let env =
            [("TIDEGATE__BATCH__MAX_ROWS", "77"), ("TIDEGATE__MODEL__VERSION", "2"), ("HOME", "x")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut sets = complete();
        sets.push("batch.max_rows=78".into());
        sets.push("kafka.properties.client.rack=r1".into());
        let config = load(None, env.into_iter(), &sets).unwrap();
        assert_eq!(config.batch.max_rows, 78);
        assert_eq!(config.model.version, "1");
        assert_eq!(config.kafka.properties["client.rack"].expose(), "r1");
    }

    #[test]
    fn five_mistakes_are_reported_at_once() {
        let mut sets = complete();
        sets.extend(
            [
                "batch.max_rows=many",
                "delivery.mode=twice",
                "inputt.topic=x",
                "commit.interval_ms=-1",
                "kafka.session_timeout_ms=60000",
            ]
            .map(String::from),
        );
        let problems = load(None, std::iter::empty(), &sets).unwrap_err();
        let keys: Vec<&str> = problems.0.iter().map(|problem| problem.key.as_str()).collect();
        for key in [
            "batch.max_rows",
            "delivery.mode",
            "inputt.topic",
            "commit.interval_ms",
            "kafka.max_poll_interval_ms",
        ] {
            assert!(keys.contains(&key), "{key} in {problems}");
        }
        let text = problems.to_string();
        assert!(text.contains("did you mean input.topic?"), "{text}");
        assert!(text.contains("exactly_once"), "what is accepted is said: {text}");
    }
    /// A line that a person might write, and some that nobody should.
    fn line() -> impl proptest::strategy::Strategy<Value = String> {
        use proptest::prelude::{Just, Strategy as _, prop_oneof};
        let mut known = Vec::new();
        let defaults: Table = DEFAULT.parse().unwrap();
        flatten(String::new(), Value::Table(defaults.clone()), &defaults, &mut known);
        let known: Vec<String> = known.into_iter().map(|(key, _)| key).collect();
        let key = prop_oneof![
            4 => proptest::sample::select(known),
            1 => "[a-z\".é]{0,12}",
            1 => Just("kafka.properties.client.rack".to_owned()),
            1 => proptest::sample::select(vec!["routes", "rules", "kafka", "monitor.references.a"])
                .prop_map(str::to_owned),
        ];
        let value = prop_oneof![
            "-?[0-9]{1,20}",
            "[a-z_]{0,9}",
            "\"[a-z:/0-9.]{0,12}\"",
            "(true|nan|\\[\\]|\\{\\}|\\[\\{\\}\\]|\\{ env = \"PATH\" \\}|1979-05-27|\\[\"a\", 1\\])",
            "\\[\\{ ?name ?= ?\"[a-z]{0,3}\"(, kind = \"(webhook|kafka|x)\")?\\}\\]",
            "\\PC{0,12}",
        ];
        (key, value).prop_map(|(key, value)| format!("{key}={value}"))
    }

    proptest::proptest! {
        /// Whatever is written, it is a configuration or a list of problems.
        #[test]
        fn nothing_that_is_written_panics(
            file in proptest::collection::vec(line(), 0..8),
            sets in proptest::collection::vec(line(), 0..4),
            env in proptest::collection::vec(("[A-Z_]{0,12}", "\\PC{0,12}"), 0..3),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("tidegate.toml");
            std::fs::write(&path, file.join("\n")).unwrap();
            let env = env.into_iter().map(|(name, value)| (format!("{ENV_PREFIX}{name}"), value));
            if let Err(problems) = load(Some(&path), env, &sets) {
                proptest::prop_assert!(!problems.0.is_empty() && !problems.to_string().is_empty());
            }
        }
    }
}

//! What problems say of what was written: nothing that is a secret, or may have been meant as one. They
//! go to standard error and from there into logs, where a typo must not take a credential.
//!
//! Decides on keys and texts alone; what is wrong is found in `layers` and `lists`.

use std::collections::BTreeSet;

use toml::Value;

/// Words in a key whose value is never said.
const WORDS: [&str; 6] = ["password", "secret", "salt", "token", "url", "headers"];

/// Below these everything is taken for a secret.
const LEVELS: [&str; 3] = ["routes", "kafka.properties", "sql.users"];

/// Letters by which an unknown key may differ from a name of `LEVELS` and is taken for it, too.
const NEAR: usize = 2;

/// Names that are said of a table: enough to find it by.
const MAX_NAMES: usize = 16;

/// Whether what stands under `key` is never said.
pub(super) fn is_secret(key: &str) -> bool {
    WORDS.iter().any(|word| key.contains(word))
        || LEVELS.iter().any(|level| {
            key.strip_prefix(level).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
}

/// Whether an unknown `key` is a secret's, or may have been meant as one.
pub(super) fn resembles_secret(key: &str) -> bool {
    let near = |part: &str| {
        LEVELS.iter().any(|level| {
            let name = level.rsplit_once('.').map_or(*level, |(_, name)| name);
            strsim::damerau_levenshtein(part, name) <= NEAR
        })
    };
    is_secret(key) || key.split('.').any(near)
}

/// The value for people. Of tables only the names are said: what is in them was not looked at.
pub(super) fn shown(hidden: bool, value: &Value) -> String {
    let mut names = BTreeSet::new();
    if has_table(value, &mut names) {
        let listed: Vec<String> =
            names.iter().take(MAX_NAMES).map(|name| key_shown(name)).collect();
        let more = if names.len() > MAX_NAMES { ", ..." } else { "" };
        let with = if listed.is_empty() { "" } else { " with " };
        return format!("({}{with}{}{more})", value.type_str(), listed.join(", "));
    }
    if hidden {
        return "(hidden)".into();
    }
    let said = value.to_string();
    if said.contains("://") { without_user(&said) } else { said }
}

/// A URL without whatever stands before its host: a password may. One that is wrong may have no scheme.
pub(crate) fn without_user(url: &str) -> String {
    let Some(end) = url.rfind('@') else { return url.to_owned() };
    let start = url[..end].find("://").map_or(0, |scheme| scheme + 3);
    format!("{}(hidden){}", &url[..start], &url[end..])
}

/// Whether `value` is or holds a table; `names` gets the keys.
pub(super) fn has_table<'a>(value: &'a Value, names: &mut BTreeSet<&'a str>) -> bool {
    match value {
        Value::Table(table) => {
            names.extend(table.keys().map(String::as_str));
            true
        }
        Value::Array(values) => {
            // All of them: each says its names.
            let holding = values.iter().map(|inner| has_table(inner, names));
            holding.filter(|holds| *holds).count() > 0
        }
        _ => false,
    }
}

/// A key for people, up to what no key of ours has: a value may have been written in its place.
pub(super) fn key_shown(key: &str) -> String {
    match key.find(|c: char| !(c.is_alphanumeric() || "._-".contains(c))) {
        Some(end) => format!("{}...", &key[..end]),
        None => key.to_owned(),
    }
}

/// A message that may repeat the value, without it.
pub(super) fn without_value(message: &str) -> String {
    let what = if message.starts_with("invalid type") {
        "is of another type"
    } else if message.starts_with("invalid") || message.starts_with("unknown variant") {
        "is not accepted"
    } else {
        return message.to_owned();
    };
    // The value comes first: what is behind the last "expected" is ours.
    match message.rsplit_once("expected ") {
        Some((_, expected)) => format!("{what}, expected {expected}"),
        None => what.to_owned(),
    }
}

/// Where and why `text` is not TOML, without the line itself, which the error's `Display` repeats.
pub(super) fn syntax(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let place = before.map_or_else(String::new, |before| {
        let line = before.matches('\n').count() + 1;
        let last = before.rsplit('\n').next().unwrap_or_default();
        format!(" at line {line}, column {}", last.chars().count() + 1)
    });
    format!("is not TOML{place}: {}", error.message())
}

#[cfg(test)]
mod tests {
    use crate::config::load;

    /// What is said of a configuration in which something is wrong.
    fn said(file: &str, env: &[(&str, &str)], sets: &[&str]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tidegate.toml");
        std::fs::write(&path, file).expect("it is writable");
        let env: Vec<(String, String)> = env
            .iter()
            .map(|(name, value)| (format!("TIDEGATE__{name}"), (*value).to_owned()))
            .collect();
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        load(Some(&path), env.into_iter(), &sets).expect_err("something is wrong").to_string()
    }

    #[track_caller]
    fn check(said: &str, expected: &[&str]) {
        assert!(!said.contains("HUSH"), "a secret is said: {said}");
        for part in expected {
            assert!(said.contains(part), "{part} in {said}");
        }
    }

    #[test]
    fn a_list_of_routes_by_another_name_is_not_said() {
        let route = "name = 'a'\nurl = 'https://hooks.slack.com/HUSH'\nrouting_key = 'HUSH'\n\
                     secrets = ['whsec_HUSH']\n[[route.more]]\nx = 'HUSH'\n";
        for (name, expected) in [
            ("route", "route = (array with more, name, routing_key, secrets, url): "),
            (
                "alerts.routes",
                "alerts.routes = (array with more, name, routing_key, secrets, url): ",
            ),
        ] {
            let route = route.replace("[[route.", &format!("[[{name}."));
            let said = said(&format!("[[{name}]]\n{route}"), &[], &[]);
            check(&said, &[expected, "is not a key", "did you mean [[routes]]?"]);
        }
    }

    #[test]
    fn a_wrong_key_beside_secrets_is_said_without_its_value() {
        let route = "[[routes]]\nname = 'a'\nkind = 'slack'\n";
        for (line, expected) in [
            (
                "uri = 'https://hooks.slack.com/HUSH'",
                "routes.a.uri = (hidden): unknown field `uri`",
            ),
            ("integration_key = 'HUSH'", "routes.a.integration_key = (hidden): "),
            ("events = ['HUSH']", "routes.a.events = (hidden): is not accepted, expected "),
            (
                "header = { Authorization = 'HUSH' }",
                "routes.a.header = (table with Authorization): ",
            ),
        ] {
            check(&said(&format!("{route}{line}\n"), &[], &[]), &[expected, "expected "]);
        }
        check(
            &said("[[rules]]\nname = 'drift'\nintegration_key = 'HUSH'\n", &[], &[]),
            &["rules.drift.integration_key = (hidden): unknown field `integration_key`, expected "],
        );
        check(
            &said(
                "[kafka.propertys]\n'sasl.password' = 'HUSH'\n'ssl.key.pem' = 'HUSH'\n",
                &[],
                &[],
            ),
            &[
                "kafka.propertys = (table with sasl.password, ssl.key.pem): ",
                "mean kafka.properties?",
            ],
        );
        check(
            &said("[alerts]\nslack = 'https://hooks.slack.com/HUSH'\n", &[], &[]),
            &["alerts.slack = (hidden): is not a key"],
        );
    }

    #[test]
    fn variables_and_flags_that_are_not_toml_are_not_said() {
        let json = r#"[{"name": "a", "url": "https://hooks.slack.com/HUSH"}]"#;
        for (name, expected) in [
            ("ROUTES", "routes = (hidden): is of another type, expected "),
            ("KAFKA__PROPERTIES", "kafka.properties = (hidden): is of another type, expected "),
            ("KAFKA", "kafka = (hidden): is of another type, expected "),
            ("ALERTS__ROUTES", "alerts.routes = (hidden): is not a key"),
            ("KAFKA__PROPERTYS", "kafka.propertys = (hidden): is not a key"),
        ] {
            check(&said("", &[(name, json)], &[]), &[expected]);
        }
        check(&said("", &[("ROUTES", json)], &[]), &["write it in TOML"]);
        for (set, expected) in [
            ("routes.a.uri=HUSH", "routes.a.uri = (hidden): is not a key"),
            ("kafka.propertys.ssl.key.pem=HUSH", "did you mean kafka.properties?"),
            ("sql.user.ann=HUSH", "sql.user.ann = (hidden): is not a key"),
            ("routes:[{url='https://HUSH'}]", "routes... = (hidden): is not a key"),
            ("https://hooks.slack.com/HUSH?a=b", "https... = (hidden): is not a key"),
            (
                "kafka.properties.sasl.password: HUSH",
                "--set kafka.properties.sasl.password...: has",
            ),
            ("HUSH", "--set: has no `=`"),
        ] {
            check(&said("", &[], &[set]), &[expected]);
        }
    }

    #[test]
    fn a_syntax_error_is_said_with_its_place_and_not_its_line() {
        for (line, place) in [
            ("url = https://hooks.slack.com/HUSH", "at line 3, column "),
            (
                "url = 'https://hooks.slack.com/HUSH'\nurl = 'HUSH'",
                "at line 4, column 1: duplicate key",
            ),
        ] {
            let said = said(&format!("[[routes]]\nname = 'ä'\n{line}\n"), &[], &[]);
            check(&said, &["tidegate.toml: is not TOML ", place]);
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_said() {
        for (set, expected) in [
            (
                "telemetry.otlp_endpoint=https://me:HUSH@collector:4318",
                "telemetry.otlp_endpoint = https://(hidden)@collector:4318: must be http://",
            ),
            ("telemetry.otlp_endpoint=me:HU/SH@collector:4317", "= (hidden)@collector:4317: "),
            (
                "alerts.link=ftp://me:HUSH@HUSH@monitor",
                "alerts.link = ftp://(hidden)@monitor: must be a URL",
            ),
            (
                "telemetry.otlp_endpoit=http://me:HUSH@collector:4318",
                "telemetry.otlp_endpoit = \"http://(hidden)@collector:4318\": is not a key",
            ),
        ] {
            check(&said("", &[], &[set]), &[expected]);
        }
    }

    #[test]
    fn values_that_are_no_secrets_are_still_said() {
        check(
            &said("[batch]\nmax_row = 7\n", &[], &["inputt.topic=x", "batch.max_bytes=many"]),
            &[
                "batch.max_row = 7: is not a key of the configuration; did you mean batch.max_rows?",
                "inputt.topic = \"x\": is not a key",
                "batch.max_bytes = \"many\": invalid type: string \"many\", expected ",
            ],
        );
    }
}

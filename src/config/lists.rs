//! Lists of tables in a configuration: merged by name and checked key by key, so that every
//! mistake of every entry is found in one go.

use toml::{Table, Value};

use super::shown::{is_secret, key_shown, shown, without_value};
use super::{Config, Problem};

/// Lays `entries` over the list that `merged` has under `list`: an entry changes the one of the
/// same name, key by key, or is added.
pub(super) fn merge(
    merged: &mut Table,
    defaults: &Table,
    list: &str,
    entries: &[Value],
    problems: &mut Vec<Problem>,
) {
    for (index, entry) in entries.iter().filter_map(Value::as_table).enumerate() {
        let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
        let path =
            if name.is_empty() { format!("{list}[{index}]") } else { format!("{list}.{name}") };
        let mut accepted = Table::new();
        for (key, value) in entry {
            match accepts(defaults, list, key, value) {
                Ok(()) => drop(accepted.insert(key.clone(), value.clone())),
                Err(message) => {
                    // A key that there is not may have been meant for a secret.
                    let hidden =
                        is_secret(&format!("{list}.{key}")) || message.starts_with("unknown field");
                    let message = if hidden { without_value(&message) } else { message };
                    let key = format!("{path}.{}", key_shown(key));
                    problems.push(Problem { value: shown(hidden, value), key, message });
                }
            }
        }
        let Some(Value::Array(have)) = merged.get_mut(list) else { return };
        let same = have.iter_mut().filter_map(Value::as_table_mut).find(|other| {
            !name.is_empty() && other.get("name").and_then(Value::as_str) == Some(name)
        });
        match same {
            Some(same) => same.extend(accepted),
            None => have.push(Value::Table(accepted)),
        }
    }
}

/// Whether the configuration's type takes this key and value in an entry of `list`.
fn accepts(defaults: &Table, list: &str, key: &str, value: &Value) -> Result<(), String> {
    let entry = Table::from_iter([(key.to_owned(), value.clone())]);
    let mut alone = defaults.clone();
    alone.insert(list.to_owned(), Value::Array(vec![Value::Table(entry)]));
    alone.try_into::<Config>().map(drop).map_err(|error| error.message().to_owned())
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, DEFAULT, Problems, load};

    fn loaded(toml: &str) -> Result<Config, Problems> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tidegate.toml");
        let complete = "[input]\ntopic = 'a'\n[output]\ntopic = 'b'\n[dead_letters]\ntopic = 'c'\n\
                        [model]\nname = 'm'\nversion = '1'\n";
        std::fs::write(&file, format!("{complete}{toml}")).expect("it is writable");
        load(Some(&file), std::iter::empty(), &[])
    }

    #[test]
    fn a_rule_is_changed_key_by_key_and_another_is_added() {
        let config = loaded(
            "[[rules]]\nname = 'drift'\nthreshold = 0.3\n\
             [[rules]]\nname = 'mine'\nmeasure = 'ks'\nthreshold = 0.1\n",
        )
        .expect("both are fine");
        let rule = |name: &str| config.rules.iter().find(|rule| rule.name == name).expect(name);
        assert_eq!((rule("drift").threshold, rule("drift").breaches), (Some(0.3), Some(2)));
        assert_eq!(rule("mine").threshold, Some(0.1));
        let built_in = DEFAULT.matches("\n[[rules]]").count();
        assert_eq!(config.rules.len(), built_in + 1);
    }

    #[test]
    fn every_mistake_of_every_entry_is_found_and_no_secret_is_said() {
        let problems = loaded(
            "[alerts]\nfalse_alarms_per_week = 0\n[alerts.http]\nallow_private = ['10.0.0.0/99']\n\
             [[rules]]\nname = 'drift'\nthreshold = 'high'\nresolve = 9.0\nsignificant = true\n\
             [[rules]]\nname = 'mine'\nmeasure = 'magic'\n\
             [[routes]]\nname = 'ops'\nkind = 'pager'\nurl = 7\nsecrets = 'whsec_HUSH'\n\
             [[routes]]\nname = 'chat'\nkind = 'slack'\nurl = 'http://10.0.0.1/HUSH'\nthen = 'none'\n\
             [[routes]]\nname = 'page'\nkind = 'pagerduty'\nrouting_key = 'HUSH'\nevents = ['heartbeat']\n\
             [[routes]]\nname = 'hook'\nkind = 'webhook'\nurl = 'https://x.org/'\nsecrets = ['whsec_HUSH', 'HUSH']\n",
        )
        .expect_err("nearly everything is wrong");
        let keys: Vec<&str> = problems.0.iter().map(|problem| problem.key.as_str()).collect();
        for key in [
            "alerts.false_alarms_per_week",
            "alerts.http.allow_private",
            "rules.drift.threshold",
            "rules.drift.resolve",
            "rules.drift.significant",
            "rules.mine.measure",
            "rules.mine.threshold",
            "routes.ops.kind",
            "routes.ops.secrets",
            "routes.chat.url",
            "routes.chat.then",
            "routes.page.routing_key",
            "routes.page.events",
            "routes.hook.secrets",
        ] {
            assert!(keys.contains(&key), "{key} in {problems}");
        }
        let said = problems.to_string();
        assert!(!said.contains("HUSH"), "{said}");
        assert!(said.contains("jensen_shannon") && said.contains("alertmanager"), "{said}");
    }

    #[test]
    fn what_is_shown_of_a_route_is_its_host() {
        let config = loaded(
            "[[routes]]\nname = 'hook'\nkind = 'webhook'\nurl = 'https://u:HUSH@x.org/HUSH?HUSH'\n\
             headers = { Authorization = 'HUSH' }\nsecrets = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw']\n",
        );
        assert!(config.is_err(), "a password in a URL is refused");
        let config = loaded(
            "[[routes]]\nname = 'hook'\nkind = 'webhook'\nurl = 'HTTPS://x.org/HUSH?HUSH'\n\
             headers = { Authorization = 'HUSH' }\nsecrets = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw']\n",
        )
        .expect("it is fine");
        let shown = toml::to_string(&config.routes[0]).expect("TOML");
        assert!(shown.contains("https://x.org/(hidden)"), "{shown}");
        let everywhere =
            format!("{shown}{:?}{:?}", config, super::super::resolved_routes(&config.routes));
        assert!(!everywhere.contains("HUSH") && !everywhere.contains("MfKQ9"), "{everywhere}");
    }
}

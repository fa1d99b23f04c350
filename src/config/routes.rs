//! `[[routes]]`: who hears of alerts. URLs, keys and headers are secrets: never shown.

use std::collections::{BTreeMap, BTreeSet};

use monitor::deliver::{self, Allowed, Event, PAGERDUTY_URL, Route, SigningKey, Target};
use monitor::policy::{Class, Severity};
use serde::{Deserialize, Serialize, Serializer};

use super::{Problem, Secret};

/// Who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RouteKind {
    Webhook,
    Alertmanager,
    PagerDuty,
    Slack,
    Kafka,
}

/// A route as written.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RouteEntry {
    pub(crate) name: String,
    pub(crate) kind: Option<RouteKind>,
    #[serde(serialize_with = "origin")]
    pub(crate) url: Option<Secret>,
    #[serde(serialize_with = "count")]
    pub(crate) secrets: Vec<Secret>,
    #[serde(serialize_with = "hidden")]
    pub(crate) routing_key: Option<Secret>,
    #[serde(serialize_with = "names")]
    pub(crate) headers: BTreeMap<String, Secret>,
    pub(crate) topic: String,
    pub(crate) events: Option<Vec<Event>>,
    pub(crate) severity: Severity,
    pub(crate) classes: Vec<Class>,
    pub(crate) models: Vec<String>,
    pub(crate) then: Option<String>,
}

/// A URL up to its host: the rest may be a credential.
fn origin<S: Serializer>(url: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    let url = url.as_ref().map_or("", Secret::expose);
    let shown = ["https://", "http://"].iter().find_map(|scheme| {
        let (own, rest) = url.split_at_checked(scheme.len())?;
        let rest = own.eq_ignore_ascii_case(scheme).then_some(rest)?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let host = authority.rsplit('@').next().unwrap_or_default();
        Some(format!("{scheme}{host}/(hidden)"))
    });
    serializer.serialize_str(
        &shown.unwrap_or_else(|| if url.is_empty() { String::new() } else { "(hidden)".into() }),
    )
}

fn hidden<S: Serializer>(value: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if value.is_some() { "(hidden)" } else { "" })
}

fn count<S: Serializer>(values: &[Secret], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|_| "(hidden)"))
}

fn names<S: Serializer>(
    values: &BTreeMap<String, Secret>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.keys().map(|name| (name, "(hidden)")))
}

impl RouteEntry {
    /// The route that is meant, or what is wrong with it: (key, message).
    fn route(&self) -> Result<Route, Vec<(&'static str, String)>> {
        let mut problems = Vec::new();
        let target = self.target(&mut problems);
        match target {
            Some(target) if problems.is_empty() => Ok(Route {
                name: self.name.clone(),
                target,
                events: self.events.clone().unwrap_or_else(|| vec![Event::Alerts]),
                min_severity: self.severity,
                classes: self.classes.clone(),
                models: self.models.clone(),
                then: self.then.clone(),
            }),
            _ => Err(problems),
        }
    }

    fn target(&self, problems: &mut Vec<(&'static str, String)>) -> Option<Target> {
        let secret = |value: &Secret| deliver::Secret::new(value.expose());
        let Some(kind) = self.kind else {
            let kinds = "is missing: webhook, alertmanager, pagerduty, slack or kafka";
            problems.push(("kind", kinds.into()));
            return None;
        };
        for (key, given, takes) in [
            ("secrets", !self.secrets.is_empty(), kind == RouteKind::Webhook),
            ("routing_key", self.routing_key.is_some(), kind == RouteKind::PagerDuty),
            ("topic", !self.topic.is_empty(), kind == RouteKind::Kafka),
            ("url", self.url.is_some(), kind != RouteKind::Kafka),
            (
                "headers",
                !self.headers.is_empty(),
                matches!(kind, RouteKind::Webhook | RouteKind::Alertmanager),
            ),
        ] {
            if given && !takes {
                problems.push((key, "means nothing to this kind of route".into()));
            }
        }
        let mut keys = Vec::new();
        for written in &self.secrets {
            match SigningKey::parse(written.expose()) {
                Ok(key) => keys.push(key),
                Err(error) => problems.push(("secrets", error.to_string())),
            }
        }
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            let token = !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            let visible = value.expose().chars().all(|c| c == ' ' || c.is_ascii_graphic());
            if !token || !visible {
                problems.push(("headers", format!("{name:?} or its value is not a header")));
            }
            headers.push((name.clone(), secret(value)));
        }
        let url = match (&self.url, kind) {
            (Some(url), _) => secret(url),
            (None, RouteKind::PagerDuty) => deliver::Secret::new(PAGERDUTY_URL),
            (None, RouteKind::Kafka) => deliver::Secret::new(""),
            (None, _) => {
                problems.push(("url", "is missing: set it to the receiver's address".into()));
                return None;
            }
        };
        Some(match kind {
            RouteKind::Webhook => Target::Webhook { url, keys, headers },
            RouteKind::Alertmanager => Target::Alertmanager { url, headers },
            RouteKind::PagerDuty => {
                let routing_key = self.routing_key.as_ref().map_or("", Secret::expose);
                Target::PagerDuty { url, routing_key: deliver::Secret::new(routing_key) }
            }
            RouteKind::Slack => Target::Slack { url },
            RouteKind::Kafka => Target::Topic { topic: self.topic.clone() },
        })
    }
}

/// The routes of a checked configuration.
pub(crate) fn resolved(entries: &[RouteEntry]) -> Vec<Route> {
    entries.iter().filter_map(|entry| entry.route().ok()).collect()
}

/// Everything that is wrong with the routes.
pub(super) fn check(entries: &[RouteEntry], allowed: &Allowed) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut say = |index: usize, key: &str, message: String| {
        let name = &entries[index].name;
        let path =
            if name.is_empty() { format!("routes[{index}]") } else { format!("routes.{name}") };
        found.push(Problem { key: format!("{path}.{key}"), value: String::new(), message });
    };
    let mut seen = BTreeSet::new();
    // Routes with problems of their own are still named by others.
    let all = resolved_or_placeholder(entries);
    for (index, entry) in entries.iter().enumerate() {
        if !seen.insert(&entry.name) {
            say(index, "name", "is the name of another route, too".into());
        }
        match entry.route() {
            Ok(route) => {
                for problem in route.problems(&all, allowed) {
                    say(index, problem.key, problem.message);
                }
            }
            Err(problems) => {
                for (key, message) in problems {
                    say(index, key, message);
                }
            }
        }
    }
    found
}

fn resolved_or_placeholder(entries: &[RouteEntry]) -> Vec<Route> {
    let placeholder = |entry: &RouteEntry| Route {
        name: entry.name.clone(),
        target: Target::Topic { topic: String::new() },
        events: vec![],
        min_severity: Severity::Info,
        classes: vec![],
        models: vec![],
        then: entry.then.clone(),
    };
    entries.iter().map(|entry| entry.route().unwrap_or_else(|_| placeholder(entry))).collect()
}

//! `[alerts]` and `[[rules]]`: what is an alarm, and the bounds of telling somebody.

use std::path::PathBuf;
use std::time::Duration;

use monitor::count::MAX_SEGMENT_VALUES;
use monitor::deliver::{Allowed, HttpSettings};
use monitor::evaluate;
use monitor::policy::{Budget, Class, Direction, Measure, Reference, Rule, Severity};
use monitor::report;
use serde::{Deserialize, Serialize};

use super::{Config, Monitor, Problem, routes, without_user};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alerts {
    pub(crate) state: PathBuf,
    pub(crate) false_alarms_per_week: f64,
    pub(crate) link: String,
    pub(crate) resend_seconds: u32,
    pub(crate) heartbeat_seconds: u32,
    pub(crate) http: Http,
    pub(crate) retraining: Retraining,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) connect_timeout_ms: u64,
    pub(crate) timeout_ms: u64,
    pub(crate) max_response_bytes: u64,
    pub(crate) allow_private: Vec<String>,
    pub(crate) ca_file: PathBuf,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retraining {
    pub(crate) cool_down_hours: u32,
    pub(crate) min_rows: u64,
}

/// A rule as written; what is left out follows from its measure.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RuleEntry {
    pub(crate) name: String,
    pub(crate) enabled: Option<bool>,
    pub(crate) measure: Option<Measure>,
    pub(crate) reference: Option<Reference>,
    pub(crate) severity: Option<Severity>,
    pub(crate) threshold: Option<f64>,
    pub(crate) resolve: Option<f64>,
    pub(crate) critical: Option<f64>,
    pub(crate) significance: Option<bool>,
    pub(crate) min_rows: Option<u64>,
    pub(crate) breaches: Option<u32>,
    pub(crate) windows: Option<u32>,
    pub(crate) clear_windows: Option<u32>,
    pub(crate) cool_down_minutes: Option<u32>,
    pub(crate) models: Vec<String>,
    pub(crate) columns: Vec<String>,
}

/// Values of a segment column that are judged apart, and the rest.
const SEGMENT_VALUES: usize = MAX_SEGMENT_VALUES + 1;

impl Config {
    /// The rules in force; their significance follows from the budget of false alarms.
    pub(crate) fn alert_rules(&self) -> Vec<Rule> {
        let of = &self.monitor;
        let budget = Budget {
            alarms_per_week: self.alerts.false_alarms_per_week,
            step_ms: i64::from(of.slide_seconds) * 1_000,
            overlap: of.slide_seconds < of.window_seconds,
            streams: (1 + of.segments.len() * SEGMENT_VALUES) as u32,
        };
        let rules = |budget: &Budget| -> Vec<Rule> {
            self.rules.iter().filter_map(|rule| rule.rule(budget)).collect()
        };
        // The tested rules share what may be spent; without labels those of performance judge nothing.
        let judges = |rule: &&Rule| {
            rule.measure.class() != Class::Performance || !self.labels.topic.is_empty()
        };
        let all = rules(&budget);
        let tested = all.iter().filter(judges).filter(|rule| rule.level.is_some()).count().max(1);
        rules(&Budget { streams: budget.streams * tested as u32, ..budget })
    }
}

impl Monitor {
    /// What counts as a finding.
    pub(crate) fn rules(&self) -> evaluate::Rules {
        evaluate::Rules {
            drift: report::Rule {
                alpha: self.alpha,
                psi_threshold: self.psi_threshold,
                ks_threshold: self.ks_threshold,
                independent: false,
            },
            min_rows: self.min_rows,
            null_rise: self.null_rise,
            new_share: self.new_share,
            out_of_range_share: self.out_of_range_share,
            volume_low: self.volume_low,
            volume_high: self.volume_high,
        }
    }
}

impl Alerts {
    /// Where private addresses and plain http are meant; nowhere, if the list cannot be read.
    pub(crate) fn allowed(&self) -> Allowed {
        Allowed::parse(self.http.allow_private.iter().map(String::as_str)).unwrap_or_default()
    }

    /// Bounds of requests.
    ///
    /// # Errors
    /// When `ca_file` cannot be read.
    pub(crate) fn http_settings(&self) -> std::io::Result<HttpSettings> {
        let http = &self.http;
        let authorities_pem = if http.ca_file.as_os_str().is_empty() {
            Vec::new()
        } else {
            std::fs::read(&http.ca_file)?
        };
        Ok(HttpSettings {
            connect_timeout: Duration::from_millis(http.connect_timeout_ms),
            timeout: Duration::from_millis(http.timeout_ms),
            max_response_bytes: http.max_response_bytes,
            allowed: self.allowed(),
            authorities_pem,
        })
    }
}

impl RuleEntry {
    /// The rule that is meant; its level follows from `budget`. `None` when it is not used, or not
    /// complete (`check` says so).
    pub(crate) fn rule(&self, budget: &Budget) -> Option<Rule> {
        let (measure, threshold) = (self.measure?, self.threshold?);
        if self.enabled == Some(false) {
            return None;
        }
        let breaches = self.breaches.unwrap_or(1);
        let windows = self.windows.unwrap_or(breaches);
        let half = match measure.direction() {
            Direction::Above => threshold / 2.0,
            Direction::Below => threshold * 1.2,
        };
        let tested = self.significance.unwrap_or(measure.is_tested());
        let sound = breaches >= 1 && breaches <= windows;
        Some(Rule {
            name: self.name.clone(),
            measure,
            reference: self.reference.unwrap_or_default(),
            severity: self.severity.unwrap_or_default(),
            threshold,
            resolve: self.resolve.unwrap_or(half),
            critical: self.critical,
            level: (tested && sound).then(|| budget.level(breaches, windows)),
            min_rows: self.min_rows.unwrap_or(0),
            breaches,
            windows,
            clear_windows: self.clear_windows.unwrap_or(breaches),
            cool_down_ms: i64::from(self.cool_down_minutes.unwrap_or(60)) * 60_000,
            models: self.models.clone(),
            columns: self.columns.clone(),
        })
    }
}

/// Every rule about alerting that the configuration breaks.
pub(super) fn check(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    let alerts = &config.alerts;
    let mut unless = |holds: bool, key: &str, value: String, message: &str| {
        if !holds {
            found.push(Problem { key: key.into(), value, message: message.into() });
        }
    };
    let rate = alerts.false_alarms_per_week;
    unless(
        rate > 0.0 && rate <= 100.0,
        "alerts.false_alarms_per_week",
        rate.to_string(),
        "must be greater than 0 and at most 100: none ever would mean no alarm ever",
    );
    for (key, value, low, high) in [
        ("alerts.resend_seconds", u64::from(alerts.resend_seconds), 5, 3_600),
        ("alerts.heartbeat_seconds", u64::from(alerts.heartbeat_seconds), 10, 86_400),
        ("alerts.http.connect_timeout_ms", alerts.http.connect_timeout_ms, 100, 60_000),
        ("alerts.http.timeout_ms", alerts.http.timeout_ms, 100, 60_000),
        ("alerts.http.max_response_bytes", alerts.http.max_response_bytes, 1_024, 16 << 20),
        (
            "alerts.retraining.cool_down_hours",
            u64::from(alerts.retraining.cool_down_hours),
            1,
            8_760,
        ),
    ] {
        let accepted = format!("must be {low} to {high}");
        unless((low..=high).contains(&value), key, value.to_string(), &accepted);
    }
    let scheme = alerts.link.split_once("://").map_or("", |(scheme, _)| scheme);
    let linked = ["https", "http"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    unless(
        alerts.link.is_empty() || (linked && alerts.link.len() <= 500),
        "alerts.link",
        without_user(&alerts.link),
        "must be a URL of at most 500 bytes (https://monitor.example.org), or empty",
    );
    if let Err(error) = Allowed::parse(alerts.http.allow_private.iter().map(String::as_str)) {
        let value = alerts.http.allow_private.join(", ");
        unless(false, "alerts.http.allow_private", value, &error.to_string());
    }
    if let Err(error) = alerts.http_settings() {
        let value = alerts.http.ca_file.display().to_string();
        unless(false, "alerts.http.ca_file", value, &format!("cannot be read: {error}"));
    }
    found.extend(rules(&config.rules));
    found.extend(routes::check(&config.routes, &alerts.allowed()));
    found
}

fn rules(entries: &[RuleEntry]) -> Vec<Problem> {
    // Any budget will do to see whether a rule holds together.
    let budget = Budget { alarms_per_week: 0.1, step_ms: 3_600_000, overlap: false, streams: 1 };
    let mut found = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let path = if entry.name.is_empty() {
            format!("rules[{index}]")
        } else {
            format!("rules.{}", entry.name)
        };
        let mut say = |key: &str, message: String| {
            found.push(Problem { key: format!("{path}.{key}"), value: String::new(), message });
        };
        for (key, missing) in
            [("measure", entry.measure.is_none()), ("threshold", entry.threshold.is_none())]
        {
            if missing {
                say(key, format!("is missing: set the {key} of the rule"));
            }
        }
        for problem in entry.rule(&budget).iter().flat_map(Rule::problems) {
            say(problem.key, problem.message);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::config::load;

    #[test]
    fn a_link_leads_to_a_page_whatever_the_case_of_its_scheme() {
        for (link, is_fine) in [
            ("HTTP://monitor:9464", true),
            ("https://monitor.example.org/tidegate", true),
            ("monitor.example.org", false),
            ("ftp://monitor.example.org", false),
        ] {
            let open = [
                "input.topic",
                "output.topic",
                "dead_letters.topic",
                "model.name",
                "model.version",
            ];
            let mut sets: Vec<String> =
                open.iter().map(|key| format!("{key}={}", key.replace('.', "-"))).collect();
            sets.push(format!("alerts.link={link}"));
            let problems = load(None, std::iter::empty(), &sets).err();
            assert_eq!(problems.is_none(), is_fine, "{link}: {problems:?}");
        }
    }
}

//! One alarm from firing to resolving: everything that on-call has to know about it.

use serde::{Deserialize, Serialize};

use super::subject::hash;
use super::{Course, Direction, Group, Measure, Rule, Severity, Subject};

/// Subjects kept in one episode, the worst first; further ones are counted.
pub const MAX_CONCERNS: usize = 200;

/// One subject of an episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Concern {
    /// What it is about.
    #[serde(flatten)]
    pub of: Subject,
    /// What the rule measures.
    pub measure: String,
    /// How bad.
    pub severity: Severity,
    /// The latest value,
    pub value: f64,
    /// and from where on it is an alarm.
    pub threshold: f64,
    /// The latest q-value.
    pub q: Option<f64>,
    /// Rows of the latest window.
    pub rows: u64,
    /// What a person reads.
    pub reason: String,
    /// End of the window at which it fired.
    pub since_ms: i64,
}

/// An alarm of one model and class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// Follows from the group and the window at which it fired.
    pub id: String,
    /// The model and the class.
    pub group: Group,
    /// The highest there was; never falls.
    pub severity: Severity,
    /// End of the window at which it fired.
    pub fired_ms: i64,
    /// The latest window of the group: start
    pub window_start_ms: i64,
    /// and end.
    pub window_end_ms: i64,
    /// Firing subjects, the worst first, at most [`MAX_CONCERNS`]. In a resolve: the last ones.
    pub concerns: Vec<Concern>,
    /// How many there are, those not listed included.
    pub subjects: usize,
}

/// What is remembered of a group's last, resolved episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastEpisode {
    /// End of the window at which it resolved.
    pub resolved_ms: i64,
    /// Its severity.
    pub severity: Severity,
    /// The longest cool-down of its rules.
    pub cool_down_ms: i64,
}

impl Episode {
    /// The id of the episode that this group's window opens. What labels show late may fire at an
    /// instant at which an estimate fired before: that is another episode.
    pub(super) fn id_of(group: &Group, by_labels: bool, fired_ms: i64) -> String {
        let (group, fired) = (group.id(), fired_ms.to_string());
        if by_labels {
            hash(&["episode", &group, &fired, "realised"])
        } else {
            hash(&["episode", &group, &fired])
        }
    }

    /// The versions and arms that are concerned, as `3 stable, 4 canary`.
    pub fn versions(&self) -> String {
        let mut named: Vec<String> = self
            .concerns
            .iter()
            .map(|concern| format!("{} {}", concern.of.version, concern.of.arm).trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        named.sort();
        named.dedup();
        named.truncate(5);
        named.join(", ")
    }

    /// One line for a pager: `flight-delay: drift in 7 (dep_delay psi 0.41 ≥ 0.2, …)`.
    pub fn summary(&self) -> String {
        let shown: Vec<String> = self.concerns.iter().take(3).map(Concern::line).collect();
        let more = if self.subjects > shown.len() { ", …" } else { "" };
        let count = match (self.subjects, self.concerns.first()) {
            (1, Some(only)) => format!("in {}", only.of.subject),
            (count, _) => format!("in {count}"),
        };
        let Group { model, class } = &self.group;
        format!("{model}: {} {count} ({}{more})", class.name(), shown.join(", "))
    }
}

impl Concern {
    pub(super) fn new(of: &Subject, course: &Course, rule: &Rule) -> Self {
        Self {
            of: of.clone(),
            measure: rule.measure.name(),
            severity: course.severity,
            value: course.value,
            threshold: rule.threshold,
            q: course.q,
            rows: course.rows,
            reason: course.reason.clone(),
            since_ms: course.since_ms,
        }
    }

    /// `dep_delay psi 0.412, limit 0.2`, with the segment where there is one. One that still fires
    /// on the good side of its limit has to stay there for some windows before it is clear.
    pub fn line(&self) -> String {
        let Subject { subject, segment, .. } = &self.of;
        let within = if segment.is_empty() { String::new() } else { format!(" [{segment}]") };
        let direction = Measure::named(&self.measure).map_or(Direction::Above, Measure::direction);
        let bad = direction.beyond(self.value, self.threshold);
        let still = if bad { "" } else { ", not clear yet" };
        format!(
            "{subject}{within} {} {}, limit {}{still}",
            self.measure,
            number(self.value),
            number(self.threshold)
        )
    }
}

/// Three significant digits, without an exponent where a person would not write one.
fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

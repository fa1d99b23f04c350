//! Rules: what is measured, from where on it is an alarm, how sure one must be, how it ends.

use serde::{Deserialize, Serialize};

/// Most windows a rule may look back: the outcomes are the bits of one word.
pub const MAX_WINDOWS: u32 = 64;

/// How bad it is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a note.
    Info,
    /// Somebody should look during the day.
    #[default]
    Warning,
    /// Somebody must look now.
    Critical,
}

/// What kind of trouble; with the model it makes the group that is one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Distributions moved.
    Drift,
    /// The data are broken: nulls, new categories, schema, volume, nothing at all.
    Quality,
    /// The model answers worse, by labels or by estimate.
    Performance,
    /// The pipeline itself: rejects, errors, latency, lag, a hop that is down.
    Service,
}

/// What a rule measures. The unit of its thresholds is in the comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Population stability index, bias-corrected.
    Psi,
    /// Kolmogorov-Smirnov distance, 0 to 1.
    Ks,
    /// Jensen-Shannon distance, base 2, 0 to 1.
    JensenShannon,
    /// Wasserstein-1 over the reference's interquartile range.
    Wasserstein,
    /// Cramér's V of the homogeneity test, 0 to 1.
    CramersV,
    /// Share of nulls beyond the reference's share.
    NullShare,
    /// Share of rows in categories that the reference does not have.
    NewCategories,
    /// Share of rows outside the contract's range.
    OutOfRange,
    /// 1 where no row of the window has a column of the reference, or as another kind (text for numbers), else 0. One
    /// that the reference does not have is none: a profile does not say whether it was left out on purpose.
    SchemaChange,
    /// Rows over the rows that were expected; an alarm *below* the threshold.
    Volume,
    /// Seconds between now and the newest event.
    Freshness,
    /// Seconds without any row.
    NoData,
    /// How much worse than the reference, in the metric's own unit, by labels.
    PerformanceDrop,
    /// The same, estimated without labels.
    EstimatedDrop,
    /// Share of records that became dead letters.
    RejectRate,
    /// Errors per minute.
    Errors,
    /// Milliseconds from the timestamp of a commit's oldest record to its commit, the minute's mean.
    Latency,
    /// Seconds behind the end of the input.
    Lag,
    /// Seconds since the hop was last alive.
    HopDown,
    /// 1 when the job's latest run failed for good, or one lately that no other makes good, else 0.
    JobFailed,
}

/// On which side of the threshold the trouble lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The higher the worse.
    Above,
    /// The lower the worse.
    Below,
}

/// Windows that follow each other at one pace. Chains of a group do not wait for each other: a
/// realised window ends when its labels are in, days after the estimate of the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Chain {
    /// Of archived rows, by event time.
    Rows,
    /// Of estimated performance, by event time.
    Estimated,
    /// Of performance by labels, by event time.
    Realised,
    /// Looks at the service by the clock on the wall, which may go back.
    Clock,
}

/// What a window is compared with.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// Fitted when the model was made: drift means retrain.
    #[default]
    Training,
    /// The same hours before: a step means incident.
    Previous,
}

impl Reference {
    /// As written everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Previous => "previous",
        }
    }
}

/// One rule, complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Unique; findings name it.
    pub name: String,
    /// What is measured.
    pub measure: Measure,
    /// What a drift measure compares with.
    pub reference: Reference,
    /// Severity when it fires.
    pub severity: Severity,
    /// Effect: from here on a window breaches.
    pub threshold: f64,
    /// A window is clear on the other side of this; no further out than `threshold`.
    pub resolve: f64,
    /// From here on the alarm is critical, whatever `severity` says.
    pub critical: Option<f64>,
    /// Significance: q must be at most this. `None`: the effect alone decides.
    pub level: Option<f64>,
    /// Windows with fewer rows are not judged.
    pub min_rows: u64,
    /// k: so many breaches
    pub breaches: u32,
    /// of the last n judged windows fire.
    pub windows: u32,
    /// So many clear windows in a row resolve.
    pub clear_windows: u32,
    /// After an episode the group stays quiet so long, except for something more severe.
    pub cool_down_ms: i64,
    /// Models it applies to, with `*`; empty: all.
    pub models: Vec<String>,
    /// Columns (or hops) it applies to, with `*`; empty: all.
    pub columns: Vec<String>,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RuleProblem {
    /// The rule's member.
    pub key: &'static str,
    /// What is wrong and what would be accepted.
    pub message: String,
}

impl Severity {
    /// As written everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl Class {
    /// As written everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drift => "drift",
            Self::Quality => "quality",
            Self::Performance => "performance",
            Self::Service => "service",
        }
    }
}

impl Direction {
    /// Whether `value` lies at or beyond `threshold`.
    pub(super) fn beyond(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Above => value >= threshold,
            Self::Below => value <= threshold,
        }
    }
}

impl Measure {
    /// The class of trouble it shows.
    pub fn class(self) -> Class {
        match self {
            Self::Psi | Self::Ks | Self::JensenShannon | Self::Wasserstein | Self::CramersV => {
                Class::Drift
            }
            Self::NullShare
            | Self::NewCategories
            | Self::OutOfRange
            | Self::SchemaChange
            | Self::Volume => Class::Quality,
            Self::PerformanceDrop | Self::EstimatedDrop => Class::Performance,
            // An alarm about silence must not hold one about the data back, nor the other way round.
            Self::Freshness
            | Self::NoData
            | Self::RejectRate
            | Self::Errors
            | Self::Latency
            | Self::Lag
            | Self::HopDown
            | Self::JobFailed => Class::Service,
        }
    }

    /// The windows that it is judged on.
    pub(super) fn chain(self) -> Chain {
        match self.class() {
            Class::Drift | Class::Quality => Chain::Rows,
            Class::Performance if self == Self::PerformanceDrop => Chain::Realised,
            Class::Performance => Chain::Estimated,
            Class::Service => Chain::Clock,
        }
    }

    /// On which side of its thresholds the trouble lies.
    pub fn direction(self) -> Direction {
        if self == Self::Volume { Direction::Below } else { Direction::Above }
    }

    /// Whether a chance of it without a fault is known, so that a rule can ask for significance.
    pub fn is_tested(self) -> bool {
        matches!(self.class(), Class::Drift | Class::Performance) || self == Self::NullShare
    }

    /// The measure that is written so.
    pub(super) fn named(name: &str) -> Option<Self> {
        serde_json::from_value(name.into()).ok()
    }

    /// As written everywhere.
    pub fn name(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned))
            .expect("a unit variant is a text")
    }
}

impl Rule {
    /// Whether the rule has anything to say about this model and column.
    pub fn applies(&self, model: &str, column: &str) -> bool {
        let takes = |patterns: &[String], name| patterns.is_empty() || matches_any(patterns, name);
        takes(&self.models, model) && takes(&self.columns, column)
    }

    /// Whether `value` lies at or beyond `threshold`.
    pub(super) fn beyond(&self, value: f64, threshold: f64) -> bool {
        self.measure.direction().beyond(value, threshold)
    }

    /// How many times as far as the threshold the value lies; for the order of columns in a message.
    pub(super) fn excess(&self, value: f64) -> f64 {
        let ratio = match self.measure.direction() {
            Direction::Above => value / self.threshold,
            Direction::Below => self.threshold / value,
        };
        if ratio.is_nan() { 0.0 } else { ratio }
    }

    /// Everything that is wrong with it.
    pub fn problems(&self) -> Vec<RuleProblem> {
        let mut found = Vec::new();
        let mut unless = |holds: bool, key, message: &str| {
            if !holds {
                found.push(RuleProblem { key, message: message.into() });
            }
        };
        let above = self.measure.direction() == Direction::Above;
        let further = |a: f64, b: f64| if above { a >= b } else { a <= b };
        unless(is_name(&self.name), "name", NAME_FORM);
        unless(
            self.threshold.is_finite() && self.threshold > 0.0,
            "threshold",
            "must be greater than 0",
        );
        unless(
            self.resolve.is_finite()
                && further(self.threshold, self.resolve)
                && self.resolve >= 0.0,
            "resolve",
            if above {
                "must be 0 to threshold: an alarm ends below it"
            } else {
                "must be at least threshold: an alarm ends above it"
            },
        );
        unless(
            self.critical
                .is_none_or(|critical| critical.is_finite() && further(critical, self.threshold)),
            "critical",
            "must lie beyond threshold",
        );
        unless(
            self.level.is_none_or(|level| level > 0.0 && level < 1.0),
            "level",
            "must be greater than 0 and less than 1",
        );
        unless(
            self.level.is_none() || self.measure.is_tested(),
            "significance",
            "nothing is known of its chance: only measures of drift and performance and null_share are tested; leave it out",
        );
        unless(
            (1..=MAX_WINDOWS).contains(&self.windows),
            "windows",
            &format!("must be 1 to {MAX_WINDOWS}"),
        );
        unless(
            (1..=self.windows.max(1)).contains(&self.breaches),
            "breaches",
            "must be 1 to windows",
        );
        unless(
            (1..=MAX_WINDOWS).contains(&self.clear_windows),
            "clear_windows",
            &format!("must be 1 to {MAX_WINDOWS}"),
        );
        unless(self.cool_down_ms >= 0, "cool_down", "must not be negative");
        found
    }
}

/// What [`is_name`] asks for.
pub(crate) const NAME_FORM: &str = "must be 1 to 100 letters, digits, dots, dashes and underscores";

/// Whether a rule or route may be called so: it is shown everywhere and names a thread.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

/// Whether `name` fits one of the patterns, in which `*` stands for any run of characters.
pub fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| {
        let mut pieces = pattern.split('*');
        let Some(mut rest) = name.strip_prefix(pieces.next().unwrap_or_default()) else {
            return false;
        };
        let mut pieces = pieces.peekable();
        if pieces.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                return rest.ends_with(piece);
            }
            match rest.find(piece) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        true
    })
}

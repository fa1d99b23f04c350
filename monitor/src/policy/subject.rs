//! What is judged: names, findings, windows. Texts are cleaned here, once, so that nothing behind
//! this door meets control characters or a megabyte of label.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Class;

/// Longest name kept: a column's or a model's. Longer ones keep their start and a hash of the whole.
pub const MAX_NAME_BYTES: usize = 200;

/// Longest reason kept; it is for a person.
pub const MAX_REASON_BYTES: usize = 500;

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// The model's name.
    pub model: String,
    /// Its version; empty where the finding is about all versions.
    pub version: String,
    /// Which of several models scored: stable, canary, shadow; empty for all.
    pub arm: String,
    /// Declared segment and its value; empty for all rows.
    pub segment: String,
    /// Name of the rule that judges it.
    pub rule: String,
    /// The column, metric or hop.
    pub subject: String,
}

/// All alarms of one model and class: what on-call sees as one thing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Group {
    /// The model's name.
    pub model: String,
    /// What kind of trouble.
    pub class: Class,
}

/// One number about one subject in one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about.
    pub of: Subject,
    /// The statistic, in the unit of the rule's measure. Not finite: not judged.
    pub value: f64,
    /// The q-value after Benjamini-Hochberg over the columns; `None` where no test was made.
    pub q: Option<f64>,
    /// Rows of the window behind it.
    pub rows: u64,
    /// What a person reads beside the number.
    pub reason: String,
}

/// Whose time the end of a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Time {
    /// Event time: a window that ends no later than the last one of a subject is a repeat.
    Event,
    /// This machine's clock, which may go back: only the very same end is a repeat.
    Wall,
}

/// A window and everything that was found in it.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedWindow {
    /// Start, milliseconds since 1970.
    pub start_ms: i64,
    /// End, exclusive.
    pub end_ms: i64,
    /// Whose time that is.
    pub time: Time,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Subject {
    /// What `rule` watches of a model as a whole, whatever version, arm or segment.
    #[must_use]
    pub fn of_model(model: &str, rule: &str, subject: &str) -> Self {
        Self {
            model: model.to_owned(),
            version: String::new(),
            arm: String::new(),
            segment: String::new(),
            rule: rule.to_owned(),
            subject: subject.to_owned(),
        }
    }

    /// The same subject with names that can do no harm.
    pub(super) fn cleaned(&self) -> Self {
        let name = |text: &str| clean(text, MAX_NAME_BYTES);
        Self {
            model: name(&self.model),
            version: name(&self.version),
            arm: name(&self.arm),
            segment: name(&self.segment),
            rule: name(&self.rule),
            subject: name(&self.subject),
        }
    }

    /// One text for it, unambiguous, for a primary key.
    pub fn key(&self) -> String {
        serde_json::to_string(&[
            &self.model,
            &self.version,
            &self.arm,
            &self.segment,
            &self.rule,
            &self.subject,
        ])
        .expect("texts are JSON")
    }
}

impl Group {
    /// The same for ever: deduplication keys of receivers are made of it.
    pub fn id(&self) -> String {
        hash(&["group", &self.model, self.class.name()])
    }
}

/// Sixteen hexadecimal digits of SHA-256 over the parts, each with its length before it.
pub(crate) fn hash(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// `text` on one line and at most `max_bytes` long: control characters and the marks that turn
/// text around become spaces; what is cut off is told apart by a hash of the whole.
pub fn clean(text: &str, max_bytes: usize) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let mut cleaned = String::with_capacity(text.len().min(max_bytes));
    for c in text.chars() {
        if cleaned.len() + c.len_utf8() > max_bytes {
            let mark = format!("…{}", hash(&[text]));
            while cleaned.len() + mark.len() > max_bytes {
                if cleaned.pop().is_none() {
                    break;
                }
            }
            return cleaned + &mark;
        }
        cleaned.push(if harmful(c) { ' ' } else { c });
    }
    cleaned
}

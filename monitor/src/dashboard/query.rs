//! What is asked for, within limits; what is beyond them is an error that says the limit.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::history::GroupKey;
use crate::evaluate::Reference;

/// Bytes of a value of the query.
const MOST_TEXT_BYTES: usize = 1024;
/// Windows of an answer, and how many unless told otherwise.
pub(super) const WINDOWS: (usize, usize) = (500, 96);
/// Columns of an answer, and how many unless told otherwise.
pub(super) const COLUMNS: (usize, usize) = (200, 50);
/// Alerts of an answer, and how many unless told otherwise.
pub(super) const ALERTS: (usize, usize) = (200, 50);

/// Why there is no answer; the body of an answer that is none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Problem {
    /// HTTP status.
    #[serde(skip)]
    pub status: u16,
    /// What is wrong.
    pub message: String,
    /// Which parameter, if it is one.
    pub parameter: Option<Box<str>>,
    /// What was given, cut.
    pub value: Option<Box<str>>,
    /// What would be accepted.
    pub limit: Option<Box<str>>,
    /// What to do.
    pub fix: String,
}

impl Problem {
    /// As JSON.
    pub fn body(&self) -> Value {
        json!({ "error": self })
    }

    /// A parameter that cannot be taken.
    pub(super) fn parameter(name: &str, value: &str, message: &str, limit: &str) -> Self {
        Self {
            status: 400,
            message: message.to_owned(),
            parameter: Some(shown(name).into()),
            value: Some(shown(value).into()),
            limit: Some(limit.into()),
            fix: format!("give {} as: {limit}", shown(name)),
        }
    }

    /// What is asked for is not there.
    pub fn nothing(message: &str, value: &str, fix: &str) -> Self {
        Self {
            status: 404,
            message: message.to_owned(),
            parameter: None,
            value: Some(shown(value).into()),
            limit: None,
            fix: fix.to_owned(),
        }
    }

    /// It cannot be read now.
    pub(super) fn unread(error: &dyn std::error::Error) -> Self {
        Self {
            status: 500,
            message: error.to_string(),
            parameter: None,
            value: None,
            limit: None,
            fix: "see the monitor's log; ask again in a minute".to_owned(),
        }
    }
}

impl From<batch::StoreError> for Problem {
    fn from(error: batch::StoreError) -> Self {
        Self::unread(&error)
    }
}

/// A value for a message: short, on one line.
fn shown(text: &str) -> String {
    crate::policy::clean(text, 120)
}

/// The parameters of a question, each taken once; what nobody takes is an error.
pub(super) struct Query<'a> {
    left: BTreeMap<&'a str, &'a str>,
}

impl<'a> Query<'a> {
    pub(super) fn new(pairs: &'a [(String, String)]) -> Result<Self, Problem> {
        let mut left = BTreeMap::new();
        for (name, value) in pairs {
            if value.len() > MOST_TEXT_BYTES {
                let limit = format!("at most {MOST_TEXT_BYTES} bytes");
                let message = format!("{} bytes are too long", value.len());
                return Err(Problem::parameter(name, value, &message, &limit));
            }
            if left.insert(name.as_str(), value.as_str()).is_some() {
                return Err(Problem::parameter(name, value, "given twice", "once"));
            }
        }
        Ok(Self { left })
    }

    /// To be called when everything is taken.
    pub(super) fn end(self) -> Result<(), Problem> {
        match self.left.first_key_value() {
            None => Ok(()),
            Some((name, value)) => {
                let known = "the parameters that the documentation names";
                Err(Problem::parameter(name, value, "no such parameter here", known))
            }
        }
    }

    pub(super) fn text(&mut self, name: &str) -> Option<&'a str> {
        self.left.remove(name)
    }

    pub(super) fn required(&mut self, name: &str) -> Result<&'a str, Problem> {
        self.text(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Problem::parameter(name, "", "is missing", "a name"))
    }

    /// Whose rows; a part that is left out is empty, as it is where the table has none.
    pub(super) fn group(&mut self) -> GroupKey {
        let mut own = |name| self.text(name).unwrap_or_default().to_owned();
        GroupKey { model: own("model"), version: own("version"), arm: own("arm") }
    }

    pub(super) fn reference(&mut self) -> Result<Reference, Problem> {
        match self.text("reference") {
            None | Some("training") => Ok(Reference::Training),
            Some("previous") => Ok(Reference::Previous),
            Some(other) => {
                let limit = "training or previous";
                Err(Problem::parameter("reference", other, "no such reference", limit))
            }
        }
    }

    /// A count of 1 to `most`.
    pub(super) fn count(
        &mut self,
        name: &str,
        (most, usual): (usize, usize),
    ) -> Result<usize, Problem> {
        let Some(text) = self.text(name) else { return Ok(usual) };
        text.parse()
            .ok()
            .filter(|count| (1..=most).contains(count))
            .ok_or_else(|| Problem::parameter(name, text, "out of range", &format!("1 to {most}")))
    }

    pub(super) fn offset(&mut self) -> Result<usize, Problem> {
        let Some(text) = self.text("offset") else { return Ok(0) };
        text.parse().map_err(|_| Problem::parameter("offset", text, "is no number", "0 or more"))
    }

    /// An instant in microseconds.
    pub(super) fn instant(&mut self, name: &str) -> Result<Option<i64>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let limit = "RFC 3339, as 2026-01-31T12:00:00Z";
        match text.parse::<jiff::Timestamp>() {
            Ok(instant) => Ok(Some(instant.as_microsecond())),
            Err(_) => Err(Problem::parameter(name, text, "is no instant", limit)),
        }
    }

    /// The stretch of window starts asked for, and how many windows of its end.
    pub(super) fn stretch(&mut self) -> Result<Stretch, Problem> {
        let from = self.instant("from")?.unwrap_or(i64::MIN);
        let upto = self.instant("to")?.unwrap_or(i64::MAX);
        if from >= upto {
            return Err(Problem::parameter("from", "", "is not before to", "an earlier instant"));
        }
        Ok(Stretch { from, upto, most: self.count("windows", WINDOWS)? })
    }
}

/// Windows that start in `from..upto`, the last `most` of them.
pub(super) struct Stretch {
    pub(super) from: i64,
    pub(super) upto: i64,
    pub(super) most: usize,
}

/// An instant as the answers hold it.
pub(super) fn instant(micros: i64) -> Value {
    jiff::Timestamp::from_microsecond(micros)
        .map_or(Value::Null, |instant| Value::from(instant.to_string()))
}

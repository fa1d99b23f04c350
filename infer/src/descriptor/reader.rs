//! Takes keys out of a TOML table one by one and notes every value that is not what was asked for.
//!
//! A key nobody took is unknown: the set of accepted keys is what was asked for.

use toml::{Table, Value};

use super::Problem;

/// A table being read; [`Reader::finish`] reports what is left in it.
pub(super) struct Reader<'p> {
    place: String,
    table: Table,
    asked: Vec<&'static str>,
    problems: &'p mut Vec<Problem>,
}

impl<'p> Reader<'p> {
    pub(super) fn new(
        place: impl Into<String>,
        table: Table,
        problems: &'p mut Vec<Problem>,
    ) -> Self {
        Self { place: place.into(), table, asked: Vec::new(), problems }
    }

    /// Adds the entry's name to its place: `inputs[0] "X"`.
    pub(super) fn name_entry(&mut self, name: Option<&str>) {
        if let Some(name) = name {
            self.place = format!("{} {name:?}", self.place);
        }
    }

    pub(super) fn say(&mut self, key: &str, message: impl Into<String>) {
        let place =
            if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) };
        self.problems.push(Problem::new(place, message));
    }

    /// The value of `key` where `read` accepts it.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        accepted: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        self.asked.push(key);
        let value = self.table.remove(key)?;
        let read = read(&value);
        if read.is_none() {
            self.say(key, format!("{value} was found: {accepted} is accepted"));
        }
        read
    }

    /// As [`Reader::optional`]; a missing key is a problem.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        accepted: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        if !self.table.contains_key(key) {
            self.asked.push(key);
            self.say(key, format!("is missing: {accepted} is accepted"));
            return None;
        }
        self.optional(key, accepted, read)
    }

    /// A text; empty where it is missing.
    pub(super) fn text(&mut self, key: &'static str) -> String {
        self.optional(key, "a string", text).unwrap_or_default()
    }

    /// A list of texts; empty where it is missing.
    pub(super) fn texts(&mut self, key: &'static str) -> Vec<String> {
        let read = |value: &Value| value.as_array()?.iter().map(text).collect();
        self.optional(key, "an array of strings", read).unwrap_or_default()
    }

    /// A table; empty where it is missing.
    pub(super) fn table(&mut self, key: &'static str) -> Table {
        self.optional(key, "a table", |value| value.as_table().cloned()).unwrap_or_default()
    }

    /// An array of tables; empty where it is missing.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Table> {
        let read =
            |value: &Value| value.as_array()?.iter().map(|item| item.as_table().cloned()).collect();
        self.optional(key, "an array of tables ([[...]])", read).unwrap_or_default()
    }

    /// Reads a table that lies under `place` in this one.
    pub(super) fn inside(&mut self, place: &str, table: Table) -> Reader<'_> {
        let place = if self.place.is_empty() {
            place.to_owned()
        } else {
            format!("{}.{place}", self.place)
        };
        Reader::new(place, table, self.problems)
    }

    /// Reads one entry of an array of tables under the place `key[index]`.
    pub(super) fn nested(&mut self, key: &str, index: usize, table: Table) -> Reader<'_> {
        self.inside(&format!("{key}[{index}]"), table)
    }

    /// Reports the keys nobody asked for.
    pub(super) fn finish(mut self) {
        let accepted = self.asked.join(", ");
        for (key, _) in std::mem::take(&mut self.table) {
            self.say(&key, format!("`{key}` is not a key here: {accepted} are accepted"));
        }
    }
}

pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

pub(super) fn number(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|integer| integer as f64))
}

/// A positive integer that counts something.
pub(super) fn count(value: &Value) -> Option<usize> {
    value.as_integer().and_then(|integer| usize::try_from(integer).ok())
}

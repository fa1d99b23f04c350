//! What was seen of one member over all samples, and the field that follows.

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;

use crate::decode::rfc3339_micros;
use crate::{Category, EpochUnit, Field, FieldType, MAX_FIXED_LIST, NumberType, TimestampForms};

/// Distinct strings that still are categories.
const MAX_CATEGORIES: usize = 32;

/// Each category was seen this often on average, or the strings are just few.
const MIN_REPEATS: usize = 4;

/// Events that must have distinct identifiers before one is taken for the key.
const MIN_KEYS: usize = 20;

/// What was seen of one member.
#[derive(Default)]
pub(super) struct Observed {
    seen: usize,
    nulls: usize,
    bools: usize,
    objects: usize,
    numbers: Numbers,
    numbers_seen: usize,
    strings: usize,
    instants: usize,
    /// Up to one more than [`MAX_CATEGORIES`].
    distinct: BTreeSet<String>,
    /// Strings and integers; empty from the first repetition on.
    unique: HashSet<String>,
    repeated: bool,
    lists: usize,
    items: Numbers,
    /// Shortest and longest list.
    lengths: Option<(usize, usize)>,
}

/// Smallest, largest and kind of the numbers seen.
#[derive(Default)]
struct Numbers {
    range: Option<(f64, f64)>,
    fractions: bool,
    above_int64: bool,
    negative: bool,
}

impl Observed {
    pub(super) fn add(&mut self, value: &Value) {
        self.seen += 1;
        if !self.repeated && (value.is_string() || value.is_i64() || value.is_u64()) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.repeated = !self.unique.insert(text);
            if self.repeated {
                self.unique = HashSet::new();
            }
        }
        match value {
            Value::Null => self.nulls += 1,
            Value::Bool(_) => self.bools += 1,
            Value::Number(number) => {
                self.numbers_seen += 1;
                self.numbers.add(number);
            }
            Value::String(text) => {
                self.strings += 1;
                self.instants += usize::from(rfc3339_micros(text.as_bytes()).is_some());
                if self.distinct.len() <= MAX_CATEGORIES && !self.distinct.contains(text) {
                    self.distinct.insert(text.clone());
                }
            }
            Value::Array(items) if items.iter().all(Value::is_number) => {
                self.lists += 1;
                items.iter().filter_map(Value::as_number).for_each(|item| self.items.add(item));
                let (short, long) = self.lengths.unwrap_or((items.len(), items.len()));
                self.lengths = Some((short.min(items.len()), long.max(items.len())));
            }
            Value::Array(_) | Value::Object(_) => self.objects += 1,
        }
    }

    /// The field that would have accepted all of it in `events` events, or why there is none.
    pub(super) fn field(&self, name: &str, events: usize) -> Result<Field, String> {
        let values = self.seen - self.nulls;
        let all = |count: usize| count == values;
        let kind = if values == 0 {
            return Err("only null was seen".into());
        } else if self.objects > 0 {
            return Err("objects and lists of anything but numbers are carried, not decoded".into());
        } else if all(self.bools) {
            FieldType::Bool
        } else if all(self.numbers_seen) {
            self.epoch(name).unwrap_or(FieldType::Number(self.numbers.kind()))
        } else if all(self.instants) {
            FieldType::Timestamp(TimestampForms::RFC3339)
        } else if all(self.strings) {
            FieldType::String
        } else if all(self.lists) {
            match self.lengths {
                Some((short, long))
                    if short == long && (1..=MAX_FIXED_LIST).contains(&long) && values > 1 =>
                {
                    FieldType::FixedList(self.items.kind(), long as u32)
                }
                _ => FieldType::List(self.items.kind()),
            }
        } else {
            return Err("values of different kinds were seen".into());
        };
        let categorical = kind == FieldType::String
            && self.distinct.len() <= MAX_CATEGORIES
            && self.distinct.len() * MIN_REPEATS <= values;
        let mut field = Field::new(name, kind);
        field.nullable = self.nulls > 0 || self.seen < events;
        field.range = match kind {
            // The next one lies beyond it.
            FieldType::Number(_) if names_something(name) => None,
            FieldType::Number(_) => self.numbers.range,
            FieldType::List(_) | FieldType::FixedList(..) => self.items.range,
            FieldType::Bool | FieldType::String | FieldType::Bytes | FieldType::Timestamp(_) => {
                None
            }
        };
        if categorical {
            field.categories = self.distinct.iter().cloned().map(Category::Text).collect();
        }
        Ok(field)
    }

    /// Whether it is named like an identifier, and each of `events` events had one of its own.
    pub(super) fn is_key(&self, name: &str, events: usize) -> bool {
        names_something(name) && events >= MIN_KEYS && self.unique.len() == events
    }

    /// Integers of a member that is named like a time and whose values lie in 2001 to 2100.
    fn epoch(&self, name: &str) -> Option<FieldType> {
        let name = name.to_ascii_lowercase();
        let named = ["time", "date", "timestamp", "ts", "at"].iter().any(|word| {
            name == *word
                || name.ends_with(&format!("_{word}"))
                || name.starts_with(&format!("{word}_"))
        });
        let (low, high) = self.numbers.range.filter(|_| named && !self.numbers.fractions)?;
        let units = [EpochUnit::Seconds, EpochUnit::Millis, EpochUnit::Micros];
        let unit = units.into_iter().find(|unit| {
            let per_second = (1_000_000 / unit.micros()) as f64;
            low >= 1e9 * per_second && high <= 4.1e9 * per_second
        })?;
        Some(FieldType::Timestamp(TimestampForms { rfc3339: false, epoch: Some(unit) }))
    }
}

/// Whether a member's name is that of an identifier: `id`, `flight_id`, `orderId`, `uuid`.
fn names_something(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["id", "key", "uuid", "guid"].iter().any(|word| {
        lower == *word
            || lower.ends_with(&format!("_{word}"))
            || name.ends_with(&format!("{}{}", word[..1].to_uppercase(), &word[1..]))
    })
}

impl Numbers {
    fn add(&mut self, number: &serde_json::Number) {
        self.fractions |= number.is_f64();
        self.above_int64 |= number.is_u64() && !number.is_i64();
        let Some(value) = number.as_f64() else { return };
        self.negative |= value < 0.0;
        let (low, high) = self.range.unwrap_or((value, value));
        self.range = Some((low.min(value), high.max(value)));
    }

    fn kind(&self) -> NumberType {
        match (self.fractions, self.above_int64, self.negative) {
            (false, false, _) if self.range.is_some() => NumberType::Int64,
            (false, true, false) => NumberType::UInt64,
            _ => NumberType::Float64,
        }
    }
}

//! Rows of the join, counted by model version and arm.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use batch::StoreError;

use crate::performance::{Confusion, Errors, Estimate, Scores};

/// Versions and arms that are told apart in a window; further ones are one group, `<other>`. Each
/// holds two rankings of scores, 8 MB at most.
pub const MAX_GROUPS: usize = 32;

/// Name of the group of those beyond the limit.
const OTHER: &str = "<other>";

/// What the model answers, and what its answers and labels are called.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A class.
    Class {
        /// Column of the results with the class; none: the score decides.
        column: Option<String>,
        /// Probability of a class.
        score: Option<Score>,
        /// Names of the classes in the model's order; may be empty.
        classes: Vec<String>,
    },
    /// A number.
    Number {
        /// Column of the results.
        column: String,
    },
}

/// The probability of a class.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Column of the results.
    pub column: String,
    /// The class.
    pub class: String,
    /// From here on it is the answer, where the model names none.
    pub threshold: f64,
}

/// Whose rows: model, version, arm.
pub(super) type GroupKey = [Option<String>; 3];

/// What was counted of one group.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) rows: u64,
    pub(super) labelled: u64,
    /// Labelled rows of which no answer can be compared.
    pub(super) invalid: u64,
    pub(super) confusion: Confusion,
    pub(super) scores: Scores,
    pub(super) estimate: Estimate,
    pub(super) errors: Errors,
}

/// All groups of a window.
pub(super) struct Tallies<'a> {
    answer: &'a Answer,
    groups: BTreeMap<GroupKey, Tally>,
}

impl Answer {
    /// Column with what was answered.
    pub(super) fn column(&self) -> Option<&str> {
        match self {
            Self::Class { column, .. } => column.as_deref(),
            Self::Number { column } => Some(column),
        }
    }

    /// Column with the score.
    pub(super) fn score_column(&self) -> Option<&str> {
        self.score().map(|score| score.column.as_str())
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Number { .. })
    }

    pub(super) fn has_score(&self) -> bool {
        self.score().is_some()
    }

    fn score(&self) -> Option<&Score> {
        match self {
            Self::Class { score, .. } => score.as_ref(),
            Self::Number { .. } => None,
        }
    }

    fn classes(&self) -> &[String] {
        match self {
            Self::Class { classes, .. } => classes,
            Self::Number { .. } => &[],
        }
    }

    /// The class that precision and recall are of: the score's, else the second of two.
    pub(super) fn positive(&self) -> Option<&str> {
        match (self.score(), self.classes()) {
            (Some(score), _) => Some(&score.class),
            (None, [_, second]) => Some(second),
            (None, _) => None,
        }
    }

    /// The class that a label names: itself, or, where it is none of the names, the class at that
    /// place (`false` is 0, `true` 1).
    fn class_of(&self, label: &str, number: Option<f64>) -> String {
        let classes = self.classes();
        if classes.iter().any(|class| class == label) {
            return label.to_owned();
        }
        let place = match label {
            "false" => Some(0.0),
            "true" => Some(1.0),
            _ => number.filter(|number| number.fract() == 0.0),
        };
        let Some(place) = place else { return label.to_owned() };
        let at = (place >= 0.0).then_some(place as usize);
        match at.and_then(|at| classes.get(at)) {
            Some(class) => class.clone(),
            None if classes.is_empty() => format!("{place}"),
            None => label.to_owned(),
        }
    }

    /// The class that was answered.
    fn answered(&self, answer: Option<&str>, score: Option<f64>) -> Option<String> {
        if let Some(answer) = answer {
            return Some(self.class_of(answer, answer.parse().ok()));
        }
        let (of, score) = (self.score()?, score?);
        if score >= of.threshold {
            return Some(of.class.clone());
        }
        let other = self.classes().iter().find(|class| **class != of.class);
        Some(other.map_or_else(|| format!("not {}", of.class), Clone::clone))
    }
}

impl<'a> Tallies<'a> {
    pub(super) fn new(answer: &'a Answer) -> Self {
        Self { answer, groups: BTreeMap::new() }
    }

    /// Counts a batch of the join's answer.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let text = |name: &str| -> Result<StringArray, StoreError> {
            let column = cast(&batch[name], &DataType::Utf8).map_err(unreadable)?;
            Ok(column.as_string::<i32>().clone())
        };
        let number = |name: &str| -> Result<Float64Array, StoreError> {
            let column = cast(&batch[name], &DataType::Float64).map_err(unreadable)?;
            Ok(column.as_primitive::<Float64Type>().clone())
        };
        let names = [text("model")?, text("version")?, text("arm")?];
        let (scores, label_numbers) = (number("score")?, number("label_number")?);
        let (labels, answers) = (text("label")?, text("answer")?);
        let answered_numbers = if self.answer.is_number() { Some(number("answer")?) } else { None };
        for row in 0..batch.num_rows() {
            let at =
                |column: &StringArray| column.is_valid(row).then(|| column.value(row).to_owned());
            let float = |column: &Float64Array| column.is_valid(row).then(|| column.value(row));
            let tally = group(&mut self.groups, [at(&names[0]), at(&names[1]), at(&names[2])]);
            tally.rows += 1;
            let label = labels.is_valid(row).then(|| labels.value(row));
            let label_number = float(&label_numbers);
            tally.labelled += u64::from(label.is_some());
            match &answered_numbers {
                Some(numbers) => {
                    if label.is_some() {
                        match (label_number, float(numbers)) {
                            (Some(right), Some(answered)) => tally.errors.add(right, answered),
                            _ => tally.invalid += 1,
                        }
                    }
                }
                None => {
                    let answer = answers.is_valid(row).then(|| answers.value(row));
                    let right = label.map(|label| self.answer.class_of(label, label_number));
                    tally.class(self.answer, answer, float(&scores), right.as_deref());
                }
            }
        }
        Ok(())
    }

    pub(super) fn into_groups(self) -> BTreeMap<GroupKey, Tally> {
        self.groups
    }
}

impl Tally {
    fn class(
        &mut self,
        of: &Answer,
        answer: Option<&str>,
        score: Option<f64>,
        right: Option<&str>,
    ) {
        let answered = of.answered(answer, score);
        if let (Some(of), Some(score)) = (of.score(), score) {
            self.estimate.add(score, answered.as_deref() == Some(of.class.as_str()), None);
            if let Some(right) = right {
                self.scores.add(score, right == of.class);
            }
        }
        match (right, answered) {
            (Some(right), Some(answered)) => self.confusion.add(right, &answered),
            (Some(_), None) => self.invalid += 1,
            (None, _) => {}
        }
    }
}

fn group(groups: &mut BTreeMap<GroupKey, Tally>, key: GroupKey) -> &mut Tally {
    let key = if groups.len() < MAX_GROUPS || groups.contains_key(&key) {
        key
    } else {
        [None, Some(OTHER.into()), None]
    };
    groups.entry(key).or_default()
}

fn unreadable(error: arrow::error::ArrowError) -> StoreError {
    StoreError::Query(format!("a column of the join cannot be read: {error}"))
}

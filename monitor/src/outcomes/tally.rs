//! Rows of the join, counted by model version and arm.

use std::collections::BTreeMap;

use super::calibrations::Calibrations;
use crate::performance::{Calibration, Confusion, Errors, Estimate, Scores};

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
        /// Names of the classes in the order of the output that the class is read from; the score's is
        /// one of them. May be empty.
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
pub(super) struct Tally<'a> {
    /// What its scores are worth, as far as that is known.
    pub(super) calibration: Option<&'a Calibration>,
    pub(super) rows: u64,
    pub(super) labelled: u64,
    /// Rows with a label that came after its time-to-live.
    pub(super) too_late: u64,
    /// Labelled rows of which no answer can be compared.
    pub(super) invalid: u64,
    pub(super) confusion: Confusion,
    pub(super) scores: Scores,
    pub(super) estimate: Estimate,
    pub(super) errors: Errors,
}

/// What was answered of an event.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Answered<'a> {
    /// A class.
    pub(super) text: Option<&'a str>,
    /// A number.
    pub(super) number: Option<f64>,
    /// The probability of a class.
    pub(super) score: Option<f64>,
}

/// What turned out to be true of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Right<'a> {
    pub(super) text: &'a str,
    /// The same as a number, where it is one.
    pub(super) number: Option<f64>,
}

/// All groups of a window.
pub(super) struct Tallies<'a> {
    answer: &'a Answer,
    calibrations: &'a Calibrations,
    places: BTreeMap<GroupKey, u32>,
    tallies: Vec<Tally<'a>>,
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
        Some(self.other(of))
    }

    /// What is answered where the score is not enough for its class.
    fn other(&self, of: &Score) -> String {
        match self.classes() {
            [one, other] | [other, one] if *one == of.class => other.clone(),
            _ => format!("not {}", of.class),
        }
    }

    /// The class that is right. Where a score alone decides, all that are not its class are one.
    fn right(&self, label: &str, number: Option<f64>) -> String {
        let class = self.class_of(label, number);
        match self {
            Self::Class { column: None, score: Some(of), classes }
                if classes.len() != 2 && class != of.class =>
            {
                self.other(of)
            }
            Self::Class { .. } | Self::Number { .. } => class,
        }
    }
}

impl<'a> Tallies<'a> {
    pub(super) fn new(answer: &'a Answer, calibrations: &'a Calibrations) -> Self {
        Self { answer, calibrations, places: BTreeMap::new(), tallies: Vec::new() }
    }

    /// The place of a group; those beyond the limit share one.
    pub(super) fn place(&mut self, key: GroupKey) -> u32 {
        let is_known = self.places.len() < MAX_GROUPS || self.places.contains_key(&key);
        let key = if is_known { key } else { [None, Some(OTHER.into()), None] };
        *self.places.entry(key).or_insert_with_key(|key| {
            let calibration = self.calibrations.of(key);
            self.tallies.push(Tally { calibration, ..Tally::default() });
            (self.tallies.len() - 1) as u32
        })
    }

    /// Counts a row of the group at `place`.
    pub(super) fn add(&mut self, place: u32, answered: Answered<'_>, right: Option<Right<'_>>) {
        let tally = &mut self.tallies[place as usize];
        tally.rows += 1;
        tally.labelled += u64::from(right.is_some());
        if !self.answer.is_number() {
            let right = right.map(|right| self.answer.right(right.text, right.number));
            return tally.class(self.answer, answered.text, answered.score, right.as_deref());
        }
        if let Some(right) = right {
            match (right.number, answered.number) {
                (Some(right), Some(answered)) => tally.errors.add(right, answered),
                _ => tally.invalid += 1,
            }
        }
    }

    /// Counts a row of the group at `place`, and whether it has a label that came too late.
    pub(super) fn add_late(&mut self, place: u32, is_too_late: bool) {
        let tally = &mut self.tallies[place as usize];
        tally.rows += 1;
        tally.too_late += u64::from(is_too_late);
    }

    pub(super) fn into_groups(self) -> BTreeMap<GroupKey, Tally<'a>> {
        let mut tallies: Vec<_> = self.tallies.into_iter().map(Some).collect();
        let places = self.places.into_iter();
        places
            .map(|(key, place)| {
                (key, tallies[place as usize].take().expect("a place is of one group"))
            })
            .collect()
    }
}

impl Tally<'_> {
    fn class(
        &mut self,
        of: &Answer,
        answer: Option<&str>,
        score: Option<f64>,
        right: Option<&str>,
    ) {
        let answered = of.answered(answer, score);
        if let (Some(of), Some(score)) = (of.score(), score) {
            let is_of_class = answered.as_deref() == Some(of.class.as_str());
            self.estimate.add(score, is_of_class, self.calibration);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(column: bool, score: &str, classes: &[&str]) -> Answer {
        let (class, threshold) = (score.to_owned(), 0.5);
        Answer::Class {
            column: column.then(|| "answer".into()),
            score: Some(Score { column: "score".into(), class, threshold }),
            classes: classes.iter().map(|&class| class.to_owned()).collect(),
        }
    }

    #[test]
    fn a_model_that_is_right_is_right_whatever_its_outputs_are_called() {
        let (names, turned) = (&["on_time", "late"], &["late", "on_time"]);
        let named = [("on_time", "on_time"), ("late", "late"), ("late", "late")];
        for (of, answers, scores) in [
            // The score is of the first class.
            (answer(true, "on_time", names), named, [0.9, 0.2, 0.1]),
            // The answer is an index into the score's names.
            (
                answer(true, "late", names),
                [("0", "on_time"), ("1", "late"), ("1", "late")],
                [0.1, 0.8, 0.9],
            ),
            // The label is a place among the names of the output that the class is read from.
            (
                answer(true, "late", turned),
                [("on_time", "1"), ("late", "0"), ("late", "false")],
                [0.1, 0.8, 0.9],
            ),
            (answer(true, "on_time", turned), named, [0.9, 0.2, 0.1]),
            // The score alone decides, between two, many or unnamed classes.
            (answer(false, "on_time", names), named, [0.9, 0.2, 0.1]),
            (
                answer(false, "late", &["a", "b", "late"]),
                [("", "b"), ("", "a"), ("", "late")],
                [0.1, 0.2, 0.9],
            ),
            (answer(false, "1", &[]), [("", "0"), ("", "true"), ("", "1")], [0.1, 0.8, 0.9]),
        ] {
            let calibrations = Calibrations::default();
            let mut tallies = Tallies::new(&of, &calibrations);
            let place = tallies.place([None, None, None]);
            for ((said, label), score) in answers.into_iter().zip(scores) {
                let text = of.column().map(|_| said);
                let answered = Answered { text, number: None, score: Some(score) };
                let right = Right { text: label, number: label.parse().ok() };
                tallies.add(place, answered, Some(right));
            }
            let groups = tallies.into_groups();
            let tally = groups.values().next().unwrap();
            let figures = (tally.confusion.accuracy(), tally.scores.auc().map(|auc| auc.value));
            assert_eq!(figures, (Some(1.0), Some(1.0)), "{of:?}");
        }
    }
}

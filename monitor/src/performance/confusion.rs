//! Which class was answered where which one was right.

use std::collections::BTreeMap;

/// Classes of which each is counted: a matrix of so many is 80 kB. With more, only the accuracy is
/// known: which ones to leave out would depend on the order in which they come.
pub const MAX_CLASSES: usize = 100;

/// Rows by the class that was right and the one that was answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Confusion {
    rows: u64,
    correct: u64,
    /// Rows by right, then answered; empty once there were too many classes.
    cells: BTreeMap<String, BTreeMap<String, u64>>,
    overflown: bool,
}

/// A class against all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OfClass {
    /// Of this class, and so answered.
    pub true_positive: u64,
    /// Of another class, and answered as this one.
    pub false_positive: u64,
    /// Of this class, and answered as another.
    pub false_negative: u64,
    /// Neither.
    pub true_negative: u64,
}

impl Confusion {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a row.
    pub fn add(&mut self, right: &str, answered: &str) {
        self.rows += 1;
        self.correct += u64::from(right == answered);
        self.count(right, answered, 1);
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.correct += other.correct;
        if other.overflown {
            self.overflow();
        }
        for (right, answered, rows) in other.cells() {
            self.count(right, answered, rows);
        }
    }

    fn count(&mut self, right: &str, answered: &str, rows: u64) {
        if self.overflown {
            return;
        }
        // Looked for as borrowed text: all but the first row of a cell allocate nothing.
        if let Some(count) = self.cells.get_mut(right).and_then(|row| row.get_mut(answered)) {
            *count += rows;
            return;
        }
        self.cells.entry(right.to_owned()).or_default().insert(answered.to_owned(), rows);
        if self.classes().len() > MAX_CLASSES {
            self.overflow();
        }
    }

    fn overflow(&mut self) {
        self.overflown = true;
        self.cells.clear();
    }

    /// Rows counted.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether there were more classes than are told apart.
    #[must_use]
    pub fn has_too_many_classes(&self) -> bool {
        self.overflown
    }

    /// Share of rows that were answered right.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        share(self.correct, self.rows)
    }

    /// Classes that were right or answered, in order; empty where there were too many.
    #[must_use]
    pub fn classes(&self) -> Vec<&str> {
        let mut classes: Vec<&str> =
            self.cells().flat_map(|(right, answered, _)| [right, answered]).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// Rows by (right, answered), those that are not 0, in order; empty where there were too many.
    pub fn cells(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.cells.iter().flat_map(|(right, row)| {
            row.iter().map(move |(answered, rows)| (right.as_str(), answered.as_str(), *rows))
        })
    }

    /// One class against all others; `None` where there were too many classes to know.
    #[must_use]
    pub fn of(&self, class: &str) -> Option<OfClass> {
        if self.overflown {
            return None;
        }
        let mut of = OfClass::default();
        for (right, answered, rows) in self.cells() {
            let cell = match (right == class, answered == class) {
                (true, true) => &mut of.true_positive,
                (false, true) => &mut of.false_positive,
                (true, false) => &mut of.false_negative,
                (false, false) => &mut of.true_negative,
            };
            *cell += rows;
        }
        Some(of)
    }

    /// Precision, recall and F1, each the plain mean over [`Confusion::classes`], where a class
    /// without an answer of its own counts as 0. `None` without rows, or with too many classes.
    #[must_use]
    pub fn macro_means(&self) -> Option<[f64; 3]> {
        let classes = self.classes();
        let each = classes.iter().filter_map(|class| self.of(class));
        let sums = each.fold([0.0; 3], |sums, of| {
            let [precision, recall, f1] = [of.precision(), of.recall(), of.f1()];
            let add = |sum: f64, value: Option<f64>| sum + value.unwrap_or(0.0);
            [add(sums[0], precision), add(sums[1], recall), add(sums[2], f1)]
        });
        (!classes.is_empty()).then(|| sums.map(|sum| sum / classes.len() as f64))
    }

    /// Standard errors of [`Confusion::macro_means`] from above: those of the classes added up, as if all erred
    /// together. Each class counts one more success and one more failure (Laplace's rule), so that the
    /// few rows of a rare one are not taken for certain.
    #[must_use]
    pub fn macro_errors(&self) -> Option<[f64; 3]> {
        let classes = self.classes();
        let each = classes.iter().filter_map(|class| self.of(class));
        let sums = each.fold([0.0; 3], |sums, of| {
            let (found, false_positive) = (of.true_positive, of.false_positive);
            let (_, precision) = smoothed(found, found + false_positive);
            let (_, recall) = smoothed(found, found + of.false_negative);
            // F1 is 2J / (1 + J).
            let (j, error) = smoothed(found, found + false_positive + of.false_negative);
            let f1 = error * 2.0 / (1.0 + j).powi(2);
            [sums[0] + precision, sums[1] + recall, sums[2] + f1]
        });
        (!classes.is_empty()).then(|| sums.map(|sum| sum / classes.len() as f64))
    }
}

impl OfClass {
    /// Share of the answers that were right.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        share(self.true_positive, self.true_positive + self.false_positive)
    }

    /// Share of the class that was found.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        share(self.true_positive, self.true_positive + self.false_negative)
    }

    /// Harmonic mean of precision and recall; 0 when nothing was found.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        let found = 2 * self.true_positive;
        share(found, found + self.false_positive + self.false_negative)
    }
}

/// A share with one more success and one more failure, and its standard error.
fn smoothed(part: u64, whole: u64) -> (f64, f64) {
    let (part, whole) = (part as f64 + 1.0, whole as f64 + 2.0);
    let share = part / whole;
    (share, (share * (1.0 - share) / whole).sqrt())
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

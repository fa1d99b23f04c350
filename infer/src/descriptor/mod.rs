//! The descriptor `model.toml`: what a model is, what it is fed and what its outputs are called.
//!
//! Everything needed to know a model's output columns is here, so that no one has to load ONNX for
//! a schema. Every problem of a text is reported at once; unknown keys are problems.

mod parse;
mod reader;
mod validate;
mod write;

use std::collections::BTreeMap;
use std::fmt;

use arrow::datatypes::{DataType, Field};

use crate::ElementType;

/// Rows a descriptor may allow in one call: a limit against a slip, far above useful batches.
pub const MAX_BATCH_ROWS: usize = 1_000_000;

/// What a model is, is fed and answers. `format`, which is always `onnx`, is not kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptor {
    /// What the model is for.
    pub purpose: String,
    /// Who answers for it.
    pub owner: String,
    /// Licence of the weights.
    pub licence: String,
    /// What trained it, with version.
    pub framework: String,
    /// What it was trained on.
    pub training_data: String,
    /// Figures of its evaluation by name.
    pub metrics: BTreeMap<String, f64>,
    /// SHA-256 of `model.onnx`, 64 hexadecimal digits.
    pub sha256: String,
    /// Version of the default operator set.
    pub opset: i64,
    /// Most rows in one model call; larger batches are split.
    pub max_batch_rows: usize,
    /// Whether an answer may depend on the other rows of its batch.
    pub allow_batch_dependence: bool,
    /// What golden rows must hold.
    pub golden: GoldenRule,
    /// Tensors that are fed, with the features in them.
    pub inputs: Vec<Input>,
    /// Columns that are made of the model's outputs, in order.
    pub outputs: Vec<Output>,
}

/// What golden rows must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GoldenRule {
    /// Largest error of a number: absolute below 1, relative above.
    pub tolerance: f64,
    /// Largest share of rows whose label differs.
    pub flip_rate: f64,
}

impl Default for GoldenRule {
    /// Single precision after a few layers; no label may differ.
    fn default() -> Self {
        Self { tolerance: 1e-4, flip_rate: 0.0 }
    }
}

/// A tensor and the features it is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Name of the tensor.
    pub tensor: String,
    /// Type of its elements.
    pub dtype: ElementType,
    /// Its shape: rows first (−1, or a fixed batch), then what one row holds (−1: any number).
    pub shape: Vec<i64>,
    /// Contract fields, in the order in which they lie in a row.
    pub features: Vec<String>,
    /// What becomes of nulls, for every feature without a rule of its own.
    pub null: Option<NullRule>,
    /// Rules of single features.
    pub nulls: BTreeMap<String, NullRule>,
    /// Text features that become numbers.
    pub categories: Vec<CategoryCoding>,
}

/// What becomes of a null.
#[derive(Clone, Debug, PartialEq)]
pub enum NullRule {
    /// The record is a dead letter.
    Reject,
    /// Not-a-number, in a float tensor.
    Nan,
    /// This value; in a coded feature the category.
    Value(Literal),
}

/// A value written in a descriptor.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Literal {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

/// How a text feature becomes numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct CategoryCoding {
    /// The feature.
    pub feature: String,
    /// Known values, in the order of their codes.
    pub values: Vec<String>,
    /// What a value becomes.
    pub coding: Coding,
    /// What becomes of any other value.
    pub unknown: UnknownCategory,
}

/// What a category becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Its place among the values, from 0.
    Index,
    /// As many numbers as there are values: 1 at its place, 0 elsewhere.
    OneHot,
}

/// What becomes of a value that is not among the categories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownCategory {
    /// The record is a dead letter.
    Reject,
    /// Index −1, or zeros everywhere: what scikit-learn's encoders make of it.
    Ignore,
}

/// A column made of an output of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Name in the output record and of the column.
    pub name: String,
    /// Name of the tensor (or of the sequence of maps).
    pub tensor: String,
    /// Type of its elements.
    pub dtype: ElementType,
    /// What is made of it.
    pub kind: OutputKind,
    /// Place in the row, where a row holds several values.
    pub index: Option<usize>,
    /// Class whose probability is wanted, instead of `index`.
    pub class: Option<String>,
    /// Class names, in the order of the tensor.
    pub classes: Vec<String>,
    /// Least probability of the second of two classes for its name to be the label.
    pub threshold: Option<f64>,
}

/// What is made of a row of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// One value as it is.
    Value,
    /// One probability.
    Probability,
    /// A class: the label the model names, or the class that its probabilities decide for; null where
    /// one of them is NaN.
    Label,
    /// All values of the row.
    List,
}

/// One thing wrong: where it is written, what was found and what would be accepted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Place in the file, such as `inputs[0] "X".shape`.
    pub place: String,
    /// What was found and what is accepted.
    pub message: String,
}

/// Everything that is wrong, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Descriptor {
    /// Reads a descriptor; every problem of the text is reported at once.
    pub fn from_toml(text: &str) -> Result<Self, Problems> {
        parse::parse(text)
    }

    /// The descriptor as TOML that [`Descriptor::from_toml`] reads back to the same descriptor.
    #[must_use]
    pub fn to_toml(&self) -> String {
        write::to_toml(self)
    }
}

impl Input {
    /// The null rule of a feature.
    #[must_use]
    pub fn null_rule(&self, feature: &str) -> Option<&NullRule> {
        self.nulls.get(feature).or(self.null.as_ref())
    }

    /// The coding of a feature.
    #[must_use]
    pub fn coding(&self, feature: &str) -> Option<&CategoryCoding> {
        self.categories.iter().find(|coding| coding.feature == feature)
    }
}

impl Output {
    /// The output's column. Null is only a label that [decides](Self::decides), where a score is NaN.
    #[must_use]
    pub fn arrow_field(&self) -> Field {
        let plain = self.dtype.output_type();
        let data_type = match self.kind {
            OutputKind::Value | OutputKind::Probability => plain,
            OutputKind::Label if self.classes.is_empty() => plain,
            OutputKind::Label => DataType::Utf8,
            OutputKind::List => DataType::new_list(plain, false),
        };
        Field::new(&self.name, data_type, self.decides())
    }

    /// Whether the label is decided here, from probabilities, and not by the model.
    #[must_use]
    pub fn decides(&self) -> bool {
        self.kind == OutputKind::Label && self.dtype.is_float()
    }
}

/// Declares the words an enum is written with, once for reading, writing and messages.
macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),+ }) => {
        impl $type {
            const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word for it in a descriptor.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// What the word stands for.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words!(OutputKind { Value = "value", Probability = "probability", Label = "label", List = "list" });
words!(Coding { Index = "index", OneHot = "one_hot" });
words!(UnknownCategory { Reject = "reject", Ignore = "ignore" });

impl Problem {
    pub(crate) fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.message)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        out.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests;

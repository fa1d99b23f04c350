//! What counts are made with: a profile, the length of a pane, the segments, the documented ranges.
//!
//! Their id goes into every count file's footer: counts made otherwise are never summed with these.

use std::fmt::Write as _;
use std::sync::Arc;

use schemas::{Contract, Field, Sensitive, column_of_field};
use sha2::{Digest, Sha256};

use crate::profile::{CategoricalShape, Profile, Shape};
use crate::stats::Binner;

/// Values of a segment column that are groups of their own; the reference's most frequent ones.
pub const MAX_SEGMENT_VALUES: usize = 32;

/// Segment columns at most.
const MAX_SEGMENTS: usize = 8;

/// Version of what a count means; part of the id.
const FORMAT: u32 = 1;

/// See the module.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The reference.
    pub profile: Arc<Profile>,
    /// Its id.
    pub profile_id: String,
    /// Length of a pane.
    pub pane_seconds: u32,
    /// Columns whose values are groups of their own, beside the whole.
    pub segments: Vec<Segment>,
    /// What is counted.
    pub columns: Vec<CountedColumn>,
    /// Columns of the profile that are not counted, and fields of the contract that it does not have, and why.
    pub skipped: Vec<Skipped>,
    /// Hash of all of it.
    pub id: String,
}

/// A column whose values are groups of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its name in the profile.
    pub name: String,
    /// Its name in the archive.
    pub column: String,
    /// The values, most frequent first.
    pub values: Vec<String>,
}

/// A column that is not counted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Skipped {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A column that is counted.
#[derive(Debug, Clone)]
pub struct CountedColumn {
    /// Its place in the profile.
    pub place: usize,
    /// Its name in the profile.
    pub name: String,
    /// Its name in the archive.
    pub column: String,
    /// The documented smallest and largest value.
    pub range: Option<(f64, f64)>,
    /// Its bins.
    pub kind: Kind,
}

/// How a column is counted.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Into bins.
    Numeric(Binner),
    /// By name.
    Categorical(CategoricalShape),
}

impl Kind {
    /// Cells of its histogram.
    pub fn cells(&self) -> usize {
        match self {
            Self::Numeric(binner) => binner.cells(),
            Self::Categorical(shape) => shape.counts.len() + 3,
        }
    }

    /// The cell where nulls are counted.
    pub(crate) fn null_cell(&self) -> usize {
        match self {
            Self::Numeric(binner) => binner.cells() - 2,
            Self::Categorical(shape) => shape.counts.len(),
        }
    }
}

/// Settings that cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A segment that the profile does not have as categories.
    #[error(
        "segment {0:?} is no categorical column of the profile: give the field categories in the \
         contract and fit the profile again, or leave it out"
    )]
    Segment(String),
    /// A pane that does not divide the day.
    #[error("a pane of {0} s: 1 to 86400 that divide a day are wanted (60, 300, 3600)")]
    Pane(u32),
    /// More segments than would be looked at.
    #[error("{0} segments: at most {MAX_SEGMENTS} are wanted, each row is counted once for each")]
    Segments(usize),
    /// Nothing to count.
    #[error("no column of the profile can be counted in the archive")]
    Nothing,
}

impl Settings {
    /// `columns` restricts what is counted to these names; all when empty.
    pub fn new(
        profile: Arc<Profile>,
        contract: Option<&Contract>,
        pane_seconds: u32,
        segments: &[String],
        columns: &[String],
    ) -> Result<Self, SettingsError> {
        if pane_seconds == 0 || 86_400 % pane_seconds != 0 {
            return Err(SettingsError::Pane(pane_seconds));
        }
        if segments.len() > MAX_SEGMENTS {
            return Err(SettingsError::Segments(segments.len()));
        }
        let fields = contract.map_or(&[][..], Contract::fields);
        let field = |name: &str| {
            fields.iter().find(|field| field.name == name || column_of_field(field) == name)
        };
        let archived = |name: &str| field(name).map_or_else(|| name.to_owned(), column_of_field);
        let segments = segments
            .iter()
            .map(|name| segment(&profile, name, archived(name)))
            .collect::<Result<Vec<_>, _>>()?;
        let (mut counted, mut skipped) = (Vec::new(), Vec::new());
        for (place, column) in profile.columns.iter().enumerate() {
            if !columns.is_empty() && !columns.contains(&column.name) {
                continue;
            }
            match kind(&column.shape, field(&column.name)) {
                Ok(kind) => counted.push(CountedColumn {
                    place,
                    name: column.name.clone(),
                    column: archived(&column.name),
                    range: field(&column.name).and_then(|field| field.range),
                    kind,
                }),
                Err(reason) => skipped.push(Skipped { name: column.name.clone(), reason }),
            }
        }
        if counted.is_empty() {
            return Err(SettingsError::Nothing);
        }
        let unknown = |field: &&Field| {
            let wanted = columns.is_empty() || columns.contains(&field.name);
            let has = |name: &str| profile.column(name).is_some();
            let plain = field.role.is_none() && field.sensitive != Some(Sensitive::Drop);
            plain && wanted && !has(&field.name) && !has(&column_of_field(field))
        };
        // Whether one came later or was left out on purpose, a profile does not say.
        skipped.extend(fields.iter().filter(unknown).map(|field| Skipped {
            name: field.name.clone(),
            reason: "the profile has no such column; fit it again to have it watched".to_owned(),
        }));
        let profile_id = profile.id();
        let id = id_of(&profile_id, pane_seconds, &segments, &counted);
        Ok(Self { profile, profile_id, pane_seconds, segments, columns: counted, skipped, id })
    }

    /// Groups that the rows of one version and arm make at most: all of them, and each segment's values, the
    /// rest and nulls.
    pub(crate) fn groups(&self) -> usize {
        1 + self.segments.iter().map(|segment| segment.values.len() + 2).sum::<usize>()
    }

    /// The start of the pane of an instant, both in microseconds.
    pub(crate) fn pane_of(&self, micros: i64) -> i64 {
        let pane = i64::from(self.pane_seconds) * super::MICROS;
        micros.div_euclid(pane).saturating_mul(pane)
    }
}

fn segment(profile: &Profile, name: &str, column: String) -> Result<Segment, SettingsError> {
    match profile.column(name).map(|column| &column.shape) {
        Some(Shape::Categorical(shape)) => {
            let values = shape.categories.listed().iter().take(MAX_SEGMENT_VALUES).cloned();
            Ok(Segment { name: name.to_owned(), column, values: values.collect() })
        }
        Some(Shape::Numeric(_) | Shape::LeftOut(_)) | None => {
            Err(SettingsError::Segment(name.to_owned()))
        }
    }
}

fn kind(shape: &Shape, field: Option<&Field>) -> Result<Kind, String> {
    let sensitive = field.and_then(|field| field.sensitive);
    match (shape, sensitive) {
        (_, Some(Sensitive::Drop)) => Err("sensitive: it is not archived".to_owned()),
        (Shape::LeftOut(reason), _) => Err(reason.clone()),
        (Shape::Numeric(_), Some(Sensitive::Hash)) => {
            Err("the archive holds its hashes, and the profile has it in the clear".to_owned())
        }
        (Shape::Categorical(shape), sensitive) if shape.hashed != sensitive.is_some() => {
            Err("hashed in archive or profile only; fit the profile with the contract".to_owned())
        }
        (Shape::Numeric(shape), None) => Ok(Kind::Numeric(Binner::new(&shape.bins))),
        (Shape::Categorical(shape), _) => Ok(Kind::Categorical(shape.clone())),
    }
}

fn id_of(profile: &str, pane: u32, segments: &[Segment], columns: &[CountedColumn]) -> String {
    let columns: Vec<_> =
        columns.iter().map(|column| (&column.name, &column.column, column.range)).collect();
    let segments: Vec<_> =
        segments.iter().map(|segment| (&segment.column, &segment.values)).collect();
    let meaning = serde_json::json!([FORMAT, profile, pane, segments, columns]).to_string();
    let mut hex = String::new();
    for byte in &Sha256::digest(meaning.as_bytes())[..8] {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

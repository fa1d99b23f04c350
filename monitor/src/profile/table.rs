//! A profile as a table: one row a column, bins and categories as lists, the id in the schema.
//!
//! Any Parquet reader can open it. What is read back is checked against the id: a profile that was
//! edited or cut short is refused, since every count made with it would be of something else.

mod read;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Float64Builder, Int64Array, Int64Builder, ListBuilder,
    RecordBatch, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Schema};

use super::{CategoricalShape, ColumnProfile, Moments, NumericShape, Profile, Shape};

/// Version of the layout, under `tidegate.profile.format` in the schema's metadata.
pub const FORMAT: &str = "2";

const FORMAT_KEY: &str = "tidegate.profile.format";
const ID_KEY: &str = "tidegate.profile.id";
const ROWS_KEY: &str = "tidegate.profile.rows";

/// Why a table is no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// It was not written by `baseline fit`.
    #[error("this is no profile; `tidegate baseline fit` writes one")]
    NotOne,
    /// An earlier or a later Tidegate wrote it.
    #[error("the profile's format is {0:?} and this build reads {FORMAT:?}; fit it again")]
    Format(String),
    /// A value is missing or impossible.
    #[error("the profile is damaged: {0}; fit it again")]
    Damaged(String),
    /// The content is not what the id says.
    #[error(
        "the profile says it is {said} and its content is {found}: it was changed; fit it again"
    )]
    Changed {
        /// The id in the file.
        said: String,
        /// The id of the content.
        found: String,
    },
}

impl Profile {
    /// One row a column. The schema's metadata hold format, id and rows.
    pub fn to_table(&self) -> RecordBatch {
        let columns = &self.columns;
        let arrays: Vec<(&str, ArrayRef)> = vec![
            ("name", strings(columns, |column| Some(&column.name))),
            ("type", strings(columns, |column| Some(&column.type_name))),
            ("kind", strings(columns, |column| Some(column.shape.name()))),
            (
                "left_out",
                strings(columns, |column| match &column.shape {
                    Shape::LeftOut(reason) => Some(reason),
                    Shape::Numeric(_) | Shape::Categorical(_) => None,
                }),
            ),
            ("rows", integers(columns, |column| Some(column.rows))),
            ("nulls", integers(columns, |column| Some(column.nulls))),
            ("infinite", integers(columns, |column| numeric(column).map(|shape| shape.infinite))),
            ("other", integers(columns, |column| categorical(column).map(|shape| shape.other))),
            ("min", moments(columns, |of| of.min)),
            ("q25", moments(columns, |of| of.q25)),
            ("median", moments(columns, |of| of.median)),
            ("q75", moments(columns, |of| of.q75)),
            ("max", moments(columns, |of| of.max)),
            ("sum", moments(columns, |of| of.sum)),
            ("mean", moments(columns, |of| of.mean)),
            ("std", moments(columns, |of| of.std)),
            ("iqr", moments(columns, Moments::iqr)),
            ("phi", numbers(columns, |column| column.phi.value)),
            ("phi_evenness", numbers(columns, |column| column.phi.evenness)),
            ("phi_order", numbers(columns, |column| column.phi.order)),
            ("phi_nulls", numbers(columns, |column| column.phi.nulls)),
            ("phi_chunks", integers(columns, |column| Some(column.phi.chunks.into()))),
            ("phi_chunk_rows", integers(columns, |column| Some(column.phi.chunk_rows))),
            ("edges", edges(columns)),
            ("categories", categories(columns)),
            ("counts", counts(columns)),
            ("rare_hashes", rare_hashes(columns)),
            (
                "rare_is_whole",
                Arc::new(BooleanArray::from_iter(columns.iter().map(|column| {
                    categorical(column).map(|shape| shape.categories.tail_is_whole())
                }))),
            ),
        ];
        let fields: Vec<Field> = arrays
            .iter()
            .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
            .collect();
        let metadata = HashMap::from([
            (FORMAT_KEY.to_owned(), FORMAT.to_owned()),
            (ID_KEY.to_owned(), self.id()),
            (ROWS_KEY.to_owned(), self.rows.to_string()),
        ]);
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        let arrays = arrays.into_iter().map(|(_, array)| array).collect();
        RecordBatch::try_new(schema, arrays).expect("columns of one length, as the schema has them")
    }

    /// Whether a table with this schema is meant to be a profile.
    pub fn is_one(schema: &Schema) -> bool {
        schema.metadata().contains_key(FORMAT_KEY)
    }

    /// Reads the rows of a file that [`Profile::to_table`] made.
    pub fn from_table(schema: &Schema, batches: &[RecordBatch]) -> Result<Self, ProfileError> {
        let metadata = schema.metadata();
        let format = metadata.get(FORMAT_KEY).ok_or(ProfileError::NotOne)?;
        if format != FORMAT {
            return Err(ProfileError::Format(format.clone()));
        }
        let rows = metadata.get(ROWS_KEY).and_then(|rows| rows.parse().ok());
        let rows = rows.ok_or_else(|| ProfileError::Damaged("its rows are not said".into()))?;
        let mut columns = Vec::new();
        for batch in batches {
            columns.extend(read::columns(batch)?);
        }
        let profile = Self { rows, columns };
        let (said, found) = (metadata.get(ID_KEY).cloned().unwrap_or_default(), profile.id());
        if said != found {
            return Err(ProfileError::Changed { said, found });
        }
        Ok(profile)
    }
}

fn numeric(column: &ColumnProfile) -> Option<&NumericShape> {
    match &column.shape {
        Shape::Numeric(shape) => Some(shape),
        Shape::Categorical(_) | Shape::LeftOut(_) => None,
    }
}

fn categorical(column: &ColumnProfile) -> Option<&CategoricalShape> {
    match &column.shape {
        Shape::Categorical(shape) => Some(shape),
        Shape::Numeric(_) | Shape::LeftOut(_) => None,
    }
}

fn strings<'a, T: AsRef<str> + ?Sized + 'a>(
    columns: &'a [ColumnProfile],
    of: impl Fn(&'a ColumnProfile) -> Option<&'a T>,
) -> ArrayRef {
    Arc::new(StringArray::from_iter(columns.iter().map(|column| of(column).map(AsRef::as_ref))))
}

fn integers(columns: &[ColumnProfile], of: impl Fn(&ColumnProfile) -> Option<u64>) -> ArrayRef {
    let values = columns.iter().map(|column| of(column).map(u64::cast_signed));
    Arc::new(Int64Array::from_iter(values))
}

fn numbers(columns: &[ColumnProfile], of: impl Fn(&ColumnProfile) -> f64) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(columns.iter().map(of)))
}

fn moments(columns: &[ColumnProfile], of: impl Fn(&Moments) -> f64) -> ArrayRef {
    let values = columns.iter().map(|column| numeric(column)?.moments.as_ref().map(&of));
    Arc::new(Float64Array::from_iter(values))
}

fn edges(columns: &[ColumnProfile]) -> ArrayRef {
    let mut list = ListBuilder::new(Float64Builder::new());
    for column in columns {
        let edges = numeric(column).map(|shape| shape.bins.edges().iter().copied().map(Some));
        list.append_option(edges);
    }
    Arc::new(list.finish())
}

fn categories(columns: &[ColumnProfile]) -> ArrayRef {
    let mut list = ListBuilder::new(StringBuilder::new());
    for column in columns {
        let listed = categorical(column).map(|shape| shape.categories.listed().iter().map(Some));
        list.append_option(listed);
    }
    Arc::new(list.finish())
}

fn counts(columns: &[ColumnProfile]) -> ArrayRef {
    let mut list = ListBuilder::new(Int64Builder::new());
    for column in columns {
        let counts = match &column.shape {
            Shape::Numeric(shape) => Some(&shape.counts),
            Shape::Categorical(shape) => Some(&shape.counts),
            Shape::LeftOut(_) => None,
        };
        list.append_option(counts.map(|counts| counts.iter().map(|n| Some(n.cast_signed()))));
    }
    Arc::new(list.finish())
}

fn rare_hashes(columns: &[ColumnProfile]) -> ArrayRef {
    let mut list = ListBuilder::new(Int64Builder::new());
    for column in columns {
        let tail = categorical(column).map(|shape| shape.categories.tail().iter());
        list.append_option(tail.map(|tail| tail.map(|hash| Some(hash.cast_signed()))));
    }
    Arc::new(list.finish())
}

/// Types of the columns, for reading: a profile of another layout is refused by name and type.
fn wanted(name: &'static str, data_type: &DataType) -> ProfileError {
    ProfileError::Damaged(format!("column {name:?} is missing or not {data_type}"))
}

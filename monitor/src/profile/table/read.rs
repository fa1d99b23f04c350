//! Rows of the table back into columns of a profile, every value checked.

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use super::{ProfileError, wanted};
use crate::profile::{CategoricalShape, ColumnProfile, Moments, NumericShape, Phi, Shape};
use crate::stats::{Bins, Categories};

/// A row of the table.
struct Row<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

pub(super) fn columns(batch: &RecordBatch) -> Result<Vec<ColumnProfile>, ProfileError> {
    (0..batch.num_rows()).map(|row| Row { batch, row }.column()).collect()
}

impl Row<'_> {
    fn column(&self) -> Result<ColumnProfile, ProfileError> {
        let kind = self.text("kind")?;
        let shape = match kind.as_str() {
            "numeric" => Shape::Numeric(self.numeric()?),
            "categorical" | "hashed" => Shape::Categorical(self.categorical(kind == "hashed")?),
            "left_out" => Shape::LeftOut(self.text("left_out")?),
            other => return Err(self.damaged(&format!("its kind is {other:?}"))),
        };
        let chunks = self.count("phi_chunks")?;
        let phi = Phi {
            value: self.number("phi")?,
            evenness: self.number("phi_evenness")?,
            order: self.number("phi_order")?,
            nulls: self.number("phi_nulls")?,
            chunks: u32::try_from(chunks).map_err(|_| self.damaged("phi_chunks is too large"))?,
            chunk_rows: self.count("phi_chunk_rows")?,
        };
        let even = phi.evenness > 0.0 && phi.evenness <= 1.0;
        if [phi.value, phi.order, phi.nulls].iter().any(|phi| *phi < 1.0) || !even {
            return Err(self.damaged("phi is below 1, or its evenness not in 0 to 1"));
        }
        Ok(ColumnProfile {
            name: self.text("name")?,
            type_name: self.text("type")?,
            rows: self.count("rows")?,
            nulls: self.count("nulls")?,
            phi,
            shape,
        })
    }

    fn numeric(&self) -> Result<NumericShape, ProfileError> {
        let edges = self.list("edges", &DataType::Float64)?;
        let edges = edges.as_primitive::<Float64Type>().values().to_vec();
        let bins = Bins::from_edges(edges).map_err(|error| self.damaged(&error.to_string()))?;
        let counts = self.counts("counts")?;
        if counts.len() != bins.len() {
            return Err(self.damaged("it has not one count a bin"));
        }
        let min = self.array("min", &DataType::Float64)?;
        let moments = if min.is_null(self.row) { None } else { Some(self.moments()?) };
        Ok(NumericShape { bins, counts, infinite: self.count("infinite")?, moments })
    }

    fn moments(&self) -> Result<Moments, ProfileError> {
        Ok(Moments {
            min: self.number("min")?,
            q25: self.number("q25")?,
            median: self.number("median")?,
            q75: self.number("q75")?,
            max: self.number("max")?,
            sum: self.number("sum")?,
            mean: self.number("mean")?,
            std: self.number("std")?,
        })
    }

    fn categorical(&self, hashed: bool) -> Result<CategoricalShape, ProfileError> {
        let names = self.list("categories", &DataType::Utf8)?;
        let listed: Vec<String> =
            names.as_string::<i32>().iter().map(|name| name.unwrap_or_default().into()).collect();
        let counts = self.counts("counts")?;
        if counts.len() != listed.len() {
            return Err(self.damaged("it has not one count a category"));
        }
        let tail: BTreeSet<u64> = self
            .list("rare_hashes", &DataType::Int64)?
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .map(|hash| hash.cast_unsigned())
            .collect();
        let whole = self.array("rare_is_whole", &DataType::Boolean)?;
        let whole = whole.is_valid(self.row) && whole.as_boolean().value(self.row);
        let categories = Categories::from_parts(listed, tail, whole);
        Ok(CategoricalShape { categories, counts, other: self.count("other")?, hashed })
    }

    fn array(&self, name: &'static str, kind: &DataType) -> Result<&ArrayRef, ProfileError> {
        let found = self.batch.column_by_name(name).filter(|found| found.data_type() == kind);
        found.ok_or_else(|| wanted(name, kind))
    }

    fn filled(&self, name: &'static str, kind: &DataType) -> Result<&ArrayRef, ProfileError> {
        let found = self.array(name, kind)?;
        if found.is_null(self.row) {
            return Err(self.damaged(&format!("{name} is missing")));
        }
        Ok(found)
    }

    fn text(&self, name: &'static str) -> Result<String, ProfileError> {
        let found = self.filled(name, &DataType::Utf8)?;
        Ok(found.as_string::<i32>().value(self.row).to_owned())
    }

    fn number(&self, name: &'static str) -> Result<f64, ProfileError> {
        let value = self.filled(name, &DataType::Float64)?.as_primitive::<Float64Type>();
        let value = value.value(self.row);
        if value.is_finite() { Ok(value) } else { Err(self.damaged(&format!("{name} is {value}"))) }
    }

    fn count(&self, name: &'static str) -> Result<u64, ProfileError> {
        let value = self.filled(name, &DataType::Int64)?.as_primitive::<Int64Type>();
        let value = value.value(self.row);
        u64::try_from(value).map_err(|_| self.damaged(&format!("{name} is {value}")))
    }

    fn counts(&self, name: &'static str) -> Result<Vec<u64>, ProfileError> {
        let list = self.list(name, &DataType::Int64)?;
        let values = list.as_primitive::<Int64Type>().values().iter();
        let counts: Result<_, _> = values.map(|value| u64::try_from(*value)).collect();
        counts.map_err(|_| self.damaged("a count is negative"))
    }

    fn list(&self, name: &'static str, item: &DataType) -> Result<ArrayRef, ProfileError> {
        let missing = || wanted(name, &DataType::new_list(item.clone(), true));
        let found = self.batch.column_by_name(name).ok_or_else(missing)?;
        let list: &ListArray = found.as_list_opt().ok_or_else(missing)?;
        if list.is_null(self.row) || list.value_type() != *item {
            return Err(self.damaged(&format!("{name} is missing")));
        }
        Ok(list.value(self.row))
    }

    fn damaged(&self, reason: &str) -> ProfileError {
        ProfileError::Damaged(format!("row {}: {reason}", self.row + 1))
    }
}

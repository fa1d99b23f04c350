//! Statistics of two samples as aggregates: `psi(x, is_reference)`, `ks(x, is_reference)`.
//!
//! The numbers are the caller's: this gathers the values of both sides and hands them over. All values
//! of a group are held, 8 bytes each, and counted against the query's memory.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{can_cast_types, cast};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};

/// A statistic of reference and current values, of which NaN is a null; none where it has no answer.
pub type Statistic = Arc<dyn Fn(&[f64], &[f64]) -> Option<f64> + Send + Sync>;

/// A statistic under its name in SQL.
#[derive(Clone)]
pub struct TwoSample {
    name: String,
    statistic: Statistic,
    signature: Signature,
}

impl TwoSample {
    /// `name(x, is_reference)`; rows for which `is_reference` is null are of neither side.
    #[must_use]
    pub fn new(name: &str, statistic: Statistic) -> Self {
        Self {
            name: name.to_owned(),
            statistic,
            signature: Signature::any(2, Volatility::Immutable),
        }
    }
}

impl AggregateUDFImpl for TwoSample {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let name = &self.name;
        match types {
            [x, side] if is_number(x) && matches!(side, DataType::Boolean | DataType::Null) => {
                Ok(DataType::Float64)
            }
            [x, DataType::Boolean] => {
                plan_err!("{name}: {x} is no number; cast it, or count its values")
            }
            _ => plan_err!("{name}(x, is_reference): the second argument is a condition"),
        }
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let side = |side: &str| {
            let values = Field::new_list_field(DataType::Float64, true);
            let name = format_state_name(arguments.name, side);
            Arc::new(Field::new(name, DataType::List(Arc::new(values)), true))
        };
        Ok(vec![side("reference"), side("current")])
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if arguments.is_distinct {
            let name = &self.name;
            return plan_err!("{name}: DISTINCT is not for a statistic of samples; leave it out");
        }
        let statistic = Arc::clone(&self.statistic);
        Ok(Box::new(Sides { statistic, reference: Vec::new(), current: Vec::new() }))
    }
}

fn is_number(kind: &DataType) -> bool {
    match kind {
        DataType::Null | DataType::Boolean | DataType::Timestamp(..) | DataType::Date32 => true,
        kind => kind.is_numeric() && can_cast_types(kind, &DataType::Float64),
    }
}

/// The values of a group so far.
struct Sides {
    statistic: Statistic,
    reference: Vec<f64>,
    current: Vec<f64>,
}

impl Accumulator for Sides {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (x, side) = (numbers(&values[0])?, cast(&values[1], &DataType::Boolean)?);
        let side = side.as_boolean();
        for row in (0..side.len()).filter(|row| side.is_valid(*row)) {
            let value = if x.is_valid(row) { x.value(row) } else { f64::NAN };
            if side.value(row) { self.reference.push(value) } else { self.current.push(value) }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for (values, state) in [&mut self.reference, &mut self.current].into_iter().zip(states) {
            for part in state.as_list::<i32>().iter().flatten() {
                values.extend_from_slice(part.as_primitive::<Float64Type>().values());
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |values: &mut Vec<f64>| {
            let values = Float64Array::from(std::mem::take(values));
            let item = Arc::new(Field::new_list_field(DataType::Float64, true));
            let ends = OffsetBuffer::from_lengths([values.len()]);
            ScalarValue::List(Arc::new(ListArray::new(item, ends, Arc::new(values), None)))
        };
        Ok(vec![list(&mut self.reference), list(&mut self.current)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64((self.statistic)(&self.reference, &self.current)))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + (self.reference.capacity() + self.current.capacity()) * size_of::<f64>()
    }
}

/// The values as doubles; instants as seconds since the epoch.
fn numbers(column: &ArrayRef) -> Result<Float64Array> {
    let counts = match column.data_type() {
        DataType::Timestamp(..) | DataType::Date32 => {
            let micros = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
            let counts = cast(&cast(column, &micros)?, &DataType::Int64)?;
            let counts = cast(&counts, &DataType::Float64)?;
            return Ok(counts.as_primitive::<Float64Type>().unary(|micros| micros / 1e6));
        }
        _ => cast(column, &DataType::Float64)?,
    };
    Ok(counts.as_primitive::<Float64Type>().clone())
}

impl fmt::Debug for TwoSample {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)
    }
}

impl fmt::Debug for Sides {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} and {} values", self.reference.len(), self.current.len())
    }
}

impl PartialEq for TwoSample {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.statistic, &other.statistic)
    }
}

impl Eq for TwoSample {}

impl Hash for TwoSample {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

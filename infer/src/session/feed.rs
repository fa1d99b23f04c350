//! One input tensor: its columns put in rows, in memory of its own or, where a column already is
//! the tensor, in the column's.

mod fill;
mod text;

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use half::f16;
use ort::session::SessionInputValue;
use ort::value::{PrimitiveTensorElementType, Tensor, TensorRef};
use schemas::PredictError;

use super::columns::InputColumns;
use crate::ElementType;
use crate::plan::{InputPlan, SourceShape};

/// The plan of a tensor and memory that is kept between calls.
pub(super) struct Feed {
    plan: InputPlan,
    buffer: Buffer,
    /// Elements in a row of the assembled rows.
    width: usize,
    /// Whether the tensor is the column itself.
    borrowed: bool,
}

/// Elements of the rows, row after row.
enum Buffer {
    Bool(Vec<bool>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    UInt8(Vec<u8>),
    UInt16(Vec<u16>),
    UInt32(Vec<u32>),
    UInt64(Vec<u64>),
    Float16(Vec<f16>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Text(Vec<String>),
}

/// Runs `$body` with the vector of numbers in a buffer; `$bool` and `$text` with those of the others.
macro_rules! with_numbers {
    ($buffer:expr, $elements:ident => $body:expr, bool $bools:ident => $bool:expr, text $texts:ident => $text:expr) => {
        match $buffer {
            Buffer::Int8($elements) => $body,
            Buffer::Int16($elements) => $body,
            Buffer::Int32($elements) => $body,
            Buffer::Int64($elements) => $body,
            Buffer::UInt8($elements) => $body,
            Buffer::UInt16($elements) => $body,
            Buffer::UInt32($elements) => $body,
            Buffer::UInt64($elements) => $body,
            Buffer::Float16($elements) => $body,
            Buffer::Float32($elements) => $body,
            Buffer::Float64($elements) => $body,
            Buffer::Bool($bools) => $bool,
            Buffer::Text($texts) => $text,
        }
    };
}

impl Feed {
    pub(super) fn new(plan: &InputPlan) -> Self {
        let buffer = match plan.element {
            ElementType::Bool => Buffer::Bool(Vec::new()),
            ElementType::Int8 => Buffer::Int8(Vec::new()),
            ElementType::Int16 => Buffer::Int16(Vec::new()),
            ElementType::Int32 => Buffer::Int32(Vec::new()),
            ElementType::Int64 => Buffer::Int64(Vec::new()),
            ElementType::UInt8 => Buffer::UInt8(Vec::new()),
            ElementType::UInt16 => Buffer::UInt16(Vec::new()),
            ElementType::UInt32 => Buffer::UInt32(Vec::new()),
            ElementType::UInt64 => Buffer::UInt64(Vec::new()),
            ElementType::Float16 => Buffer::Float16(Vec::new()),
            ElementType::Float32 => Buffer::Float32(Vec::new()),
            ElementType::Float64 => Buffer::Float64(Vec::new()),
            ElementType::String => Buffer::Text(Vec::new()),
        };
        Self { plan: plan.clone(), buffer, width: 0, borrowed: false }
    }

    pub(super) fn tensor(&self) -> &str {
        &self.plan.tensor
    }

    /// The end of the longest part of `rows` whose lists are all as long as the first.
    pub(super) fn uniform(&self, columns: InputColumns<'_>, rows: Range<usize>) -> usize {
        if self.plan.width.is_some() || rows.is_empty() {
            return rows.end;
        }
        let lists = columns.get(0).as_list::<i32>();
        let length = lists.value_length(rows.start);
        rows.clone().find(|row| lists.value_length(*row) != length).unwrap_or(rows.end)
    }

    /// Puts `rows` of the columns in place and repeats the last row up to `padded` rows.
    pub(super) fn assemble(
        &mut self,
        columns: InputColumns<'_>,
        rows: Range<usize>,
        padded: usize,
    ) -> Result<(), PredictError> {
        let plan = &self.plan;
        self.width = match plan.width {
            Some(width) => width,
            None => columns.get(0).as_list::<i32>().value_length(rows.start) as usize,
        };
        self.borrowed = padded == rows.len() && is_the_tensor(plan, columns, self.width);
        if self.borrowed {
            return Ok(());
        }
        let width = self.width;
        if width == 0 {
            with_numbers!(
                &mut self.buffer,
                elements => elements.clear(),
                bool bools => bools.clear(),
                text texts => texts.clear()
            );
            // An empty list and a null one look alike: only the former may pass without a rule.
            return fill::no_null(plan, columns, rows);
        }
        with_numbers!(
            &mut self.buffer,
            elements => {
                elements.resize(padded * width, Default::default());
                fill::numbers(plan, columns, rows.clone(), width, elements)?;
                repeat_last_row(elements, rows.len(), width);
            },
            bool bools => {
                bools.resize(padded * width, false);
                fill::bools(plan, columns, rows.clone(), width, bools)?;
                repeat_last_row(bools, rows.len(), width);
            },
            text texts => text::assemble(plan, columns, rows, padded, texts)?
        );
        Ok(())
    }

    /// The tensor of the rows assembled last.
    pub(super) fn value<'a>(
        &'a self,
        columns: InputColumns<'a>,
        rows: Range<usize>,
        padded: usize,
    ) -> Result<SessionInputValue<'a>, PredictError> {
        let shape = self.shape(padded)?;
        let made = if self.borrowed {
            column_tensor(&shape, columns.get(0), rows, self.width)
        } else {
            with_numbers!(
                &self.buffer,
                elements => tensor(&shape, elements),
                bool bools => tensor(&shape, bools),
                text texts => Tensor::from_string_array((shape.clone(), texts.as_slice())).map(SessionInputValue::from)
            )
        };
        made.map_err(|error| {
            PredictError::Model(format!("input {:?} of shape {shape:?}: {error}", self.plan.tensor))
        })
    }

    fn shape(&self, padded: usize) -> Result<Vec<i64>, PredictError> {
        let known: usize = self.plan.inner.iter().flatten().product();
        if known == 0 || !self.width.is_multiple_of(known) {
            return Err(PredictError::Rows(format!(
                "a list of {} items does not divide into rows of {known} for input {:?}",
                self.width, self.plan.tensor
            )));
        }
        let open = self.width / known;
        let inner = self.plan.inner.iter().map(|size| size.unwrap_or(open) as i64);
        Ok(std::iter::once(padded as i64).chain(inner).collect())
    }
}

fn repeat_last_row<T: Copy>(elements: &mut [T], rows: usize, width: usize) {
    let last = rows.saturating_sub(1) * width;
    for start in (rows * width..elements.len()).step_by(width.max(1)) {
        elements.copy_within(last..last + width, start);
    }
}

/// Whether the only column lies in memory as the tensor has to.
fn is_the_tensor(plan: &InputPlan, columns: InputColumns<'_>, width: usize) -> bool {
    let [source] = plan.sources.as_slice() else { return false };
    let column = columns.get(0);
    if column.null_count() > 0 || matches!(plan.element, ElementType::Bool | ElementType::String) {
        return false;
    }
    let wanted = plan.element.data_type();
    match (&source.shape, column.data_type()) {
        (SourceShape::Scalar, has) => *has == wanted,
        (SourceShape::List(_), DataType::FixedSizeList(item, len)) => {
            *item.data_type() == wanted
                && *len as usize == width
                && column.as_fixed_size_list().values().null_count() == 0
        }
        // Lists of another length than the tensor's are named where rows are filled.
        (SourceShape::List(None), DataType::List(item)) => {
            *item.data_type() == wanted && column.as_list::<i32>().values().null_count() == 0
        }
        (SourceShape::List(_) | SourceShape::Index(_) | SourceShape::OneHot(_), _) => false,
    }
}

fn column_tensor<'a>(
    shape: &[i64],
    column: &'a ArrayRef,
    rows: Range<usize>,
    width: usize,
) -> ort::Result<SessionInputValue<'a>> {
    let (values, items): (&ArrayRef, Range<usize>) = match column.data_type() {
        DataType::FixedSizeList(..) => {
            let lists = column.as_fixed_size_list();
            let start = lists.value_offset(rows.start) as usize;
            (lists.values(), start..start + rows.len() * width)
        }
        DataType::List(_) => {
            let lists = column.as_list::<i32>();
            let offsets = lists.value_offsets();
            (lists.values(), offsets[rows.start] as usize..offsets[rows.end] as usize)
        }
        _ => (column, rows),
    };
    fill::native_slice!(values, elements => tensor(shape, &elements[items]), else {
        Err(ort::Error::new(format!("a column of {} is no tensor", values.data_type())))
    })
}

fn tensor<'a, T: PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static>(
    shape: &[i64],
    elements: &'a [T],
) -> ort::Result<SessionInputValue<'a>> {
    TensorRef::from_array_view((shape.to_vec(), elements)).map(SessionInputValue::from)
}

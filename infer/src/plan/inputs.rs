//! Features to tensors: which field can go where, and how wide the rows become.

use std::sync::Arc;

use schemas::{Contract, FieldType, NumberType};

use super::{Categories, InputPlan, Source, SourceShape};
use crate::ElementType;
use crate::descriptor::{Coding, Descriptor, Input, Literal, NullRule, Problem};

pub(super) fn plan(
    descriptor: &Descriptor,
    contract: &Contract,
    problems: &mut Vec<Problem>,
) -> Vec<InputPlan> {
    let inputs = descriptor.inputs.iter().enumerate();
    inputs
        .map(|(index, input)| {
            let place = format!("inputs[{index}] {:?}", input.tensor);
            let mut say = |key: &str, message: String| {
                problems.push(Problem::new(format!("{place}.{key}"), message));
            };
            plan_input(input, contract, &mut say)
        })
        .collect()
}

fn plan_input(input: &Input, contract: &Contract, say: &mut impl FnMut(&str, String)) -> InputPlan {
    let inner: Vec<Option<usize>> =
        input.shape.iter().skip(1).map(|size| usize::try_from(*size).ok()).collect();
    let whole = inner.iter().copied().product::<Option<usize>>();
    let mut sources: Vec<Source> =
        input.features.iter().filter_map(|feature| source(input, feature, contract, say)).collect();
    let complete = sources.len() == input.features.len();
    let width = place(&mut sources, whole, complete, input, say);
    if let (Some(width), None) = (width, whole) {
        let known: usize = inner.iter().flatten().product();
        if !width.is_multiple_of(known) {
            say(
                "shape",
                format!(
                    "{:?}: a row of {width} elements cannot be divided by {known}",
                    input.shape
                ),
            );
        }
    }
    InputPlan { tensor: input.tensor.clone(), element: input.dtype, inner, width, sources }
}

/// Gives every source its offset; returns the width of a row, `None` where a list decides it.
fn place(
    sources: &mut [Source],
    whole: Option<usize>,
    complete: bool,
    input: &Input,
    say: &mut impl FnMut(&str, String),
) -> Option<usize> {
    let known: usize = sources.iter().filter_map(|source| source.width()).sum();
    let open = sources.iter().filter(|source| source.width().is_none()).count();
    match (open, whole) {
        (0, _) => {}
        (1, Some(whole)) if known < whole => {
            sources.iter_mut().filter(|source| source.width().is_none()).for_each(|source| {
                source.shape = SourceShape::List(Some(whole - known));
            });
        }
        (1, None) if sources.len() == 1 => return None,
        _ => say(
            "features",
            format!(
                "a list of any length can be the only feature of a tensor with a -1, or the only list of \
                 one with a fixed shape that has room; the shape is {:?}",
                input.shape
            ),
        ),
    }
    let mut width = 0;
    for source in sources.iter_mut() {
        source.offset = width;
        width += source.width().unwrap_or(0);
    }
    if let Some(whole) = whole
        && complete
        && open < 2
        && width != whole
    {
        let shape = &input.shape;
        say(
            "shape",
            format!("{shape:?} holds {whole} elements a row, but the features give {width}"),
        );
    }
    Some(width)
}

fn source(
    input: &Input,
    feature: &str,
    contract: &Contract,
    say: &mut impl FnMut(&str, String),
) -> Option<Source> {
    let Some(field) = contract.field(feature) else {
        let names: Vec<&str> = contract.fields().iter().map(|field| field.name.as_str()).collect();
        let contract = contract.name();
        say(
            "features",
            format!(
                "{feature:?} is not a field of contract {contract:?}; its fields are {names:?}"
            ),
        );
        return None;
    };
    let (shape, checked) = match input.coding(feature) {
        Some(coding) if field.kind == FieldType::String => {
            let places =
                coding.values.iter().enumerate().map(|(place, value)| (value.clone(), place));
            let categories =
                Categories { places: Arc::new(places.collect()), unknown: coding.unknown };
            let shape = match coding.coding {
                Coding::Index => SourceShape::Index(categories),
                Coding::OneHot => SourceShape::OneHot(categories),
            };
            (shape, false)
        }
        Some(_) => {
            say(
                "categories",
                format!("{feature:?} is {} in the contract; categories code a string", field.kind),
            );
            return None;
        }
        None => {
            let shape = match field.kind {
                FieldType::FixedList(_, len) => SourceShape::List(Some(len as usize)),
                FieldType::List(_) => SourceShape::List(None),
                _ => SourceShape::Scalar,
            };
            match conversion(field.kind, input.dtype) {
                Ok(checked) => (shape, checked),
                Err(accepted) => {
                    let (kind, dtype) = (field.kind, input.dtype);
                    say(
                        "features",
                        format!(
                            "{feature:?} is {kind} in the contract, the tensor is {dtype}: {accepted}"
                        ),
                    );
                    return None;
                }
            }
        }
    };
    let rule = input.null_rule(feature);
    if field.nullable && rule.is_none() {
        say(
            "null",
            format!(
                "{feature:?} is nullable in the contract and has no null rule: \
                 \"reject\", \"nan\" or {{ value = ... }} is accepted"
            ),
        );
    }
    let null = match rule {
        Some(NullRule::Value(value)) => Some(value.clone()),
        Some(NullRule::Nan) => Some(Literal::Float(f64::NAN)),
        Some(NullRule::Reject) | None => None,
    };
    Some(Source {
        feature: feature.to_owned(),
        data_type: field.kind.data_type(),
        offset: 0,
        shape,
        null,
        checked,
        sensitive: field.sensitive.is_some(),
    })
}

/// Whether values have to be checked one by one, or what would be accepted.
fn conversion(kind: FieldType, element: ElementType) -> Result<bool, String> {
    let number = match kind {
        FieldType::Bool if element != ElementType::String => return Ok(false),
        FieldType::String if element == ElementType::String => return Ok(false),
        FieldType::Timestamp(_) if matches!(element, ElementType::Int64 | ElementType::Float64) => {
            return Ok(false);
        }
        FieldType::Bool => return Err("a bool goes to a bool or number tensor".into()),
        FieldType::String => {
            return Err("a string goes to a string tensor, or needs [[inputs.categories]]".into());
        }
        FieldType::Bytes => return Err("bytes cannot be a feature".into()),
        FieldType::Timestamp(_) => {
            return Err("a timestamp goes to int64 or float64 (microseconds)".into());
        }
        FieldType::Number(number) | FieldType::FixedList(number, _) | FieldType::List(number) => {
            number
        }
    };
    if element.is_float() {
        return Ok(false);
    }
    match (number.integer_range(), integer_range(element)) {
        (Some((low, high)), Some((lowest, highest))) => Ok(low < lowest || high > highest),
        (None, _) => Err("a float goes to a float tensor".into()),
        (_, None) => Err("an integer goes to an integer or float tensor".into()),
    }
}

fn integer_range(element: ElementType) -> Option<(i64, u64)> {
    NumberType::parse(element.name()).and_then(NumberType::integer_range)
}

impl Source {
    /// Elements it fills in a row; `None` for a list of any length.
    fn width(&self) -> Option<usize> {
        match &self.shape {
            SourceShape::Scalar | SourceShape::Index(_) => Some(1),
            SourceShape::List(len) => *len,
            SourceShape::OneHot(categories) => Some(categories.places.len()),
        }
    }
}

//! What must hold between the keys of a descriptor, without a contract and without a model.

use std::collections::HashSet;

use super::{
    Coding, Descriptor, Input, Literal, MAX_BATCH_ROWS, NullRule, Output, OutputKind, Problem,
};
use crate::ElementType;

pub(super) fn check(descriptor: &Descriptor) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut say = |place: &str, message: String| problems.push(Problem::new(place, message));
    let sha256 = &descriptor.sha256;
    if sha256.len() != 64
        || !sha256.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    {
        say(
            "sha256",
            format!("{sha256:?} was found: 64 hexadecimal digits in lower case are accepted"),
        );
    }
    if descriptor.opset < 1 {
        say("opset", format!("{} was found: 1 or more is accepted", descriptor.opset));
    }
    if !(1..=MAX_BATCH_ROWS).contains(&descriptor.max_batch_rows) {
        let found = descriptor.max_batch_rows;
        say("max_batch_rows", format!("{found} was found: 1 to {MAX_BATCH_ROWS} is accepted"));
    }
    let golden = descriptor.golden;
    if !(golden.tolerance >= 0.0 && golden.tolerance.is_finite()) {
        say("golden.tolerance", format!("{} was found: 0 or more is accepted", golden.tolerance));
    }
    if !(0.0..=1.0).contains(&golden.flip_rate) {
        say("golden.flip_rate", format!("{} was found: 0 to 1 is accepted", golden.flip_rate));
    }
    for (list, empty) in
        [("inputs", descriptor.inputs.is_empty()), ("outputs", descriptor.outputs.is_empty())]
    {
        if empty {
            say(list, format!("there are none: at least one [[{list}]] is needed"));
        }
    }
    let mut seen = HashSet::new();
    for (index, input) in descriptor.inputs.iter().enumerate() {
        let place = format!("inputs[{index}] {:?}", input.tensor);
        if !seen.insert(&input.tensor) {
            say(&format!("{place}.tensor"), "is fed twice; tensors must differ".into());
        }
        check_input(input, &mut |key, message| say(&format!("{place}.{key}"), message));
    }
    let mut seen = HashSet::new();
    for (index, output) in descriptor.outputs.iter().enumerate() {
        let place = format!("outputs[{index}] {:?}", output.name);
        if output.name.is_empty() || !seen.insert(&output.name) {
            say(&format!("{place}.name"), "is empty or used twice; names must differ".into());
        }
        check_output(output, &mut |key, message| say(&format!("{place}.{key}"), message));
    }
    problems
}

fn check_input(input: &Input, say: &mut impl FnMut(&str, String)) {
    let (rows, rest) = input.shape.split_first().unwrap_or((&0, &[]));
    if input.shape.is_empty() || input.shape.iter().any(|size| *size != -1 && *size < 1) {
        let shape = &input.shape;
        say(
            "shape",
            format!(
                "{shape:?} was found: rows first (-1 or a fixed batch), then sizes of 1 or more or -1"
            ),
        );
    }
    if *rows > MAX_BATCH_ROWS as i64 || rest.iter().filter(|size| **size == -1).count() > 1 {
        let shape = &input.shape;
        say(
            "shape",
            format!(
                "{shape:?} was found: a batch up to {MAX_BATCH_ROWS} and one -1 behind it are accepted"
            ),
        );
    }
    if input.features.is_empty() {
        say("features", "there are none: name at least one field of the contract".into());
    }
    for feature in input.nulls.keys() {
        if !input.features.contains(feature) {
            say(&format!("nulls.{feature}"), format!("{feature:?} is not among the features"));
        }
    }
    for (index, coding) in input.categories.iter().enumerate() {
        let place = format!("categories[{index}]");
        if !input.features.contains(&coding.feature) {
            say(&place, format!("{:?} is not among the features", coding.feature));
        }
        if coding.values.is_empty()
            || coding.values.iter().collect::<HashSet<_>>().len() != coding.values.len()
        {
            say(&format!("{place}.values"), "at least one value is needed, each once".into());
        }
        if matches!(input.dtype, ElementType::String | ElementType::Bool) {
            say(
                &place,
                format!("a code does not fit in a {} tensor; a number type does", input.dtype),
            );
        }
        let largest = coding.values.len() as i64 - 1;
        if coding.coding == Coding::Index && !integer_fits(largest, input.dtype) {
            say(
                &format!("{place}.values"),
                format!("code {largest} does not fit in {}", input.dtype),
            );
        }
    }
    for feature in &input.features {
        if let Some(rule) = input.null_rule(feature)
            && let Err(message) = rule_fits(rule, input, feature)
        {
            let own = input.nulls.contains_key(feature);
            say(&if own { format!("nulls.{feature}") } else { "null".into() }, message);
        }
    }
}

fn rule_fits(rule: &NullRule, input: &Input, feature: &str) -> Result<(), String> {
    let dtype = input.dtype;
    let coding = input.coding(feature);
    match (rule, coding) {
        (NullRule::Reject, _) => Ok(()),
        (NullRule::Nan, Some(coding)) if coding.coding == Coding::OneHot => Err(format!(
            "\"nan\" for the one-hot feature {feature:?}: \"reject\" or a category is accepted"
        )),
        (NullRule::Nan, _) if dtype.is_float() => Ok(()),
        (NullRule::Nan, _) => {
            Err(format!("\"nan\" in a {dtype} tensor: only float tensors hold one"))
        }
        (NullRule::Value(Literal::Text(text)), Some(coding)) if coding.values.contains(text) => {
            Ok(())
        }
        (NullRule::Value(value), Some(_)) => Err(format!(
            "{} is not a category of {feature:?}; one of its values is accepted",
            value.shown()
        )),
        (NullRule::Value(value), None) => {
            let fits = match value {
                Literal::Bool(_) => dtype == ElementType::Bool,
                Literal::Integer(value) => integer_fits(*value, dtype),
                Literal::Float(_) => dtype.is_float(),
                Literal::Text(text) => dtype == ElementType::String && !text.contains('\0'),
            };
            let shown = value.shown();
            if fits { Ok(()) } else { Err(format!("{shown} does not fit in a {dtype} tensor")) }
        }
    }
}

fn integer_fits(value: i64, dtype: ElementType) -> bool {
    match dtype {
        ElementType::Int8 => i8::try_from(value).is_ok(),
        ElementType::Int16 => i16::try_from(value).is_ok(),
        ElementType::Int32 => i32::try_from(value).is_ok(),
        ElementType::Int64 => true,
        ElementType::UInt8 => u8::try_from(value).is_ok(),
        ElementType::UInt16 => u16::try_from(value).is_ok(),
        ElementType::UInt32 => u32::try_from(value).is_ok(),
        ElementType::UInt64 => value >= 0,
        ElementType::Float16 | ElementType::Float32 | ElementType::Float64 => true,
        ElementType::Bool | ElementType::String => false,
    }
}

fn check_output(output: &Output, say: &mut impl FnMut(&str, String)) {
    let (kind, dtype) = (output.kind, output.dtype);
    if kind == OutputKind::Probability && !dtype.is_float() {
        say("dtype", format!("{dtype} was found: a probability is a float"));
    }
    if kind == OutputKind::Label && dtype == ElementType::Bool {
        say(
            "dtype",
            "bool was found: a label is an integer, a string or decided from floats".into(),
        );
    }
    if let Some(class) = &output.class {
        if kind != OutputKind::Probability || output.index.is_some() {
            say("class", "goes with kind \"probability\" and without `index`".into());
        } else if !output.classes.contains(class) {
            say("class", format!("{class:?} is not among the classes {:?}", output.classes));
        }
    }
    if output.index.is_some() && matches!(kind, OutputKind::Label | OutputKind::List) {
        say(
            "index",
            format!("goes with kinds \"value\" and \"probability\", not with \"{}\"", kind.name()),
        );
    }
    if !output.classes.is_empty() && matches!(kind, OutputKind::Value | OutputKind::List) {
        say(
            "classes",
            format!("go with kinds \"probability\" and \"label\", not with \"{}\"", kind.name()),
        );
    }
    if output.classes.iter().collect::<HashSet<_>>().len() != output.classes.len() {
        say("classes", format!("{:?}: names must differ", output.classes));
    }
    if output.decides() && output.classes.len() < 2 {
        say(
            "classes",
            "a label decided from probabilities needs the names of at least two classes".into(),
        );
    }
    if let Some(threshold) = output.threshold {
        if !output.decides() || output.classes.len() != 2 {
            say("threshold", "goes with kind \"label\", a float tensor and two classes".into());
        } else if !(threshold > 0.0 && threshold < 1.0) {
            say(
                "threshold",
                format!("{threshold} was found: a number between 0 and 1 is accepted"),
            );
        }
    }
}

impl Literal {
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(value) => format!("{value:?}"),
        }
    }
}

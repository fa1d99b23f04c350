//! From TOML text to a descriptor, gathering every problem on the way.

use toml::{Table, Value};

use super::reader::{Reader, count, number, text};
use super::{
    CategoryCoding, Coding, Descriptor, GoldenRule, Input, Literal, NullRule, Output, OutputKind,
    Problem, Problems, UnknownCategory, validate,
};
use crate::ElementType;

pub(super) fn parse(source: &str) -> Result<Descriptor, Problems> {
    let table: Table = source.parse().map_err(|error: toml::de::Error| {
        Problems(vec![Problem::new("model.toml", error.to_string().trim_end())])
    })?;
    let mut problems = Vec::new();
    let descriptor = descriptor(Reader::new("", table, &mut problems));
    match descriptor {
        Some(descriptor) if problems.is_empty() => {
            let problems = validate::check(&descriptor);
            if problems.is_empty() { Ok(descriptor) } else { Err(Problems(problems)) }
        }
        // What holds between keys is checked where it can be, so that one run shows everything.
        Some(descriptor) => {
            problems.extend(validate::check(&descriptor));
            problems.dedup();
            Err(Problems(problems))
        }
        None => Err(Problems(problems)),
    }
}

fn descriptor(mut reader: Reader<'_>) -> Option<Descriptor> {
    let onnx = |value: &Value| (value.as_str() == Some("onnx")).then_some(());
    reader.required("format", "\"onnx\"", onnx);
    let (purpose, owner, licence) =
        (reader.text("purpose"), reader.text("owner"), reader.text("licence"));
    let (framework, training_data) = (reader.text("framework"), reader.text("training_data"));
    let sha256 = reader.required("sha256", "64 hexadecimal digits", text);
    let opset = reader.required("opset", "an integer", Value::as_integer);
    let max_batch_rows = reader.required("max_batch_rows", "a number of rows", count);
    let allow = reader.optional("allow_batch_dependence", "true or false", Value::as_bool);
    let mut metrics = std::collections::BTreeMap::new();
    for (name, value) in reader.table("metrics") {
        match number(&value) {
            Some(value) => drop(metrics.insert(name, value)),
            None => reader.say(
                &format!("metrics.{name}"),
                format!("{value} was found: a number is accepted"),
            ),
        }
    }
    let golden = reader.table("golden");
    let golden = golden_rule(reader.inside("golden", golden));
    let inputs: Vec<Option<Input>> = reader
        .tables("inputs")
        .into_iter()
        .enumerate()
        .map(|(index, table)| input(reader.nested("inputs", index, table)))
        .collect();
    let outputs: Vec<Option<Output>> = reader
        .tables("outputs")
        .into_iter()
        .enumerate()
        .map(|(index, table)| output(reader.nested("outputs", index, table)))
        .collect();
    reader.finish();
    Some(Descriptor {
        purpose,
        owner,
        licence,
        framework,
        training_data,
        metrics,
        sha256: sha256?,
        opset: opset?,
        max_batch_rows: max_batch_rows?,
        allow_batch_dependence: allow.unwrap_or(false),
        golden,
        inputs: inputs.into_iter().collect::<Option<_>>()?,
        outputs: outputs.into_iter().collect::<Option<_>>()?,
    })
}

fn golden_rule(mut reader: Reader<'_>) -> GoldenRule {
    let default = GoldenRule::default();
    let tolerance = reader.optional("tolerance", "a number", number).unwrap_or(default.tolerance);
    let flip_rate = reader.optional("flip_rate", "a number", number).unwrap_or(default.flip_rate);
    reader.finish();
    GoldenRule { tolerance, flip_rate }
}

fn input(mut reader: Reader<'_>) -> Option<Input> {
    let tensor = reader.required("tensor", "a tensor's name", text);
    reader.name_entry(tensor.as_deref());
    let dtype = element(&mut reader);
    let read = |value: &Value| value.as_array()?.iter().map(Value::as_integer).collect();
    let shape = reader.required("shape", "an array of sizes such as [-1, 15]", read);
    let features = reader.texts("features");
    let accepted = "\"reject\", \"nan\" or { value = ... }";
    let null = reader.optional("null", accepted, null_rule);
    let mut nulls = std::collections::BTreeMap::new();
    for (feature, value) in reader.table("nulls") {
        match null_rule(&value) {
            Some(rule) => drop(nulls.insert(feature, rule)),
            None => {
                reader.say(
                    &format!("nulls.{feature}"),
                    format!("{value} was found: {accepted} is accepted"),
                );
            }
        }
    }
    let categories: Vec<Option<CategoryCoding>> = reader
        .tables("categories")
        .into_iter()
        .enumerate()
        .map(|(index, table)| category_coding(reader.nested("categories", index, table)))
        .collect();
    reader.finish();
    let categories = categories.into_iter().collect::<Option<_>>()?;
    Some(Input { tensor: tensor?, dtype: dtype?, shape: shape?, features, null, nulls, categories })
}

fn category_coding(mut reader: Reader<'_>) -> Option<CategoryCoding> {
    let feature = reader.required("feature", "a feature's name", text);
    let values = reader.texts("values");
    let coding = word(&mut reader, "coding", Coding::WORDS, Coding::parse);
    let unknown = word(&mut reader, "unknown", UnknownCategory::WORDS, UnknownCategory::parse);
    reader.finish();
    Some(CategoryCoding { feature: feature?, values, coding: coding?, unknown: unknown? })
}

fn output(mut reader: Reader<'_>) -> Option<Output> {
    let name = reader.required("name", "a name", text);
    reader.name_entry(name.as_deref());
    let tensor = reader.required("tensor", "a tensor's name", text);
    let dtype = element(&mut reader);
    let kind = word(&mut reader, "kind", OutputKind::WORDS, OutputKind::parse);
    let index = reader.optional("index", "a place in the row, from 0", count);
    let class = reader.optional("class", "a class name", text);
    let classes = reader.texts("classes");
    let threshold = reader.optional("threshold", "a number between 0 and 1", number);
    reader.finish();
    Some(Output {
        name: name?,
        tensor: tensor?,
        dtype: dtype?,
        kind: kind?,
        index,
        class,
        classes,
        threshold,
    })
}

fn element(reader: &mut Reader<'_>) -> Option<ElementType> {
    let read = |value: &Value| value.as_str().and_then(ElementType::parse);
    reader.required("dtype", &format!("one of {}", ElementType::names()), read)
}

fn word<T>(
    reader: &mut Reader<'_>,
    key: &'static str,
    words: &[&str],
    parse: fn(&str) -> Option<T>,
) -> Option<T> {
    let accepted = format!("one of \"{}\"", words.join("\", \""));
    reader.required(key, &accepted, |value| value.as_str().and_then(parse))
}

fn null_rule(value: &Value) -> Option<NullRule> {
    match value {
        Value::String(word) if word == "reject" => Some(NullRule::Reject),
        Value::String(word) if word == "nan" => Some(NullRule::Nan),
        Value::Table(table) if table.len() == 1 => {
            table.get("value").and_then(literal).map(NullRule::Value)
        }
        _ => None,
    }
}

fn literal(value: &Value) -> Option<Literal> {
    match value {
        Value::Boolean(value) => Some(Literal::Bool(*value)),
        Value::Integer(value) => Some(Literal::Integer(*value)),
        Value::Float(value) => Some(Literal::Float(*value)),
        Value::String(value) => Some(Literal::Text(value.clone())),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

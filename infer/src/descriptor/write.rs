//! A descriptor as TOML text, with a line for people wherever `model init` leaves one to fill in.

use std::fmt::Write as _;

use toml::Value;

use super::{Descriptor, GoldenRule, Input, Literal, NullRule, Output};

pub(super) fn to_toml(descriptor: &Descriptor) -> String {
    let mut text = String::from("format = \"onnx\"\n");
    for (key, value, hint) in [
        ("purpose", &descriptor.purpose, "what the model is for"),
        ("owner", &descriptor.owner, "who answers for it"),
        ("licence", &descriptor.licence, "of the weights"),
        ("framework", &descriptor.framework, "what trained it, with version"),
        ("training_data", &descriptor.training_data, "what it was trained on"),
    ] {
        let hint = if value.is_empty() { format!("  # {hint}") } else { String::new() };
        let _ = writeln!(text, "{key} = {}{hint}", quoted(value));
    }
    let _ = writeln!(text, "sha256 = {}", quoted(&descriptor.sha256));
    let _ = writeln!(text, "opset = {}", descriptor.opset);
    let _ = writeln!(text, "max_batch_rows = {}", descriptor.max_batch_rows);
    if descriptor.allow_batch_dependence {
        text.push_str("allow_batch_dependence = true\n");
    }
    if descriptor.golden != GoldenRule::default() {
        let golden = descriptor.golden;
        let _ = writeln!(text, "\n[golden]\ntolerance = {}", float(golden.tolerance));
        let _ = writeln!(text, "flip_rate = {}", float(golden.flip_rate));
    }
    if !descriptor.metrics.is_empty() {
        text.push_str("\n[metrics]\n");
        for (name, value) in &descriptor.metrics {
            let _ = writeln!(text, "{} = {}", key(name), float(*value));
        }
    }
    descriptor.inputs.iter().for_each(|input| write_input(&mut text, input));
    descriptor.outputs.iter().for_each(|output| write_output(&mut text, output));
    text
}

fn write_input(text: &mut String, input: &Input) {
    let mut line = |key: &str, value: String| {
        let _ = writeln!(text, "{key} = {value}");
    };
    line("\n[[inputs]]\ntensor", quoted(&input.tensor));
    line("dtype", quoted(input.dtype.name()));
    line("shape", format!("{:?}", input.shape));
    line("features", texts(&input.features));
    if let Some(rule) = &input.null {
        line("null", null_rule(rule));
    }
    for (feature, rule) in &input.nulls {
        line(&format!("nulls.{}", key(feature)), null_rule(rule));
    }
    for coding in &input.categories {
        line("\n[[inputs.categories]]\nfeature", quoted(&coding.feature));
        line("values", texts(&coding.values));
        line("coding", quoted(coding.coding.name()));
        line("unknown", quoted(coding.unknown.name()));
    }
}

fn write_output(text: &mut String, output: &Output) {
    let mut line = |key: &str, value: String| {
        let _ = writeln!(text, "{key} = {value}");
    };
    line("\n[[outputs]]\nname", quoted(&output.name));
    line("tensor", quoted(&output.tensor));
    line("dtype", quoted(output.dtype.name()));
    line("kind", quoted(output.kind.name()));
    if let Some(index) = output.index {
        line("index", index.to_string());
    }
    if let Some(class) = &output.class {
        line("class", quoted(class));
    }
    if !output.classes.is_empty() {
        line("classes", texts(&output.classes));
    }
    if let Some(threshold) = output.threshold {
        line("threshold", float(threshold));
    }
}

fn null_rule(rule: &NullRule) -> String {
    match rule {
        NullRule::Reject => "\"reject\"".into(),
        NullRule::Nan => "\"nan\"".into(),
        NullRule::Value(Literal::Text(value)) => format!("{{ value = {} }}", quoted(value)),
        NullRule::Value(Literal::Float(value)) => format!("{{ value = {} }}", float(*value)),
        NullRule::Value(value) => format!("{{ value = {} }}", value.shown()),
    }
}

fn quoted(text: &str) -> String {
    Value::String(text.into()).to_string()
}

/// A key as it may stand bare, or quoted.
fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { format!("{name:?}") }
}

fn float(value: f64) -> String {
    Value::Float(value).to_string()
}

fn texts(items: &[String]) -> String {
    format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "))
}

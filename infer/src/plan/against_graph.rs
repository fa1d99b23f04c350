//! Descriptor against model file: names, types, shapes, classes and versions.

use crate::descriptor::{Descriptor, Input, Output, OutputKind, Problem};
use crate::graph::{Dim, Graph, NEWEST_IR, NEWEST_OPSET, PortType};

/// Everything in which the descriptor and the model disagree.
pub(crate) fn against_graph(descriptor: &Descriptor, graph: &Graph) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut say = |place: String, message: String| problems.push(Problem::new(place, message));
    if descriptor.opset != graph.opset() {
        let (said, has) = (descriptor.opset, graph.opset());
        say("opset".into(), format!("{said} was found, the model has {has}"));
    }
    if graph.opset() > NEWEST_OPSET {
        let has = graph.opset();
        say(
            "opset".into(),
            format!("the model needs {has}; up to {NEWEST_OPSET} is supported, convert it"),
        );
    }
    if graph.ir_version > NEWEST_IR {
        let has = graph.ir_version;
        say(
            "model.onnx".into(),
            format!("file format {has}; up to {NEWEST_IR} is supported, save it as an older one"),
        );
    }
    for (index, input) in descriptor.inputs.iter().enumerate() {
        if let Err(message) = input_fits(input, graph) {
            say(format!("inputs[{index}] {:?}", input.tensor), message);
        }
    }
    for port in &graph.inputs {
        if !descriptor.inputs.iter().any(|input| input.tensor == port.name) {
            say(
                "inputs".into(),
                format!("the model's input {:?} ({}) is not fed", port.name, port.kind),
            );
        }
    }
    for (index, output) in descriptor.outputs.iter().enumerate() {
        if let Err(message) = output_fits(output, graph) {
            say(format!("outputs[{index}] {:?}", output.name), message);
        }
    }
    problems
}

fn input_fits(input: &Input, graph: &Graph) -> Result<(), String> {
    let Some(port) = graph.input(&input.tensor) else {
        let names: Vec<&str> = graph.inputs.iter().map(|port| port.name.as_str()).collect();
        return Err(format!("the model has no input {:?}; its inputs are {names:?}", input.tensor));
    };
    let said = format!("{}{:?}", input.dtype, input.shape);
    let differ = || Err(format!("{said} was found, the model takes {}", port.kind));
    let PortType::Tensor(element, shape) = &port.kind else { return differ() };
    if *element != input.dtype {
        return differ();
    }
    let Some(shape) = shape else { return Ok(()) };
    let fits = |(said, has): (&i64, &Dim)| match has {
        Dim::Fixed(size) => *said == *size as i64,
        Dim::Free(_) => true,
    };
    if shape.len() == input.shape.len() && input.shape.iter().zip(shape).all(fits) {
        Ok(())
    } else {
        differ()
    }
}

fn output_fits(output: &Output, graph: &Graph) -> Result<(), String> {
    let Some(port) = graph.output(&output.tensor) else {
        let names: Vec<&str> = graph.outputs.iter().map(|port| port.name.as_str()).collect();
        return Err(format!(
            "the model has no output {:?}; its outputs are {names:?}",
            output.tensor
        ));
    };
    match &port.kind {
        PortType::Tensor(element, _) if *element != output.dtype => Err(format!(
            "dtype {} was found, tensor {:?} is {}",
            output.dtype, output.tensor, port.kind
        )),
        PortType::Tensor(_, shape) => {
            shape.as_deref().map_or(Ok(()), |shape| width_fits(output, shape))
        }
        PortType::MapSequence(_, value) => maps_fit(output, *value, &graph.classes),
        PortType::Other(kind) => {
            Err(format!("{:?} is {kind}, which no column can hold", output.tensor))
        }
    }
}

fn width_fits(output: &Output, shape: &[Dim]) -> Result<(), String> {
    let sizes = shape.iter().skip(1).map(|dim| match dim {
        Dim::Fixed(size) => Some(*size),
        Dim::Free(_) => None,
    });
    let Some(width) = sizes.product::<Option<usize>>() else { return Ok(()) };
    output.check_width(width)
}

fn maps_fit(output: &Output, value: crate::ElementType, classes: &[String]) -> Result<(), String> {
    let tensor = &output.tensor;
    if output.dtype != value {
        return Err(format!(
            "dtype {} was found, the maps of {tensor:?} hold {value}",
            output.dtype
        ));
    }
    let wanted: Vec<&String> = match output.kind {
        OutputKind::Probability => output.class.iter().collect(),
        OutputKind::Label => output.classes.iter().collect(),
        OutputKind::Value | OutputKind::List => {
            let kind = output.kind.name();
            return Err(format!(
                "kind {kind:?} was found; the maps of {tensor:?} give \"probability\" or \"label\""
            ));
        }
    };
    if wanted.is_empty() {
        return Err(format!(
            "`class` is missing: {tensor:?} holds one map per row, with a number for each class"
        ));
    }
    match wanted.iter().find(|class| !classes.is_empty() && !classes.contains(class)) {
        Some(class) => {
            Err(format!("{class:?} is not a class of the model; its classes are {classes:?}"))
        }
        None => Ok(()),
    }
}

impl Output {
    /// Whether a row of `width` elements is what this output is made of.
    pub(crate) fn check_width(&self, width: usize) -> Result<(), String> {
        let (tensor, classes) = (&self.tensor, self.classes.len());
        match self.kind {
            OutputKind::List => Ok(()),
            OutputKind::Label if !self.decides() && width == 1 => Ok(()),
            OutputKind::Label
                if self.decides() && (width == classes || (width == 1 && classes == 2)) =>
            {
                Ok(())
            }
            OutputKind::Label => Err(format!(
                "{tensor:?} has {width} elements a row, which do not decide between {classes} classes"
            )),
            OutputKind::Value | OutputKind::Probability => match self.place(width) {
                Some(place) if place < width => Ok(()),
                Some(place) => Err(format!("element {place} of {tensor:?}: a row has {width}")),
                None => Err(format!(
                    "{tensor:?} has {width} elements a row: name one by `index` or `class`"
                )),
            },
        }
    }

    /// The element of a row that is wanted; `None` where nothing names one.
    pub(crate) fn place(&self, width: usize) -> Option<usize> {
        let class = self
            .class
            .as_ref()
            .and_then(|class| self.classes.iter().position(|have| have == class));
        match (self.index, class) {
            (Some(index), _) => Some(index),
            // A single element beside two classes is the probability of the second.
            (None, Some(class)) if width == 1 && self.classes.len() == 2 => class.checked_sub(1),
            (None, Some(class)) => Some(class),
            (None, None) => (width == 1).then_some(0),
        }
    }
}

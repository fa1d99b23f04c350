//! What an `.onnx` file says about itself, read without ONNX Runtime and without its weights.
//!
//! Truncated and hostile bytes are an error, never a panic: nothing is allocated by a length that
//! the bytes merely claim.

mod proto;

use std::collections::{BTreeSet, HashSet};
use std::fmt;

use prost::Message;

use crate::ElementType;

/// Newest operator set of the default domain that ONNX Runtime 1.31 supports.
pub const NEWEST_OPSET: i64 = 26;

/// Newest version of the file format that ONNX Runtime 1.31 reads.
pub const NEWEST_IR: i64 = 13;

/// The face of a model: versions, inputs and outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Version of the file format.
    pub ir_version: i64,
    /// Program that wrote the file, with its version.
    pub producer: String,
    /// Operator sets: domain (empty = `ai.onnx`) and version.
    pub opsets: Vec<(String, i64)>,
    /// Inputs that have to be fed.
    pub inputs: Vec<Port>,
    /// Outputs.
    pub outputs: Vec<Port>,
    /// Nodes at the top level.
    pub nodes: usize,
    /// Distinct operators at the top level.
    pub operators: BTreeSet<String>,
    /// Class names of the classifier or ZipMap in the graph, in order; empty where there is none.
    pub classes: Vec<String>,
}

/// A named input or output.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Name of the tensor.
    pub name: String,
    /// Its type.
    pub kind: PortType,
}

/// Type of an input or output.
#[derive(Clone, Debug, PartialEq)]
pub enum PortType {
    /// A tensor; no shape where the file states none.
    Tensor(ElementType, Option<Vec<Dim>>),
    /// One map per row, from class to number: scikit-learn's ZipMap.
    MapSequence(ElementType, ElementType),
    /// Anything that no column can hold, named.
    Other(String),
}

/// One dimension of a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Always this size.
    Fixed(usize),
    /// Any size, with the name it has in the file.
    Free(String),
}

/// Why bytes are not a model.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// Not protobuf of a model.
    #[error("not an ONNX model: {0}")]
    Malformed(String),
    /// A model whose weights lie in a file beside it, which the checksum would not cover.
    #[error("weight {0:?} lies in another file; save the model with its weights inside")]
    ExternalWeights(String),
}

impl Graph {
    /// Reads the face of the model in `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Self, GraphError> {
        let model = proto::Model::decode(bytes)
            .map_err(|error| GraphError::Malformed(error.to_string()))?;
        let body = model.graph.ok_or_else(|| GraphError::Malformed("it has no graph".into()))?;
        if body.output.is_empty() || model.opset_import.is_empty() {
            return Err(GraphError::Malformed("it has no outputs or no operator sets".into()));
        }
        if let Some(weight) = body.initializer.iter().find(|weight| weight.data_location == 1) {
            return Err(GraphError::ExternalWeights(weight.name.clone()));
        }
        let weights: HashSet<&str> =
            body.initializer.iter().map(|weight| weight.name.as_str()).collect();
        // Files of format 3 and older list their weights among the inputs.
        let inputs = body.input.iter().filter(|input| !weights.contains(input.name.as_str()));
        Ok(Self {
            ir_version: model.ir_version,
            producer: format!("{} {}", model.producer_name, model.producer_version)
                .trim()
                .to_owned(),
            opsets: model
                .opset_import
                .iter()
                .map(|set| (set.domain.clone(), set.version))
                .collect(),
            inputs: inputs.map(port).collect(),
            outputs: body.output.iter().map(port).collect(),
            nodes: body.node.len(),
            operators: body.node.iter().map(|node| node.op_type.clone()).collect(),
            classes: classes(&body.node),
        })
    }

    /// Version of the default operator set; 0 where only others are imported.
    #[must_use]
    pub fn opset(&self) -> i64 {
        let default = |domain: &str| domain.is_empty() || domain == "ai.onnx";
        self.opsets.iter().find(|(domain, _)| default(domain)).map_or(0, |(_, version)| *version)
    }

    /// The input of this name.
    #[must_use]
    pub fn input(&self, name: &str) -> Option<&Port> {
        self.inputs.iter().find(|port| port.name == name)
    }

    /// The output of this name.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<&Port> {
        self.outputs.iter().find(|port| port.name == name)
    }
}

fn port(info: &proto::ValueInfo) -> Port {
    let kind = info.r#type.as_ref().and_then(|kind| kind.kind.as_ref());
    let kind = match kind {
        Some(proto::Kind::Tensor(tensor)) => tensor_type(tensor),
        Some(proto::Kind::Sequence(sequence)) => sequence_type(sequence),
        Some(proto::Kind::Map(_)) => PortType::Other("a map".into()),
        None => PortType::Other("of no type or of one that is not supported".into()),
    };
    Port { name: info.name.clone(), kind }
}

fn tensor_type(tensor: &proto::Tensor) -> PortType {
    let Some(element) = ElementType::from_onnx(tensor.elem_type) else {
        return PortType::Other(format!("a tensor of ONNX element type {}", tensor.elem_type));
    };
    let dim = |dim: &proto::Dimension| match usize::try_from(dim.dim_value) {
        Ok(size) if size > 0 => Dim::Fixed(size),
        _ => Dim::Free(dim.dim_param.clone()),
    };
    PortType::Tensor(
        element,
        tensor.shape.as_ref().map(|shape| shape.dim.iter().map(dim).collect()),
    )
}

fn sequence_type(sequence: &proto::Sequence) -> PortType {
    let item = sequence.elem_type.as_ref().and_then(|item| item.kind.as_ref());
    if let Some(proto::Kind::Map(map)) = item
        && let Some(proto::Kind::Tensor(value)) =
            map.value_type.as_ref().and_then(|value| value.kind.as_ref())
        && let Some(key) = ElementType::from_onnx(map.key_type)
        && let Some(value) = ElementType::from_onnx(value.elem_type)
    {
        return PortType::MapSequence(key, value);
    }
    PortType::Other("a sequence of something other than maps".into())
}

/// The last node that names classes decides: a ZipMap follows its classifier.
fn classes(nodes: &[proto::Node]) -> Vec<String> {
    let of = |attribute: &proto::Attribute| -> Option<Vec<String>> {
        match attribute.name.as_str() {
            "classlabels_strings" | "classlabels_string" => Some(
                attribute
                    .strings
                    .iter()
                    .map(|name| String::from_utf8_lossy(name).into_owned())
                    .collect(),
            ),
            "classlabels_int64s" | "classlabels_ints" => {
                Some(attribute.ints.iter().map(i64::to_string).collect())
            }
            _ => None,
        }
    };
    let named = nodes.iter().rev().flat_map(|node| &node.attribute).filter_map(of);
    named.into_iter().find(|classes| !classes.is_empty()).unwrap_or_default()
}

impl fmt::Display for PortType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor(element, None) => write!(out, "{element} of unstated shape"),
            Self::Tensor(element, Some(shape)) => {
                let dims: Vec<String> = shape.iter().map(Dim::to_string).collect();
                write!(out, "{element}[{}]", dims.join(","))
            }
            Self::MapSequence(key, value) => write!(out, "sequence(map({key} -> {value}))"),
            Self::Other(name) => out.write_str(name),
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(out, "{size}"),
            Self::Free(name) if name.is_empty() => out.write_str("?"),
            Self::Free(name) => out.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests;

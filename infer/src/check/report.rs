//! The outcome of a check, for people and for scripts.

use std::fmt;

use serde::Serialize;

use super::{GoldenReport, NeighbourReport};
use crate::Package;
use crate::descriptor::Problem;

/// What was found about a package.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Name of the model.
    pub model: String,
    /// Version of the model.
    pub version: String,
    /// Checksum of the model file, which is the one in the descriptor.
    pub sha256: String,
    /// Size of the model file in bytes.
    pub bytes: usize,
    /// Program that wrote the file.
    pub producer: String,
    /// Version of the default operator set.
    pub opset: i64,
    /// Nodes of the graph.
    pub nodes: usize,
    /// What the model is fed.
    pub inputs: Vec<TensorReport>,
    /// What the model answers.
    pub outputs: Vec<ColumnReport>,
    /// Golden rows, where there were any.
    pub golden: Option<GoldenReport>,
    /// Answers compared over batches; missing where the model could not be run.
    pub neighbours: Option<NeighbourReport>,
    /// Whether the model was held against a contract, or only described.
    pub checked: bool,
    /// Everything that keeps the model from serving.
    pub problems: Vec<Problem>,
}

/// A tensor and what it is made of.
#[derive(Clone, Debug, Serialize)]
pub struct TensorReport {
    /// Name of the tensor.
    pub tensor: String,
    /// Its type and shape in the model.
    pub kind: String,
    /// Features in it, in order.
    pub features: Vec<String>,
}

/// An output column and what it is made of.
#[derive(Clone, Debug, Serialize)]
pub struct ColumnReport {
    /// Name of the column.
    pub name: String,
    /// Its type.
    pub column: String,
    /// Name of the tensor.
    pub tensor: String,
    /// The tensor's type and shape in the model.
    pub kind: String,
}

impl CheckReport {
    /// Whether the model was checked and may serve.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checked && self.problems.is_empty()
    }

    /// What is known without running the model.
    pub(super) fn of(package: &Package) -> Self {
        let (descriptor, graph) = (package.descriptor(), package.graph());
        let kind = |port: Option<&crate::Port>| {
            port.map_or_else(|| "not in the model".into(), |port| port.kind.to_string())
        };
        let inputs = descriptor.inputs.iter().map(|input| TensorReport {
            tensor: input.tensor.clone(),
            kind: kind(graph.input(&input.tensor)),
            features: input.features.clone(),
        });
        let outputs = descriptor.outputs.iter().map(|output| ColumnReport {
            name: output.name.clone(),
            column: output.arrow_field().data_type().to_string(),
            tensor: output.tensor.clone(),
            kind: kind(graph.output(&output.tensor)),
        });
        Self {
            model: package.name().to_owned(),
            version: package.version().to_owned(),
            sha256: descriptor.sha256.clone(),
            bytes: package.bytes().len(),
            producer: graph.producer.clone(),
            opset: graph.opset(),
            nodes: graph.nodes,
            inputs: inputs.collect(),
            outputs: outputs.collect(),
            golden: None,
            neighbours: None,
            checked: false,
            problems: Vec::new(),
        }
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "model      {} version {}", self.model, self.version)?;
        writeln!(out, "file       {} bytes, sha256 {}", self.bytes, self.sha256)?;
        writeln!(out, "made by    {}, opset {}, {} nodes", self.producer, self.opset, self.nodes)?;
        for input in &self.inputs {
            writeln!(
                out,
                "input      {} {} <- {}",
                input.tensor,
                input.kind,
                input.features.join(", ")
            )?;
        }
        for output in &self.outputs {
            writeln!(
                out,
                "output     {} {} <- {} {}",
                output.name, output.column, output.tensor, output.kind
            )?;
        }
        match &self.golden {
            Some(golden) => writeln!(out, "golden     {golden}")?,
            None if self.checked => writeln!(out, "golden     no golden rows compared")?,
            None => {}
        }
        if let Some(neighbours) = &self.neighbours {
            writeln!(out, "neighbours {neighbours}")?;
        }
        for problem in &self.problems {
            writeln!(out, "problem    {problem}")?;
        }
        match (self.checked, self.passed()) {
            (true, true) => write!(out, "the model may serve"),
            (true, false) => write!(out, "the model may not serve"),
            (false, _) => Ok(()),
        }
    }
}

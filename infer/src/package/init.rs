//! A first descriptor, from what the model file says about itself.
//!
//! What the file cannot say (names of features in a matrix, purpose, owner) is left to be filled
//! in; `model check` names it.

use std::path::Path;

use schemas::{Contract, FieldType};

use super::{MAX_MODEL_BYTES, PackageError, checksum, read};
use crate::ElementType;
use crate::descriptor::{Descriptor, GoldenRule, Input, NullRule, Output, OutputKind};
use crate::graph::{Dim, Graph, Port, PortType};

/// Rows in one call that a new descriptor allows: where small models are fastest per row.
const FIRST_BATCH_ROWS: usize = 1024;

/// Proposes a descriptor for the model file at `path`; with a contract, its fields become features
/// where names or numbers agree.
pub fn init(path: &Path, contract: Option<&Contract>) -> Result<Descriptor, PackageError> {
    let bytes = read(path, MAX_MODEL_BYTES)?;
    let graph = Graph::parse(&bytes)
        .map_err(|reason| PackageError::Model { path: path.to_path_buf(), reason })?;
    Ok(Descriptor {
        purpose: String::new(),
        owner: String::new(),
        licence: String::new(),
        framework: graph.producer.clone(),
        training_data: String::new(),
        metrics: Default::default(),
        sha256: checksum(&bytes),
        opset: graph.opset(),
        max_batch_rows: fixed_batch(&graph).unwrap_or(FIRST_BATCH_ROWS),
        allow_batch_dependence: false,
        golden: GoldenRule::default(),
        inputs: graph.inputs.iter().filter_map(|port| input(port, contract)).collect(),
        outputs: graph.outputs.iter().flat_map(|port| outputs(port, &graph.classes)).collect(),
    })
}

fn fixed_batch(graph: &Graph) -> Option<usize> {
    graph.inputs.iter().find_map(|port| match &port.kind {
        PortType::Tensor(_, Some(shape)) => match shape.first() {
            Some(Dim::Fixed(rows)) => Some(*rows),
            _ => None,
        },
        _ => None,
    })
}

fn input(port: &Port, contract: Option<&Contract>) -> Option<Input> {
    let PortType::Tensor(dtype, shape) = &port.kind else { return None };
    let free = vec![Dim::Free(String::new())];
    let shape: Vec<i64> = shape
        .as_ref()
        .unwrap_or(&free)
        .iter()
        .map(|dim| match dim {
            Dim::Fixed(size) => *size as i64,
            Dim::Free(_) => -1,
        })
        .collect();
    let width: i64 = shape.iter().skip(1).map(|size| (*size).max(1)).product();
    let width = usize::try_from(width).unwrap_or(1).min(FIRST_BATCH_ROWS);
    let features = features(port, *dtype, width, contract);
    let nullable =
        |name: &String| contract.and_then(|c| c.field(name)).is_some_and(|field| field.nullable);
    let null = features.iter().any(nullable).then_some(NullRule::Reject);
    let tensor = port.name.clone();
    Some(Input {
        tensor,
        dtype: *dtype,
        shape,
        features,
        null,
        nulls: Default::default(),
        categories: vec![],
    })
}

fn features(
    port: &Port,
    dtype: ElementType,
    width: usize,
    contract: Option<&Contract>,
) -> Vec<String> {
    if contract.is_none_or(|contract| contract.field(&port.name).is_some()) && width == 1 {
        return vec![port.name.clone()];
    }
    if let Some(contract) = contract {
        if contract.field(&port.name).is_some() {
            return vec![port.name.clone()];
        }
        let fits = |kind: FieldType| match kind {
            FieldType::String => dtype == ElementType::String,
            FieldType::Bool | FieldType::Number(_) => dtype != ElementType::String,
            _ => false,
        };
        let fields =
            contract.fields().iter().filter(|field| field.role.is_none() && fits(field.kind));
        let names: Vec<String> = fields.map(|field| field.name.clone()).collect();
        if names.len() == width {
            return names;
        }
    }
    (1..=width).map(|number| format!("feature_{number}")).collect()
}

fn outputs(port: &Port, classes: &[String]) -> Vec<Output> {
    let output = |name: String, dtype: ElementType, kind: OutputKind| Output {
        name,
        tensor: port.name.clone(),
        dtype,
        kind,
        index: None,
        class: None,
        classes: Vec::new(),
        threshold: None,
    };
    let probability = |dtype: ElementType, class: &String, name: String| Output {
        class: Some(class.clone()),
        classes: classes.to_vec(),
        ..output(name, dtype, OutputKind::Probability)
    };
    let probabilities = |dtype: ElementType| -> Vec<Output> {
        if classes.len() == 2 {
            return vec![probability(dtype, &classes[1], "probability".into())];
        }
        classes
            .iter()
            .map(|class| probability(dtype, class, format!("probability_{class}")))
            .collect()
    };
    match &port.kind {
        PortType::MapSequence(_, value) => probabilities(*value),
        PortType::Tensor(dtype, shape) => {
            let width = shape.as_ref().and_then(|shape| width(shape));
            match (dtype, width) {
                (dtype, Some(width)) if dtype.is_float() && width == classes.len() && width > 1 => {
                    probabilities(*dtype)
                }
                (dtype, Some(1)) if dtype.is_float() || classes.is_empty() => {
                    vec![output(port.name.clone(), *dtype, OutputKind::Value)]
                }
                (ElementType::String | ElementType::Int64, Some(1)) => {
                    vec![output("label".into(), *dtype, OutputKind::Label)]
                }
                _ => vec![output(port.name.clone(), *dtype, OutputKind::List)],
            }
        }
        PortType::Other(_) => Vec::new(),
    }
}

fn width(shape: &[Dim]) -> Option<usize> {
    let sizes = shape.iter().skip(1).map(|dim| match dim {
        Dim::Fixed(size) => Some(*size),
        Dim::Free(_) => None,
    });
    sizes.product()
}

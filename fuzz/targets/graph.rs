//! Any bytes as a model file: an answer, without reading beyond them. What a model needs is judged later.
#![no_main]

use infer::Graph;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(graph) = Graph::parse(bytes) else { return };
    assert!(!graph.outputs.is_empty());
    for port in &graph.inputs {
        assert!(graph.input(&port.name).is_some(), "{:?}", port.name);
    }
});

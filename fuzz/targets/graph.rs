//! Any bytes as a model file: an answer, without reading beyond them.
#![no_main]

use infer::Graph;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(graph) = Graph::parse(bytes) {
        assert!(graph.opset() <= infer::NEWEST_OPSET);
    }
});

//! Graphs: damaged and hostile bytes give errors, never panics.

use proptest::prelude::*;

use super::*;

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/testdata/{name}.onnx", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn face(name: &str) -> String {
    let graph = Graph::parse(&bytes(name)).unwrap();
    let ports = |ports: &[Port]| {
        ports
            .iter()
            .map(|port| format!("{}: {}", port.name, port.kind))
            .collect::<Vec<_>>()
            .join(", ")
    };
    format!("{} -> {}", ports(&graph.inputs), ports(&graph.outputs))
}

#[test]
fn inputs_and_outputs_are_read() {
    for (name, expected) in [
        ("mlp", "X: float32[?,15] -> variable: float32[?,1]"),
        ("fixed", "X: float32[8,3] -> score: float32[8,1]"),
        ("echo", "text: string[n] -> same: string[n]"),
        ("pixels", "pixels: uint8[n,4], flag: bool[n] -> probability: float32[n,1]"),
        (
            "boosted_zipmap",
            "X: float32[?,4] -> output_label: string[?], output_probability: sequence(map(string -> float32))",
        ),
    ] {
        assert_eq!(face(name), expected);
    }
}

#[test]
fn versions_and_classes_are_read() {
    let graph = Graph::parse(&bytes("boosted_zipmap")).unwrap();
    assert_eq!((graph.opset(), graph.ir_version), (17, 8));
    assert!(graph.producer.starts_with("skl2onnx"), "{}", graph.producer);
    assert_eq!(graph.classes, ["early", "late", "on_time"]);
    assert_eq!(Graph::parse(&bytes("integer_zipmap")).unwrap().classes, ["0", "7"]);
    assert!(Graph::parse(&bytes("mlp")).unwrap().classes.is_empty());
}

#[test]
fn a_claimed_length_is_not_believed() {
    // Field 7 (graph), length 2^62, no bytes behind it; and the same for nested lists of integers.
    for hostile in [
        &[0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f][..],
        &[0x3a, 0x04, 0x0a, 0xff, 0xff, 0x7f],
        b"",
        b"not a model at all",
    ] {
        assert!(Graph::parse(hostile).is_err());
    }
    // A sequence of sequences of sequences ...: field 4 of a type, field 1 of a sequence.
    let nested = (0..4000).fold(Vec::new(), |inner: Vec<u8>, level| {
        let mut outer = vec![if level % 2 == 0 { 0x0a } else { 0x22 }];
        prost::encoding::encode_varint(inner.len() as u64, &mut outer);
        outer.extend(inner);
        outer
    });
    assert!(proto::Type::decode(&nested[..]).is_err(), "nesting is bounded");
}

#[test]
fn weights_in_another_file_are_refused() {
    let body = proto::Body {
        initializer: vec![proto::Weight { name: "w".into(), data_location: 1 }],
        output: vec![proto::ValueInfo::default()],
        ..Default::default()
    };
    let model = proto::Model {
        graph: Some(body),
        opset_import: vec![proto::OperatorSet::default()],
        ..Default::default()
    };
    let error = Graph::parse(&model.encode_to_vec()).unwrap_err().to_string();
    assert!(error.contains("\"w\"") && error.contains("another file"), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(random in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Graph::parse(&random);
    }

    #[test]
    fn damaged_models_are_errors_or_models(
        name in prop_oneof![Just("mlp"), Just("boosted_zipmap"), Just("columns")],
        cut in 0.0f64..1.0,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut damaged = bytes(name);
        for (place, value) in flips {
            let place = place.index(damaged.len());
            damaged[place] = value;
        }
        let _ = Graph::parse(&damaged);
        damaged.truncate((damaged.len() as f64 * cut) as usize);
        let _ = Graph::parse(&damaged);
    }
}

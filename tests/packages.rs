//! Model packages that are none: truncated, random and damaged graphs, a descriptor written by hand.
//! A clear error with exit code 2, never a panic or a hang.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::harness::{ended_with, folder, root, run};

fn demo(path: &str) -> PathBuf {
    root().join("deploy/demo").join(path)
}

/// A package of the demo's model in a repository of its own.
struct Package {
    repository: tempfile::TempDir,
}

impl Package {
    fn new() -> Self {
        let package = Self { repository: folder() };
        fs::create_dir_all(package.dir()).expect("writable");
        for file in ["model.onnx", "model.toml"] {
            let from = demo("models/flight-delay/1").join(file);
            fs::copy(from, package.dir().join(file)).expect("copied");
        }
        package
    }

    fn dir(&self) -> PathBuf {
        self.repository.path().join("flight-delay/1")
    }

    fn descriptor(&self) -> String {
        fs::read_to_string(self.dir().join("model.toml")).expect("readable")
    }

    fn describe(&self, text: &str) {
        fs::write(self.dir().join("model.toml"), text).expect("writable");
    }

    /// Puts `graph` in place, first under the old checksum, which must be noticed, then under its own.
    fn put(&self, graph: &[u8]) {
        fs::write(self.dir().join("model.onnx"), graph).expect("writable");
        let refused = self.model_check();
        ended_with(&refused, 2);
        let said = told(&refused);
        let sum = said.split("has sha256 ").nth(1).and_then(|rest| rest.split(',').next());
        let sum = sum.unwrap_or_else(|| panic!("no checksum in {said}"));
        let descriptor = self.descriptor();
        let old = descriptor.split("sha256 = \"").nth(1).and_then(|rest| rest.split('"').next());
        self.describe(&descriptor.replace(old.expect("a checksum"), sum));
    }

    fn model_check(&self) -> Output {
        let (dir, contract) = (text(&self.dir()), text(&demo("contract.toml")));
        run(&["model", "check", &dir, "--contract", &contract])
    }

    /// `run` or `check` with this package; nothing listens at its broker.
    fn configured(&self, command: &[&str]) -> Output {
        let (config, repository) = (
            text(&demo("tidegate.toml")),
            format!("model.repository={}", self.repository.path().display()),
        );
        let mut arguments = command.to_vec();
        arguments.extend(["--config", &config, "--set", &repository]);
        arguments.extend(["--set", "kafka.brokers=127.0.0.1:1", "--set", "server.listen="]);
        run(&arguments)
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn told(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// Bytes that a seed repeats.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn truncated_and_random_graphs_are_refused() {
    let whole = fs::read(demo("models/flight-delay/1/model.onnx")).expect("the demo's model");
    let truncated = [0, 1, whole.len() / 3, whole.len() - 1].map(|end| whole[..end].to_vec());
    let random = [(1, 64), (2, 4096), (3, 100_000)].map(|(seed, length)| noise(seed, length));
    for graph in truncated.iter().chain(&random) {
        let package = Package::new();
        package.put(graph);
        let commands = [
            package.model_check(),
            package.configured(&["check", "--offline"]),
            package.configured(&["run"]),
        ];
        for output in commands {
            ended_with(&output, 2);
            let said = told(&output);
            assert!(said.contains("model.onnx"), "{} bytes: {said}", graph.len());
        }
    }
}

#[test]
fn damage_inside_a_graph_is_an_error_or_another_model_but_no_panic() {
    let whole = fs::read(demo("models/flight-delay/1/model.onnx")).expect("the demo's model");
    for seed in 1..=6_u64 {
        let mut graph = whole.clone();
        let at = (seed as usize * 7919) % (whole.len() - 16);
        graph[at..at + 16].copy_from_slice(&noise(seed, 16));
        let package = Package::new();
        package.put(&graph);
        // A changed weight passes, an answer that is off or a graph that does not load does not.
        let output = package.model_check();
        let said = told(&output);
        assert!(matches!(output.status.code(), Some(0..=2)), "{:?} {said}", output.status);
    }
}

#[test]
fn every_mistake_of_a_descriptor_written_by_hand_is_reported() {
    let package = Package::new();
    let mut descriptor = package.descriptor();
    for (right, wrong) in [
        ("opset = 16", "opset = \"new\""),
        ("max_batch_rows = 4096", "max_batch_rows = 0"),
        ("licence = ", "license = "),
        ("dtype = \"float32\"\nshape", "dtype = \"float31\"\nshape"),
        ("kind = \"value\"", "kind = \"guess\""),
    ] {
        assert!(descriptor.contains(right), "{right} is not in the demo's descriptor");
        descriptor = descriptor.replacen(right, wrong, 1);
    }
    package.describe(&descriptor);
    for output in [package.model_check(), package.configured(&["run"])] {
        ended_with(&output, 2);
        let said = told(&output);
        for mistake in ["opset", "max_batch_rows", "license", "float31", "guess"] {
            assert!(said.contains(mistake), "{mistake} is not in:\n{said}");
        }
    }
}

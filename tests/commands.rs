//! Commands as a newcomer meets them, on the demo's assets.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Broker, binary, ended_with, folder, output, root, run};

fn demo(path: &str) -> String {
    root().join("deploy/demo").join(path).to_string_lossy().into_owned()
}

#[test]
fn the_demo_ends_with_every_event_counted_once() {
    let output = run(&["demo", "--assets", &demo(""), "--rate", "5000"]);
    ended_with(&output, 0);
}

#[test]
fn the_demo_models_pass_their_own_check() {
    for model in ["flight-delay", "flight-late"] {
        let package = demo(&format!("models/{model}/1"));
        ended_with(&run(&["model", "check", &package, "--contract", &demo("contract.toml")]), 0);
    }
}

#[test]
fn the_demo_configuration_is_accepted() {
    ended_with(&run(&["check", "--offline", "--config", &demo("tidegate.toml")]), 0);
}

#[test]
fn bench_times_the_start_and_the_parts_by_the_call_that_the_pipeline_uses() {
    let Some(broker) = Broker::shared() else { return };
    let (config, flights, archive) = (demo("tidegate.toml"), demo("flights.parquet"), folder());
    let brokers = format!("kafka.brokers={}", broker.address());
    let directory = format!("archive.directory={}", archive.path().join("data").display());
    let bench = |more: &[&str]| {
        let mut arguments =
            vec!["bench", "--config", &config, "--set", &brokers, "--set", &directory];
        arguments
            .extend(["--only", "score", "--events", "20000", "--rate", "0", "--limits", "--json"]);
        arguments.extend(more);
        arguments.push(&flights);
        let output = run(&arguments);
        ended_with(&output, 0);
        serde_json::from_slice::<Value>(&output.stdout).expect("the report is JSON")
    };
    let together = json!({ "call": "rd_kafka_produce_batch", "headers": 0, "timestamp": false });
    let plain = bench(&[]);
    assert_eq!(plain["limits"]["produced"], together);
    assert!(plain["startup_ms"].as_u64().is_some_and(|millis| millis > 0), "{plain}");
    let carry = ["--set", "output.carry_headers=true", "--set", "output.carry_timestamp=true"];
    let carried = bench(&[&carry[..], &["--headers", "3"]].concat());
    let alone = json!({ "call": "rd_kafka_produceva", "headers": 3, "timestamp": true });
    assert_eq!(carried["limits"]["produced"], alone, "{carried}");
}

#[test]
fn five_mistakes_in_a_configuration_are_reported_at_once() {
    let mistakes = [
        "input.topik=flights",
        "batch.max_rows=many",
        "input.start=now",
        "output.topic=",
        "commit.interval_ms=-1",
    ];
    let config = demo("tidegate.toml");
    let mut arguments = vec!["check", "--offline", "--config", &config];
    arguments.extend(mistakes.iter().flat_map(|set| ["--set", set]));
    let output = run(&arguments);
    ended_with(&output, 2);
    let said = String::from_utf8_lossy(&output.stderr);
    for mistake in mistakes {
        let key = mistake.split('=').next().expect("a mistake has a key");
        assert!(said.contains(key), "{key} is not in:\n{said}");
    }
}

#[test]
fn properties_that_would_break_the_guarantee_are_all_refused_and_unknown_ones_named() {
    let refused = [
        "isolation.level=read_uncommitted",
        "enable.auto.commit=true",
        "enable.idempotence=false",
        "acks=1",
        "group.protocol=consumer",
        "auto.offset.reset=latest",
        "transactional.id=mine",
        "max.in.flight=5",
        "retries=0",
        "queued.max.messages.kbytes=1048576",
        "no.such.property=1",
        "linger.ms=soon",
    ];
    let config = demo("tidegate.toml");
    let sets: Vec<String> =
        refused.iter().map(|property| format!("kafka.properties.{property}")).collect();
    let check = |sets: &[String]| {
        let mut arguments = vec!["check", "--offline", "--config", &config];
        arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
        run(&arguments)
    };
    let output = check(&sets);
    ended_with(&output, 2);
    let said = String::from_utf8_lossy(&output.stderr);
    for property in refused {
        let name = property.split('=').next().expect("a property has a name");
        assert!(said.contains(&format!("kafka.properties.{name}")), "{name} is not in:\n{said}");
    }
    ended_with(&check(&["kafka.properties.linger.ms=5".into()]), 0);
}

#[test]
fn an_otlp_endpoint_that_cannot_be_spoken_to_is_refused() {
    let config = demo("tidegate.toml");
    for endpoint in ["https://collector:4318", "collector:4317"] {
        let set = format!("telemetry.otlp_endpoint={endpoint}");
        let output = run(&["check", "--offline", "--config", &config, "--set", &set]);
        ended_with(&output, 2);
        assert!(String::from_utf8_lossy(&output.stderr).contains("telemetry.otlp_endpoint"));
    }
}

#[test]
fn a_missing_onnx_runtime_names_the_fix_and_does_not_hang() {
    let library = root().join("no-such-library.so");
    let mut command = Command::new(binary());
    command.args(["model", "check", &demo("models/flight-delay/1")]);
    command.args(["--contract", &demo("contract.toml")]).env("TIDEGATE_ORT_LIB", &library);
    let output = output(&mut command);
    ended_with(&output, 1);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("TIDEGATE_ORT_LIB") && said.contains("no-such-library.so"), "{said}");
}

//! What may be wrong with data, files and settings, each on the real broker: a clear error or a
//! dead letter, neighbours unharmed, no panic, no endless loop.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::harness::{Broker, FLIGHTS, Pipeline, ended_with, flight, root, scored};

const SOON: Duration = Duration::from_secs(40);

/// What `run` may take at its peak with the demo's model and one worker, whatever the lag. The bound that `check`
/// prints is larger: it has every buffer full at once.
const PEAK_BYTES: u64 = 200_000_000;

fn dead_letters(pipeline: &Pipeline, wanted: &str) -> String {
    pipeline.sql(&format!("SELECT count(*) FROM dead_letters WHERE reason LIKE '%{wanted}%'"))
}

#[test]
fn bad_records_are_dead_letters_and_their_neighbours_are_scored() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "bad", &[]);
    let whole = flight("whole", "");
    let text = String::from_utf8(whole.clone()).expect("a flight is text");
    let bad: Vec<Vec<u8>> = vec![
        whole[..whole.len() / 2].to_vec(),
        text.replace(r#""weekday":6"#, r#""weekday":"six""#).into_bytes(),
        text.replace(r#","distance":1400"#, "").into_bytes(),
        text.replace(r#""flight":1,"#, r#""flight":99999999999,"#).into_bytes(),
        text.replace(r#""temp":39.0"#, r#""temp":NaN"#).into_bytes(),
        flight("twice", r#","id":"again""#),
        [&whole[..10], &[0xff, 0xfe], &whole[10..]].concat(),
        flight("deep", &format!(r#","x":{}{}"#, "[".repeat(5000), "]".repeat(5000))),
        flight("reserved", r#","prediction":1"#),
        vec![],
    ];
    let mut records = vec![whole.clone()];
    for record in &bad {
        records.push(record.clone());
        records.push(whole.clone());
    }
    pipeline.send(&records);
    scored(&pipeline);
    assert_eq!(pipeline.sql("SELECT count(*) FROM results"), (bad.len() + 1).to_string());
    assert_eq!(pipeline.sql("SELECT count(*) FROM dead_letters"), bad.len().to_string());
    for field in ["weekday", "distance", "flight", "prediction"] {
        assert_eq!(dead_letters(&pipeline, field), "1", "{field}");
    }
    // The originals are the dead letters, byte for byte, in the topic
    let mut letters: Vec<Vec<u8>> = Vec::new();
    for batch in pipeline.read(&pipeline.dead()) {
        letters.extend((0..batch.len()).map(|row| batch.value(row).unwrap_or_default().to_vec()));
    }
    let mut originals = bad;
    letters.sort_unstable();
    originals.sort_unstable();
    assert_eq!(letters, originals);
    // and in the table.
    for original in originals.iter().filter(|original| !original.is_empty()) {
        let hex: String = original.iter().map(|byte| format!("{byte:02x}")).collect();
        let same =
            format!("SELECT count(*) FROM dead_letters WHERE encode(value, 'hex') = '{hex}'");
        assert_eq!(pipeline.sql(&same), "1", "{}", String::from_utf8_lossy(original));
    }
}

#[test]
fn a_result_larger_than_the_broker_takes_is_a_dead_letter() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "large", &[]);
    // The event fits (1 MiB is the broker's default); with what is added it does not.
    let filler = "x".repeat(1_048_588 - 420);
    pipeline.send(&[
        flight("small", ""),
        flight("large", &format!(r#","filler":"{filler}""#)),
        flight("small too", ""),
    ]);
    scored(&pipeline);
    assert_eq!(pipeline.sql("SELECT count(*) FROM results"), "2");
    assert_eq!(dead_letters(&pipeline, "max.message.bytes"), "1");
}

#[test]
fn a_missing_output_topic_is_said() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "no-output", &["output.create_topics=false"]);
    pipeline.send(&[flight("a", "")]);
    let mut child = pipeline.run("a");
    assert_eq!(child.wait(SOON).code(), Some(2), "{}", child.log());
    child.wait_for("does not exist", Duration::ZERO);
}

#[test]
fn a_port_in_use_is_said() {
    let Some(broker) = Broker::shared() else { return };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    let listen = format!("server.listen={address}");
    let pipeline = Pipeline::new(broker, "port", &[]);
    pipeline.send(&[flight("a", "")]);
    let mut child = pipeline.run_with("a", &[&listen]);
    assert_eq!(child.wait(SOON).code(), Some(1), "{}", child.log());
    child.wait_for(&address.to_string(), Duration::ZERO);
}

#[test]
fn foreign_parquet_in_the_archive_ends_it_and_names_the_file() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "foreign", &[]);
    pipeline.send(&[flight("a", "")]);
    scored(&pipeline);
    let folder = first_partition(&pipeline.archive().join("results"));
    let stranger = folder.join("stranger.parquet");
    fs::copy(root().join("deploy/demo/flights.parquet"), &stranger)
        .expect("the archive is writable");
    let mut child = pipeline.run("a");
    assert!(!child.wait(SOON).success(), "{}", child.log());
    child.wait_for("stranger.parquet", Duration::ZERO);
    fs::remove_file(&stranger).expect("it was just made");
    scored(&pipeline);
}

fn first_partition(table: &Path) -> PathBuf {
    let topic = subfolders(table).into_iter().next().expect("one topic");
    subfolders(&topic)
        .into_iter()
        .find(|dir| {
            dir.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("source_partition="))
        })
        .expect("a partition")
}

fn subfolders(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    entries.map(|entry| entry.expect("readable").path()).filter(|path| path.is_dir()).collect()
}

#[test]
fn an_added_nullable_field_reads_together_and_a_changed_type_is_refused() {
    let Some(broker) = Broker::shared() else { return };
    let assets = crate::harness::folder();
    let original =
        fs::read_to_string(root().join("deploy/demo/contract.toml")).expect("the demo's contract");
    let contract = assets.path().join("contract.toml");
    let says = format!("contract.file={}", contract.display());
    let pipeline = Pipeline::new(broker, "contract", &[&says]);

    fs::write(&contract, &original).expect("writable");
    pipeline.send(&[flight("old", "")]);
    scored(&pipeline);

    let added =
        format!("{original}\n[[fields]]\nname = \"gate\"\ntype = \"string\"\nnullable = true\n");
    fs::write(&contract, &added).expect("writable");
    pipeline.send(&[flight("new", r#","gate":"B7""#)]);
    scored(&pipeline);
    assert_eq!(pipeline.sql("SELECT count(*) FROM results"), "2");
    assert_eq!(pipeline.sql("SELECT id FROM results WHERE gate = 'B7'"), "new");
    assert_eq!(pipeline.sql("SELECT id FROM results WHERE gate IS NULL"), "old");

    let changed =
        added.replace("name = \"gate\"\ntype = \"string\"", "name = \"gate\"\ntype = \"int32\"");
    assert_ne!(changed, added);
    fs::write(&contract, &changed).expect("writable");
    let mut child = pipeline.run("a");
    assert!(!child.wait(SOON).success(), "{}", child.log());
    child.wait_for("\"gate\" was Utf8 and is now Int32", Duration::ZERO);
}

#[test]
fn a_changed_model_shows_in_new_rows() {
    let Some(broker) = Broker::shared() else { return };
    let repository = crate::harness::folder();
    for version in ["1", "2"] {
        let to = repository.path().join("flight-delay").join(version);
        fs::create_dir_all(&to).expect("writable");
        for file in ["model.onnx", "model.toml"] {
            fs::copy(root().join("deploy/demo/models/flight-delay/1").join(file), to.join(file))
                .expect("copied");
        }
    }
    let says = format!("model.repository={}", repository.path().display());
    let pipeline = Pipeline::new(broker, "model", &[&says]);
    pipeline.send(&[flight("a", "")]);
    scored(&pipeline);
    pipeline.send(&[flight("b", ""), flight("c", "")]);
    let mut child = pipeline.run_with("a", &["model.version=2"]);
    ended_with(&pipeline.command(&["verify"], &["--wait", "60"]), 0);
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
    for (version, rows) in [("1", "1"), ("2", "2")] {
        let query = format!("SELECT count(*) FROM results WHERE model_version = '{version}'");
        assert_eq!(pipeline.sql(&query), rows, "version {version}");
    }
}

#[test]
fn memory_stays_under_the_bound_that_check_prints_and_200_mb() {
    let Some(broker) = Broker::shared() else { return };
    // Each worker has a session of the model and batches of its own.
    let pipeline = Pipeline::new(broker, "memory", &["workers.threads=1"]);
    let lag: u64 = std::env::var("TIDEGATE_TEST_LAG").map_or(40 * FLIGHTS, |text| {
        text.parse().expect("TIDEGATE_TEST_LAG is a number of events")
    });
    let mut producer = pipeline.produce(lag, None);
    assert!(producer.wait(Duration::from_secs(300)).success(), "{}", producer.log());
    let checked = pipeline.command(&["check"], &["--json"]);
    ended_with(&checked, 0);
    let report = String::from_utf8(checked.stdout).expect("JSON is UTF-8");
    let bound: u64 = report
        .lines()
        .find_map(|line| line.trim().strip_prefix("\"memory_bound_bytes\": "))
        .and_then(|number| number.trim_end_matches(',').parse().ok())
        .expect("check prints the bound");
    let mut child = pipeline.run("a");
    ended_with(&pipeline.command(&["verify"], &["--wait", "170"]), 0);
    let peak = child.peak_bytes();
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
    eprintln!("{lag} events of lag: peak {} MiB, bound {} MiB", peak >> 20, bound >> 20);
    assert!(peak < bound, "peak {peak} bytes, bound {bound}");
    assert!(peak < PEAK_BYTES, "peak {peak} bytes, of {PEAK_BYTES}");
}

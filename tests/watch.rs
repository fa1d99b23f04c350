//! Hop 3 at work: the archive grows, a window drifts, a local webhook hears of it, signed and once.

mod hostile;
mod jobs;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Broker, Child, Pipeline, Request, address_in, ended_with, get, root, run};
use crate::monitor::{Monitored, archive, archive_from};

const SOON: Duration = Duration::from_secs(60);
/// Long enough for another look at the archive.
const QUIET: Duration = Duration::from_secs(7);

/// Answers 204 to everything and passes it on.
pub(crate) fn receiver() -> (String, mpsc::Receiver<Request>) {
    receiver_that_says("204 No Content", "")
}

/// Answers so to everything and passes it on.
fn receiver_that_says(status: &str, body: &str) -> (String, mpsc::Receiver<Request>) {
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let (say, heard) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Whoever is killed asks half a question.
            let Ok(request) = Request::read(&stream) else { continue };
            let _ = stream.write_all(answer.as_bytes());
            if say.send(request).is_err() {
                return;
            }
        }
    });
    (address, heard)
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}

fn watching(monitored: &Monitored, address: &str) -> Child {
    watching_with(monitored, address, &[])
}

fn watching_with(monitored: &Monitored, address: &str, more: &[String]) -> Child {
    let arguments = arguments(&["run", "--only", "monitor"], monitored, address, more);
    Child::spawn(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A command with the configuration of all tests here, alerts going to `address`.
fn arguments(
    command: &[&str],
    monitored: &Monitored,
    address: &str,
    more: &[String],
) -> Vec<String> {
    let config = root().join("deploy/demo/tidegate.toml").to_string_lossy().into_owned();
    let [alerts, retraining] = [("ops", "alerts"), ("train", "retraining")].map(|(name, event)| {
        format!(
            "{{name=\"{name}\",kind=\"webhook\",url=\"http://{address}/\",events=[\"{event}\"],\
             secrets=[\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]}}"
        )
    });
    let routes = format!("routes=[{alerts},{retraining}]");
    let mut arguments: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    arguments.extend(["--config".to_owned(), config]);
    let sets = [
        routes,
        format!("archive.directory={}", monitored.path("data")),
        format!("monitor.reference={}", monitored.path("reference.parquet")),
        format!("alerts.state={}", monitored.path("state/alerts.sqlite")),
        "alerts.http.allow_private=[\"127.0.0.1\"]".to_owned(),
        "alerts.retraining.min_rows=500".to_owned(),
        "monitor.previous_seconds=3600".to_owned(),
        "server.listen=127.0.0.1:0".to_owned(),
    ];
    arguments.extend(sets.iter().chain(more).flat_map(|set| ["--set".to_owned(), set.clone()]));
    arguments
}

#[test]
fn a_drift_reaches_the_webhook_once_and_a_quiet_stream_stays_silent() {
    let monitored = Monitored::new();
    let directory = monitored.folder.path().join("data");
    archive(&directory, 0..9, 9);
    monitored.fit(&["--where", "event_time < '2013-06-01T06:00:00Z'"]);
    let (address, heard) = receiver();
    let mut child = watching(&monitored, &address);
    child.wait_for("a window is judged", SOON);
    let silent = heard.recv_timeout(QUIET);
    assert!(silent.is_err(), "an alarm without drift: {}", silent.map(|it| body(&it)).unwrap());
    // From hour 9 on every flight leaves half an hour late.
    archive(&directory, 9..12, 9);
    let next =
        || heard.recv_timeout(SOON).unwrap_or_else(|_| panic!("not heard:\n{}", child.log()));
    let (first, second) = (next(), next());
    for request in [&first, &second] {
        for header in ["webhook-id", "webhook-timestamp"] {
            assert!(request.header(header).is_some_and(|value| !value.is_empty()), "{header}");
        }
        assert!(request.header("webhook-signature").is_some_and(|value| value.starts_with("v1,")));
    }
    let bodies = [body(&first), body(&second)];
    let of = |kind: &str| {
        let found = bodies.iter().find(|body| body["type"] == format!("tidegate.{kind}"));
        found.unwrap_or_else(|| panic!("no {kind}: {bodies:?}"))
    };
    let text = of("alert.fired").to_string();
    assert!(text.contains("flight-delay") && text.contains("dep_delay"), "{text}");
    let request = of("retraining.requested");
    // Hour 10 is the sixth of its partition.
    let offsets = serde_json::json!({
        "flights": {"0": [6_000, 6_600]}, "flights-scored": {"0": [3_000, 3_600]},
    });
    assert_eq!(request["data"]["window"]["offsets"], offsets, "{request}");
    let model = root().join("deploy/demo/models/flight-delay/1/model.toml");
    let model = std::fs::read_to_string(model).expect("the demo's model");
    let version = &request["data"]["model"]["versions"]["1"];
    let hash = version["model_sha256"].as_str().expect("a hash");
    assert!(hash.len() == 64 && model.contains(hash), "{request}");
    assert_eq!(version["package_sha256"].as_str().map(str::len), Some(64), "{request}");
    let reference = &request["data"]["reference"]["1"];
    assert!(reference["id"].is_string(), "{request}");
    assert_eq!(reference["path"], monitored.path("reference.parquet"));
    let request = request.to_string();
    assert!(
        request.contains("flight-delay") && request.contains("SELECT * FROM results"),
        "{request}"
    );
    // Killed and started again: what comes once more, because its answer was not noted any more, has
    // the same id, by which receivers drop it.
    child.kill();
    let mut child = watching(&monitored, &address);
    child.wait_for("serving /livez", SOON);
    while let Ok(again) = heard.recv_timeout(QUIET) {
        let ids = [&first, &second].map(|request| request.header("webhook-id"));
        assert!(ids.contains(&again.header("webhook-id")), "{}", body(&again));
    }
    assert!(child.running(), "{}", child.log());
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
    // The state's disk is lost: what still fires is told again, under the id it had.
    std::fs::remove_dir_all(monitored.path("state")).expect("the state's folder");
    let child = watching(&monitored, &address);
    child.wait_for("past windows were taken in", SOON);
    let again = heard.recv_timeout(SOON).unwrap_or_else(|_| panic!("not heard:\n{}", child.log()));
    let fired = [&first, &second].into_iter().find(|it| body(it)["type"] == "tidegate.alert.fired");
    assert_eq!(again.header("webhook-id"), fired.expect("found").header("webhook-id"));
    let more = heard.recv_timeout(QUIET);
    assert!(more.is_err(), "{}", more.map(|it| body(&it)).unwrap());
}

#[test]
fn a_request_to_train_again_is_one_record_of_its_topic() {
    let Some(broker) = Broker::shared() else { return };
    let monitored = Monitored::new();
    archive(&monitored.folder.path().join("data"), 0..12, 9);
    monitored.fit(&["--where", "event_time < '2013-06-01T06:00:00Z'"]);
    let pipeline = Pipeline::new(broker, "retraining", &[]);
    let topic = format!("{}-requests", pipeline.name());
    pipeline.send_to(&topic, 1, 0, &[]);
    let (address, heard) = receiver();
    let route =
        format!("{{name=\"trainer\",kind=\"kafka\",topic=\"{topic}\",events=[\"retraining\"]}}");
    let more = [format!("kafka.brokers={}", broker.address()), format!("routes=[{route}]")];
    let mut child = watching_with(&monitored, &address, &more);
    let end = Instant::now() + SOON;
    while pipeline.ends(&topic) == 0 {
        assert!(Instant::now() < end, "no request came:\n{}", child.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let posted = loop {
        let request = heard.recv_timeout(SOON);
        let request = request.unwrap_or_else(|_| panic!("not heard:\n{}", child.log()));
        if body(&request)["type"] == "tidegate.retraining.requested" {
            break request;
        }
    };
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
    let batches = pipeline.read(&topic);
    let records: Vec<_> = batches
        .iter()
        .flat_map(|batch| (0..batch.len()).map(move |row| (batch.key(row), batch.value(row))))
        .collect();
    let [(key, Some(value))] = records.as_slice() else { panic!("one record: {records:?}") };
    assert_eq!(*key, Some(&b"flight-delay"[..]));
    assert_eq!(*value, posted.body, "the same bytes both ways");
    assert!(value.len() < 64_000, "{} bytes", value.len());
    let request: Value = serde_json::from_slice(value).expect("JSON");
    assert_eq!(request["type"], "tidegate.retraining.requested");
    for members in [&request, &request["data"]] {
        let members = members.as_object().expect("an object");
        assert!((1..=10).contains(&members.len()), "{:?}", members.keys());
    }
    let asked = &request["data"];
    assert_eq!(asked["model"]["name"], "flight-delay");
    // It fires with the second window of late flights, hour 10: the sixth of its partition.
    let window = serde_json::json!({
        "start": "2013-06-01T10:00:00Z", "end": "2013-06-01T11:00:00Z", "rows": 600,
        "offsets": {
            "flights": {"0": [6_000, 6_600]}, "flights-scored": {"0": [3_000, 3_600]},
        },
    });
    assert_eq!(asked["window"], window, "{request}");
    let moved = asked["columns"].as_array().expect("a list");
    assert!(moved.iter().any(|concern| concern["column"] == "dep_delay"), "{request}");
}

/// Ended behind each window's alerts, before its report is published, and between what an alert and what a
/// request to train again write.
#[test]
fn killed_between_alert_and_report_nothing_is_lost_and_repeats_are_the_same() {
    for (place, most) in [("alerts.stored", 1), ("monitor.told", 40)] {
        let monitored = Monitored::new();
        let directory = monitored.folder.path().join("data");
        archive(&directory, 0..9, 9);
        monitored.fit(&["--where", "event_time < '2013-06-01T06:00:00Z'"]);
        archive(&directory, 9..12, 9);
        let (address, heard) = receiver();
        let ids = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = Arc::clone(&ids);
        std::thread::spawn(move || {
            while let Ok(request) = heard.recv() {
                let kind = body(&request)["type"].as_str().expect("a type").to_owned();
                let id = request.header("webhook-id").expect("an id").to_owned();
                seen.lock().expect("nobody panics").insert((kind, id));
            }
        });
        let arguments = arguments(&["run", "--only", "monitor"], &monitored, &address, &[]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // Reports are published when all of a round's windows are told: each life judges them again.
        let ended = |count: &u32| {
            let failpoint = format!("{place}={count}");
            let mut child = Child::spawn_with(&arguments, &[("TIDEGATE_FAILPOINT", &failpoint)]);
            let until = Instant::now() + 3 * QUIET;
            while child.running() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(20));
            }
            !child.running()
        };
        let lives = (1..=most).take_while(ended).count();
        assert!(lives == most as usize || lives > 8, "{place} ended {lives} lives");
        let mut child = Child::spawn(&arguments);
        child.wait_for("serving /livez", SOON);
        let until = Instant::now() + SOON;
        while ids.lock().expect("nobody panics").len() < 2 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(QUIET);
        child.terminate();
        assert!(child.wait(SOON).success(), "{}", child.log());
        let twice = "SELECT count(*) - count(DISTINCT (window_start, reference, model_name, model_version, \
                     arm, segment, segment_value, column_name)) FROM reports";
        assert_eq!(monitored.sql(twice), "0", "{place}: a window has one report");
        let ids = ids.lock().expect("nobody panics");
        let kinds: Vec<&str> = ids.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(
            kinds,
            ["tidegate.alert.fired", "tidegate.retraining.requested"],
            "{place}: {ids:?}"
        );
    }
}

#[test]
fn a_monitor_that_stands_by_is_ready_and_takes_over() {
    let monitored = Monitored::new();
    archive(&monitored.folder.path().join("data"), 0..2, 99);
    monitored.fit(&[]);
    let (address, _heard) = receiver();
    let mut first = watching(&monitored, &address);
    first.wait_for("a window is judged", SOON);
    let mut second = watching(&monitored, &address);
    let server = address_in(&second.wait_for("serving /livez", SOON));
    second.wait_for("standing by", SOON);
    // Else whoever replaces the first by the second would wait for ever.
    let answer = get(&server, "/readyz");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    first.kill();
    second.wait_for("taking over", SOON);
    second.terminate();
    assert!(second.wait(SOON).success(), "{}", second.log());
}

#[test]
fn a_stream_that_fell_silent_is_told() {
    let monitored = Monitored::new();
    let directory = monitored.folder.path().join("data");
    // The last file's records were written 40 minutes ago.
    let since = jiff::Timestamp::now().as_second() - 40 * 60 - 3600;
    archive_from(since, &directory, 0..2, 99);
    monitored.fit(&[]);
    let (address, heard) = receiver();
    let child = watching(&monitored, &address);
    let fired = heard.recv_timeout(SOON).unwrap_or_else(|_| panic!("not heard:\n{}", child.log()));
    let text = body(&fired).to_string();
    assert!(text.contains("no_data") && text.contains("stream"), "{text}");
    assert!(text.contains("warning") && text.contains("service"), "{text}");
}

#[test]
fn rows_whose_windows_are_judged_are_told() {
    let monitored = Monitored::new();
    let directory = monitored.folder.path().join("data");
    archive(&directory, 0..9, 99);
    monitored.fit(&[]);
    let (address, _heard) = receiver();
    let mut child = watching(&monitored, &address);
    let server = address_in(&child.wait_for("serving /livez", SOON));
    child.wait_for("a window is judged", SOON);
    let told = |server: &str| {
        let metrics = get(server, "/metrics");
        let late = |line: &&str| line.starts_with("tidegate_monitor_rows_late_total");
        let line = metrics.lines().find(late)?;
        line.rsplit(' ').next()?.parse::<f64>().ok()
    };
    let is_told = |child: &Child, server: &str, rows: f64| {
        let end = Instant::now() + SOON;
        while told(server) != Some(rows) {
            assert!(Instant::now() < end, "{:?} and not {rows}:\n{}", told(server), child.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    is_told(&child, &server, 0.0);
    archive(&directory, 2..4, 99);
    is_told(&child, &server, 1_200.0);
    child.wait_for("rows came after their windows were judged", SOON);
    // Counted by another process, told by the next life: no report has either.
    child.kill();
    archive(&directory, 4..5, 99);
    let count = arguments(&["monitor", "count"], &monitored, &address, &[]);
    ended_with(&run(&count.iter().map(String::as_str).collect::<Vec<_>>()), 0);
    let child = watching(&monitored, &address);
    let server = address_in(&child.wait_for("serving /livez", SOON));
    is_told(&child, &server, 1_800.0);
}

//! The dashboard as a browser and a script meet it: `run --only monitor` on an archive, pages with
//! their policy, answers with their shapes, and names that would like to be code.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{
    Broker, Child, Pipeline, address_in, ended_with, flight, folder, get, metrics, root, run,
};
use crate::monitor::{HOSTILE, Monitored, archive};

const SOON: Duration = Duration::from_secs(60);
/// Two pulses of the monitor, and what a loaded machine adds.
const TWO_PULSES: Duration = Duration::from_secs(150);

/// An answer: status, headers in lower case, body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let named =
            |line: &'_ str| line.split_once(": ").filter(|(have, _)| *have == name).is_some();
        let line = self.head.lines().find(|line| named(line))?;
        line.split_once(": ").map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.body);
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// The demo's monitor over an archive, serving.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(monitored: &Monitored) -> Self {
        let config = root().join("deploy/demo/tidegate.toml").to_string_lossy().into_owned();
        let mut arguments = vec!["run", "--only", "monitor", "--config", &config];
        let sets = [
            format!("archive.directory={}", monitored.path("data")),
            format!("monitor.reference={}", monitored.path("reference.parquet")),
            format!("alerts.state={}", monitored.path("state/alerts.sqlite")),
            "monitor.segments=[\"origin\"]".to_owned(),
            "monitor.previous_seconds=3600".to_owned(),
            "server.listen=127.0.0.1:0".to_owned(),
        ];
        arguments.extend(sets.iter().flat_map(|set| ["--set", set.as_str()]));
        Self::of(Child::spawn(&arguments))
    }

    /// As soon as it says where.
    fn of(child: Child) -> Self {
        let line = child.wait_for("serving", SOON);
        Self { child, address: address_in(&line) }
    }

    fn get(&self, path: &str) -> Answer {
        let text = get(&self.address, path);
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Answer {
            status: status.expect("a status"),
            head: head.lines().skip(1).collect::<Vec<_>>().join("\n").to_lowercase(),
            body: body.to_owned(),
        }
    }

    fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// The answer, as soon as it is as wanted.
    fn until(&self, path: &str, bound: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + bound;
        loop {
            let answer = self.json(path);
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < end, "{answer:#}\n{}", self.child.log());
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn the_dashboard_shows_what_is_judged_and_nothing_in_a_name_is_code() {
    let monitored = Monitored::new();
    archive(&monitored.folder.path().join("data"), 0..12, 9);
    monitored.fit(&["--where", "event_time < '2013-06-01T06:00:00Z'"]);
    let served = Served::start(&monitored);
    let overview = served.until("/api/v1/overview", SOON, |it| {
        it["windows"]["kept"] == 11 && it["alerts"]["open"] == 1
    });
    let model = &overview["models"][0];
    assert_eq!(
        (&model["model"], &model["version"], &model["rows"]),
        (&"flight-delay".into(), &"1".into(), &600.into())
    );
    assert_eq!(model["window_start"], "2013-06-01T10:00:00Z");
    let whose = "model=flight-delay&version=1&arm=stable";
    let heat = served.json(&format!("/api/v1/heat?{whose}"));
    assert_eq!(heat["windows"].as_array().map(Vec::len), Some(11));
    let worst = &heat["columns"][0];
    assert!(
        ["dep_delay", "prediction_arr_delay"].map(Value::from).contains(&worst["column"]),
        "{worst}"
    );
    let states: Vec<&str> =
        worst["states"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(states.iter().filter(|state| **state == "drift").count(), 2, "{states:?}");
    let column = served.json(&format!("/api/v1/column?{whose}&column=dep_delay&windows=5"));
    let points = column["points"].as_array().expect("a list");
    assert_eq!(points.len(), 5);
    let psi = |at: usize| points[at]["psi_corrected"].as_f64().expect("a number");
    assert!(psi(4) > 1.0 && psi(0) < 0.1, "{points:#?}");
    let drawn = served
        .json(&format!("/api/v1/histogram?{whose}&column=carrier&window=2013-06-01T10:00:00Z"));
    let labels: Vec<&str> = drawn["bars"]
        .as_array()
        .expect("bars")
        .iter()
        .filter_map(|bar| bar["label"].as_str())
        .collect();
    assert_eq!(drawn["rows"], 600);
    // One line, and still a text.
    assert!(labels.contains(&HOSTILE.replace('\n', " ").as_str()), "{labels:?}");
    let alerts = served.json("/api/v1/alerts");
    let id = alerts["alerts"][0]["id"].as_str().expect("an id");
    assert!(alerts["alerts"][0]["summary"].as_str().is_some_and(|text| text.contains("dep_delay")));
    let alert = served.json(&format!("/api/v1/alert?id={id}"));
    assert!(
        alert["history"]
            .as_array()
            .is_some_and(|lines| lines.iter().any(|line| line["what"] == "fired"))
    );
    let process = served.json("/api/v1/process");
    assert_eq!(process["parts"], serde_json::json!([{ "name": "monitor", "up": true }]));
    pages_are_whole_and_shut(&served, id);
    errors_are_json(&served);
    gauges_are_exported(&served);
}

fn pages_are_whole_and_shut(served: &Served, id: &str) {
    for path in [
        "/",
        "/column?column=x",
        "/alerts",
        &format!("/alerts/{id}"),
        "/assets/common.js",
        "/assets/style.css",
    ] {
        let page = served.get(path);
        assert_eq!(page.status, 200, "{path}");
        let policy = page.header("content-security-policy").expect("a policy");
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
        assert!(!page.body.contains("https://"), "{path} asks somebody else");
    }
    assert_eq!(served.get("/assets/other.js").status, 404);
}

fn errors_are_json(served: &Served) {
    let name = escaped(HOSTILE);
    for (path, status) in [
        ("/api/v1/heat?windows=100000".to_owned(), 400),
        (format!("/api/v1/heat?model={name}"), 404),
        (format!("/api/v1/column?model=flight-delay&version=1&arm=stable&column={name}"), 404),
        (format!("/api/v1/{name}"), 404),
        (format!("/api/v1/overview?{}", "x".repeat(10_000)), 414),
        ("/api/v1/overview?a=%FF".to_owned(), 400),
    ] {
        let answer = served.get(&path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        let error = &answer.json()["error"];
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
        assert!(error["fix"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
        assert!(answer.header("content-security-policy").is_some(), "{path}");
    }
}

fn gauges_are_exported(served: &Served) {
    let metrics = served.get("/metrics").body;
    let of = |name: &str, labels: &[&str]| -> Option<f64> {
        let line = metrics.lines().find(|line| {
            line.starts_with(&format!("{name}{{"))
                && labels.iter().all(|label| line.contains(label))
        })?;
        line.rsplit(' ').next()?.parse().ok()
    };
    let drifted = ["column=\"dep_delay\"", "model=\"flight-delay\"", "reference=\"training\""];
    for (name, low) in
        [("tidegate_drift_psi", 1.0), ("tidegate_drift_ks", 0.3), ("tidegate_drift_rows", 600.0)]
    {
        assert!(of(name, &drifted).is_some_and(|value| value >= low), "{name}:\n{metrics}");
    }
    assert!(of("tidegate_drift_q", &drifted).is_some_and(|q| q < 0.001), "{metrics}");
    let nulls = ["column=\"temp\"", "reference=\"training\""];
    assert!(of("tidegate_null_share", &nulls).is_some_and(|share| share > 0.01 && share < 0.1));
    let firing = ["rule=\"drift\"", "state=\"firing\""];
    assert!(
        of("tidegate_alert_subjects", &firing).is_some_and(|subjects| subjects >= 1.0),
        "{metrics}"
    );
    for time in ["early", "ahead", "missing"] {
        let label = format!("time=\"{time}\"");
        let outside = of("tidegate_monitor_rows_outside", &[label.as_str()]);
        assert_eq!(outside, Some(0.0), "{time}: {metrics}");
    }
    let until = "tidegate_monitor_judged_until_seconds";
    let said = metrics.lines().find(|line| line.starts_with(until)).unwrap_or_default();
    assert!(said.ends_with(" 1370084400"), "{said}");
}

/// The number of this name in a list of the process's.
fn told(process: &Value, list: &str, name: &str, number: &str) -> Option<f64> {
    let of = process[list].as_array()?.iter().find(|one| one["name"] == name)?;
    of[number].as_f64()
}

#[test]
fn the_hops_of_a_process_are_told_and_many_rejects_are_an_alarm() {
    let Some(broker) = Broker::shared() else { return };
    let own = folder();
    let place = |name: &str| own.path().join(name).to_string_lossy().into_owned();
    let [flights, contract] = ["flights.parquet", "contract.toml"]
        .map(|name| root().join("deploy/demo").join(name).to_string_lossy().into_owned());
    let reference = place("reference.parquet");
    let fit = ["baseline", "fit", &flights, "-o", &reference, "--contract", &contract];
    ended_with(&run(&fit), 0);
    let sets = [
        format!("monitor.reference={reference}"),
        format!("alerts.state={}", place("alerts.db")),
        "rules=[{name=\"rejects\",breaches=1,windows=1}]".to_owned(),
        "server.listen=127.0.0.1:0".to_owned(),
    ];
    let pipeline = Pipeline::new(broker, "shown", &sets.each_ref().map(String::as_str));
    // The first pulse finds an empty topic; what comes after it is between two.
    pipeline.send_with(1, 0, &[], &[]);
    let served = Served::of(pipeline.run("a"));
    served.until("/api/v1/process", SOON, |it| {
        let parts = it["parts"].as_array().expect("a list");
        parts.len() == 5 && parts.iter().all(|part| part["up"] == true)
    });
    let end = Instant::now() + SOON;
    while !metrics(&served.address).contains("rule=\"hop-down\"") {
        assert!(Instant::now() < end, "no first pulse:\n{}", served.child.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let values = (0..300).map(|number| match number % 3 {
        0 => b"not an event".to_vec(),
        _ => flight(&number.to_string(), ""),
    });
    pipeline.send(&values.collect::<Vec<_>>());
    let process = served.until("/api/v1/process", SOON, |it| {
        told(it, "rates", "records archived", "total") == Some(300.0)
    });
    for (name, expected) in [
        ("records read", 300.0),
        ("results", 200.0),
        ("dead letters", 100.0),
        ("records committed", 300.0),
    ] {
        let total = told(&process, "rates", name, "total");
        assert_eq!(total, Some(expected), "{name}: {process:#}");
    }
    for name in ["input records not yet read", "records not yet read by the archive"] {
        assert!(told(&process, "gauges", name, "value").is_some(), "{name}: {process:#}");
    }
    let alerts = served.until("/api/v1/alerts", TWO_PULSES, |it| it["alerts"][0].is_object());
    let alert = &alerts["alerts"][0];
    assert_eq!(
        (&alert["group"]["class"], &alert["severity"]),
        (&"service".into(), &"critical".into())
    );
    let concern = &alert["concerns"][0];
    assert_eq!((&concern["measure"], &concern["rows"]), (&"reject_rate".into(), &300.into()));
    assert!(concern["value"].as_f64().is_some_and(|share| (share - 1.0 / 3.0).abs() < 1e-9));
}

//! A real Alertmanager: what it lists is what is open. SKIPPED without one; under CI=true a failure.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;

/// Runs until dropped.
struct Real {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Real {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Real {
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        // Below those that the other tests' receivers are given meanwhile.
        let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let first = 10_000 + (std::process::id() % 10_000) as u16;
        let port = (first..20_000).chain(10_000..first).find(is_free).expect("a free port");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/alertmanager/run.sh");
        let child = Command::new(script)
            .arg(folder.path())
            .arg(port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut real = Self { child, url: format!("http://127.0.0.1:{port}"), _folder: folder };
        let started = Instant::now();
        loop {
            if let Some(status) = real.child.try_wait().unwrap() {
                let why = "no prometheus-alertmanager: apt-get install prometheus-alertmanager";
                assert!(status.code() == Some(69), "Alertmanager ended: {status}");
                let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
                assert!(!ci, "CI=true, and {why}");
                eprintln!("SKIPPED: {why}");
                return None;
            }
            let ready = reqwest::blocking::get(format!("{}/-/ready", real.url));
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return Some(real);
            }
            assert!(started.elapsed() < Duration::from_secs(30), "Alertmanager is not ready");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it holds for firing now: (alertname, severity, annotations).
    fn active(&self) -> Vec<(String, String, Value)> {
        let text = reqwest::blocking::get(format!("{}/api/v2/alerts", self.url)).unwrap().text();
        let alerts: Vec<Value> = serde_json::from_str(&text.unwrap()).unwrap();
        let label = |alert: &Value, key: &str| alert["labels"][key].as_str().unwrap().to_owned();
        alerts
            .iter()
            .map(|alert| {
                (label(alert, "alertname"), label(alert, "severity"), alert["annotations"].clone())
            })
            .collect()
    }
}

#[test]
fn alertmanager_holds_what_is_open() {
    let Some(real) = Real::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let route = Route {
        name: "am".into(),
        target: Target::Alertmanager { url: Secret::new(&real.url), headers: vec![] },
        events: vec![Event::Alerts, Event::Heartbeat],
        min_severity: Severity::Info,
        classes: vec![],
        models: vec![],
        then: None,
    };
    let hand = Hand::at(0);
    let base = settings(&folder.path().join("s"), &hand, vec![route]);
    // Told again every 0.5 s, so it ends by itself after 2 s.
    let alerts = Alerts::open(Settings {
        rendering: Rendering { resend_ms: 500, ..base.rendering },
        clock: Arc::new(|| jiff::Timestamp::now().as_millisecond()),
        ..base
    })
    .unwrap();
    let names = || -> Vec<(String, String)> {
        real.active().into_iter().map(|(name, severity, _)| (name, severity)).collect()
    };
    let drift = |severity: &str| vec![("TidegateDrift".to_owned(), severity.to_owned())];
    let wait_for = |wanted: &[(String, String)], is_told: bool, what: &str| {
        let started = Instant::now();
        loop {
            if is_told {
                alerts.deliver_due().unwrap();
            }
            let have = names();
            if have == wanted {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{what}: {have:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };

    let mut hostile = window(0, "psi", 0.3);
    hostile.findings[0].of.subject = "<img src=x>\n\"é".into();
    alerts.judge(&hostile, &[]).unwrap();
    wait_for(&drift("warning"), true, "it is told");
    let first = real.active();
    let description = first[0].2["description"].as_str().unwrap();
    assert_eq!(description, "<img src=x> \"é psi 0.3, limit 0.2");

    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(4) {
        alerts.deliver_due().unwrap();
        assert!(names().len() <= 1, "told again, it stays one: {:?}", names());
        std::thread::sleep(Duration::from_millis(50));
    }
    wait_for(&drift("warning"), true, "told again, it stays");

    let mut worse = window(1, "psi", 0.9);
    worse.findings[0].of.subject.clone_from(&hostile.findings[0].of.subject);
    alerts.judge(&worse, &[]).unwrap();
    wait_for(&drift("critical"), true, "the old severity has ended");

    // A monitor that dies: the alert ends four intervals later.
    wait_for(&[], false, "it ends");
    wait_for(&drift("critical"), true, "it is back, and so is the alert");

    let mut over = window(2, "psi", 0.0);
    over.findings[0].of.subject.clone_from(&hostile.findings[0].of.subject);
    alerts.judge(&over, &[]).unwrap();
    wait_for(&[], true, "it is over");

    alerts.tick().unwrap();
    let heartbeat = ("TidegateHeartbeat".to_owned(), "none".to_owned());
    wait_for(&[heartbeat], true, "the heartbeat");
}

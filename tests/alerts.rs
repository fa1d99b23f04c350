//! `tidegate alerts` on the state of a monitor that is at work.

use std::sync::Arc;

use monitor::alerts::{Alerts, Settings};
use monitor::deliver::{
    Allowed, Event, GuardSettings, HttpSettings, Rendering, Route, Secret, Target,
};
use monitor::policy::{Finding, JudgedWindow, Measure, Reference, Rule, Severity, Subject, Time};
use monitor::state::Holder;
use serde_json::Value;

use crate::harness::{ended_with, folder, root, run};

/// A monitor with one open alert about the column `<b>`, which nobody was told of yet.
fn at_work(state: &std::path::Path) -> Alerts {
    let rule = Rule {
        name: "drift".into(),
        measure: Measure::Psi,
        reference: Reference::Training,
        severity: Severity::Warning,
        threshold: 0.2,
        resolve: 0.1,
        critical: None,
        level: None,
        min_rows: 0,
        breaches: 1,
        windows: 1,
        clear_windows: 1,
        cool_down_ms: 0,
        models: vec![],
        columns: vec![],
    };
    let route = Route {
        name: "ops".into(),
        target: Target::Slack { url: Secret::new("https://127.0.0.1:1/services/HUSH") },
        events: vec![Event::Alerts],
        min_severity: Severity::Info,
        classes: vec![],
        models: vec![],
        then: None,
    };
    let second = std::time::Duration::from_secs(1);
    let alerts = Alerts::open(Settings {
        pipeline: "flights".into(),
        state: state.into(),
        holder: Holder { instance: "a".into(), host: "h".into(), pid: std::process::id() },
        rules: vec![rule],
        routes: vec![route],
        rendering: Rendering { link: String::new(), resend_ms: 60_000, heartbeat_ms: 60_000 },
        guards: GuardSettings { cool_down_ms: 0, min_rows: 0 },
        http: HttpSettings {
            connect_timeout: second,
            timeout: second,
            max_response_bytes: 1_024,
            allowed: Allowed::parse(["127.0.0.1"]).expect("an address"),
            authorities_pem: vec![],
        },
        publish: None,
        offsets: None,
        clock: Arc::new(|| jiff::Timestamp::now().as_millisecond()),
    })
    .expect("the state opens");
    let of = Subject {
        model: "flight-delay".into(),
        version: "1".into(),
        arm: "stable".into(),
        segment: String::new(),
        rule: "drift".into(),
        subject: "<b>\n".into(),
    };
    let found = Finding { of, value: 0.4, q: None, rows: 10, reason: "moved".into() };
    let findings = vec![found];
    let window = JudgedWindow { start_ms: 0, end_ms: 3_600_000, time: Time::Event, findings };
    alerts.judge(&window, &[]).expect("it is stored");
    alerts
}

#[test]
fn alerts_are_listed_shown_silenced_and_acknowledged_beside_the_monitor() {
    let folder = folder();
    let config = folder.path().join("tidegate.toml");
    let demo =
        std::fs::read_to_string(root().join("deploy/demo/tidegate.toml")).expect("it is there");
    std::fs::write(&config, demo).expect("the folder is writable");
    let config = config.to_string_lossy().into_owned();
    let said = |arguments: &[&str], code: i32| -> String {
        let mut all = vec!["alerts"];
        all.extend(arguments);
        all.extend(["--config", &config]);
        let output = run(&all);
        ended_with(&output, code);
        String::from_utf8_lossy(if code == 0 { &output.stdout } else { &output.stderr }).into()
    };
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_str(&said(arguments, 0)).expect("--json prints JSON")
    };
    assert!(said(&["list"], 1).contains("there is no alert state"));
    let alerts = at_work(&folder.path().join("data/alerts.db"));

    let listed = json(&["list", "--json"]);
    assert_eq!(listed["alerts"][0]["concerns"][0]["subject"], "<b> ");
    let id = listed["alerts"][0]["id"].as_str().expect("an id").to_owned();
    assert!(said(&["list"], 0).contains("flight-delay: drift in <b>"));

    alerts.deliver_due().expect("the state is fine");
    let shown = json(&["show", &id[..8], "--json"]);
    assert_eq!(shown["history"][0]["what"], "fired");
    assert_eq!(shown["deliveries"][0]["state"], "waiting");
    let text = said(&["show", &id], 0);
    assert!(text.contains("alert.fired to ops: waiting after 1 try"), "{text}");
    assert!(!text.contains("HUSH"), "{text}");

    let silence = json(&["silence", "--for", "2h", "--model", "flight-*", "--by", "eve", "--json"]);
    let number = silence["id"].to_string();
    assert!(said(&["list"], 0).contains("model flight-* (eve"));
    said(&["unsilence", &number], 0);
    assert!(said(&["unsilence", &number], 1).contains("no silence"));

    said(&["ack", &id, "--by", "eve"], 0);
    assert_eq!(json(&["list", "--json"])["alerts"][0]["acknowledged_by"], "eve");
    assert!(said(&["ack", "ffffffffffff"], 1).contains("no episode"));
    assert!(said(&["test-route"], 2).contains("no [[routes]]"));
}

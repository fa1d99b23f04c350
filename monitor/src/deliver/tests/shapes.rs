//! The documented shapes and limits of every receiver, also with hostile names.

use std::sync::Arc;

use serde_json::Value;

use super::*;

fn body(target: &Target, message: &Message) -> Option<Value> {
    let request = render(target, message, &rendering(), 1_769_860_802_000)?;
    Some(serde_json::from_slice(&request.body).expect("JSON"))
}

fn webhook(keys: &[&str]) -> Target {
    let keys = keys.iter().map(|key| SigningKey::parse(key).unwrap()).collect();
    Target::Webhook { url: Secret::new("https://example.org/"), keys, headers: vec![] }
}

fn pagerduty() -> Target {
    Target::PagerDuty {
        url: Secret::new(PAGERDUTY_URL),
        routing_key: Secret::new("0123456789abcdef0123456789abcdef"),
    }
}

fn slack() -> Target {
    Target::Slack { url: Secret::new("https://hooks.example.org/services/x") }
}

fn alertmanager() -> Target {
    Target::Alertmanager { url: Secret::new("https://alerts.example.org/am/"), headers: vec![] }
}

fn all_kinds() -> Vec<Message> {
    let hostile = ["plain", "<b>\"'&</b>", "a\nb\r\0", "\u{202e}drow", &"é".repeat(1 << 19)];
    let mut messages = vec![
        Message::own(Kind::Heartbeat, "flights", 7, 0),
        Message::own(Kind::Test, "<!here>\n", 7, 0),
    ];
    for name in hostile {
        for columns in [1, 3, 5_000] {
            for kind in [Kind::Fired, Kind::Upgraded, Kind::Resolved, Kind::Acknowledged] {
                let mut message = Message::about(&episode(columns, name), kind, "flights", 0);
                message.before = (kind == Kind::Upgraded).then_some(Severity::Info);
                message.by = (kind == Kind::Acknowledged).then(|| crate::policy::clean(name, 100));
                messages.push(message);
            }
        }
    }
    messages
}

#[test]
fn webhooks_pass_the_official_verifier() {
    for message in all_kinds() {
        let request = render(&webhook(&[KEY]), &message, &rendering(), now()).unwrap();
        let headers: reqwest::header::HeaderMap = request
            .headers
            .iter()
            .map(|(name, value)| {
                let name: reqwest::header::HeaderName = name.parse().unwrap();
                (name, value.parse().unwrap())
            })
            .collect();
        let verifier = standardwebhooks::Webhook::new(KEY).unwrap();
        verifier.verify(&request.body, &headers).expect("the official verifier takes it");
        let mut forged = request.body.clone();
        forged.push(b' ');
        verifier.verify(&forged, &headers).expect_err("another body has another signature");
        assert!(request.body.len() <= 20_000, "{} bytes", request.body.len());
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["type", "timestamp", "data"]);
    }
}

#[test]
fn while_keys_are_rotated_old_and_new_verifiers_take_it() {
    let (old, new) = (KEY, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    let request =
        render(&webhook(&[new, old]), &message(Kind::Fired), &rendering(), now()).unwrap();
    let headers: reqwest::header::HeaderMap = request
        .headers
        .iter()
        .map(|(n, v)| (n.parse::<reqwest::header::HeaderName>().unwrap(), v.parse().unwrap()))
        .collect();
    for key in [old, new] {
        standardwebhooks::Webhook::new(key).unwrap().verify(&request.body, &headers).unwrap();
    }
}

#[test]
fn the_same_body_and_id_at_every_attempt() {
    let first = render(&webhook(&[KEY]), &message(Kind::Fired), &rendering(), 1_000).unwrap();
    let later = render(&webhook(&[KEY]), &message(Kind::Fired), &rendering(), 9_000_000).unwrap();
    assert_eq!(first.body, later.body);
    assert_eq!(first.headers[1], later.headers[1], "webhook-id");
    assert_ne!(first.headers[2], later.headers[2], "webhook-timestamp");
}

#[test]
fn pagerduty_events_keep_to_the_documented_form() {
    for message in all_kinds() {
        let Some(event) = body(&pagerduty(), &message) else {
            assert_eq!(message.kind, Kind::Heartbeat, "a sign of life must not page");
            continue;
        };
        let text = |key: &str| event[key].as_str().unwrap_or_else(|| panic!("{key}: {event}"));
        assert_eq!(text("routing_key").len(), 32);
        assert!(["trigger", "acknowledge", "resolve"].contains(&text("event_action")));
        assert!((1..=MAX_DEDUP_BYTES).contains(&text("dedup_key").len()));
        assert!(event.to_string().len() < 512 * 1_024);
        let known = ["routing_key", "event_action", "dedup_key", "payload", "client", "client_url"];
        assert!(event.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())));
        if text("event_action") != "trigger" {
            continue;
        }
        let payload = &event["payload"];
        let summary = payload["summary"].as_str().unwrap();
        assert!((1..=MAX_SUMMARY_CHARS).contains(&summary.chars().count()));
        assert!(!payload["source"].as_str().unwrap().is_empty());
        let severity = payload["severity"].as_str().unwrap();
        assert!(["critical", "error", "warning", "info"].contains(&severity));
        payload["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    }
    let key = |kind| body(&pagerduty(), &message(kind)).unwrap()["dedup_key"].clone();
    assert_eq!(key(Kind::Fired), key(Kind::Resolved));
    assert_eq!(key(Kind::Fired), key(Kind::Acknowledged));
}

#[test]
fn slack_messages_keep_within_block_kit() {
    for message in all_kinds() {
        let Some(said) = body(&slack(), &message) else {
            assert_eq!(message.kind, Kind::Heartbeat);
            continue;
        };
        let whole = said.to_string();
        assert!(!whole.contains("<!"), "no mention: {whole}");
        assert!((1..=3_010).contains(&said["text"].as_str().unwrap().chars().count()));
        let blocks = said["blocks"].as_array().cloned().unwrap_or_default();
        assert!(blocks.len() <= 50);
        for block in blocks {
            let (least, most, text) = match block["type"].as_str().unwrap() {
                "header" => (1, 150, &block["text"]),
                "section" => (1, 3_000, &block["text"]),
                "context" => {
                    assert!((1..=10).contains(&block["elements"].as_array().unwrap().len()));
                    (1, 3_000, &block["elements"][0])
                }
                other => panic!("{other}"),
            };
            assert!(["plain_text", "mrkdwn"].contains(&text["type"].as_str().unwrap()));
            let chars = text["text"].as_str().unwrap().chars().count();
            assert!((least..=most).contains(&chars), "{chars}: {block}");
        }
    }
}

#[test]
fn alertmanager_labels_do_not_change_from_one_sending_to_the_next() {
    let first = body(&alertmanager(), &message(Kind::Fired)).unwrap();
    let mut moved = message(Kind::Fired);
    let episode = moved.episode.as_mut().unwrap();
    episode.concerns[0].value = 99.0;
    episode.concerns.truncate(1);
    episode.subjects = 1;
    (episode.window_start_ms, episode.window_end_ms) = (0, 1);
    let second = body(&alertmanager(), &moved).unwrap();
    assert_eq!(first[0]["labels"], second[0]["labels"]);
    assert_eq!(first[0]["startsAt"], second[0]["startsAt"]);
    let resolved = body(&alertmanager(), &message(Kind::Resolved)).unwrap();
    assert_eq!(first[0]["labels"], resolved[0]["labels"]);
    let time = |alert: &Value, key: &str| {
        alert[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
    };
    assert_eq!(time(&first[0], "endsAt"), 1_769_860_802_000 + 4 * 60_000, "four intervals ahead");
    assert_eq!(time(&resolved[0], "endsAt"), 1_769_860_802_000);
    // A sign of life comes more seldom, and lasts four of its own.
    let beat = body(&alertmanager(), &Message::own(Kind::Heartbeat, "flights", 7, 0)).unwrap();
    assert_eq!(time(&beat[0], "endsAt"), 1_769_860_802_000 + 4 * 300_000);
    // An upgrade ends the old alert in the same request.
    let mut upgraded = message(Kind::Upgraded);
    upgraded.before = Some(Severity::Warning);
    upgraded.episode.as_mut().unwrap().severity = Severity::Critical;
    let both = body(&alertmanager(), &upgraded).unwrap();
    assert_eq!(both[0]["labels"], first[0]["labels"]);
    assert_eq!(both[1]["labels"]["severity"], "critical");
    assert!(time(&both[0], "endsAt") < time(&both[1], "endsAt"));
    let request = render(&alertmanager(), &upgraded, &rendering(), 0).unwrap();
    assert_eq!(request.url, "https://alerts.example.org/am/api/v2/alerts");
}

#[test]
fn a_retraining_request_is_small_however_large_its_parts() {
    let huge = serde_json::json!("x".repeat(1 << 20));
    let facts = ModelFacts {
        model: "flight-delay".into(),
        rows: 5_000,
        versions: huge.clone(),
        reference: serde_json::json!({"id": "abc"}),
        performance: huge.clone(),
        data: serde_json::json!({"sql": "SELECT 1"}),
    };
    let guards = GuardSettings { cool_down_ms: 3_600_000, min_rows: 1_000 };
    let ask = |facts: &ModelFacts, last, trouble| {
        retraining_request(
            &episode(5_000, "\u{1}é\""),
            facts,
            &guards,
            last,
            trouble,
            "",
            10_000_000,
        )
    };
    let mut request = ask(&facts, None, false).unwrap();
    let offsets: OffsetsOf = Arc::new(move |_, _, _| huge.clone());
    add_offsets(&mut request, &episode(1, ""), &offsets);
    assert!(request["window"]["offsets"]["left_out_bytes"].is_u64(), "{request}");
    assert_eq!(request.as_object().unwrap().len(), 10);
    assert!(request.to_string().len() < MAX_RETRAINING_BYTES);
    assert_eq!(request["reference"]["id"], "abc");
    assert!(matches!(ask(&facts, None, true), Err(Withheld::Quality)));
    assert!(matches!(ask(&facts, Some(9_000_000), false), Err(Withheld::CoolDown(1))));
    ask(&facts, Some(6_000_000), false).expect("the cool-down is over");
    ask(&facts, Some(99_000_000), false).expect("a clock that went back holds nothing up");
    let few = ModelFacts { rows: 999, ..facts };
    assert!(matches!(ask(&few, None, false), Err(Withheld::FewRows(1_000))));
}

#[test]
fn routes_say_everything_that_is_wrong() {
    let base = Route {
        name: "a".into(),
        target: pagerduty(),
        events: vec![Event::Alerts],
        min_severity: Severity::Info,
        classes: vec![],
        models: vec![],
        then: None,
    };
    let keys = |route: &Route, others: &[Route]| -> Vec<&'static str> {
        route.problems(others, &Allowed::default()).iter().map(|problem| problem.key).collect()
    };
    assert_eq!(keys(&base, &[]), Vec::<&str>::new());
    let wrong = Route {
        name: String::new(),
        target: Target::PagerDuty {
            url: Secret::new("http://10.0.0.1/"),
            routing_key: Secret::new("short"),
        },
        events: vec![Event::Retraining, Event::Heartbeat],
        then: Some("nobody".into()),
        ..base.clone()
    };
    assert_eq!(keys(&wrong, &[]), ["name", "events", "events", "routing_key", "url", "then"]);
    let round = Route { then: Some("b".into()), ..base.clone() };
    let back = Route { name: "b".into(), then: Some("a".into()), ..base };
    assert_eq!(keys(&round, &[round.clone(), back]), ["then"]);
}

#[test]
fn signing_keys_have_the_standards_form() {
    for (text, fine) in [
        (KEY, true),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", false),
        ("whsec_short", false),
        ("whsec_c2hvcnQ=", false),
        ("whsec_not base64!", false),
    ] {
        assert_eq!(SigningKey::parse(text).is_ok(), fine, "{text}");
    }
}

/// The verifier compares with its own clock.
fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

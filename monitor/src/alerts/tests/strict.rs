//! An alarm's whole life told to receivers that hold each request against what they document, and
//! answer 400 to what is not so: PagerDuty's Events API v2 and Slack's incoming webhooks.

use serde_json::{Map, Value, json};

use super::*;

/// Texts that columns, models, segments, reasons and people may be called by.
fn hostile() -> [String; 6] {
    [
        "dep_delay".into(),
        "é".repeat(1 << 16),
        "a\nb\r\0\u{1b}[31m\u{7f}".into(),
        "\"quoted\" 'twice' \\ {\"a\": 1}".into(),
        "🛫👩\u{200d}👩\u{200d}👧\u{202e}drow".into(),
        "<!channel> <@U123> & <https://example.org|x> *b* `c`".repeat(60),
    ]
}

/// Twenty columns of a model that is called so, too.
fn columns(hours: i64, name: &str, value: f64) -> JudgedWindow {
    let mut window = window(hours, "psi", value);
    let one = window.findings[0].clone();
    let column = |number: usize| {
        let mut found = one.clone();
        found.of.model = name.to_owned();
        found.of.version = name.to_owned();
        found.of.segment = format!("{name}={name}");
        found.of.subject = format!("{number} {name}");
        found.reason = format!("{name} {number}");
        found
    };
    window.findings = (0..20).map(column).collect();
    window
}

fn ensure(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// The object that was posted, of these members only.
fn posted(request: &Received, known: &[&str]) -> Result<Value, String> {
    ensure(request.header("content-type") == Some("application/json"), "not said to be JSON")?;
    let body: Value = serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
    members(&body, known)?;
    Ok(body)
}

fn members<'a>(of: &'a Value, known: &[&str]) -> Result<&'a Map<String, Value>, String> {
    let members = of.as_object().ok_or("not an object")?;
    match members.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("{key} is not known")),
        None => Ok(members),
    }
}

/// A text that is there, not empty, and has at most so many characters.
fn text<'a>(of: &'a Value, key: &str, most: usize) -> Result<&'a str, String> {
    let text = of[key].as_str().ok_or_else(|| format!("{key} is no text"))?;
    let chars = text.chars().count();
    ensure((1..=most).contains(&chars), &format!("{key} has {chars} characters"))?;
    Ok(text)
}

/// https://developer.pagerduty.com/docs/send-alert-event
fn pagerduty(request: &Received) -> Result<(), String> {
    ensure(request.path == "/v2/enqueue", "not the path of events")?;
    ensure(request.body.len() <= 512 * 1024, "more than 512 kB")?;
    let known = [
        "routing_key",
        "event_action",
        "dedup_key",
        "payload",
        "client",
        "client_url",
        "links",
        "images",
    ];
    let event = posted(request, &known)?;
    let key = text(&event, "routing_key", 32)?;
    ensure(key.len() == 32, "routing_key has not 32 characters")?;
    let action = text(&event, "event_action", 20)?;
    ensure(["trigger", "acknowledge", "resolve"].contains(&action), "an unknown event_action")?;
    text(&event, "dedup_key", 255)?;
    if action != "trigger" {
        return Ok(());
    }
    for key in ["client", "client_url"] {
        text(&event, key, 2_000)?;
    }
    let payload = &event["payload"];
    let known = [
        "summary",
        "source",
        "severity",
        "timestamp",
        "component",
        "group",
        "class",
        "custom_details",
    ];
    members(payload, &known)?;
    text(payload, "summary", 1_024)?;
    let severity = text(payload, "severity", 20)?;
    ensure(["critical", "error", "warning", "info"].contains(&severity), "an unknown severity")?;
    for key in ["source", "component", "group", "class"] {
        text(payload, key, 1_024)?;
    }
    let time = text(payload, "timestamp", 50)?.parse::<jiff::Timestamp>();
    ensure(time.is_ok(), "timestamp is no time")?;
    ensure(payload["custom_details"].is_object(), "custom_details is no object")
}

/// https://docs.slack.dev/reference/block-kit/blocks and what a message's text may hold; a `<`
/// would begin a link or a mention.
fn slack(request: &Received) -> Result<(), String> {
    let said = posted(request, &["text", "blocks"])?;
    ensure(!text(&said, "text", 40_000)?.contains('<'), "text begins a mention")?;
    let blocks = said["blocks"].as_array().ok_or("blocks is no list")?;
    ensure((1..=50).contains(&blocks.len()), "not 1 to 50 blocks")?;
    for block in blocks {
        match block["type"].as_str() {
            Some("header") => composed(&block["text"], &["plain_text"], 150)?,
            Some("section") => composed(&block["text"], &["plain_text", "mrkdwn"], 3_000)?,
            Some("context") => {
                let elements = block["elements"].as_array().ok_or("elements is no list")?;
                ensure((1..=10).contains(&elements.len()), "not 1 to 10 elements")?;
                for element in elements {
                    composed(element, &["plain_text", "mrkdwn"], 3_000)?;
                }
            }
            other => return Err(format!("a block of type {other:?}")),
        }
    }
    Ok(())
}

fn composed(of: &Value, kinds: &[&str], most: usize) -> Result<(), String> {
    let kind = text(of, "type", 20)?;
    ensure(kinds.contains(&kind), "another type of text")?;
    let said = text(of, "text", most)?;
    if kind == "plain_text" {
        return members(of, &["type", "text", "emoji"]).map(|_| ());
    }
    ensure(!said.contains('<'), "a mention begins")?;
    members(of, &["type", "text", "verbatim"]).map(|_| ())
}

fn route(name: &str, target: Target, receiver: &Receiver) -> Route {
    Route { target, ..webhook(name, receiver) }
}

fn to_pagerduty(receiver: &Receiver) -> Route {
    let url = Secret::new(receiver.url("/v2/enqueue"));
    let routing_key = Secret::new("0123456789abcdef0123456789ABCDEF");
    route("pager", Target::PagerDuty { url, routing_key }, receiver)
}

fn to_slack(receiver: &Receiver) -> Route {
    let url = Secret::new(receiver.url("/services/T0/B0/x"));
    route("chat", Target::Slack { url }, receiver)
}

fn with_links(state: &Path, hand: &Hand, routes: Vec<Route>) -> Alerts {
    let link = "https://monitor.example.org".to_owned();
    let usual = settings(state, hand, routes);
    let rendering = Rendering { link, ..usual.rendering };
    Alerts::open(Settings { rendering, ..usual }).expect("the state opens")
}

/// Fired, worse, taken on and over; nothing of it is left waiting or dead.
fn whole_life(pager: &Receiver, chat: &Receiver, name: &str) {
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let state = folder.path().join("s");
    let alerts = with_links(&state, &hand, vec![to_pagerduty(pager), to_slack(chat)]);
    for (hours, value) in [(0, 0.3), (1, 0.6)] {
        assert_eq!(alerts.judge(&columns(hours, name, value), &[]).unwrap().len(), 1);
        alerts.deliver_due().unwrap();
    }
    let id = alerts.open_episodes()[0].id.clone();
    let mut beside = Store::beside(&state).unwrap();
    beside.acknowledge(&id, name, "flights", hand.now()).unwrap();
    alerts.deliver_due().unwrap();
    assert_eq!(alerts.judge(&columns(2, name, 0.0), &[]).unwrap().len(), 1);
    alerts.deliver_due().unwrap();
    let dead: Vec<String> = beside.dead().unwrap().into_iter().map(|it| it.error).collect();
    assert_eq!(dead, Vec::<String>::new(), "{name:.40}");
    assert_eq!(alerts.outbox().unwrap(), Outbox { waiting: 0, dead: 0 }, "{name:.40}");
}

#[test]
fn receivers_that_refuse_what_is_not_documented_refuse_nothing() {
    for name in hostile() {
        let pager = Receiver::start([], Answer::Check(pagerduty));
        let chat = Receiver::start([], Answer::Check(slack));
        whole_life(&pager, &chat, &name);
        let (events, said) = (pager.received(), chat.received());
        for request in &events {
            assert_eq!(pagerduty(request), Ok(()), "{}", request.json());
        }
        for request in &said {
            assert_eq!(slack(request), Ok(()), "{}", request.json());
        }
        let of =
            |key: &str| -> Vec<Value> { events.iter().map(|it| it.json()[key].clone()).collect() };
        assert_eq!(of("event_action"), ["trigger", "trigger", "acknowledge", "resolve"]);
        let keys = of("dedup_key");
        assert!(keys.iter().all(|key| *key == keys[0]), "one incident: {keys:?}");
        let severities = events[..2].iter().map(|it| it.json()["payload"]["severity"].clone());
        assert_eq!(severities.collect::<Vec<_>>(), ["warning", "critical"]);
        let words = said.iter().map(|it| {
            let text = it.json()["text"].as_str().unwrap_or_default().to_owned();
            text.split(':').next().unwrap_or_default().to_owned()
        });
        assert_eq!(words.collect::<Vec<_>>(), ["FIRING", "WORSE", "TAKEN ON", "RESOLVED"]);
    }
}

/// `request` with another value at this place.
fn changed(request: &Received, place: &str, value: Value) -> Received {
    let mut body = request.json();
    *body.pointer_mut(place).unwrap_or_else(|| panic!("no {place} in {}", request.json())) = value;
    Received { body: body.to_string().into_bytes(), ..request.clone() }
}

#[test]
fn what_breaks_a_documented_limit_is_refused_and_ends_as_dead_with_the_reason() {
    let pager = Receiver::start([], Answer::Check(pagerduty));
    let chat = Receiver::start([], Answer::Check(slack));
    whole_life(&pager, &chat, "dep_delay");
    let (event, said) = (pager.received().remove(0), chat.received().remove(0));
    let long = |chars: usize| json!("x".repeat(chars));
    for (place, value) in [
        ("/routing_key", long(31)),
        ("/event_action", json!("fire")),
        ("/dedup_key", long(256)),
        ("/payload/summary", long(1_025)),
        ("/payload/summary", json!("")),
        ("/payload/severity", json!("warn")),
        ("/payload/timestamp", json!("noon")),
        ("/payload/custom_details", json!([])),
        ("/payload/custom_details", json!({ "more": "x".repeat(512 * 1024) })),
        ("/payload", json!(null)),
    ] {
        let wrong = changed(&event, place, value);
        assert!(pagerduty(&wrong).is_err(), "{place}: {:.200}", wrong.json().to_string());
    }
    for (place, value) in [
        ("/text", json!("<!channel>")),
        ("/blocks", json!(vec![said.json()["blocks"][0].clone(); 51])),
        ("/blocks/0/text/text", long(151)),
        ("/blocks/0/text/type", json!("mrkdwn")),
        ("/blocks/1/text/text", long(3_001)),
        ("/blocks/1/text/text", json!("<@U123>")),
        ("/blocks/2/elements", json!([])),
        ("/blocks/2/type", json!("banner")),
    ] {
        let wrong = changed(&said, place, value);
        assert!(slack(&wrong).is_err(), "{place}: {:.200}", wrong.json().to_string());
    }
    // A receiver of events that gets a chat's message says what is wrong with it.
    let (folder, hand) = (tempfile::tempdir().unwrap(), Hand::at(NOON_MS));
    let state = folder.path().join("s");
    let alerts = with_links(&state, &hand, vec![to_slack(&pager)]);
    alerts.judge(&columns(0, "dep_delay", 0.3), &[]).unwrap();
    alerts.deliver_due().unwrap();
    assert_eq!(alerts.outbox().unwrap(), Outbox { waiting: 0, dead: 1 });
    let dead = Store::beside(&state).unwrap().dead().unwrap();
    assert!(dead[0].error.contains("not the path of events"), "{}", dead[0].error);
}

//! The client against receivers that do not behave.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::state::Heard;

fn post(receiver: &Receiver) -> Outcome {
    post_with(http_settings(), receiver)
}

fn post_with(settings: HttpSettings, receiver: &Receiver) -> Outcome {
    let http = Http::new(settings).unwrap();
    let target = Target::Webhook {
        url: Secret::new(receiver.url("/hook/T0P-SECRET")),
        keys: vec![],
        headers: vec![("authorization".into(), Secret::new("Bearer hush-hush"))],
    };
    let request = render(&target, &message(Kind::Fired), &rendering(), 0).unwrap();
    http.post(&request, 0)
}

fn answer(answer: Answer) -> Outcome {
    post(&Receiver::start([answer], Answer::Status(200, "", "")))
}

#[test]
fn answers_mean_what_they_say() {
    assert_eq!(answer(Answer::Status(200, "", "ok")), Outcome::Delivered);
    assert_eq!(answer(Answer::Status(204, "", "")), Outcome::Delivered);
    let failed = |error: &str, retry_after_ms, heard| Outcome::Failed {
        error: error.into(),
        retry_after_ms,
        heard,
    };
    assert_eq!(
        answer(Answer::Status(500, "", "oh\nno")),
        failed("answered 500 Internal Server Error: oh no", None, Heard::Maybe)
    );
    assert_eq!(
        answer(Answer::Status(429, "retry-after: 17\r\n", "")),
        failed("answered 429 Too Many Requests", Some(17_000), Heard::No)
    );
    assert_eq!(
        answer(Answer::Status(400, "", "bad")),
        Outcome::Refused { error: "answered 400 Bad Request: bad".into() }
    );
    assert_eq!(
        answer(Answer::Status(410, "", "")),
        Outcome::Gone { error: "answered 410 Gone".into() }
    );
}

#[test]
fn redirects_are_not_followed() {
    let elsewhere = Receiver::fine();
    let location = format!("location: {}\r\n", elsewhere.url("/"));
    for status in [301, 302, 307, 308] {
        let location: &'static str = location.clone().leak();
        let Outcome::Failed { error, .. } = answer(Answer::Status(status, location, "")) else {
            panic!("{status}")
        };
        assert!(error.contains("redirects are not followed"), "{error}");
    }
    assert_eq!(elsewhere.received().len(), 0);
}

#[test]
fn who_hangs_drips_or_cuts_off_is_given_up() {
    let started = Instant::now();
    for bad in [Answer::Hang(Duration::from_secs(5)), Answer::Cut, Answer::Drip(500)] {
        let shown = format!("{bad:?}");
        let settings = HttpSettings { timeout: Duration::from_millis(700), ..http_settings() };
        let outcome = post_with(settings, &Receiver::start([bad], Answer::Status(200, "", "")));
        let Outcome::Failed { heard, .. } = outcome else { panic!("{shown}: {outcome:?}") };
        assert_eq!(heard, Heard::Maybe, "{shown}");
    }
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[test]
fn a_gigabyte_of_answer_is_not_read() {
    for (status, fine) in [(500, false), (200, true)] {
        let receiver = Receiver::start([], Answer::Flood(status));
        assert_eq!(post(&receiver) == Outcome::Delivered, fine);
        std::thread::sleep(Duration::from_millis(300));
        // What lies in sockets' buffers, and no more.
        assert!(receiver.flooded_bytes() < 32 << 20, "{}", receiver.flooded_bytes());
    }
}

#[test]
fn nobody_there_means_nobody_heard() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = Target::Slack { url: Secret::new(format!("http://{free}/services/T0P-SECRET")) };
    let request = render(&target, &message(Kind::Fired), &rendering(), 0).unwrap();
    let outcome = Http::new(http_settings()).unwrap().post(&request, 0);
    let Outcome::Failed { heard: Heard::No, error, .. } = outcome else { panic!("{outcome:?}") };
    assert!(error.contains("refused") && !error.contains("SECRET"), "{error}");
}

#[test]
fn secrets_are_in_no_error_and_no_debug_output() {
    // A receiver that says back what it got.
    for echo in ["no such hook: /hook/T0P-SECRET", "token Bearer hush-hush is wrong"] {
        let outcome = answer(Answer::Status(403, "", echo));
        let shown = format!("{outcome:?}");
        assert!(shown.contains("(hidden)"), "{shown}");
        assert!(!shown.contains("T0P-SECRET") && !shown.contains("hush"), "{shown}");
    }
    let route = Route {
        name: "r".into(),
        target: Target::Webhook {
            url: Secret::new("https://example.org/T0P-SECRET"),
            keys: vec![SigningKey::parse(KEY).unwrap()],
            headers: vec![("x".into(), Secret::new("hush"))],
        },
        events: vec![],
        min_severity: Severity::Info,
        classes: vec![],
        models: vec![],
        then: None,
    };
    let shown =
        format!("{route:?} {:?}", render(&route.target, &message(Kind::Fired), &rendering(), 0));
    for secret in ["SECRET", "hush", "MfKQ9r8G", "77, 242, 144"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_secret_across_the_cut_leaves_nothing() {
    // The cut lies at 281 bytes, of which "answered 403 Forbidden: " takes 24.
    for filler in (200..264).step_by(4) {
        for secret in ["/hook/T0P-SECRET", "hush-hush"] {
            let body: &'static str = format!("{}{secret} {secret}", "x".repeat(filler)).leak();
            let shown = format!("{:?}", answer(Answer::Status(403, "", body)));
            assert!(!shown.contains("T0P") && !shown.contains("hus"), "{filler}: {shown}");
        }
    }
}

#[test]
fn parts_of_a_secret_are_secret() {
    let target = Target::Webhook {
        url: Secret::new("https://example.org/in?token=s3cr%2Ft-key&v=2&lonely-key"),
        keys: vec![],
        headers: vec![
            ("authorization".into(), Secret::new("Bearer abcdef-token")),
            ("x-org".into(), Secret::new("1")),
        ],
    };
    let request = render(&target, &message(Kind::Fired), &rendering(), 0).unwrap();
    for (said, expected) in [
        ("Bearer abcdef-token is wrong", "(hidden) is wrong"),
        ("abcdef-token is wrong", "(hidden) is wrong"),
        ("POST /in?token=s3cr%2Ft-key", "POST /in?token=(hidden)"),
        ("no such key: s3cr/t-key", "no such key: (hidden)"),
        ("no such key: lonely-key", "no such key: (hidden)"),
        ("see https://example.org/in?token=s3cr%2Ft-key&v=2&lonely-key", "see (hidden)"),
        // Nothing is left of an error that every short text is cut out of.
        ("12 of 21", "12 of 21"),
    ] {
        assert_eq!(request.without_secrets(said), expected);
    }
}

#[test]
fn a_secret_is_hidden_in_every_writing() {
    let target = Target::Webhook {
        url: Secret::new("https://example.org/in/top%20hook"),
        keys: vec![],
        headers: vec![
            ("authorization".into(), Secret::new("Basic Ym90Om9wZW4tc2VzYW1l")),
            ("x-token".into(), Secret::new("a/b\"c é+d?=")),
        ],
    };
    let request = render(&target, &message(Kind::Fired), &rendering(), 0).unwrap();
    for said in [
        // Slashes escaped, as PHP has it; quotes; what is not ASCII, as Python has it.
        r#"{"path":"\/in\/top%20hook"}"#,
        r#"{"token":"a/b\"c é+d?="}"#,
        r#"{"token":"a\/b\"c \u00e9+d?="}"#,
        // Percent-encoded in either case of its digits, with and without slashes; and read.
        "token=a%2Fb%22c%20%C3%A9%2Bd%3F%3D",
        "token=a%2fb%22c%20%c3%a9%2bd%3f%3d",
        "token=a/b%22c+%C3%A9%2Bd%3F%3D",
        "no /in/top hook here",
        // In base64, also of the URLs' alphabet, and in the middle of something longer.
        "YS9iImMgw6krZD89",
        "eHhhL2IiYyDDqStkPz15",
        "eGEvYiJjIMOpK2Q_PXk",
        // The password of basic authentication.
        "open-sesame is no password of bot",
    ] {
        let shown = request.without_secrets(said);
        assert!(shown.contains("(hidden)"), "{said}: {shown}");
        for left in ["top", "b\\", "b\"", "%22", "YyDDqStk", "IiYyDD", "JjIMOp", "mMgw6", "sesame"]
        {
            assert!(!shown.contains(left), "{said}: {shown}");
        }
    }
}

/// A name that answers with `addresses`, one list after the other.
fn looked_up(allowed: Allowed, addresses: Vec<Vec<&'static str>>) -> (Http, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let lookup = move |_: &str| -> std::io::Result<Vec<IpAddr>> {
        let n = count.fetch_add(1, Ordering::SeqCst);
        let list = &addresses[n.min(addresses.len() - 1)];
        Ok(list.iter().map(|text| text.parse().unwrap()).collect())
    };
    let settings = HttpSettings { allowed, ..http_settings() };
    (Http::with_lookup(settings, Arc::new(lookup)).unwrap(), asked)
}

fn post_to(http: &Http, url: String) -> Outcome {
    let target = Target::Webhook { url: Secret::new(url), keys: vec![], headers: vec![] };
    http.post(&render(&target, &message(Kind::Fired), &rendering(), 0).unwrap(), 0)
}

#[test]
fn a_name_that_leads_to_a_private_address_is_refused_at_look_up() {
    let receiver = Receiver::fine();
    let port = receiver.address().port();
    for (allowed, answers, delivered) in [
        (vec![], vec!["127.0.0.1"], false),
        (vec![], vec!["10.0.0.1", "::1", "169.254.169.254"], false),
        (vec!["127.0.0.0/8"], vec!["127.0.0.1"], true),
        (vec!["hooks.example.org"], vec!["127.0.0.1"], true),
        // Of several addresses only the allowed ones are connected to.
        (vec!["127.0.0.1"], vec!["10.255.255.1", "127.0.0.1"], true),
        // Plain http to somewhere public.
        (vec!["127.0.0.1"], vec!["1.1.1.1"], false),
    ] {
        let (http, _) = looked_up(Allowed::parse(allowed.clone()).unwrap(), vec![answers.clone()]);
        let outcome = post_to(&http, format!("http://hooks.example.org:{port}/"));
        assert_eq!(
            outcome == Outcome::Delivered,
            delivered,
            "{allowed:?} {answers:?}: {outcome:?}"
        );
        if !delivered {
            assert!(format!("{outcome:?}").contains("allow_private"), "{outcome:?}");
        }
    }
}

#[test]
fn a_name_that_changes_its_mind_is_looked_up_once_for_a_connection() {
    let receiver = Receiver::start([], Answer::Status(200, "connection: close\r\n", ""));
    let port = receiver.address().port();
    let allowed = Allowed::parse(["127.0.0.2/32", "127.0.0.1/32"]).unwrap();
    let (http, asked) = looked_up(allowed, vec![vec!["127.0.0.1"], vec!["127.0.0.9"]]);
    let url = format!("http://hooks.example.org:{port}/");
    assert_eq!(post_to(&http, url.clone()), Outcome::Delivered);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "what was checked is what was connected to");
    let outcome = post_to(&http, url);
    assert!(matches!(outcome, Outcome::Failed { heard: Heard::No, .. }), "{outcome:?}");
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn a_literal_private_address_is_refused_without_a_look_up() {
    let receiver = Receiver::fine();
    let (http, asked) = looked_up(Allowed::default(), vec![vec!["127.0.0.1"]]);
    let outcome = post_to(&http, receiver.url("/"));
    assert!(format!("{outcome:?}").contains("private address 127.0.0.1"), "{outcome:?}");
    assert_eq!((asked.load(Ordering::SeqCst), receiver.received().len()), (0, 0));
}

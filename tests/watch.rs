//! Hop 3 at work: the archive grows, a window drifts, a local webhook hears of it, signed and once.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Child, root};
use crate::monitor::{Monitored, archive};

const SOON: Duration = Duration::from_secs(60);
/// Long enough for another look at the archive.
const QUIET: Duration = Duration::from_secs(7);

/// A request as the receiver got it: header lines and body.
struct Heard {
    head: Vec<String>,
    body: Value,
}

impl Heard {
    fn header(&self, name: &str) -> &str {
        let found = self.head.iter().filter_map(|line| line.split_once(": "));
        found
            .filter(|(have, _)| have.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .next()
            .unwrap_or_default()
    }
}

/// Answers 204 to everything and passes it on.
fn receiver() -> (String, mpsc::Receiver<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let (say, heard) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let lines = reader.by_ref().lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let mut request = Heard { head, body: Value::Null };
            let length = request.header("content-length").parse().unwrap_or(0);
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("the body is as long as it says");
            request.body = serde_json::from_slice(&body).expect("JSON");
            let answer =
                "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).expect("the client listens");
            if say.send(request).is_err() {
                return;
            }
        }
    });
    (address, heard)
}

fn watching(monitored: &Monitored, address: &str) -> Child {
    let config = root().join("deploy/demo/tidegate.toml").to_string_lossy().into_owned();
    let routes = format!(
        "routes=[{{name=\"ops\",kind=\"webhook\",url=\"http://{address}/\",\
         secrets=[\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]}}]"
    );
    let mut arguments = vec!["run", "--only", "monitor", "--config", &config, "--set", &routes];
    let sets = [
        format!("archive.directory={}", monitored.path("data")),
        format!("monitor.reference={}", monitored.path("reference.parquet")),
        format!("alerts.state={}", monitored.path("state/alerts.sqlite")),
        "alerts.http.allow_private=[\"127.0.0.1\"]".to_owned(),
        "monitor.previous_seconds=3600".to_owned(),
        "server.listen=".to_owned(),
    ];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set.as_str()]));
    Child::spawn(&arguments)
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
    assert!(silent.is_err(), "an alarm without drift: {}", silent.map(|it| it.body).unwrap());
    // From hour 9 on every flight leaves half an hour late.
    archive(&directory, 9..12, 9);
    let alert = heard.recv_timeout(SOON).unwrap_or_else(|_| panic!("no alert:\n{}", child.log()));
    for header in ["webhook-id", "webhook-timestamp"] {
        assert!(!alert.header(header).is_empty(), "{header}: {:?}", alert.head);
    }
    assert!(alert.header("webhook-signature").starts_with("v1,"), "{:?}", alert.head);
    let text = alert.body.to_string();
    assert!(text.contains("flight-delay") && text.contains("dep_delay"), "{text}");
    // Killed and started again: what comes once more, because its answer was not noted any more, has
    // the same id, by which receivers drop it.
    child.kill();
    let mut child = watching(&monitored, &address);
    if let Ok(again) = heard.recv_timeout(QUIET) {
        assert_eq!(again.header("webhook-id"), alert.header("webhook-id"), "{}", again.body);
    }
    assert!(child.running(), "{}", child.log());
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
}

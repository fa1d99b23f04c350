//! Texts of strangers in what the monitor tells: values of a segment, a webhook's address, its answer.

use super::{SOON, body, receiver_that_says, watching_with};
use crate::monitor::{HOSTILE, Monitored, archive};

/// Would like to be lines of a log, and code of a terminal and of a page.
const ANSWER: &str = "\u{1b}[2J\r\nFORGED of the receiver\n<script>alert(3)</script>\u{202e}";

#[test]
fn hostile_values_addresses_and_answers_do_no_harm_in_logs_and_payloads() {
    let monitored = Monitored::new();
    archive(&monitored.folder.path().join("data"), 0..12, 9);
    monitored.fit(&["--where", "event_time < '2013-06-01T06:00:00Z'"]);
    let answer = format!("{ANSWER}{}", "x".repeat(1 << 20));
    let (address, heard) = receiver_that_says("500 Internal Server Error", &answer);
    let path = "<script>alert(4)</script>?a=\\\"&b='%0aFORGED";
    let more = [
        format!(
            "routes=[{{name=\"ops\",kind=\"webhook\",url=\"http://{address}/{path}\",events=[\"alerts\"],\
             secrets=[\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]}}]"
        ),
        // One of the five carriers is hostile, and is a group of its own: 120 rows an hour.
        "monitor.segments=[\"carrier\"]".to_owned(),
        "rules=[{name=\"step\",min_rows=100,breaches=1,windows=1}]".to_owned(),
        "telemetry.format=text".to_owned(),
    ];
    let mut child = watching_with(&monitored, &address, &more);
    let request =
        heard.recv_timeout(SOON).unwrap_or_else(|_| panic!("not heard:\n{}", child.log()));
    assert!(
        request.line.starts_with("POST /%3Cscript%3Ealert(4)%3C/script%3E?a=%22&b=%27%0aFORGED ")
            && !request.line.contains(['<', '>', '"']),
        "{}",
        request.line
    );
    assert!(request.body.len() < 64_000, "{} bytes", request.body.len());
    let said = body(&request).to_string();
    assert!(said.contains(&HOSTILE[..25]), "the segment of that carrier is told: {said}");
    child.wait_for("alert not delivered yet", SOON);
    child.terminate();
    assert!(child.wait(SOON).success(), "{}", child.log());
    let log = child.whole_log();
    for line in log.lines() {
        // Each line is one of its own: a time, and a level.
        assert!(line.starts_with("20"), "a line that nobody wrote: {line:?}");
        assert!(line.len() < 4_000, "{} bytes in a line: {line:.300}", line.len());
        assert!(!line.contains(|it: char| it.is_control() || it == '\u{202e}'), "{line:?}");
        assert!(!line.contains("script%3E") && !line.contains("alert(4)"), "the address: {line}");
    }
}

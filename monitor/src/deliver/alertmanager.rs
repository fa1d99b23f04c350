//! Alertmanager, API v2. Labels identify an alert, so nothing in them changes from one sending to
//! the next; the one that may change once, the severity, is changed by ending the old alert in the
//! same request. `endsAt` lies four intervals ahead, the heartbeat's own for a heartbeat: Tidegate
//! may miss three before the alert ends.

use serde_json::{Value, json};

use super::render::{link, rfc3339};
use super::{Kind, Message, Rendering};
use crate::policy::{Episode, Severity, clean};

/// Columns in an annotation.
const MAX_LINES: usize = 10;

/// How many intervals an alert lasts without being sent again.
const INTERVALS: i64 = 4;

/// Where alerts are posted.
pub(super) fn address(root: &str) -> String {
    format!("{}/api/v2/alerts", root.trim_end_matches('/'))
}

/// The alerts that `message` is; `None` for an acknowledgement, which Alertmanager does not know.
pub(super) fn alerts(message: &Message, how: &Rendering, now_ms: i64) -> Option<Vec<Value>> {
    let Some(episode) = &message.episode else { return own(message, how, now_ms) };
    let firing = || firing(episode, &message.pipeline, how, now_ms);
    let ended = |severity| alert(episode, &message.pipeline, severity, how, now_ms);
    match message.kind {
        // Of one that was told before a silence and became worse in it, the old alert ends.
        Kind::Fired => Some(message.before.map(ended).into_iter().chain([firing()]).collect()),
        Kind::Test => Some(vec![firing()]),
        Kind::Upgraded => {
            let before = message.before.unwrap_or(Severity::Warning);
            Some(vec![ended(before), firing()])
        }
        Kind::Resolved => Some(vec![ended(message.before.unwrap_or(episode.severity))]),
        Kind::Acknowledged | Kind::Heartbeat | Kind::Retraining => None,
    }
}

/// An alert that lasts.
pub(super) fn firing(episode: &Episode, pipeline: &str, how: &Rendering, now_ms: i64) -> Value {
    alert(episode, pipeline, episode.severity, how, now_ms + INTERVALS * how.resend_ms)
}

fn alert(
    episode: &Episode,
    pipeline: &str,
    severity: Severity,
    how: &Rendering,
    ends_ms: i64,
) -> Value {
    let lines: Vec<String> =
        episode.concerns.iter().take(MAX_LINES).map(crate::policy::Concern::line).collect();
    let group = &episode.group;
    json!({
        "labels": {
            "alertname": match group.class.name() {
                "drift" => "TidegateDrift",
                "quality" => "TidegateDataQuality",
                "performance" => "TidegatePerformance",
                _ => "TidegateService",
            },
            "pipeline": clean(pipeline, 200), "model": group.model, "class": group.class,
            "severity": severity,
        },
        "annotations": {
            "summary": episode.summary(),
            "description": lines.join("\n"),
            "episode": episode.id,
            "window_end": rfc3339(episode.window_end_ms),
        },
        // Event time may lie ahead of this clock; Alertmanager wants a start before the end.
        "startsAt": rfc3339(episode.fired_ms.min(ends_ms)),
        "endsAt": rfc3339(ends_ms),
        "generatorURL": link(how, episode),
    })
}

/// A message without an episode: the sign of life, or a test.
fn own(message: &Message, how: &Rendering, now_ms: i64) -> Option<Vec<Value>> {
    let (name, severity, interval_ms) = match message.kind {
        Kind::Heartbeat => ("TidegateHeartbeat", "none", how.heartbeat_ms),
        Kind::Test => ("TidegateTest", "info", how.resend_ms),
        _ => return None,
    };
    let ends_ms = now_ms + INTERVALS * interval_ms;
    Some(vec![json!({
        "labels": {
            "alertname": name, "pipeline": clean(&message.pipeline, 200), "severity": severity,
        },
        "annotations": { "summary": message.summary() },
        "endsAt": rfc3339(ends_ms),
        "generatorURL": how.link,
    })])
}

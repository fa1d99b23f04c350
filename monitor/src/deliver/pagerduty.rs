//! PagerDuty, Events API v2. The deduplication key is the group's, the same for ever: while an
//! incident is open, whatever Tidegate says again goes into it, even after its state was lost.

use serde_json::{Value, json};

use super::render::{link, listed, rfc3339};
use super::{Kind, Message, Rendering, Secret};
use crate::policy::{Severity, hash};

/// Where events go, in PagerDuty's first region.
pub const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// Characters of a summary that PagerDuty takes.
pub const MAX_SUMMARY_CHARS: usize = 1_024;

/// Characters of a deduplication key that PagerDuty takes.
pub const MAX_DEDUP_BYTES: usize = 255;

/// The event that `message` is; `None` for what would page without being an alert.
pub(super) fn event(message: &Message, routing_key: &Secret, how: &Rendering) -> Option<Value> {
    let action = match message.kind {
        Kind::Fired | Kind::Upgraded | Kind::Test => "trigger",
        Kind::Acknowledged => "acknowledge",
        Kind::Resolved => "resolve",
        Kind::Heartbeat | Kind::Retraining => return None,
    };
    let subject = match &message.episode {
        Some(episode) => episode.group.id(),
        None => message.id.clone(),
    };
    let mut event = json!({
        "routing_key": routing_key.expose(),
        "event_action": action,
        "dedup_key": format!("tidegate-{}-{subject}", hash(&[&message.pipeline])),
    });
    if action == "trigger" {
        event["payload"] = payload(message);
        event["client"] = json!("Tidegate");
        if let Some(episode) = &message.episode
            && !how.link.is_empty()
        {
            event["client_url"] = json!(link(how, episode));
        }
    }
    Some(event)
}

fn payload(message: &Message) -> Value {
    let summary: String = message.summary().chars().take(MAX_SUMMARY_CHARS).collect();
    let Some(episode) = &message.episode else {
        return json!({
            "summary": summary, "source": source(message), "severity": "info",
            "timestamp": rfc3339(message.at_ms),
        });
    };
    json!({
        "summary": summary,
        "source": source(message),
        "severity": match episode.severity {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
            Severity::Info => "info",
        },
        "timestamp": rfc3339(message.at_ms),
        "component": episode.group.model,
        "group": message.pipeline,
        "class": episode.group.class,
        "custom_details": {
            "episode": episode.id,
            "window_end": rfc3339(episode.window_end_ms),
            "subjects": episode.subjects,
            "columns": listed(&episode.concerns),
        },
    })
}

/// A source must not be empty.
fn source(message: &Message) -> &str {
    if message.pipeline.is_empty() { "tidegate" } else { &message.pipeline }
}

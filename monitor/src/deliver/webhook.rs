//! Standard Webhooks: `{type, timestamp, data}`, signed.

use serde_json::{Value, json};

use super::render::{link, listed, rfc3339};
use super::{Kind, Message, Rendering, SigningKey};

/// `webhook-id` is the message's for all attempts; the time is the attempt's. While keys are
/// rotated there is a signature of each.
pub(super) fn headers(
    keys: &[SigningKey],
    id: &str,
    timestamp_seconds: i64,
    body: &[u8],
) -> Vec<(String, String)> {
    let mut headers = vec![
        ("webhook-id".to_owned(), id.to_owned()),
        ("webhook-timestamp".to_owned(), timestamp_seconds.to_string()),
    ];
    if !keys.is_empty() {
        let signatures: Vec<String> =
            keys.iter().map(|key| key.sign(id, timestamp_seconds, body)).collect();
        headers.push(("webhook-signature".to_owned(), signatures.join(" ")));
    }
    headers
}

/// The same bytes at every attempt.
pub(super) fn body(message: &Message, how: &Rendering) -> Value {
    let data = match (&message.request, &message.episode) {
        (Some(request), _) => request.clone(),
        (None, None) => json!({ "pipeline": message.pipeline, "summary": message.summary() }),
        (None, Some(episode)) => json!({
            "pipeline": message.pipeline,
            "episode": episode.id,
            "group": episode.group.id(),
            "model": episode.group.model,
            "class": episode.group.class,
            "status": if message.kind == Kind::Resolved { "resolved" } else { "firing" },
            "severity": episode.severity,
            "severity_before": message.before,
            "acknowledged_by": message.by,
            "summary": message.summary(),
            "fired_at": rfc3339(episode.fired_ms),
            "window": {
                "start": rfc3339(episode.window_start_ms), "end": rfc3339(episode.window_end_ms),
            },
            "subjects": episode.subjects,
            "columns": listed(&episode.concerns),
            "link": link(how, episode),
        }),
    };
    json!({
        "type": format!("tidegate.{}", message.kind.name()),
        "timestamp": rfc3339(message.at_ms),
        "data": data,
    })
}

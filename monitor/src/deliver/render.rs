//! From a message to what a receiver takes: a request, or bytes for a topic.

use std::sync::Arc;

use serde_json::{Value, json};

use super::secret::said_back;
use super::{Kind, Message, Target, alertmanager, pagerduty, slack, webhook};
use crate::policy::{Concern, Episode};

/// Bytes of listed columns in one message: Standard Webhooks wants payloads small (20 kB).
const MAX_LISTED_BYTES: usize = 14_000;

/// Columns listed in one message.
const MAX_LISTED: usize = 50;

/// Puts bytes onto a topic: (topic, key, payload). Answers when they are committed, or why not.
pub type Publish = Arc<dyn Fn(&str, &str, &[u8]) -> Result<(), String> + Send + Sync>;

/// What all messages share.
#[derive(Clone, Debug)]
pub struct Rendering {
    /// Address of the monitor's pages for people, without a slash at its end; may be empty.
    pub link: String,
    /// How often Alertmanager is told again.
    pub resend_ms: i64,
    /// Time between two signs of life.
    pub heartbeat_ms: i64,
}

/// A request to a receiver.
#[derive(Clone)]
pub struct Request {
    /// Where to.
    pub url: String,
    /// Headers, `content-type` among them.
    pub headers: Vec<(String, String)>,
    /// JSON.
    pub body: Vec<u8>,
    /// Texts that no error may repeat, the longest first.
    pub(super) secrets: Vec<String>,
}

/// What a target does with a message.
pub(crate) enum Rendered {
    /// Post it.
    Http(Request),
    /// Put it onto a topic.
    Topic { topic: String, key: String, payload: Vec<u8> },
    /// This receiver knows no such message.
    Nothing,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

impl Request {
    pub(super) fn post(target: &Target, url: String, body: &Value) -> Self {
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let mut values = Vec::new();
        match target {
            Target::Webhook { headers: more, .. } | Target::Alertmanager { headers: more, .. } => {
                for (name, value) in more {
                    headers.push((name.clone(), value.expose().to_owned()));
                    values.push(value.expose());
                }
            }
            Target::PagerDuty { routing_key, .. } => values.push(routing_key.expose()),
            Target::Slack { .. } | Target::Topic { .. } => {}
        }
        let secrets = said_back(target.url(), &values);
        let body = serde_json::to_vec(body).expect("a value is JSON");
        Self { url, headers, body, secrets }
    }

    /// `text` with every secret cut out.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        self.secrets
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "(hidden)"))
    }
}

/// How `target` takes `message` at this time.
pub(crate) fn rendered(
    target: &Target,
    message: &Message,
    how: &Rendering,
    now_ms: i64,
) -> Rendered {
    match target {
        Target::Topic { topic } => match message.kind {
            Kind::Retraining | Kind::Test => Rendered::Topic {
                topic: topic.clone(),
                key: message.episode.as_ref().map_or("", |episode| &episode.group.model).to_owned(),
                payload: serde_json::to_vec(&webhook::body(message, how)).expect("a value is JSON"),
            },
            _ => Rendered::Nothing,
        },
        _ => render(target, message, how, now_ms).map_or(Rendered::Nothing, Rendered::Http),
    }
}

/// The request that says `message` to `target`, signed at this time; `None` where the receiver
/// knows no such message, or is a topic.
pub fn render(target: &Target, message: &Message, how: &Rendering, now_ms: i64) -> Option<Request> {
    match target {
        Target::Webhook { keys, .. } => {
            let mut request =
                Request::post(target, target.url().to_owned(), &webhook::body(message, how));
            let headers =
                webhook::headers(keys, &message.id, now_ms.div_euclid(1_000), &request.body);
            request.headers.extend(headers);
            Some(request)
        }
        Target::Alertmanager { .. } => {
            let alerts = alertmanager::alerts(message, how, now_ms)?;
            Some(Request::post(target, alertmanager::address(target.url()), &json!(alerts)))
        }
        Target::PagerDuty { routing_key, .. } => {
            let event = pagerduty::event(message, routing_key, how)?;
            Some(Request::post(target, target.url().to_owned(), &event))
        }
        Target::Slack { .. } => {
            Some(Request::post(target, target.url().to_owned(), &slack::message(message, how)?))
        }
        Target::Topic { .. } => None,
    }
}

/// Firing episodes again, for an Alertmanager, which takes for resolved what it does not hear of.
pub fn render_resend(
    target: &Target,
    pipeline: &str,
    episodes: &[Episode],
    how: &Rendering,
    now_ms: i64,
) -> Option<Request> {
    let Target::Alertmanager { .. } = target else { return None };
    let alerts: Vec<Value> = episodes
        .iter()
        .map(|episode| alertmanager::firing(episode, pipeline, how, now_ms))
        .collect();
    (!alerts.is_empty())
        .then(|| Request::post(target, alertmanager::address(target.url()), &json!(alerts)))
}

/// The worst columns as JSON, as many as are good for one message.
pub(super) fn listed(concerns: &[Concern]) -> Vec<Value> {
    let mut bytes = 0;
    concerns
        .iter()
        .take(MAX_LISTED)
        .map(|concern| {
            json!({
                "column": concern.of.subject, "version": concern.of.version, "arm": concern.of.arm,
                "segment": concern.of.segment, "rule": concern.of.rule,
                "measure": concern.measure, "severity": concern.severity,
                "value": concern.value, "threshold": concern.threshold, "q": concern.q,
                "rows": concern.rows, "reason": concern.reason, "since": rfc3339(concern.since_ms),
            })
        })
        .take_while(|value| {
            bytes += value.to_string().len();
            bytes <= MAX_LISTED_BYTES
        })
        .collect()
}

/// Milliseconds since 1970 as people and machines write it.
pub(super) fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

/// Where people look at an episode; empty where no address is configured.
pub(super) fn link(how: &Rendering, episode: &Episode) -> String {
    if how.link.is_empty() { String::new() } else { format!("{}/alerts/{}", how.link, episode.id) }
}

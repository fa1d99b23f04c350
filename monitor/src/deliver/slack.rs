//! Slack's incoming webhooks: one message a model, within Block Kit's limits, nothing in it read
//! as markup or as a mention.

use serde_json::{Value, json};

use super::render::link;
use super::{Kind, Message, Rendering};
use crate::policy::Concern;

/// Characters of a header block.
const MAX_HEADER_CHARS: usize = 150;

/// Characters of a section's text.
const MAX_SECTION_CHARS: usize = 3_000;

/// Columns in a message: more is a wall.
const MAX_LINES: usize = 8;

/// The message; `None` for what is not for people.
pub(super) fn message(message: &Message, how: &Rendering) -> Option<Value> {
    let word = match message.kind {
        Kind::Fired => "FIRING",
        Kind::Upgraded => "WORSE",
        Kind::Resolved => "RESOLVED",
        Kind::Acknowledged => "TAKEN ON",
        Kind::Test => "TEST",
        Kind::Heartbeat | Kind::Retraining => return None,
    };
    let Some(episode) = &message.episode else {
        return Some(json!({ "text": escaped(&message.summary(), MAX_SECTION_CHARS) }));
    };
    let group = &episode.group;
    let severity = episode.severity.name();
    let header = format!("{word} · {severity} · {}: {}", group.model, group.class.name());
    let mut blocks = vec![json!({
        "type": "header",
        "text": { "type": "plain_text", "text": cut(&header, MAX_HEADER_CHARS), "emoji": false },
    })];
    if message.kind != Kind::Resolved {
        let mut lines: Vec<String> = episode.concerns.iter().take(MAX_LINES).map(bullet).collect();
        let more = episode.subjects.saturating_sub(lines.len());
        if more > 0 {
            lines.push(format!("… and {more} more"));
        }
        blocks.push(json!({
            "type": "section",
            "text": { "type": "mrkdwn", "text": whole_lines(&lines), "verbatim": true },
        }));
    }
    let mut about = vec![format!("{} · episode {}", message.pipeline, episode.id)];
    about.extend(Some(episode.versions()).filter(|versions| !versions.is_empty()));
    about.extend(message.by.clone());
    about.extend(Some(link(how, episode)).filter(|link| !link.is_empty()));
    blocks.push(json!({
        "type": "context",
        "elements": [{ "type": "plain_text", "text": cut(&about.join(" · "), 1_000), "emoji": false }],
    }));
    Some(
        json!({ "text": escaped(&format!("{word}: {}", message.summary()), MAX_SECTION_CHARS), "blocks": blocks }),
    )
}

fn bullet(concern: &Concern) -> String {
    let reason =
        if concern.reason.is_empty() { String::new() } else { format!(" — {}", concern.reason) };
    format!("• {}", escaped(&format!("{}{reason}", concern.line()), 350))
}

/// Lines, as many as fit.
fn whole_lines(lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines {
        if text.chars().count() + line.chars().count() + 1 > MAX_SECTION_CHARS {
            break;
        }
        text.push_str(line);
        text.push('\n');
    }
    text.trim_end().to_owned()
}

/// `&`, `<` and `>` as Slack wants them; then nothing is a link, a mention or a channel.
fn escaped(text: &str, max_chars: usize) -> String {
    let mut escaped = String::new();
    let mut chars = 0;
    for c in text.chars() {
        let piece: String = match c {
            '&' => "&amp;".into(),
            '<' => "&lt;".into(),
            '>' => "&gt;".into(),
            c => c.into(),
        };
        chars += piece.chars().count();
        if chars >= max_chars {
            escaped.push('…');
            break;
        }
        escaped.push_str(&piece);
    }
    escaped
}

fn cut(text: &str, max_chars: usize) -> String {
    if text.chars().count() <= max_chars {
        return text.to_owned();
    }
    text.chars().take(max_chars - 1).chain(['…']).collect()
}

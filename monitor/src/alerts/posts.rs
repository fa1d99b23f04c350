//! Who is told what about a window's transitions.

use super::Alerts;
use crate::deliver::{Kind, Message};
use crate::policy::{Book, Changes, Episode, Reference, Severity, Transition};
use crate::state::{Note, Post, Silence, To};

/// What follows from a window besides the state itself.
pub(super) struct Told {
    pub(super) posts: Vec<Post>,
    pub(super) notes: Vec<Note>,
    /// Episodes and whether nobody was told of them.
    pub(super) silenced: Vec<(String, bool)>,
}

/// Messages, history and silencing of the transitions.
pub(super) fn of(
    alerts: &Alerts,
    changes: &Changes,
    silences: &[Silence],
    unheard: &[String],
    now_ms: i64,
) -> Told {
    let mut told = Told { posts: Vec::new(), notes: Vec::new(), silenced: Vec::new() };
    for transition in &changes.transitions {
        match transition {
            Transition::Pending(group) | Transition::HeldBack(group) => {
                let held = matches!(transition, Transition::HeldBack(_));
                let what = if held { "held back by the cool-down" } else { "pending" };
                told.notes.push(Note {
                    group: group.clone(),
                    episode: None,
                    window_end_ms: None,
                    what,
                    detail: String::new(),
                });
            }
            Transition::Resolved(episode) => {
                told.notes.push(note(episode, "resolved", String::new()));
                let message = Message::about(episode, Kind::Resolved, &alerts.pipeline, now_ms);
                told.posts.push(Post { message, to: To::WhoKnows });
            }
            Transition::Fired(episode)
            | Transition::Changed(episode)
            | Transition::Upgraded { episode, .. } => {
                let fired = matches!(transition, Transition::Fired(_));
                let before = match transition {
                    Transition::Upgraded { before, .. } => Some(*before),
                    _ => None,
                };
                let upgraded = before.is_some();
                let heard = !fired && !unheard.contains(&episode.id);
                let silent = is_silenced(episode, silences, now_ms);
                let what = if fired {
                    "fired"
                } else if upgraded {
                    "upgraded"
                } else {
                    "changed"
                };
                told.notes.push(note(episode, what, episode.summary()));
                match (heard, silent) {
                    // What was told before the silence is upgraded aloud when the silence ends.
                    (_, true) if fired || upgraded => {
                        told.silenced.push((episode.id.clone(), true))
                    }
                    (false, false) => {
                        told.silenced.push((episode.id.clone(), false));
                        let message =
                            Message::about(episode, Kind::Fired, &alerts.pipeline, now_ms);
                        told.posts.push(to_routes(alerts, message));
                    }
                    (true, false) if upgraded => {
                        let mut message =
                            Message::about(episode, Kind::Upgraded, &alerts.pipeline, now_ms);
                        message.before = before;
                        told.posts.push(to_routes(alerts, message));
                    }
                    _ => {}
                }
            }
        }
    }
    told
}

/// Whether silences cover every concern.
pub(super) fn is_silenced(episode: &Episode, silences: &[Silence], now_ms: i64) -> bool {
    let class = episode.group.class.name();
    !silences.is_empty()
        && episode
            .concerns
            .iter()
            .all(|concern| silences.iter().any(|silence| silence.covers(class, concern, now_ms)))
}

/// A message for every route that wants it.
pub(super) fn to_routes(alerts: &Alerts, message: Message) -> Post {
    let wants = alerts.routes.iter().filter(|route| route.wants(&message));
    let to = To::Routes(wants.map(|route| route.name.clone()).collect());
    Post { message, to }
}

/// The names of routes, for people.
pub(super) fn names(to: &To) -> String {
    match to {
        To::Routes(routes) if routes.is_empty() => "no route asks for it".into(),
        To::Routes(routes) => routes.join(", "),
        To::WhoKnows => "whoever heard of it".into(),
    }
}

/// A line of an episode's history.
pub(super) fn note(episode: &Episode, what: &'static str, detail: String) -> Note {
    Note {
        group: episode.group.clone(),
        episode: Some(episode.id.clone()),
        window_end_ms: Some(episode.window_end_ms),
        what,
        detail,
    }
}

/// Whether any column drifted from what the model was trained on. One that is worth a note is no reason
/// to train, whatever else is in its episode.
pub(super) fn is_against_training(episode: &Episode, book: &Book) -> bool {
    episode.concerns.iter().filter(|concern| concern.severity >= Severity::Warning).any(|concern| {
        book.rule(&concern.of.rule).is_some_and(|rule| rule.reference == Reference::Training)
    })
}

/// Where people look at it.
pub(super) fn link(alerts: &Alerts, episode: &Episode) -> String {
    let root = &alerts.rendering.link;
    if root.is_empty() { String::new() } else { format!("{root}/alerts/{}", episode.id) }
}

//! A state that was lost is made again from the windows that were judged.
//!
//! Ids of episodes and messages follow from windows, so what still fires is told once more under the ids it
//! had, by which receivers know it.

use std::collections::BTreeMap;

use super::{Alerts, AlertsError, posts};
use crate::deliver::{Kind, Message};
use crate::policy::{Book, Episode, Group, JudgedWindow, Severity, Transition};
use crate::state::Post;

/// What windows of the past left behind.
pub struct Past {
    book: Book,
    /// What the open episodes that became more severe were before.
    upgraded: BTreeMap<Group, Severity>,
}

impl Past {
    /// Takes the next window in, oldest first.
    pub fn take(&mut self, window: &JudgedWindow) {
        for transition in self.book.judge(window) {
            match transition {
                Transition::Upgraded { episode, before } => {
                    self.upgraded.insert(episode.group, before);
                }
                Transition::Fired(episode) | Transition::Resolved(episode) => {
                    self.upgraded.remove(&episode.group);
                }
                Transition::Pending(_) | Transition::Changed(_) | Transition::HeldBack(_) => {}
            }
        }
    }
}

impl Alerts {
    /// Where the state file has not taken any window of data in: what takes the past's windows.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn past(&self) -> Result<Option<Past>, AlertsError> {
        let book = || Book::new(self.rules.iter().cloned());
        let is_new = self.lock().store.is_new()?;
        Ok(is_new.then(|| Past { book: book(), upgraded: BTreeMap::new() }))
    }

    /// Makes the past the state's, in one transaction, so that a state that was made again by half cannot be, and
    /// tells of the episodes that are open behind its last window. Answers them; none where the state is not new.
    ///
    /// # Errors
    /// When the state cannot be written. Then nothing was taken.
    pub fn restore(&self, past: Past) -> Result<Vec<Episode>, AlertsError> {
        let now_ms = (self.clock)();
        let Past { book, upgraded } = past;
        let mut inner = self.lock();
        if !inner.store.is_new()? {
            return Ok(Vec::new());
        }
        inner.refresh(&self.rules)?;
        let silences = inner.store.silences(now_ms)?;
        let open: Vec<Episode> = book.open().cloned().collect();
        let silenced = |episode: &Episode| posts::is_silenced(episode, &silences, now_ms);
        let post = |episode: &Episode| -> Post {
            let before = upgraded.get(&episode.group).copied();
            let kind = if before.is_some() { Kind::Upgraded } else { Kind::Fired };
            let mut message = Message::about(episode, kind, &self.pipeline, now_ms);
            message.before = before;
            posts::to_routes(self, message)
        };
        let told: Vec<Post> = open.iter().filter(|episode| !silenced(episode)).map(post).collect();
        let unheard: Vec<(String, bool)> =
            open.iter().map(|episode| (episode.id.clone(), silenced(episode))).collect();
        let said = "found again in the windows that were judged, for a state that is new";
        let notes: Vec<_> =
            open.iter().map(|episode| posts::note(episode, "fired", said.into())).collect();
        inner.store.record(&book.whole(), &told, &notes, &unheard, now_ms)?;
        inner.book.adopt(book);
        self.metrics.standing(&inner.book);
        drop(inner);
        self.news.notify_all();
        Ok(open)
    }
}

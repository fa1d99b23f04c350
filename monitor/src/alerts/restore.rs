//! A state that was lost is made again from the windows that were judged.
//!
//! Ids of episodes and messages follow from windows, so what still fires is told once more under the ids it
//! had, by which receivers know it.

use super::{Alerts, AlertsError, posts};
use crate::deliver::{Kind, Message};
use crate::policy::{Book, Episode, JudgedWindow};

impl Alerts {
    /// Whether the state file has not taken any window in.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn is_new(&self) -> Result<bool, AlertsError> {
        Ok(self.lock().store.is_new()?)
    }

    /// Takes windows of the past in, oldest first, where the state [is new](Alerts::is_new): all of them in one
    /// transaction, so that a state that was made again by half cannot be. Then tells of the episodes that are
    /// open behind the last one. Answers them.
    ///
    /// # Errors
    /// When the state cannot be written. Then nothing was taken: hand them in again.
    pub fn restore(
        &self,
        windows: impl IntoIterator<Item = JudgedWindow>,
    ) -> Result<Vec<Episode>, AlertsError> {
        let now_ms = (self.clock)();
        let mut book = Book::new(self.rules.iter().cloned());
        for window in windows {
            book.take(&window);
        }
        let open: Vec<Episode> = book.open().cloned().collect();
        let messages =
            open.iter().map(|episode| Message::about(episode, Kind::Fired, &self.pipeline, now_ms));
        let told: Vec<_> = messages.map(|message| posts::to_routes(self, message)).collect();
        let said = "found again in the windows that were judged, for a state that is new";
        let notes: Vec<_> =
            open.iter().map(|episode| posts::note(episode, "fired", said.into())).collect();
        let mut inner = self.lock();
        if !inner.store.is_new()? {
            return Ok(Vec::new());
        }
        inner.store.record(&book.whole(), &told, &notes, &[], now_ms)?;
        inner.book = book;
        self.metrics.standing(&inner.book);
        drop(inner);
        self.news.notify_all();
        Ok(open)
    }
}

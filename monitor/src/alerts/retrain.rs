//! Requests to train a model again: when drift against its training reference is an open episode,
//! once, unless a guard holds it back, which is said once, too.

use serde_json::Value;

use super::{Alerts, AlertsError, Inner, posts};
use crate::deliver::{Kind, Message, ModelFacts, Withheld, add_offsets, retraining_request};
use crate::policy::{Class, Episode, Group, MAX_NAME_BYTES, clean};
use crate::state::REQUESTED;

/// A request that is to be made, but for its offsets.
pub(super) struct Asked {
    episode: Episode,
    request: Value,
}

impl Alerts {
    /// A request to train again for every model whose drift against its training reference is an
    /// open episode, once; or why not, said once.
    pub(super) fn requests(
        &self,
        inner: &mut Inner,
        facts: &[ModelFacts],
        now_ms: i64,
    ) -> Result<Vec<Asked>, AlertsError> {
        let mut asked = Vec::new();
        for of in facts {
            let group = Group { model: clean(&of.model, MAX_NAME_BYTES), class: Class::Drift };
            let Some(episode) = inner.book.open_of(&group).cloned() else { continue };
            if !posts::is_against_training(&episode, &inner.book) {
                continue;
            }
            let said = inner.store.retraining_of(&episode.id)?;
            if said.as_deref() == Some(REQUESTED) {
                continue;
            }
            match self.request(inner, &episode, of, now_ms)? {
                Ok(request) => asked.push(Asked { episode, request }),
                Err(why) if said.as_deref() != Some(&why.to_string()) => {
                    let note = posts::note(&episode, "retraining withheld", why.to_string());
                    inner.store.record_retraining(&note, &why.to_string(), None, now_ms)?;
                }
                Err(_) => {}
            }
        }
        Ok(asked)
    }

    fn request(
        &self,
        inner: &Inner,
        episode: &Episode,
        of: &ModelFacts,
        now_ms: i64,
    ) -> Result<Result<Value, Withheld>, AlertsError> {
        if inner.store.silenced_episodes()?.contains(&episode.id) {
            return Ok(Err(Withheld::Silenced));
        }
        let quality = Group { class: Class::Quality, ..episode.group.clone() };
        Ok(retraining_request(
            episode,
            of,
            &self.guards,
            inner.store.last_retraining(&episode.group.model)?,
            inner.book.is_troubled(&quality),
            &posts::link(self, episode),
            now_ms,
        ))
    }

    /// Makes these requests. A store may answer late where a window's offsets are: nobody who delivers
    /// or holds the lease waits for it.
    pub(super) fn ask(&self, asked: Vec<Asked>, now_ms: i64) -> Result<(), AlertsError> {
        for Asked { episode, mut request } in asked {
            if let Some(of) = &self.offsets {
                add_offsets(&mut request, &episode, of);
            }
            let mut message = Message::about(&episode, Kind::Retraining, &self.pipeline, now_ms);
            message.request = Some(request);
            let post = posts::to_routes(self, message);
            let what = format!("to {}", posts::names(&post.to));
            let note = posts::note(&episode, "retraining requested", what);
            self.lock().store.record_retraining(&note, REQUESTED, Some(&post), now_ms)?;
            self.news.notify_all();
        }
        Ok(())
    }
}

//! Requests to train a model again: when drift against its training reference is an open episode,
//! once, unless a guard holds it back, which is said once, too.

use super::{Alerts, AlertsError, Inner, posts};
use crate::deliver::{Kind, Message, ModelFacts, Withheld, add_offsets, retraining_request};
use crate::policy::{Class, Group, MAX_NAME_BYTES, Severity, clean};
use crate::state::REQUESTED;

impl Alerts {
    /// A request to train again for every model whose drift against its training reference is an
    /// open episode, once; or why not, said once.
    pub(super) fn retrain(
        &self,
        inner: &mut Inner,
        facts: &[ModelFacts],
        now_ms: i64,
    ) -> Result<(), AlertsError> {
        for of in facts {
            let group = Group { model: clean(&of.model, MAX_NAME_BYTES), class: Class::Drift };
            let Some(episode) = inner.book.open_of(&group).cloned() else { continue };
            // A note is no reason to train.
            if episode.severity < Severity::Warning
                || !posts::is_against_training(&episode, &inner.book)
            {
                continue;
            }
            let said = inner.store.retraining_of(&episode.id)?;
            if said.as_deref() == Some(REQUESTED) {
                continue;
            }
            let quality = Group { class: Class::Quality, ..group.clone() };
            let silenced = inner.store.silenced_episodes()?.contains(&episode.id);
            let request = if silenced {
                Err(Withheld::Silenced)
            } else {
                retraining_request(
                    &episode,
                    of,
                    &self.guards,
                    inner.store.last_retraining(&group.model)?,
                    inner.book.is_troubled(&quality),
                    &posts::link(self, &episode),
                    now_ms,
                )
            };
            match request {
                Ok(mut request) => {
                    if let Some(of) = &self.offsets {
                        add_offsets(&mut request, &episode, of);
                    }
                    let mut message =
                        Message::about(&episode, Kind::Retraining, &self.pipeline, now_ms);
                    message.request = Some(request);
                    let post = posts::to_routes(self, message);
                    let what = format!("to {}", posts::names(&post.to));
                    let note = posts::note(&episode, "retraining requested", what);
                    inner.store.record_retraining(&note, REQUESTED, Some(&post), now_ms)?;
                }
                Err(why) if said.as_deref() != Some(&why.to_string()) => {
                    let note = posts::note(&episode, "retraining withheld", why.to_string());
                    inner.store.record_retraining(&note, &why.to_string(), None, now_ms)?;
                }
                Err(_) => {}
            }
        }
        Ok(())
    }
}

//! Answers out of the alert state: read only, beside the monitor that writes it.

use std::path::Path;

use serde_json::{Value, json};

use super::query::{ALERTS, Problem, Query};
use crate::state::{EpisodeView, StateError, Store};

/// Columns of an alert in the list; its own page has them all.
const LISTED_CONCERNS: usize = 10;

/// How many alerts are open; null before there is a state.
pub(super) fn summary(path: &Path) -> Result<Value, Problem> {
    let Some(store) = open(path)? else { return Ok(Value::Null) };
    let open = store.episodes(false)?;
    let outbox = store.outbox()?;
    Ok(json!({
        "open": open.len(),
        "silenced": open.iter().filter(|view| view.silenced).count(),
        "critical": open.iter().filter(|view| view.episode.severity.name() == "critical").count(),
        "waiting": outbox.waiting,
        "undelivered": outbox.dead,
    }))
}

/// The newest alerts, open ones first.
pub(super) fn list(path: &Path, now_ms: i64, mut query: Query<'_>) -> Result<Value, Problem> {
    let most = query.count("limit", ALERTS)?;
    query.end()?;
    let Some(store) = open(path)? else {
        return Ok(json!({ "alerts": [], "silences": [], "undelivered": 0, "reason":
            "there is no alert state yet: the monitor that delivers has not run" }));
    };
    let alerts: Vec<Value> = store.newest(most)?.iter().map(listed).collect();
    Ok(json!({
        "alerts": alerts,
        "silences": store.silences(now_ms)?.into_iter().take(most).collect::<Vec<_>>(),
        "undelivered": store.outbox()?.dead,
        "reason": null,
    }))
}

fn listed(view: &EpisodeView) -> Value {
    let mut value = json!(view);
    if let Some(Value::Array(concerns)) = value.get_mut("concerns") {
        concerns.truncate(LISTED_CONCERNS);
    }
    value["summary"] = json!(view.episode.summary());
    value
}

/// One alert with all that happened to it.
pub(super) fn one(path: &Path, mut query: Query<'_>) -> Result<Value, Problem> {
    let id = query.required("id")?;
    query.end()?;
    let unknown = || {
        Problem::nothing(
            "no alert has this id",
            id,
            "take it from /api/v1/alerts, or write all of it",
        )
    };
    let store = open(path)?.ok_or_else(unknown)?;
    let whole = match store.find(id) {
        Err(StateError::NotFound(_)) => return Err(unknown()),
        found => found?,
    };
    let view = store.episode(&whole)?;
    let mut alert = json!(view);
    alert["summary"] = json!(view.episode.summary());
    Ok(json!({
        "alert": alert,
        "history": store.history(&whole)?,
        "deliveries": store.deliveries(&whole)?,
    }))
}

/// `None` before the monitor has made it.
fn open(path: &Path) -> Result<Option<Store>, Problem> {
    match Store::look(path) {
        Ok(store) => Ok(Some(store)),
        // The file is there before its tables are.
        Err(StateError::Missing(_) | StateError::Older { found: 0, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl From<StateError> for Problem {
    fn from(error: StateError) -> Self {
        Self::unread(&error)
    }
}

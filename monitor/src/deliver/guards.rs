//! The retraining request: an event of at most ten members and under 64 kB, so that GitHub, Argo
//! and Airflow take it as it is, and the guards that hold it back: training on broken data is harm.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::render::{listed, rfc3339};
use crate::policy::Episode;

/// Bytes of a request.
pub const MAX_RETRAINING_BYTES: usize = 64_000;

/// Bytes of one of its parts that the caller hands in.
const MAX_PART_BYTES: usize = 6_000;

/// When a request may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardSettings {
    /// Between two requests for a model.
    pub cool_down_ms: i64,
    /// Rows that the model scored in the window.
    pub min_rows: u64,
}

/// What a trainer needs and the policy does not know. Values are JSON of the caller's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// The model's name.
    pub model: String,
    /// Rows of the window.
    pub rows: u64,
    /// Versions in service, with the hashes of their files.
    pub versions: Value,
    /// The reference profile: its id and where it lies.
    pub reference: Value,
    /// Realised and estimated performance; null where neither is known.
    pub performance: Value,
    /// Where the data lie, with the SQL that selects them.
    pub data: Value,
}

/// The offsets of a model's window, by its name, start and end in milliseconds since 1970: as
/// `{"topic": {"partition": [first, behind the last]}}`. Asked only when a request is made.
pub type OffsetsOf = Arc<dyn Fn(&str, i64, i64) -> Value + Send + Sync>;

/// Why no request is made now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Withheld {
    #[error("the data are broken: a data-quality alarm of this model is open or pending")]
    Quality,
    #[error("the window has too few rows (at least {0} are asked for)")]
    FewRows(u64),
    #[error("the last request was less than {0} h ago")]
    CoolDown(i64),
    #[error("a silence covers the episode")]
    Silenced,
}

/// The request for `episode`, or why it is withheld.
pub(crate) fn request(
    episode: &Episode,
    facts: &ModelFacts,
    guards: &GuardSettings,
    last_ms: Option<i64>,
    quality_trouble: bool,
    link: &str,
    now_ms: i64,
) -> Result<Value, Withheld> {
    if quality_trouble {
        return Err(Withheld::Quality);
    }
    if facts.rows < guards.min_rows {
        return Err(Withheld::FewRows(guards.min_rows));
    }
    // A clock that went back does not make the cool-down longer.
    let since = last_ms.map(|last_ms| now_ms - last_ms).filter(|since| *since >= 0);
    if since.is_some_and(|since| since < guards.cool_down_ms) {
        return Err(Withheld::CoolDown(guards.cool_down_ms / 3_600_000));
    }
    let (start_ms, end_ms) = (episode.window_start_ms, episode.window_end_ms);
    let mut request = Map::new();
    let mut put = |key: &str, value: Value| request.insert(key.to_owned(), value);
    put("episode", json!(episode.id));
    put("model", json!({ "name": episode.group.model, "versions": bounded(&facts.versions) }));
    put("reason", json!(episode.summary()));
    put("reference", bounded(&facts.reference));
    put(
        "window",
        json!({
            "start": rfc3339(start_ms), "end": rfc3339(end_ms),
            "rows": facts.rows, "offsets": null,
        }),
    );
    put("columns", json!(listed(&episode.concerns)));
    put("performance", bounded(&facts.performance));
    put("data", bounded(&facts.data));
    put(
        "guards",
        json!({
            "min_rows": guards.min_rows, "cool_down_hours": guards.cool_down_ms / 3_600_000,
            "last_request": last_ms.map(rfc3339), "data_quality": "no alarm",
        }),
    );
    put("links", json!({ "alert": link }));
    assert!(request.len() <= 10, "GitHub takes ten members");
    let request = Value::Object(request);
    assert!(request.to_string().len() < MAX_RETRAINING_BYTES, "every part is bounded");
    Ok(request)
}

/// Looks up the offsets of a request that is made.
pub(crate) fn add_offsets(request: &mut Value, episode: &Episode, of: &OffsetsOf) {
    let (start_ms, end_ms) = (episode.window_start_ms, episode.window_end_ms);
    request["window"]["offsets"] = bounded(&of(&episode.group.model, start_ms, end_ms));
    assert!(request.to_string().len() < MAX_RETRAINING_BYTES, "every part is bounded");
}

/// A part as it is, or a note that it was too long.
fn bounded(part: &Value) -> Value {
    let bytes = part.to_string().len();
    if bytes <= MAX_PART_BYTES { part.clone() } else { json!({ "left_out_bytes": bytes }) }
}

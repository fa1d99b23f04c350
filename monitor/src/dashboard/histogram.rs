//! One column of one window beside its profile, as bars, out of the count files.
//!
//! Reads them as they lie, beside whoever counts: nothing is removed and nothing made.

use serde_json::{Value, json};

use super::query::{Problem, Query, instant};
use crate::count::{Group, Settings};
use crate::evaluate::{Watched, counts};
use crate::policy::clean;
use crate::report::bars;
use crate::window::{Windows, sums};

/// Bytes of a bar's label: a category is as long as whoever sent it liked.
const LABEL_BYTES: usize = 160;

/// See the module.
pub(super) fn histogram(
    watched: &mut [Watched],
    windows: Windows,
    mut query: Query<'_>,
) -> Result<Value, Problem> {
    let key = query.group();
    let name = query.required("column")?;
    let at = query.instant("window")?;
    query.end()?;
    let start = at.ok_or_else(|| {
        let limit = "the start of a window, as /api/v1/column has it";
        Problem::parameter("window", "", "is missing", limit)
    })?;
    let window = windows.of(start).end - 1;
    let extent = windows.extent(window);
    if extent.start != start {
        let text = instant(start).to_string();
        let limit = format!("a multiple of {} s since 1970", windows.slide_seconds);
        return Err(Problem::parameter("window", &text, "no window starts then", &limit));
    }
    let own = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let group = Group {
        model: own(&key.model),
        version: own(&key.version),
        arm: own(&key.arm),
        segment: None,
    };
    let nothing = |message: &str, fix: &str| Problem::nothing(message, name, fix);
    let Some(one) = watched.iter_mut().find(|one| one.versions.has(&group)) else {
        let fix = "name a profile in monitor.reference or monitor.references";
        return Err(nothing("this version has no reference", fix));
    };
    let Some(settings) = only(one.counter.settings(), name) else {
        return Err(nothing("this column is not counted", "take its name from /api/v1/heat"));
    };
    let counted = one.counter.covering(extent.clone())?.ok_or_else(|| {
        nothing("the window lies too many count files back", "ask `tidegate sql` for its counts")
    })?;
    let summed = sums(counted.iter(), &settings, windows, &[window], 1)?;
    let now = summed.get(&window).and_then(|groups| groups.get(&group));
    let now = now.and_then(|sums| sums.columns.first()).filter(|sums| sums.rows > 0);
    let column = &settings.columns[0];
    let profile = &settings.profile.columns[column.place];
    let drawn = now.map_or_else(Vec::new, |now| bars(profile, &counts(&column.kind, &now.cells)));
    Ok(json!({
        "model": key.model,
        "version": key.version,
        "arm": key.arm,
        "column": name,
        "kind": profile.shape.name(),
        "profile": settings.profile_id,
        "window_start": instant(extent.start),
        "window_end": instant(extent.end),
        "reference_rows": profile.rows,
        "rows": now.map_or(0, |now| now.rows),
        "bars": drawn.iter().map(|bar| json!({
            "label": clean(&bar.label, LABEL_BYTES),
            "reference": bar.reference,
            "current": bar.current,
        })).collect::<Vec<_>>(),
    }))
}

/// The settings for one column alone: the sums of a window are as large as the columns asked for.
fn only(settings: &Settings, name: &str) -> Option<Settings> {
    let column = settings.columns.iter().find(|column| column.name == name)?.clone();
    let Settings { profile, profile_id, pane_seconds, id, .. } = settings;
    Some(Settings {
        profile: profile.clone(),
        profile_id: profile_id.clone(),
        pane_seconds: *pane_seconds,
        segments: Vec::new(),
        columns: vec![column],
        skipped: Vec::new(),
        id: id.clone(),
    })
}

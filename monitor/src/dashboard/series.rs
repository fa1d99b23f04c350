//! Answers out of the judged windows: what there is, columns by windows, one column over time.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::history::{GroupKey, History, Point, SeriesKey, VALUES, Window};
use super::query::{COLUMNS, Problem, Query, Stretch, instant};
use crate::evaluate::{Reference, Rules, State};

/// Model versions and arms of an answer: names come from a topic.
const MOST_GROUPS: usize = 100;

/// What the heat strip may show: its name and the statistic's.
const MEASURES: [(&str, &str); 3] =
    [("psi", "psi_corrected"), ("ks", "ks_d"), ("null_share", "null_share")];

/// Models with what their newest windows say.
pub(super) fn models(history: &History) -> Vec<Value> {
    let mut newest: BTreeMap<&GroupKey, (i64, usize)> = BTreeMap::new();
    for (start, window) in history.windows().iter().rev() {
        for point in &window.points {
            let key = history.key(point);
            if key.column.is_none() {
                newest.entry(&key.group).or_insert((*start, 0)).1 += 1;
            }
        }
    }
    let mut groups: Vec<_> = newest.into_iter().collect();
    // What is served now first, what was retired last.
    groups.sort_by_key(|(group, (start, _))| (-start, *group));
    groups.truncate(MOST_GROUPS);
    let of = |(group, (start, windows)): (&GroupKey, (i64, usize))| {
        let window = history.windows().get(&start)?;
        Some(model(history, group, start, window, windows))
    };
    groups.into_iter().filter_map(of).collect()
}

fn model(
    history: &History,
    group: &GroupKey,
    start: i64,
    window: &Window,
    windows: usize,
) -> Value {
    let of_group = |point: &&Point| history.key(point).group == *group;
    let (mut whole, mut states) = (None, BTreeMap::new());
    for point in window.points.iter().filter(of_group) {
        let key = history.key(point);
        if key.column.is_none() {
            whole = Some(point);
        } else {
            let of_reference: &mut BTreeMap<&str, u64> =
                states.entry(key.reference.name()).or_default();
            *of_reference.entry(point.state.name()).or_default() += 1;
        }
    }
    let count = |reference: Reference, state: State| {
        states.get(reference.name()).and_then(|of| of.get(state.name())).copied().unwrap_or(0)
    };
    let drifted = |reference| count(reference, State::Drift) + count(reference, State::Missing);
    let volume = whole.map_or(State::NotCompared, |point| point.state);
    let state = if matches!(volume, State::NoData | State::VolumeLow | State::VolumeHigh) {
        volume
    } else if drifted(Reference::Training) + drifted(Reference::Previous) > 0 {
        State::Drift
    } else {
        volume
    };
    json!({
        "model": group.model,
        "version": group.version,
        "arm": group.arm,
        "state": state.name(),
        "reason": whole.and_then(|point| point.reason.as_deref()),
        "window_start": instant(start),
        "window_end": instant(window.end_us),
        "rows": whole.map(|point| point.n),
        "previous_rows": whole.map(|point| point.reference_n),
        "windows": windows,
        "columns": states,
    })
}

/// The newest windows of the stretch that hold the group, the oldest first.
fn chosen<'h>(history: &'h History, group: &GroupKey, of: &Stretch) -> Vec<(i64, &'h Window)> {
    let whole = SeriesKey { group: group.clone(), reference: Reference::Previous, column: None };
    let Some(whole) = history.place(&whole) else { return Vec::new() };
    let mut windows: Vec<(i64, &Window)> = history
        .windows()
        .range(of.from..of.upto)
        .rev()
        .filter(|(_, window)| window.point(whole).is_some())
        .take(of.most)
        .map(|(start, window)| (*start, window))
        .collect();
    windows.reverse();
    windows
}

fn unknown(group: &GroupKey) -> Problem {
    let name = format!("{} {} {}", group.model, group.version, group.arm);
    let fix = "take model, version and arm from /api/v1/overview, and a stretch that has windows";
    Problem::nothing("no judged window of this model, version and arm", &name, fix)
}

/// Columns by windows: a score in each cell, the columns with the worst newest score first.
pub(super) fn heat(
    history: &History,
    rules: Rules,
    mut query: Query<'_>,
) -> Result<Value, Problem> {
    let (group, reference, stretch) = (query.group(), query.reference()?, query.stretch()?);
    let named = query.text("measure").unwrap_or("psi");
    let Some((_, measure)) = MEASURES.into_iter().find(|(name, _)| *name == named) else {
        let names = MEASURES.map(|(name, _)| name).join(", ");
        return Err(Problem::parameter("measure", named, "no such measure", &names));
    };
    let (most, offset) = (query.count("columns", COLUMNS)?, query.offset()?);
    query.end()?;
    let windows = chosen(history, &group, &stretch);
    if windows.is_empty() {
        return Err(unknown(&group));
    }
    let mut columns: BTreeMap<u32, Vec<Option<&Point>>> = BTreeMap::new();
    for (at, (_, window)) in windows.iter().enumerate() {
        for point in &window.points {
            let key = history.key(point);
            if key.group == group && key.reference == reference && key.column.is_some() {
                let line =
                    columns.entry(point.series()).or_insert_with(|| vec![None; windows.len()]);
                line[at] = Some(point);
            }
        }
    }
    let score = |point: Option<&Point>| point.and_then(|point| point.value(measure));
    let newest = |line: &[Option<&Point>]| score(line.last().copied().flatten());
    let mut lines: Vec<(&str, Vec<Option<&Point>>)> = columns
        .into_values()
        .filter_map(|line| {
            let any = line.iter().flatten().next()?;
            Some((history.key(any).column.as_deref()?, line))
        })
        .collect();
    lines.sort_by(|(a, left), (b, right)| {
        let rank = |line: &[Option<&Point>]| newest(line).unwrap_or(f64::NEG_INFINITY);
        rank(right).total_cmp(&rank(left)).then(a.cmp(b))
    });
    let total = lines.len();
    let shown: Vec<Value> = lines
        .into_iter()
        .skip(offset)
        .take(most)
        .map(|(name, line)| {
            let states = line.iter().map(|point| point.map(|point| point.state.name()));
            json!({
                "column": name,
                "values": line.iter().map(|point| rounded(score(*point))).collect::<Vec<_>>(),
                "states": states.collect::<Vec<_>>(),
            })
        })
        .collect();
    let next = offset + shown.len();
    Ok(json!({
        "model": group.model,
        "version": group.version,
        "arm": group.arm,
        "reference": reference.name(),
        "measure": named,
        "threshold": threshold(measure, rules),
        "windows": windows.iter().map(|(start, window)| json!({
            "start": instant(*start), "end": instant(window.end_us),
        })).collect::<Vec<_>>(),
        "columns": shown,
        "total_columns": total,
        "next_offset": (next < total).then_some(next),
    }))
}

/// From where on a cell is an effect; a share of nulls is held against the reference's own.
fn threshold(measure: &str, rules: Rules) -> Option<f64> {
    match measure {
        "psi_corrected" => Some(rules.drift.psi_threshold),
        "ks_d" => Some(rules.drift.ks_threshold),
        _ => None,
    }
}

/// One column over time, beside one reference.
pub(super) fn column(
    history: &History,
    rules: Rules,
    mut query: Query<'_>,
) -> Result<Value, Problem> {
    let (group, reference, stretch) = (query.group(), query.reference()?, query.stretch()?);
    let name = query.required("column")?;
    query.end()?;
    let key = SeriesKey { group, reference, column: Some(name.to_owned()) };
    let Some(series) = history.place(&key) else {
        let fix = "take the column's name from /api/v1/heat";
        return Err(Problem::nothing("no such column in the judged windows", name, fix));
    };
    let windows = chosen(history, &key.group, &stretch);
    if windows.is_empty() {
        return Err(unknown(&key.group));
    }
    let points: Vec<Value> = windows
        .into_iter()
        .filter_map(|(start, window)| Some(one(start, window.end_us, window.point(series)?)))
        .collect();
    Ok(json!({
        "model": key.group.model,
        "version": key.group.version,
        "arm": key.group.arm,
        "column": name,
        "reference": reference.name(),
        "thresholds": thresholds(rules),
        "points": points,
    }))
}

fn one(start: i64, end: i64, point: &Point) -> Value {
    let mut value = json!({
        "window_start": instant(start),
        "window_end": instant(end),
        "state": point.state.name(),
        "reason": point.reason,
        "n": point.n,
        "reference_n": point.reference_n,
    });
    if let Value::Object(members) = &mut value {
        for name in VALUES {
            members.insert(name.to_owned(), json!(rounded(point.value(name))));
        }
    }
    value
}

/// What the numbers are held against.
pub(super) fn thresholds(rules: Rules) -> Value {
    json!({
        "psi": rules.drift.psi_threshold,
        "ks": rules.drift.ks_threshold,
        "q": rules.drift.alpha,
        "null_rise": rules.null_rise,
        "new_share": rules.new_share,
        "out_of_range_share": rules.out_of_range_share,
        "min_rows": rules.min_rows,
    })
}

/// Six significant digits: what is drawn needs no more, and answers are a third as long.
pub(super) fn rounded(value: Option<f64>) -> Option<f64> {
    value.map(|value| format!("{value:.5e}").parse().unwrap_or(value))
}

//! What the join reads, as SQL: the results of a window, and the labels that may be theirs. No plan here
//! sorts or joins, so that DataFusion holds a batch at a time.

use std::ops::Range;

use super::Settings;

/// Columns: partition, offset, time in microseconds, key, model, version, arm, answer, score.
pub(super) fn results(settings: &Settings, extent: &Range<i64>) -> String {
    // As hop 3 counts: the event's own time, else its record's.
    let time = "CAST(COALESCE(event_time, input_timestamp, \"timestamp\") AS BIGINT)";
    let (from, to) = (instant(extent.start), instant(extent.end));
    let column = |name: Option<&str>, kind: &str| match name {
        Some(name) => format!("CAST({} AS {kind})", quoted(name)),
        None => format!("CAST(NULL AS {kind})"),
    };
    let answer = &settings.answer;
    let answered = column(answer.column(), if answer.is_number() { "DOUBLE" } else { "VARCHAR" });
    let score = column(answer.score_column(), "DOUBLE");
    let key = column(Some(&settings.key_column), "VARCHAR");
    // The second condition says nothing new, and lets files and row groups be passed over.
    format!(
        "SELECT \"partition\" AS p, \"offset\" AS o, {time} AS t, {key} AS k, \
         model_name AS model, model_version AS version, arm, {answered} AS answer, \
         {score} AS score FROM results WHERE undecodable_reason IS NULL \
         AND {time} >= {start} AND {time} < {end} \
         AND (event_time IS NULL OR (event_time >= {from} AND event_time < {to}))",
        start = extent.start,
        end = extent.end,
    )
}

/// Columns: key, time in microseconds, partition, offset, label, the same as a number. Of labels known
/// within `extent`, its end included.
pub(super) fn labels(extent: Range<i64>) -> String {
    let (from, to) = (instant(extent.start), instant(extent.end));
    format!(
        "SELECT label_key AS k, CAST(label_time AS BIGINT) AS t, \"partition\" AS p, \
         \"offset\" AS o, label, label_number FROM labels WHERE undecodable_reason IS NULL \
         AND label_key IS NOT NULL AND label_time >= {from} AND label_time <= {to}"
    )
}

fn instant(micros: i64) -> String {
    format!("arrow_cast({micros}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

/// A name as SQL takes it, whatever is in it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

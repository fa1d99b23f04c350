//! The join as SQL: the results of a window, each with its last label that counts.

use std::ops::Range;

use super::{Kind, Settings};
use crate::count::MICROS;

/// Columns of the answer, in order: model, version, arm, answer, score, label, label_number.
pub(super) fn of(settings: &Settings, kind: Kind, extent: &Range<i64>) -> String {
    let results = results(settings, extent);
    match kind {
        Kind::Estimated => format!(
            "SELECT model, version, arm, answer, score, CAST(NULL AS VARCHAR) AS label, \
             CAST(NULL AS DOUBLE) AS label_number FROM ({results})"
        ),
        Kind::Realised => {
            let ttl = i64::from(settings.ttl_seconds) * MICROS;
            let labels = labels(extent.start..extent.end.saturating_add(ttl));
            format!(
                "WITH r AS ({results}), l AS ({labels}), j AS (SELECT r.*, l.label, \
                 l.label_number, row_number() OVER (PARTITION BY r.p, r.o \
                 ORDER BY l.t DESC, l.p DESC, l.o DESC) AS place FROM r LEFT JOIN l \
                 ON r.k = l.k AND l.t >= r.t AND l.t <= r.t + {ttl}) \
                 SELECT model, version, arm, answer, score, label, label_number FROM j \
                 WHERE place = 1"
            )
        }
    }
}

fn results(settings: &Settings, extent: &Range<i64>) -> String {
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

fn labels(extent: Range<i64>) -> String {
    let (from, to) = (instant(extent.start), instant(extent.end));
    format!(
        "SELECT label_key AS k, CAST(label_time AS BIGINT) AS t, \"partition\" AS p, \
         \"offset\" AS o, label, label_number FROM labels WHERE undecodable_reason IS NULL \
         AND label_time >= {from} AND label_time <= {to}"
    )
}

fn instant(micros: i64) -> String {
    format!("arrow_cast({micros}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

/// A name as SQL takes it, whatever is in it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

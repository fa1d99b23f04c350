//! Episodes as rows, for SQL: what `tidegate alerts list --all` shows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::EpisodeView;

/// Columns of the table of alerts; one row an episode.
#[must_use]
pub fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let time = |name: &str| {
        Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)
    };
    Arc::new(Schema::new(vec![
        text("id"),
        text("state"),
        text("model"),
        text("class"),
        text("severity"),
        text("summary"),
        Field::new("subjects", DataType::Int64, true),
        time("window_start"),
        time("window_end"),
        time("fired_at"),
        time("resolved_at"),
        Field::new("silenced", DataType::Boolean, true),
        text("acknowledged_by"),
        text("retraining"),
    ]))
}

/// One row per episode, in order.
#[must_use]
pub fn rows(episodes: &[EpisodeView]) -> RecordBatch {
    let text = |of: &dyn Fn(&EpisodeView) -> Option<String>| -> ArrayRef {
        Arc::new(episodes.iter().map(of).collect::<StringArray>())
    };
    let time = |of: &dyn Fn(&EpisodeView) -> Option<i64>| -> ArrayRef {
        let micros = episodes.iter().map(|view| of(view).map(|millis| millis.saturating_mul(1000)));
        Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let subjects = episodes.iter().map(|view| Some(view.episode.subjects as i64));
    let silenced = episodes.iter().map(|view| Some(view.silenced));
    let columns = vec![
        text(&|view| Some(view.episode.id.clone())),
        text(&|view| Some(view.state.clone())),
        text(&|view| Some(view.episode.group.model.clone())),
        text(&|view| Some(view.episode.group.class.name().to_owned())),
        text(&|view| Some(view.episode.severity.name().to_owned())),
        text(&|view| Some(view.episode.summary())),
        Arc::new(subjects.collect::<Int64Array>()),
        time(&|view| Some(view.episode.window_start_ms)),
        time(&|view| Some(view.episode.window_end_ms)),
        time(&|view| Some(view.fired_at_ms)),
        time(&|view| view.resolved_at_ms),
        Arc::new(silenced.collect::<BooleanArray>()),
        text(&|view| view.acknowledged_by.clone()),
        text(&|view| view.retraining.clone()),
    ];
    RecordBatch::try_new(schema(), columns).expect("columns as the schema has them")
}

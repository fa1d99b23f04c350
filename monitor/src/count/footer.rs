//! What a count file says of itself: made of which file, with which settings, seen up to when.

use schemas::FooterPosition;
use serde::{Deserialize, Serialize};

/// Key of the footer's JSON.
pub const COUNTS_KEY: &str = "tidegate.counts";

/// See the module. Instants are microseconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountFooter {
    /// Id of the [`Settings`](super::Settings).
    pub settings: String,
    /// The profile's id.
    pub profile: String,
    /// Extent and checksum of the archive file that was counted.
    pub source: FooterPosition,
    /// Start of the first pane, where there is one.
    pub first_pane_us: Option<i64>,
    /// Start of the last pane, where there is one.
    pub last_pane_us: Option<i64>,
    /// The newest event time that is believed.
    pub newest_event_us: Option<i64>,
    /// The newest time of a record in Kafka.
    pub newest_record_us: Option<i64>,
    /// Rows whose event time is too old to be believed.
    pub early: u64,
    /// Rows whose event time lies ahead of their scoring.
    pub late: u64,
    /// Rows without any time.
    pub untimed: u64,
}

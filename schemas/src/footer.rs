//! The position a published file holds: how far its partition has been archived.

use serde::{Deserialize, Serialize};

/// Key of the position in a Parquet file's key-value metadata; the value is [`FooterPosition`] as JSON.
pub const FOOTER_POSITION_KEY: &str = "tidegate.position";

/// What a file covers of the log it was read from.
///
/// The end is the position of the partition: there is no other record of it. A file with
/// `rows == 0` only carries the position forward over aborted and control records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FooterPosition {
    /// Format of this structure; readers refuse what they do not know.
    pub format: u32,
    /// Kafka's cluster id.
    pub cluster_id: String,
    /// Topic name.
    pub topic: String,
    /// Kafka's topic id: a topic deleted and made anew under the same name has another one.
    pub topic_id: String,
    /// Partition.
    pub partition: i32,
    /// First position covered.
    pub start: i64,
    /// First position not covered.
    pub end: i64,
    /// Rows in the file: at most `end - start`.
    pub rows: u64,
    /// Order-sensitive checksum of the rows' offsets (see [`offsets_checksum`]).
    pub checksum: u64,
    /// Id of the table schema the rows were written with.
    pub contract_id: String,
}

/// Format this build writes.
pub const FOOTER_FORMAT: u32 = 1;

/// Why a footer is not a position of ours.
#[derive(Debug, thiserror::Error)]
pub enum FooterError {
    /// The metadata key is missing.
    #[error(
        "the file has no `{FOOTER_POSITION_KEY}` in its metadata: it was not written by tidegate"
    )]
    Missing,
    /// It is there and is not what this build understands.
    #[error("`{FOOTER_POSITION_KEY}` cannot be read: {0}")]
    Malformed(String),
}

impl FooterPosition {
    /// The JSON to store; asserts what must hold before it becomes durable.
    ///
    /// # Panics
    /// When start, end and rows contradict each other.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.validate().expect("a position must be consistent before it is written");
        serde_json::to_string(self).expect("a position is plain data")
    }

    /// Reads and checks what [`FooterPosition::to_json`] wrote.
    pub fn from_json(text: Option<&str>) -> Result<Self, FooterError> {
        let text = text.ok_or(FooterError::Missing)?;
        let position: Self = serde_json::from_str(text)
            .map_err(|error| FooterError::Malformed(error.to_string()))?;
        position.validate().map_err(FooterError::Malformed)?;
        Ok(position)
    }

    fn validate(&self) -> Result<(), String> {
        if self.format != FOOTER_FORMAT {
            return Err(format!("format {} (this build reads {FOOTER_FORMAT})", self.format));
        }
        if self.start < 0 || self.end < self.start {
            return Err(format!("positions {}..{} are not a range", self.start, self.end));
        }
        if self.rows > (self.end - self.start) as u64 {
            return Err(format!("{} rows do not fit in {}..{}", self.rows, self.start, self.end));
        }
        Ok(())
    }
}

/// FNV-1a 64 over the little-endian bytes of each row's offset, in file order.
#[must_use]
pub fn offsets_checksum(seed: u64, offsets: impl IntoIterator<Item = i64>) -> u64 {
    offsets.into_iter().fold(seed, |hash, offset| {
        offset
            .to_le_bytes()
            .iter()
            .fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
    })
}

/// Seed of [`offsets_checksum`]: FNV's offset basis.
pub const CHECKSUM_SEED: u64 = 0xcbf2_9ce4_8422_2325;

#[cfg(test)]
mod tests {
    use super::*;

    fn position() -> FooterPosition {
        FooterPosition {
            format: FOOTER_FORMAT,
            cluster_id: "c".into(),
            topic: "t".into(),
            topic_id: "i".into(),
            partition: 0,
            start: 5,
            end: 9,
            rows: 3,
            checksum: offsets_checksum(CHECKSUM_SEED, [5, 6, 8]),
            contract_id: "k".into(),
        }
    }

    #[test]
    fn round_trip_and_refusals() {
        let text = position().to_json();
        assert_eq!(FooterPosition::from_json(Some(&text)).unwrap(), position());
        assert!(matches!(FooterPosition::from_json(None), Err(FooterError::Missing)));
        for (from, to) in [
            ("\"rows\":3", "\"rows\":5"),
            ("\"format\":1", "\"format\":2"),
            ("\"end\":9", "\"end\":4"),
        ] {
            let broken = text.replace(from, to);
            assert_ne!(broken, text);
            assert!(FooterPosition::from_json(Some(&broken)).is_err(), "{broken}");
        }
    }

    #[test]
    fn the_checksum_sees_order() {
        let sum = |offsets: &[i64]| offsets_checksum(CHECKSUM_SEED, offsets.iter().copied());
        assert_ne!(sum(&[1, 2]), sum(&[2, 1]));
    }
}

//! The dead letter of a rejected record: its headers, and what of the original goes with them.
//!
//! Where the contract has sensitive fields the original stays where it lies: its coordinates say
//! where. Key and headers stay as well, since nothing says what they hold.

use crate::{Contract, MAX_REASON_BYTES, MicroBatch, Stage};

/// Header: name of the [`crate::Stage`] that gave the record up.
pub const STAGE: &str = "tidegate.stage";
/// Header: why, for people; at most [`MAX_REASON_BYTES`] bytes of UTF-8 in one line.
pub const REASON: &str = "tidegate.reason";
/// Header: input topic.
pub const TOPIC: &str = "tidegate.topic";
/// Header: input partition, decimal.
pub const PARTITION: &str = "tidegate.partition";
/// Header: input offset, decimal.
pub const OFFSET: &str = "tidegate.offset";
/// Header: the input record's time in milliseconds since the epoch, decimal; absent where it has none.
pub const TIMESTAMP: &str = "tidegate.timestamp";
/// Header: name of the model that was to score the record.
pub const MODEL_NAME: &str = "tidegate.model.name";
/// Header: version of that model.
pub const MODEL_VERSION: &str = "tidegate.model.version";

/// All of the headers above, in the order they are written.
pub const HEADERS: [&str; 8] =
    [STAGE, REASON, TOPIC, PARTITION, OFFSET, TIMESTAMP, MODEL_NAME, MODEL_VERSION];

/// What of the original record goes into its dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Originals {
    /// Value, key and headers, byte for byte.
    Keep,
    /// Nothing but the coordinates and the reason, in the headers.
    CoordinatesOnly,
}

impl Originals {
    /// What holds where the configuration says nothing: coordinates only, where a field is sensitive.
    #[must_use]
    pub fn default_for(contract: &Contract) -> Self {
        if contract.has_sensitive() { Self::CoordinatesOnly } else { Self::Keep }
    }

    /// Value of the dead letter of record `row`; `None` is Kafka's null.
    #[must_use]
    pub fn value(self, source: &MicroBatch, row: usize) -> Option<&[u8]> {
        self.keeps().then(|| source.value(row)).flatten()
    }

    /// Key of the dead letter of record `row`; `None` is Kafka's null.
    #[must_use]
    pub fn key(self, source: &MicroBatch, row: usize) -> Option<&[u8]> {
        self.keeps().then(|| source.key(row)).flatten()
    }

    /// Headers of record `row` that go before ours. One of ours that it had already (a dead letter
    /// fed back) is left out: it would hide the one that holds.
    pub fn headers(
        self,
        source: &MicroBatch,
        row: usize,
    ) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        source.headers(row).filter(move |(name, _)| self.keeps() && !is_ours(name))
    }

    fn keeps(self) -> bool {
        match self {
            Self::Keep => true,
            Self::CoordinatesOnly => false,
        }
    }
}

/// Whether a header's name is one of [`HEADERS`].
#[must_use]
pub fn is_ours(name: &[u8]) -> bool {
    HEADERS.iter().any(|ours| ours.as_bytes() == name)
}

/// Headers that say what was rejected, where and why; those of the model come behind them.
///
/// # Panics
/// When `source` has no such row.
#[must_use]
pub fn headers(
    source: &MicroBatch,
    row: usize,
    stage: Stage,
    reason: &str,
) -> Vec<(&'static str, Vec<u8>)> {
    let record = &source.records()[row];
    let mut headers = Vec::with_capacity(HEADERS.len());
    headers.push((STAGE, stage.name().into()));
    headers.push((REASON, one_line(reason).into_bytes()));
    headers.push((TOPIC, source.topic().as_bytes().to_vec()));
    headers.push((PARTITION, record.partition.to_string().into_bytes()));
    headers.push((OFFSET, record.offset.to_string().into_bytes()));
    if record.timestamp_ms >= 0 {
        headers.push((TIMESTAMP, record.timestamp_ms.to_string().into_bytes()));
    }
    headers
}

/// `reason` without control characters, cut to [`MAX_REASON_BYTES`] at a character.
#[must_use]
pub fn one_line(reason: &str) -> String {
    const CUT: char = '…';
    let mut line = String::with_capacity(reason.len().min(MAX_REASON_BYTES));
    for character in reason.chars() {
        let character = if character.is_control() { ' ' } else { character };
        if line.len() + character.len_utf8() > MAX_REASON_BYTES {
            while line.len() + CUT.len_utf8() > MAX_REASON_BYTES {
                line.pop();
            }
            line.push(CUT);
            break;
        }
        line.push(character);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter_coordinates;

    fn batch() -> MicroBatch {
        let mut batch = MicroBatch::with_capacity("flights".into(), 2, 0);
        batch.push(3, 41, 1_700, Some(b"k"), Some(b"{")).unwrap();
        batch.push_header(b"traceparent", Some(b"00"));
        batch.push_header(b"tidegate.offset", Some(b"7"));
        batch.push(3, 42, -1, None, None).unwrap();
        batch
    }

    /// The dead letter of `row` as it is read back.
    fn letter(originals: Originals, at: usize, reason: &str) -> MicroBatch {
        let source = batch();
        let mut letter = MicroBatch::with_capacity("dead".into(), 1, 0);
        letter.push(0, 0, 0, originals.key(&source, at), originals.value(&source, at)).unwrap();
        originals.headers(&source, at).for_each(|(name, value)| letter.push_header(name, value));
        let model = [(MODEL_NAME, b"delay".to_vec()), (MODEL_VERSION, b"3".to_vec())];
        for (name, value) in headers(&source, at, Stage::Decode, reason).into_iter().chain(model) {
            letter.push_header(name.as_bytes(), Some(&value));
        }
        letter
    }

    #[test]
    fn a_letter_tells_where_its_original_lies() {
        let kept = letter(Originals::Keep, 0, "not JSON");
        assert_eq!((kept.key(0), kept.value(0)), (Some(&b"k"[..]), Some(&b"{"[..])));
        assert_eq!(kept.headers(0).len(), 1 + HEADERS.len());
        let expected: [&[u8]; 8] =
            [b"decode", b"not JSON", b"flights", b"3", b"41", b"1700", b"delay", b"3"];
        for (name, value) in HEADERS.iter().zip(expected) {
            assert_eq!(kept.header(0, name), Some(value), "{name}");
        }
        let bare = letter(Originals::CoordinatesOnly, 0, "not JSON");
        assert_eq!((bare.key(0), bare.value(0), bare.headers(0).len()), (None, None, 8));
        for letter in [&kept, &bare] {
            let found = dead_letter_coordinates(letter, 0).unwrap();
            assert_eq!((&*found.topic, found.partition, found.offset), ("flights", 3, 41));
        }
        assert_eq!(letter(Originals::Keep, 1, "").header(0, TIMESTAMP), None);
        assert!(dead_letter_coordinates(&batch(), 0).is_none());
    }

    #[test]
    fn a_reason_is_one_bounded_line() {
        assert_eq!(one_line("a\nb\tc\u{7f}d\u{85}é"), "a b c d é");
        for length in MAX_REASON_BYTES - 4..MAX_REASON_BYTES + 4 {
            let line = one_line(&format!("{}é€", "x".repeat(length)));
            assert!(line.len() <= MAX_REASON_BYTES);
            assert_eq!(line.ends_with('…'), length + 5 > MAX_REASON_BYTES, "{length}");
        }
    }

    #[test]
    fn sensitive_fields_keep_originals_where_they_are() {
        let contract = |extra: &str| {
            let text = format!("name='c'\n[[fields]]\nname='a'\ntype='string'\n{extra}");
            Originals::default_for(&Contract::from_toml(&text).unwrap())
        };
        assert_eq!(contract(""), Originals::Keep);
        assert_eq!(contract("sensitive='hash'"), Originals::CoordinatesOnly);
    }
}

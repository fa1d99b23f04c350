//! What a dead letter says: the original with its headers, and why and where it was given up.
//!
//! One that is too large for the topic keeps what fits, and says so.

use schemas::dead_letter as names;
use schemas::{MicroBatch, Originals, Stage};

use crate::raw::Value;

/// Header of a shortened dead letter: what the original measured.
const SHORTENED: &str = "tidegate.shortened";
/// Bytes of a record batch and of a record around key, value and headers, at most.
const FRAME_BYTES: usize = 61 + 40;
/// Bytes around a header's name and value, at most: two varints.
const HEADER_FRAME_BYTES: usize = 10;

/// A header's name and value.
pub(super) type Header = (Vec<u8>, Option<Vec<u8>>);

/// A dead letter; its key, if it has one, is the original's.
pub(super) struct DeadLetter {
    pub(super) value: Value,
    pub(super) headers: Vec<Header>,
    pub(super) with_key: bool,
}

/// Bytes that a record takes in a batch of its own, at most.
pub(super) fn record_bytes(key: Option<&[u8]>, value_bytes: usize, headers: &[Header]) -> usize {
    let headers: usize = headers.iter().map(header_bytes).sum();
    FRAME_BYTES + key.map_or(0, <[u8]>::len) + value_bytes + headers
}

fn header_bytes((name, value): &Header) -> usize {
    HEADER_FRAME_BYTES + name.len() + value.as_ref().map_or(0, Vec::len)
}

/// Bytes that the source record's headers take in a record that carries them on, at most.
pub(super) fn carried_bytes(source: &MicroBatch, row: u32) -> usize {
    let bytes = |(name, value): (&[u8], Option<&[u8]>)| {
        HEADER_FRAME_BYTES + name.len() + value.map_or(0, <[u8]>::len)
    };
    source.headers(row as usize).map(bytes).sum()
}

fn copied<'h>(headers: impl Iterator<Item = (&'h [u8], Option<&'h [u8]>)>) -> Vec<Header> {
    headers.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect()
}

/// Writes the dead letter of `row`, at most `limit` bytes long with its key.
pub(super) fn write(
    source: &MicroBatch,
    row: u32,
    stage: Stage,
    reason: &str,
    originals: Originals,
    extra: &[(String, String)],
    limit: usize,
) -> DeadLetter {
    let at = row as usize;
    let mut ours: Vec<Header> = names::headers(source, at, stage, reason)
        .iter()
        .map(|(name, value)| header(name, value))
        .chain(extra.iter().map(|(name, value)| header(name, value.as_bytes())))
        .collect();
    let (key, value) = (originals.key(source, at), originals.value(source, at));
    let whole = value.map_or(0, <[u8]>::len);
    let original = |len| value.map_or(Value::Null, |_| Value::Original { len });
    let mut headers = copied(originals.headers(source, at));
    headers.extend(ours.iter().cloned());
    if record_bytes(key, whole, &headers) <= limit {
        return DeadLetter { value: original(whole), headers, with_key: key.is_some() };
    }
    let said = |kept| {
        let key = key.map_or(0, <[u8]>::len);
        let headers = source.headers(row as usize).len();
        header(
            SHORTENED,
            format!("key {key} bytes, value {whole} bytes, {headers} headers: {kept}").as_bytes(),
        )
    };
    ours.push(said("kept what fits"));
    let fits = record_bytes(key, 0, &ours) <= limit;
    if !fits {
        ours.pop();
        ours.push(said("kept what fits, and not the key"));
    }
    let room = limit.saturating_sub(record_bytes(key.filter(|_| fits), 0, &ours));
    DeadLetter { value: original(whole.min(room)), headers: ours, with_key: fits && key.is_some() }
}

fn header(name: &str, value: &[u8]) -> Header {
    (name.as_bytes().to_vec(), Some(value.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(value: usize) -> MicroBatch {
        let mut batch = MicroBatch::with_capacity("events".into(), 1, value);
        batch.push(3, 41, 7, Some(b"key"), Some(&vec![b'x'; value])).unwrap();
        batch.push_header(b"trace", Some(b"abc"));
        batch
    }

    fn value_of(letter: &DeadLetter, name: &str) -> Option<String> {
        let found = letter.headers.iter().find(|(have, _)| have == name.as_bytes())?;
        Some(String::from_utf8(found.1.clone()?).unwrap())
    }

    fn letter(value: usize, originals: Originals, limit: usize) -> DeadLetter {
        let extra = [("tidegate.model.name".to_owned(), "m".to_owned())];
        write(&source(value), 0, Stage::Decode, "no brace", originals, &extra, limit)
    }

    #[test]
    fn it_carries_the_original_and_says_where_and_why() {
        let letter = letter(100, Originals::Keep, 1 << 20);
        assert!(matches!(letter.value, Value::Original { len: 100 }));
        for (name, value) in [
            ("trace", "abc"),
            (names::STAGE, "decode"),
            (names::REASON, "no brace"),
            (names::TOPIC, "events"),
            (names::PARTITION, "3"),
            (names::OFFSET, "41"),
            (names::TIMESTAMP, "7"),
            ("tidegate.model.name", "m"),
        ] {
            assert_eq!(value_of(&letter, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(value_of(&letter, SHORTENED), None);
    }

    #[test]
    fn one_that_is_too_large_keeps_what_fits_and_says_so() {
        let letter = letter(5000, Originals::Keep, 3000);
        let Value::Original { len } = letter.value else { panic!("keeps part of the value") };
        assert!(len > 2000 && record_bytes(Some(b"key"), len, &letter.headers) <= 3000);
        assert!(value_of(&letter, SHORTENED).unwrap().contains("5000 bytes"));
    }

    #[test]
    fn a_key_that_does_not_fit_is_dropped_and_said_so() {
        let mut batch = MicroBatch::with_capacity("events".into(), 1, 0);
        batch.push(3, 41, 7, Some(&[b'k'; 5000]), Some(b"value")).unwrap();
        let letter = write(&batch, 0, Stage::Decode, "no", Originals::Keep, &[], 3000);
        assert!(!letter.with_key && record_bytes(None, 5, &letter.headers) <= 3000);
        assert!(matches!(letter.value, Value::Original { len: 5 }));
        let said = value_of(&letter, SHORTENED).unwrap();
        assert!(said.contains("key 5000 bytes") && said.contains("not the key"), "{said}");
    }

    #[test]
    fn omitted_originals_leave_only_coordinates() {
        let letter = letter(10, Originals::CoordinatesOnly, 1 << 20);
        assert!(matches!(letter.value, Value::Null) && !letter.with_key);
        assert_eq!(value_of(&letter, "trace"), None);
        assert_eq!(value_of(&letter, names::OFFSET).as_deref(), Some("41"));
    }
}

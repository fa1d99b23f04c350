//! Which input record an output record or a dead letter stands for.
//!
//! An output record as the encoder writes it ends with its `source` object, so the coordinates are
//! read from its end backwards. In valid JSON text that ends so, that object can only be the member
//! of the record itself: each character before it is fixed, so none of its quotes can lie in a
//! string. Anything else goes through a JSON parser.

use std::borrow::Cow;

use serde::Deserialize;

use crate::{MicroBatch, dead_letter};

/// Topic, partition and offset of an input record.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SourceCoordinates<'a> {
    /// Input topic.
    #[serde(borrow)]
    pub topic: Cow<'a, str>,
    /// Input partition.
    pub partition: i32,
    /// Input offset.
    pub offset: i64,
}

/// The coordinates in an output record's value; `None` where it is not an output record.
#[must_use]
pub fn source_coordinates(value: &[u8]) -> Option<SourceCoordinates<'_>> {
    from_the_end(value).or_else(|| parsed(value))
}

/// The coordinates in a dead letter's headers; `None` where record `row` is not a dead letter.
#[must_use]
pub fn dead_letter_coordinates(batch: &MicroBatch, row: usize) -> Option<SourceCoordinates<'_>> {
    let text = |name| batch.header(row, name).and_then(|value| str::from_utf8(value).ok());
    Some(SourceCoordinates {
        topic: Cow::Borrowed(text(dead_letter::TOPIC)?),
        partition: text(dead_letter::PARTITION)?.parse().ok()?,
        offset: text(dead_letter::OFFSET)?.parse().ok()?,
    })
}

/// `...,"source":{"topic":"T","partition":P,"offset":O,"timestamp":M}}`, where `T` holds only what
/// Kafka allows in the name of a topic.
fn from_the_end(value: &[u8]) -> Option<SourceCoordinates<'_>> {
    let rest = value.strip_suffix(b"}}")?;
    let rest = match rest.strip_suffix(b"null") {
        Some(rest) => rest,
        None => digits(rest)?.0,
    };
    let (rest, offset) = digits(rest.strip_suffix(b",\"timestamp\":")?)?;
    let (rest, partition) = digits(rest.strip_suffix(b",\"offset\":")?)?;
    let rest = rest.strip_suffix(b"\",\"partition\":")?;
    let start = rest.iter().rposition(|byte| !is_topic_byte(*byte))? + 1;
    let (rest, topic) = rest.split_at(start);
    rest.strip_suffix(b"\"source\":{\"topic\":\"")?
        .last()
        .filter(|byte| matches!(byte, b',' | b'{'))?;
    Some(SourceCoordinates {
        topic: Cow::Borrowed(str::from_utf8(topic).ok()?),
        partition: i32::try_from(partition).ok()?,
        offset,
    })
}

fn is_topic_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// The digits at the end of `text`, and what lies before them.
fn digits(text: &[u8]) -> Option<(&[u8], i64)> {
    let (mut start, mut value, mut unit) = (text.len(), 0_i64, 1_i64);
    // 18 digits cannot overflow; longer numbers are the parser's.
    while start > 0 && text[start - 1].is_ascii_digit() && text.len() - start < 18 {
        start -= 1;
        value += unit * i64::from(text[start] - b'0');
        unit *= 10;
    }
    (start < text.len()).then(|| (&text[..start], value))
}

fn parsed(value: &[u8]) -> Option<SourceCoordinates<'_>> {
    #[derive(Deserialize)]
    struct Output<'a> {
        #[serde(borrow)]
        source: SourceCoordinates<'a>,
    }
    serde_json::from_slice::<Output<'_>>(value).ok().map(|output| output.source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<(String, i32, i64)> {
        source_coordinates(text.as_bytes())
            .map(|found| (found.topic.into_owned(), found.partition, found.offset))
    }

    #[test]
    fn table() {
        let own = r#"{"a":1,"source":{"topic":"f.l-1_x","partition":12,"offset":345,"timestamp":1700000000000}}"#;
        for (text, fast) in [
            (own.to_owned(), true),
            (own.replace("1700000000000", "null"), true),
            (own.replace("\"a\":1,", ""), true),
            (format!("{own} "), false),
            (own.replace(":12", ": 12"), false),
            (own.replace("\"source\"", "\"sourc\\u0065\""), false),
            (own.replace("1700000000000}", "-1,\"more\":[{}]}"), false),
            (own.replacen("{\"a\":1,", "{\"a\":{\"source\":{\"offset\":9}},", 1), true),
            (own.replace("}}", "},\"b\":2}"), false),
        ] {
            assert_eq!(found(&text), Some(("f.l-1_x".into(), 12, 345)), "{text}");
            assert_eq!(from_the_end(text.as_bytes()).is_some(), fast, "{text}");
        }
    }

    /// A member of the event that holds such text, as a string or an object, does not stand for it.
    #[test]
    fn look_alikes() {
        let fake = r#""source":{"topic":"t","partition":0,"offset":1,"timestamp":2}"#;
        let quoted = serde_json::to_string(&format!("{{{fake}}}")).unwrap();
        for text in [
            format!("{{\"a\":{quoted}}}"),
            format!("{{\"a\":{{{fake}}},\"b\":1}}"),
            format!("{{\"a\":{{{fake}}}}}"),
            format!("{{{fake},{fake}}} {{}}"),
            r#"{"source":{"topic":"t","partition":0,"offset":1.5,"timestamp":2}}"#.to_owned(),
            r#"{"source":{"topic":"t","partition":4294967296,"offset":1,"timestamp":2}}"#
                .to_owned(),
            r#"{"source":{"topic":"t","partition":0,"timestamp":2}}"#.to_owned(),
            String::new(),
            "}}".to_owned(),
        ] {
            assert_eq!(found(&text), None, "{text}");
        }
        let both = format!(
            "{{\"a\":{quoted},\"source\":{{\"topic\":\"real\",\"partition\":7,\"offset\":8,\"timestamp\":9}}}}"
        );
        assert_eq!(found(&both), Some(("real".into(), 7, 8)));
        let both = format!(
            "{{\"source\":{{\"topic\":\"real\",\"partition\":7,\"offset\":8,\"timestamp\":9}},\"a\":{{{fake}}}}}"
        );
        assert_eq!(found(&both), Some(("real".into(), 7, 8)));
    }

    #[test]
    fn long_numbers_are_the_parsers() {
        let text =
            r#"{"source":{"topic":"t","partition":0,"offset":9223372036854775807,"timestamp":2}}"#;
        assert_eq!(found(text), Some(("t".into(), 0, i64::MAX)));
    }
}

//! Tables: what each value becomes, and what each bad record is told.

mod agree;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    Float16Type, Float32Type, Float64Type, Int32Type, TimestampMicrosecondType, UInt64Type,
};

use super::{Column, Decoded, Decoder, MAX_EVENT_BYTES, MAX_REASON_BYTES};
use crate::{Contract, FieldType, MicroBatch, Stage};

fn batch<'a>(values: impl IntoIterator<Item = Option<&'a [u8]>>) -> MicroBatch {
    let mut batch = MicroBatch::with_capacity("t".into(), 0, 0);
    for (offset, value) in values.into_iter().enumerate() {
        batch.push(0, offset as i64, 0, None, value).unwrap();
    }
    batch
}

/// A decoder of one member `x`.
fn one(kind: &str, extra: &str) -> Decoder {
    let text = format!("name = 'c'\n[[fields]]\nname = 'x'\ntype = '{kind}'\n{extra}");
    Decoder::new(&Contract::from_toml(&text).unwrap())
}

/// The value `json` as member `x`, by the general decoder and then by the shape it taught.
fn value(kind: &str, extra: &str, json: &str) -> Result<Decoded, String> {
    let event = format!("{{\"x\":{json}}}");
    let other = format!("{{\"x\":{json} }}");
    let mut decoder = one(kind, extra);
    let decoded = decoder.decode(&batch([
        Some(event.as_bytes()),
        Some(event.as_bytes()),
        Some(other.as_bytes()),
    ]));
    match &decoded.rejects[..] {
        [] => Ok(decoded),
        [first, second, third] => {
            assert_eq!((&first.reason, first.stage), (&second.reason, Stage::Decode));
            assert_eq!((&first.reason, first.stage), (&third.reason, Stage::Decode));
            Err(first.reason.clone())
        }
        some => panic!("{json} is not always rejected: {some:?}"),
    }
}

#[test]
fn numbers_round_like_rust_and_are_never_clamped() {
    for json in ["0", "-0", "1", "-7", "2147483647", "-2147483648"] {
        let events = value("int32", "", json).unwrap().events;
        let column = events.column(0).as_primitive::<Int32Type>().values().to_vec();
        assert_eq!(column, vec![json.parse::<i32>().unwrap(); 3], "{json}");
    }
    let events = value("uint64", "", "18446744073709551615").unwrap().events;
    assert_eq!(events.column(0).as_primitive::<UInt64Type>().value(2), u64::MAX);
    for json in [
        "0.1",
        "-0",
        "-0.0",
        "1e-5",
        "1E+5",
        "40.639751",
        "16777217",
        "0.30000001192092896",
        "7.038531e-26",
        "9007199254740993",
        "0.9007199254740993",
        "123456789012345678901234567890",
        "4.35",
        "4.923716783523560",
        "4.558959245681763",
        "1.00000017881393432617187499",
        "1.00000017881393421514957253748434595763683319091796875001",
    ] {
        let events = value("float64", "", json).unwrap().events;
        let expected = vec![json.parse::<f64>().unwrap().to_bits(); 3];
        let have = events.column(0).as_primitive::<Float64Type>().values();
        assert_eq!(have.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), expected, "{json}");
        let events = value("float32", "", json).unwrap().events;
        let expected = vec![json.parse::<f32>().unwrap().to_bits(); 3];
        let have = events.column(0).as_primitive::<Float32Type>().values();
        assert_eq!(have.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), expected, "{json}");
    }
    let events = value("float16", "", "65504").unwrap().events;
    assert_eq!(events.column(0).as_primitive::<Float16Type>().value(2), half::f16::MAX);
}

#[test]
fn other_kinds() {
    let events = value("string", "", r#""a\n\u00e9\ud83d\ude00\/é""#).unwrap().events;
    assert_eq!(events.column(0).as_string::<i32>().value(1), "a\né😀/é");
    let events = value("bytes", "", r#""AAH/""#).unwrap().events;
    assert_eq!(events.column(0).as_binary::<i32>().value(1), [0, 1, 255]);
    let events = value("list<uint64>", "", "[ 1,2 , 3 ]").unwrap().events;
    assert_eq!(
        events.column(0).as_list::<i32>().value(1).as_primitive::<UInt64Type>().values(),
        &[1, 2, 3]
    );
    assert_eq!(
        value("list<float32>", "", "[]").unwrap().events.column(0).as_list::<i32>().value(2).len(),
        0
    );
    let events = value("float32[2]", "nullable = true", "[1,2.5]").unwrap().events;
    assert_eq!(
        events.column(0).as_fixed_size_list().value(2).as_primitive::<Float32Type>().values(),
        &[1.0, 2.5]
    );
    let events = value("float32[2]", "nullable = true", "null").unwrap().events;
    assert_eq!(events.column(0).null_count(), 3);
    let events = value("bool", "", "true").unwrap().events;
    assert!(events.column(0).as_boolean().value(2));
}

#[test]
fn instants() {
    let all = "formats = ['rfc3339', 'epoch_seconds']";
    for (extra, json, expected) in [
        ("", r#""1970-01-01T00:00:00Z""#, 0),
        ("", r#""2013-01-01T05:15:00.25-05:00""#, 1_357_035_300_250_000),
        ("", r#""2024-02-29t23:59:60z""#, 1_709_251_200_000_000),
        ("", r#""1969-12-31 23:59:59.9999999+00:00""#, -1),
        ("", r#""0000-01-01T00:00:00Z""#, -62_167_219_200_000_000),
        (all, "1357035300", 1_357_035_300_000_000),
        (all, "1357035300.25", 1_357_035_300_250_000),
        (all, r#""2013-01-01T05:15:00.25-05:00""#, 1_357_035_300_250_000),
        ("formats = ['epoch_millis']", "-5", -5_000),
        ("formats = ['epoch_micros']", "1357035300250000", 1_357_035_300_250_000),
    ] {
        let events = value("timestamp", extra, json)
            .unwrap_or_else(|reason| panic!("{json}: {reason}"))
            .events;
        let column = events.column(0).as_primitive::<TimestampMicrosecondType>();
        assert_eq!(column.values().to_vec(), [expected; 3], "{json}");
    }
}

#[test]
fn a_wrong_value_is_told_its_kind_and_the_limit() {
    for (kind, extra, json, expected) in [
        ("int32", "", "1.0", "takes integers only"),
        ("int32", "", "1e2", "takes integers only"),
        ("int8", "", "128", "outside int8 (-128 to 127)"),
        ("uint8", "", "-1", "outside uint8 (0 to 255)"),
        ("int64", "", "9223372036854775808", "outside int64"),
        ("uint64", "", "123456789012345678901234567890", "outside uint64"),
        ("int32", "", "\"5\"", "a string was found: int32 was expected"),
        ("int32", "", "true", "a boolean was found"),
        ("int32", "", "null", "null was found: int32"),
        ("int32", "", "012", "leading zero"),
        ("int32", "", "-", "not a JSON number"),
        ("int32", "", "+1", "not a JSON value"),
        ("float64", "", "NaN", "NaN and Infinity are not JSON"),
        ("float64", "", "-Infinity", "not a JSON number"),
        ("float64", "", "nan", "not a JSON value"),
        ("float64", "", "\"NaN\"", "a string was found: float64"),
        ("float64", "", "1e309", "outside float64"),
        ("float32", "", "3.5e38", "outside float32"),
        ("float16", "", "65520", "outside float16"),
        ("float64", "", "1.", "not a JSON number"),
        ("float64", "", ".5", "not a JSON value"),
        ("float64", "", "1e", "not a JSON number"),
        ("bool", "", "1", "a number was found: bool"),
        ("bool", "", "truth", "not a JSON value"),
        ("bytes", "", "\"AA\"", "not base64"),
        ("string", "", "5", "a number was found: string"),
        ("string", "", "\"\\ud800\"", "half a surrogate pair"),
        ("string", "", "\"\\x\"", "an unknown escape"),
        ("string", "", "\"a\u{1}\"", "a control character"),
        ("list<int8>", "", "[1,\"2\"]", "a string was found in a list"),
        ("list<int8>", "", "[1,null]", "null was found in a list"),
        ("list<int8>", "", "[1,400]", "outside list<int8> (-128 to 127)"),
        ("list<int8>", "", "[1,]", "a number was expected"),
        ("float32[2]", "", "[1]", "a list of 1 items was found: float32[2]"),
        ("timestamp", "", "1357035300", "a number was found: an RFC 3339 string"),
        ("timestamp", "", "\"2013-02-29T00:00:00Z\"", "not an RFC 3339 instant"),
        ("timestamp", "", "\"2013-01-01T05:15:00\"", "not an RFC 3339 instant"),
        ("timestamp", "formats = ['epoch_millis']", "1.5", "takes integers only"),
        ("timestamp", "formats = ['epoch_seconds']", "9300000000000000", "outside timestamp"),
    ] {
        let reason = value(kind, extra, json).expect_err(json);
        assert!(reason.contains(expected), "{kind} {json}: {reason}");
        assert!(!reason.starts_with("member") || reason.starts_with("member \"x\": "), "{reason}");
    }
}

/// Every bad record of the list between two good ones, which come through.
#[test]
fn bad_records_leave_their_neighbours_alone() {
    let big = format!("{{\"x\":1,\"pad\":\"{}\"}}", "p".repeat(10 << 20));
    let deep = format!("{{\"x\":1,\"deep\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_open = format!("{{\"x\":1,\"deep\":{}", "{\"a\":".repeat(100_000));
    let twice = format!(
        "{{{}\"x\":1,\"k7\":0}}",
        (0..40).map(|k| format!("\"k{k}\":0,")).collect::<String>()
    );
    let cases: [(Option<&[u8]>, &str); 24] = [
        (None, "a tombstone"),
        (Some(b""), "the value is empty"),
        (Some(b"   "), "an object was expected"),
        (Some(b"[1]"), "an array was found"),
        (Some(b"7"), "a number was found"),
        (Some(b"null"), "null was found"),
        (Some(b"not json"), "not JSON at byte 0"),
        (Some(b"{\"x\":1"), "a comma or the end of an object"),
        (Some(b"{\"x\":"), "the record ends where a value"),
        (Some(b"{\"x"), "the record ends inside a string"),
        (Some(b"{\"x\":1,}"), "a string was expected"),
        (Some(b"{\"x\":1}}"), "something follows"),
        (Some(b"{\"x\":1} {\"x\":1}"), "something follows"),
        (Some(b"{\"x\":\"1\"}"), "member \"x\": a string was found"),
        (Some(b"{}"), "member \"x\": it is missing"),
        (Some(b"{\"X\":1}"), "member \"x\": it is missing"),
        (Some(b"{\"x\":1,\"x\":1}"), "member \"x\": a member appears twice"),
        (Some(b"{\"x\":1,\"\\u0078\":1}"), "member \"x\": a member appears twice"),
        (Some(b"{\"a\":0,\"x\":1,\"\\u0061\":2}"), "a member appears twice"),
        (Some(twice.as_bytes()), "a member appears twice"),
        (Some(b"{\"x\":1,\"y\":\"\xff\"}"), "not UTF-8"),
        (Some(big.as_bytes()), "bytes: at most 8388608"),
        (Some(deep.as_bytes()), "nested deeper than 64"),
        (Some(deep_open.as_bytes()), "nested deeper than 64"),
    ];
    let good = Some(&b"{\"x\":5}"[..]);
    for (bad, expected) in cases {
        let decoded = one("int32", "").decode(&batch([good, good, bad, good]));
        assert_eq!(decoded.rows, [0, 1, 3], "{expected}");
        assert_eq!(decoded.object_ends, [6; 3]);
        assert_eq!(decoded.events.column(0).as_primitive::<Int32Type>().values(), &[5; 3]);
        let [reject] = &decoded.rejects[..] else { panic!("{expected}: {:?}", decoded.rejects) };
        assert_eq!((reject.row, reject.stage), (2, Stage::Decode));
        assert!(reject.reason.contains(expected), "{expected}: {}", reject.reason);
        assert!(reject.reason.len() <= MAX_REASON_BYTES);
    }
    assert!(big.len() > MAX_EVENT_BYTES);
}

/// Two halves of one character in two records are each not UTF-8, though the batch as a whole is.
#[test]
fn a_character_split_over_records_is_not_utf8() {
    let (head, tail) = (&b"{\"x\":1,\"y\":\"\xc3"[..], &b"\xa9\"}"[..]);
    let decoded = one("int32", "").decode(&batch([
        Some(&b"{\"x\":1}"[..]),
        Some(head),
        Some(tail),
        Some(b"{\"x\":2}"),
    ]));
    assert_eq!(decoded.rows, [0, 3]);
    assert!(decoded.rejects.iter().all(|reject| reject.reason.contains("not UTF-8")));
}

/// A record cut in a value must not borrow the rest from its neighbour.
#[test]
fn a_shape_does_not_read_on_into_the_next_record() {
    let event = &b"{\"x\":1,\"y\":\"a\"}"[..];
    let good = Some(event);
    for cut in 1..event.len() {
        let (head, tail) = event.split_at(cut);
        let decoded = one("int32", "").decode(&batch([good, Some(head), Some(tail), good]));
        assert_eq!(decoded.rows, [0, 3], "cut at {cut}");
    }
}

#[test]
fn nested_columns() {
    let column = |path: &[&str], kind: &str, nullable| Column {
        path: path.iter().map(|name| (*name).into()).collect(),
        kind: FieldType::parse(kind).unwrap(),
        nullable,
        name: path.join("_"),
    };
    let columns = vec![
        column(&["a"], "int32", false),
        column(&["source", "offset"], "int32", false),
        column(&["prediction", "p"], "float64", true),
        column(&["source", "partition"], "int32", true),
    ];
    type Expected = Result<[Option<i32>; 2], &'static str>;
    let events: [(&str, Expected); 11] = [
        (
            r#"{"a":1,"source":{"offset":3,"z":[{}],"partition":4},"prediction":{"p":0.5}}"#,
            Ok([Some(3), Some(4)]),
        ),
        (
            r#"{"a":1,"source":{"offset":5,"z":[{}],"partition":6},"prediction":{"p":0.5}}"#,
            Ok([Some(5), Some(6)]),
        ),
        (r#"{"a":1,"prediction":null,"source":{"offset":7}}"#, Ok([Some(7), None])),
        (r#"{"a":1,"prediction":null,"source":{"offset":8}}"#, Ok([Some(8), None])),
        (r#"{"a":1,"prediction":{"p":1},"source":{"offset":9}}"#, Ok([Some(9), None])),
        (r#"{"a":1}"#, Err("member \"source.offset\": it is missing")),
        (r#"{"a":1,"source":null}"#, Err("member \"source.offset\": it is missing")),
        (r#"{"a":1,"source":[3]}"#, Err("member \"source\": an array was found: an object")),
        (
            r#"{"a":1,"source":{"offset":3},"source":{}}"#,
            Err("member \"source\": a member appears twice"),
        ),
        (
            r#"{"a":1,"source":{"offset":3,"offset":3}}"#,
            Err("member \"source.offset\": a member appears twice"),
        ),
        (r#"{"a":1,"source":{"offset":3,"q":3,"q":4}}"#, Err("a member appears twice")),
    ];
    let mut decoder = Decoder::with_columns(columns);
    let decoded = decoder.decode(&batch(events.iter().map(|(event, _)| Some(event.as_bytes()))));
    let accepted: Vec<_> = events.iter().filter_map(|(_, expected)| expected.ok()).collect();
    let column = |name: &str| {
        decoded.events.column_by_name(name).unwrap().as_primitive::<Int32Type>().iter()
    };
    let have: Vec<_> =
        column("source_offset").zip(column("source_partition")).map(|(o, p)| [o, p]).collect();
    assert_eq!(have, accepted);
    let refused = events.iter().filter_map(|(_, expected)| expected.err());
    for (reject, expected) in decoded.rejects.iter().zip(refused) {
        assert!(reject.reason.contains(expected), "{expected}: {}", reject.reason);
    }
}

#[test]
fn an_event_with_a_reserved_member_is_given_up_at_encode() {
    let events =
        [r#"{"x":1}"#, r#"{"x":1,"arm":2}"#, r#"{"x":1,"arm":2}"#, r#"{"x":1,"in":{"arm":2}}"#];
    let decoded = one("int32", "").decode(&batch(events.map(|event| Some(event.as_bytes()))));
    assert_eq!(decoded.rows, [0, 3]);
    assert!(
        decoded
            .rejects
            .iter()
            .all(|reject| reject.stage == Stage::Encode && reject.reason.contains("\"arm\""))
    );
}

#[test]
fn an_empty_batch_and_a_contract_of_optional_members() {
    let mut decoder = one("string", "nullable = true");
    assert_eq!(decoder.decode(&batch([])).events.num_rows(), 0);
    let decoded =
        decoder.decode(&batch([Some(&b"{ }"[..]), Some(b"{ }"), Some(b"{\"x\":\"a\"}\n")]));
    assert_eq!(decoded.object_ends, [2, 2, 8]);
    assert_eq!(
        decoded.events.column(0).as_string::<i32>().iter().collect::<Vec<_>>(),
        [None, None, Some("a")]
    );
}

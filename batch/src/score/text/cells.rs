//! A CSV cell as the JSON value that its field would have.
//!
//! Only what is a JSON number or a list of them is written bare; everything else is a string, which
//! the decoder refuses where none is wanted. So no cell can change the object around it.

use schemas::FieldType;

/// `"name":`.
pub(super) fn member(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    string(&mut out, name);
    out.push(b':');
    out
}

/// Appends the cell. An empty one is null, but for a string that may not be null: it is the empty text.
pub(super) fn write(out: &mut Vec<u8>, cell: Option<&str>, kind: FieldType, nullable: bool) {
    let Some(text) = cell else {
        let empty = kind == FieldType::String && !nullable;
        return out.extend_from_slice(if empty { b"\"\"" } else { b"null" });
    };
    let trimmed = text.trim();
    match kind {
        FieldType::Number(_) if is_number(trimmed) => out.extend_from_slice(trimmed.as_bytes()),
        FieldType::Bool if trimmed.eq_ignore_ascii_case("true") => out.extend_from_slice(b"true"),
        FieldType::Bool if trimmed.eq_ignore_ascii_case("false") => out.extend_from_slice(b"false"),
        FieldType::List(_) | FieldType::FixedList(..) if is_list(trimmed) => {
            out.extend_from_slice(trimmed.as_bytes());
        }
        FieldType::Timestamp(forms) => {
            if forms.epoch.is_some() && is_number(trimmed) {
                out.extend_from_slice(trimmed.as_bytes());
            } else if has_zone(trimmed) {
                string(out, trimmed);
            } else {
                // As elsewhere with data at rest, a time without a zone is UTC's.
                string(out, &format!("{trimmed}Z"));
            }
        }
        FieldType::Number(_)
        | FieldType::Bool
        | FieldType::List(_)
        | FieldType::FixedList(..)
        | FieldType::String
        | FieldType::Bytes => string(out, text),
    }
}

/// JSON's own grammar of a number.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let text = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text.starts_with('0')) {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}

fn is_list(text: &str) -> bool {
    let Some(items) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return false;
    };
    items.trim().is_empty() || items.split(',').all(|item| is_number(item.trim()))
}

/// Whether an instant says where: `Z`, or an offset behind the time of day.
fn has_zone(text: &str) -> bool {
    let time = text.get(19..).unwrap_or("Z");
    time.ends_with(['Z', 'z']) || time.contains(['+', '-'])
}

fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a vector takes everything");
}

#[cfg(test)]
mod tests {
    use schemas::{EpochUnit, NumberType, TimestampForms};

    use super::*;

    fn cell(text: Option<&str>, kind: FieldType, nullable: bool) -> String {
        let mut out = Vec::new();
        write(&mut out, text, kind, nullable);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn table() {
        let int = FieldType::Number(NumberType::Int16);
        let epoch = TimestampForms { rfc3339: true, epoch: Some(EpochUnit::Millis) };
        for (text, kind, expected) in [
            (Some(" 12 "), int, "12"),
            (Some("-0.5e+3"), int, "-0.5e+3"),
            (Some("007"), int, "\"007\""),
            (Some("+1"), int, "\"+1\""),
            (Some("1,\"y\":2"), int, "\"1,\\\"y\\\":2\""),
            (Some("nan"), int, "\"nan\""),
            (Some("1."), int, "\"1.\""),
            (None, int, "null"),
            (None, FieldType::String, "null"),
            (Some(" a\"\n"), FieldType::String, "\" a\\\"\\n\""),
            (Some("TRUE"), FieldType::Bool, "true"),
            (Some("1"), FieldType::Bool, "\"1\""),
            (Some("[1, -2.5]"), FieldType::List(NumberType::Float32), "[1, -2.5]"),
            (Some("[]"), FieldType::List(NumberType::Float32), "[]"),
            (Some("[1],[2]"), FieldType::List(NumberType::Float32), "\"[1],[2]\""),
            (Some("17"), FieldType::Timestamp(epoch), "17"),
            (
                Some("2026-01-31 12:00:00"),
                FieldType::Timestamp(TimestampForms::RFC3339),
                "\"2026-01-31 12:00:00Z\"",
            ),
            (
                Some("2026-01-31T12:00:00.5+01:00"),
                FieldType::Timestamp(TimestampForms::RFC3339),
                "\"2026-01-31T12:00:00.5+01:00\"",
            ),
        ] {
            assert_eq!(cell(text, kind, true), expected, "{text:?}");
        }
        assert_eq!(cell(None, FieldType::String, false), "\"\"");
    }
}

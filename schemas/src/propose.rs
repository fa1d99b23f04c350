//! A first contract from sample events or from an Arrow schema, for a person to correct.
//!
//! It proposes what would have accepted every sample, widely: an integer becomes `int64`, since a
//! reject on a stream is worse than eight bytes. What it cannot express it leaves as a comment.

mod observed;

use std::fmt::Write as _;

use arrow::datatypes::{DataType, Schema};

use crate::{Contract, ContractErrors, Field, FieldType, NumberType, RESERVED_MEMBERS, Role};
use observed::Observed;

/// Members that are looked at; an event with more is a map, not a record.
const MAX_MEMBERS: usize = 512;

/// Why nothing can be proposed.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// No sample is a JSON object.
    #[error("none of {samples} samples is a JSON object; a contract needs at least one")]
    NoEvents {
        /// Samples that were looked at.
        samples: usize,
    },
    /// There are too many different members.
    #[error(
        "the samples have more than {MAX_MEMBERS} different members: move what is keyed by data into one object"
    )]
    TooManyMembers,
    /// What was proposed is no contract: no usable field, a bad name.
    #[error("no contract can be proposed: {0}")]
    Contract(ContractErrors),
}

/// A contract that would have accepted `samples` (JSON objects), as TOML text.
///
/// Types, nullability (missing or null in any sample), the observed range of numbers, categories
/// where few distinct strings repeat, instants by their form (and integers by name and size), lists
/// of numbers; the key and the event time where only one member can be meant. Samples that are not
/// JSON objects are counted in a comment, and so is each role that nobody has yet.
pub fn propose<'a>(
    name: &str,
    samples: impl IntoIterator<Item = &'a [u8]>,
) -> Result<String, ProposeError> {
    let mut members: Vec<(String, Observed)> = Vec::new();
    let (mut events, mut others) = (0, 0);
    for sample in samples {
        let Ok(serde_json::Value::Object(event)) = serde_json::from_slice(sample) else {
            others += 1;
            continue;
        };
        events += 1;
        for (member, value) in event {
            let at = match members.iter().position(|(have, _)| *have == member) {
                Some(at) => at,
                None if members.len() == MAX_MEMBERS => return Err(ProposeError::TooManyMembers),
                None => {
                    members.push((member, Observed::default()));
                    members.len() - 1
                }
            };
            members[at].1.add(&value);
        }
    }
    if events == 0 {
        return Err(ProposeError::NoEvents { samples: others });
    }
    let mut comments = format!("Proposed from {events} events.\n");
    if others > 0 {
        let _ = writeln!(comments, "{others} samples are no JSON objects and would be rejected.");
    }
    let fields =
        members.iter().filter_map(|(member, observed)| match observed.field(member, events) {
            Ok(field) => usable(field, &mut comments),
            Err(why) => skip(member, &why, &mut comments),
        });
    let mut fields: Vec<Field> = fields.collect();
    let is_key = |field: &&mut Field| {
        let mut of = members.iter().filter(|(member, _)| *member == field.name);
        of.any(|(member, observed)| observed.is_key(member, events))
    };
    let mut keys = fields.iter_mut().filter(is_key);
    if let (Some(only), None) = (keys.next(), keys.next()) {
        only.role = Some(Role::Key);
    }
    finish(name, fields, comments)
}

/// A contract of the columns of a table (a Parquet file's schema), as TOML text.
pub fn propose_from_schema(name: &str, schema: &Schema) -> Result<String, ProposeError> {
    let mut comments = "Proposed from the columns of a table.\n".to_owned();
    let fields = schema.fields().iter().filter_map(|column| match kind_of(column.data_type()) {
        Some(kind) => {
            let field = Field { nullable: column.is_nullable(), ..Field::new(column.name(), kind) };
            usable(field, &mut comments)
        }
        None => skip(
            column.name(),
            &format!("no field type holds {}", column.data_type()),
            &mut comments,
        ),
    });
    let fields = fields.collect();
    finish(name, fields, comments)
}

fn finish(
    name: &str,
    mut fields: Vec<Field>,
    mut comments: String,
) -> Result<String, ProposeError> {
    let mut instants = fields.iter_mut().filter(|field| field.kind.timestamp_forms().is_some());
    if let (Some(only), None) = (instants.next(), instants.next()) {
        only.role = Some(Role::EventTime);
    }
    for (role, what) in [
        (Role::Key, "says which event it is"),
        (Role::EventTime, "says when it happened"),
        (Role::Label, "says what turned out to be true, if one does"),
    ] {
        if fields.iter().all(|field| field.role != Some(role)) {
            let name = role.name();
            let _ =
                writeln!(comments, "No field has role = {name:?}: set it on the one that {what}.");
        }
    }
    let contract = Contract::new(name, fields).map_err(ProposeError::Contract)?;
    let comments = comments.lines().fold(String::new(), |text, line| text + "# " + line + "\n");
    Ok(comments + &contract.to_toml())
}

/// `None`, and a comment, where the name cannot be a field's.
fn usable(field: Field, comments: &mut String) -> Option<Field> {
    if RESERVED_MEMBERS.contains(&field.name.as_str()) {
        return skip(&field.name, "the result needs this name, the event must rename it", comments);
    }
    match Contract::new("x", vec![field.clone()]) {
        Ok(_) => Some(field),
        Err(ContractErrors(problems)) => {
            let why = problems.first().map_or("not a field", |problem| &problem.message);
            skip(&field.name, why, comments)
        }
    }
}

fn skip(name: &str, why: &str, comments: &mut String) -> Option<Field> {
    // The quoted form has no line break that could end the comment.
    let short: String = name.chars().take(64).collect();
    let _ = writeln!(comments, "Left out: {short:?}: {}.", why.replace(['\n', '\r'], " "));
    None
}

fn kind_of(data_type: &DataType) -> Option<FieldType> {
    let number = |data_type: &DataType| {
        NumberType::ALL.into_iter().find(|number| number.data_type() == *data_type).or(
            match data_type {
                DataType::Decimal32(..)
                | DataType::Decimal64(..)
                | DataType::Decimal128(..)
                | DataType::Decimal256(..) => Some(NumberType::Float64),
                _ => None,
            },
        )
    };
    match data_type {
        DataType::Boolean => Some(FieldType::Bool),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(FieldType::String),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Some(FieldType::Bytes),
        DataType::Dictionary(_, values) => kind_of(values),
        DataType::Timestamp(..) => FieldType::parse("timestamp"),
        DataType::List(item) | DataType::LargeList(item) => {
            number(item.data_type()).map(FieldType::List)
        }
        DataType::FixedSizeList(item, len) => {
            Some(FieldType::FixedList(number(item.data_type())?, u32::try_from(*len).ok()?))
        }
        other => number(other).map(FieldType::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Category, Decoder, MicroBatch};

    fn samples() -> Vec<String> {
        let sample = |row: usize| {
            let carrier = ["UA", "B6"][row % 2];
            let delay = if row == 3 { "null".to_owned() } else { format!("{}.5", row as i64 - 2) };
            let gate = if row == 5 { "" } else { ",\"gate\":12" };
            format!(
                "{{\"flight\":{row},\"carrier\":\"{carrier}\",\"id\":\"x{row}\",\"delay\":{delay},\
                 \"at\":\"2013-01-01T05:15:{row:02}Z\",\"seen_at\":{},\"codes\":[{row},2],\"wind\":[1.5{}],\
                 \"late\":true,\"nested\":{{\"a\":1}},\"arm\":1,\"never\":null,\"either\":{}{gate}}}",
                1_357_017_300_000_i64 + row as i64,
                ",2".repeat(row % 3),
                if row == 2 { "\"a\"" } else { "1" },
            )
        };
        (0..20).map(sample).collect()
    }

    #[test]
    fn what_is_proposed_accepts_every_sample() {
        let samples = samples();
        let bytes = samples.iter().map(String::as_bytes).chain([&b"not json"[..]]);
        let text = propose("flights", bytes).unwrap();
        let contract =
            Contract::from_toml(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let kinds: Vec<String> = contract
            .fields()
            .iter()
            .map(|field| {
                format!("{}:{}{}", field.name, field.kind, if field.nullable { "?" } else { "" })
            })
            .collect();
        let expected = "flight:int64 carrier:string id:string delay:float64? at:timestamp seen_at:timestamp \
                        codes:int64[2] wind:list<float64> late:bool gate:int64?";
        assert_eq!(kinds.join(" "), expected, "{text}");
        assert_eq!(contract.field("flight").unwrap().range, Some((0.0, 19.0)));
        let categories = &contract.field("carrier").unwrap().categories;
        assert_eq!(*categories, ["B6", "UA"].map(|text| Category::Text(text.into())));
        assert!(contract.field("id").unwrap().categories.is_empty());
        assert_eq!(contract.key().unwrap().name, "id");
        assert!(
            text.contains("# No field has role = \"event_time\": set it"),
            "two could be meant"
        );
        assert!(text.contains("formats = [\"epoch_millis\"]"), "{text}");
        for left_out in
            ["1 samples are no JSON", "\"nested\"", "\"arm\"", "\"never\"", "\"either\""]
        {
            assert!(
                text.lines().any(|line| line.starts_with('#') && line.contains(left_out)),
                "{text}"
            );
        }
        let mut batch = MicroBatch::with_capacity("t".into(), 0, 0);
        for (offset, sample) in (0..).zip(&samples) {
            let sample = sample.replace("\"arm\"", "\"leg\"");
            batch.push(0, offset, 0, None, Some(sample.as_bytes())).unwrap();
        }
        assert_eq!(Decoder::new(&contract).decode(&batch).rejects, []);
    }

    #[test]
    fn an_identifier_has_no_range_and_repeated_is_no_key() {
        let rows: Vec<String> =
            (0..30).map(|row| format!("{{\"id\":{row},\"userId\":{},\"n\":1}}", row / 2)).collect();
        let text = propose("x", rows.iter().map(String::as_bytes)).unwrap();
        let contract = Contract::from_toml(&text).unwrap();
        assert_eq!(contract.key().unwrap().name, "id");
        let range = |name: &str| contract.field(name).unwrap().range;
        assert_eq!((range("id"), range("userId"), range("n")), (None, None, Some((1.0, 1.0))));
        let few = propose("x", rows[..5].iter().map(String::as_bytes)).unwrap();
        assert!(Contract::from_toml(&few).unwrap().key().is_none(), "five may be chance");
    }

    #[test]
    fn nothing_to_propose_from() {
        assert!(matches!(propose("x", [&b"[]"[..]]), Err(ProposeError::NoEvents { samples: 1 })));
        assert!(matches!(propose("x", [&b"{}"[..]]), Err(ProposeError::Contract(_))));
        let many: String = (0..=MAX_MEMBERS).map(|n| format!("\"{n}\":1,")).collect();
        let many = format!("{{{}}}", many.trim_end_matches(','));
        assert!(matches!(propose("x", [many.as_bytes()]), Err(ProposeError::TooManyMembers)));
    }

    #[test]
    fn a_contract_goes_through_its_arrow_schema() {
        let text = "name = 'c'\n[[fields]]\nname = 'a'\ntype = 'float16[3]'\nnullable = true\n\
                    [[fields]]\nname = 'b'\ntype = 'bytes'\n[[fields]]\nname = 't'\ntype = 'timestamp'\nrole = 'event_time'\n";
        let contract = Contract::from_toml(text).unwrap();
        let again = propose_from_schema("c", &contract.arrow_schema()).unwrap();
        assert_eq!(Contract::from_toml(&again).unwrap(), contract);
    }
}

//! What the encoder writes comes back as rows, and everything else keeps its row too.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Float32Array, RecordBatch, StringArray};
use arrow::datatypes::{
    DataType, Field, Float32Type, Int32Type, Int64Type, Schema, SchemaRef, TimestampMicrosecondType,
};

use super::{DeadLetterTable, ResultsTable, compatible};
use crate::sensitive::sha256_hex;
use crate::{
    Contract, Decoder, Encoder, Members, MicroBatch, Originals, Predicted, Stage, Stamp,
    dead_letter,
};

const FIELDS: &str = r#"
    name = "flights"
    fields = [
        { name = "id", type = "string", role = "key" },
        { name = "dep", type = "timestamp", role = "event_time", formats = ["epoch_millis"] },
        { name = "offset", type = "float16", nullable = true },
        { name = "shape", type = "float32[2]", nullable = true },
    ]
"#;

fn contract(text: &str) -> Contract {
    Contract::from_toml(text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn outputs() -> SchemaRef {
    let field = |name, kind| Field::new(name, kind, true);
    Arc::new(Schema::new(vec![field("delay", DataType::Float32), field("class", DataType::Utf8)]))
}

/// Output records of `events`, as the topic holds them, with the key `k<offset>`.
fn scored(contract: &Contract, events: &[&str]) -> MicroBatch {
    let mut source = MicroBatch::with_capacity("in".into(), 0, 0);
    for (offset, event) in (70..).zip(events) {
        source.push(3, offset, 1_000 + offset, None, Some(event.as_bytes())).unwrap();
    }
    let decoded = Decoder::new(contract).decode(&source);
    assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
    let delays: Vec<_> =
        (0..events.len()).map(|row| if row == 1 { f32::NAN } else { row as f32 + 0.1 }).collect();
    let classes = vec!["late"; events.len()];
    let columns: Vec<Arc<dyn Array>> =
        vec![Arc::new(Float32Array::from(delays)), Arc::new(StringArray::from(classes))];
    let outputs = RecordBatch::try_new(outputs(), columns).unwrap();
    let mut encoder = Encoder::new(contract, &outputs.schema(), Members::All, b"salt").unwrap();
    let stamp = Stamp {
        model_name: "m".into(),
        model_version: "7".into(),
        arm: "stable".into(),
        scored_at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
    };
    let scored = encoder.encode(source, decoded, Predicted { outputs, poison: vec![] }, &stamp);
    let mut topic = MicroBatch::with_capacity("out".into(), 0, 0);
    for (offset, row) in (500..).zip(scored.results()) {
        let key = format!("k{offset}");
        topic
            .push(1, offset, 2_000, Some(key.as_bytes()), Some(row.value.of(scored.values())))
            .unwrap();
    }
    topic
}

fn texts<'a>(rows: &'a RecordBatch, column: &str) -> Vec<Option<&'a str>> {
    rows[column].as_string::<i32>().iter().collect()
}

fn micros(rows: &RecordBatch, column: &str) -> Vec<Option<i64>> {
    rows[column].as_primitive::<TimestampMicrosecondType>().iter().collect()
}

#[test]
fn results_come_back_and_foreign_records_keep_their_bytes() {
    let contract = contract(FIELDS);
    let mut topic = scored(
        &contract,
        &[
            r#"{"id":"a","dep":1000,"offset":0.1,"shape":[1,2.5]}"#,
            r#"{"id":"b","dep":2000,"offset":null,"other":1}"#,
        ],
    );
    for (offset, value) in
        (510..).zip([Some(&b"\xff"[..]), None, Some(b""), Some(b"{\"id\":\"a\",\"dep\":1}")])
    {
        topic.push(1, offset, -1, None, value).unwrap();
    }
    let mut table = ResultsTable::new(&contract, &outputs(), b"").unwrap();
    let rows = table.rows(&topic);
    let names: Vec<_> =
        rows.schema_ref().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(
        names.join(" "),
        "partition offset timestamp key input_topic input_partition input_offset input_timestamp event_time \
         id dep field_offset shape prediction_delay prediction_class model_name model_version arm scored_at \
         contract_id undecodable undecodable_reason"
    );
    assert_eq!(rows.num_rows(), 6);
    assert_eq!(
        rows["offset"].as_primitive::<Int64Type>().values(),
        &[500, 501, 510, 511, 512, 513]
    );
    assert_eq!(
        micros(&rows, "timestamp"),
        [Some(2_000_000), Some(2_000_000), None, None, None, None]
    );
    assert_eq!(rows["key"].as_binary::<i32>().value(0), b"k500");
    assert_eq!(texts(&rows, "input_topic")[1..3], [Some("in"), None]);
    assert_eq!(rows["input_partition"].as_primitive::<Int32Type>().value(1), 3);
    assert_eq!(rows["input_offset"].as_primitive::<Int64Type>().value(1), 71);
    assert_eq!(micros(&rows, "input_timestamp")[..2], [Some(1_070_000), Some(1_071_000)]);
    assert_eq!(micros(&rows, "event_time")[..3], [Some(1_000_000), Some(2_000_000), None]);
    assert_eq!(micros(&rows, "dep"), micros(&rows, "event_time"));
    let half = rows["field_offset"].as_primitive::<Float32Type>();
    assert_eq!((half.value(0), half.is_null(1)), (f32::from(half::f16::from_f32(0.1)), true));
    let shape = rows["shape"].as_list::<i32>();
    assert_eq!(shape.value(0).as_primitive::<Float32Type>().values(), &[1.0, 2.5]);
    assert!((1..6).all(|row| shape.is_null(row)));
    let delay = rows["prediction_delay"].as_primitive::<Float32Type>();
    assert_eq!((delay.value(0), delay.null_count()), (0.1, 5));
    assert_eq!(texts(&rows, "prediction_class")[..3], [Some("late"), Some("late"), None]);
    assert_eq!(texts(&rows, "model_version")[..3], [Some("7"), Some("7"), None]);
    assert_eq!(micros(&rows, "scored_at")[0], Some(1_767_323_045_678_000));
    assert_eq!(texts(&rows, "contract_id"), [Some(contract.id()); 6]);
    let bytes: Vec<_> = rows["undecodable"].as_binary::<i32>().iter().collect();
    assert_eq!(
        bytes,
        [None, None, Some(&b"\xff"[..]), None, Some(b""), Some(b"{\"id\":\"a\",\"dep\":1}")]
    );
    let reasons = texts(&rows, "undecodable_reason");
    assert!(reasons[..2].iter().all(Option::is_none) && reasons[2..].iter().all(Option::is_some));
    assert!(reasons[5].unwrap().contains("source.topic"), "{reasons:?}");
    // A batch of the same table in which everything decodes has the same schema.
    assert_eq!(table.rows(&scored(&contract, &[])).schema(), rows.schema());
}

const SENSITIVE: &str = r#"
    name = "people"
    fields = [
        { name = "id", type = "string", role = "key", sensitive = "hash" },
        { name = "birth", type = "timestamp", nullable = true, sensitive = "hash" },
        { name = "income", type = "float64", nullable = true, sensitive = "hash" },
        { name = "name", type = "string", nullable = true, sensitive = "drop" },
        { name = "event_time", type = "timestamp", role = "event_time", nullable = true },
    ]
"#;

#[test]
fn sensitive_values_do_not_reach_the_rows() {
    let contract = contract(SENSITIVE);
    assert_eq!(
        ResultsTable::new(&contract, &outputs(), b"").err(),
        Some(crate::EncodeError::EmptySalt { field: "id".into() })
    );
    let mut table = ResultsTable::new(&contract, &outputs(), b"salt").unwrap();
    let event =
        r#"{"id":"s3cret","birth":"1980-02-03T04:05:06.5+01:00","income":1234.5,"name":"s3cret"}"#;
    let mut topic = scored(&contract, &[event, r#"{"id":"b"}"#]);
    topic.push(1, 600, 0, Some(b"s3cret"), Some(b"{\"id\":\"s3cret\",\"name\":5}")).unwrap();
    let rows = table.rows(&topic);
    let hash = |text: &str| sha256_hex(&[b"salt", text.as_bytes()]);
    assert_eq!(hash("").len(), 64);
    assert_eq!(texts(&rows, "id")[0], Some(&*hash("s3cret")));
    assert_eq!(texts(&rows, "birth")[..2], [Some(&*hash("1980-02-03T03:05:06.500Z")), None]);
    assert_eq!(texts(&rows, "income")[..2], [Some(&*hash("1234.5")), None]);
    assert_eq!(rows["key"].as_binary::<i32>().value(2), hash("s3cret").as_bytes());
    assert!(rows.column_by_name("name").is_none());
    assert!(rows["undecodable"].is_null(2) && rows["undecodable_reason"].is_valid(2));
    assert_eq!(
        rows.schema_ref().fields().iter().filter(|field| field.name() == "event_time").count(),
        1
    );
    for column in rows.columns() {
        for buffer in column.to_data().buffers() {
            assert!(!buffer.windows(6).any(|bytes| bytes == b"s3cret"), "{column:?}");
        }
    }
    let other = ResultsTable::new(&contract, &outputs(), b"pepper").unwrap();
    assert_eq!((other.id().len(), other.id()), (16, table.id()), "a salt is not in the id");
}

#[test]
fn the_key_is_kept_only_where_it_is_known_to_be_harmless() {
    let key = |extra: &str| {
        let contract = contract(&format!("name='c'\n[[fields]]\nname='a'\ntype='string'\n{extra}"));
        let mut topic = MicroBatch::with_capacity("out".into(), 0, 0);
        topic.push(0, 0, 0, Some(b"k"), None).unwrap();
        let rows = ResultsTable::new(&contract, &outputs(), b"s").unwrap().rows(&topic);
        let key = rows["key"].as_binary::<i32>();
        key.is_valid(0).then(|| key.value(0).to_vec())
    };
    assert_eq!(key(""), Some(b"k".to_vec()));
    assert_eq!(key("sensitive='drop'"), None);
    assert_eq!(key("role='key'\nsensitive='drop'"), None);
    assert_eq!(key("role='key'\nsensitive='hash'"), Some(sha256_hex(&[b"sk"]).into_bytes()));
    assert_eq!(
        key("sensitive='drop'\n[[fields]]\nname='b'\ntype='string'\nrole='key'"),
        Some(b"k".to_vec())
    );
}

#[test]
fn a_grown_contract_reads_together_and_a_changed_type_does_not() {
    let table = |text: &str| ResultsTable::new(&contract(text), &outputs(), b"").unwrap();
    let old = table(FIELDS);
    let grown = table(
        &FIELDS.replace("    ]\n", "{ name = \"more\", type = \"int8\", nullable = true },\n]\n"),
    );
    assert_eq!(compatible(&old.schema(), &grown.schema()), Ok(()));
    assert_ne!(old.id(), grown.id());
    let changed = table(&FIELDS.replace("float32[2]", "string"));
    let message = compatible(&old.schema(), &changed.schema()).unwrap_err();
    assert!(message.contains("\"shape\" was List") && message.contains("is now Utf8"), "{message}");
    assert_eq!(table(FIELDS).id(), old.id());
    // A nullable field has a nullable column as before: the table is the same.
    assert_eq!(
        table(&FIELDS.replace("role = \"key\"", "role = \"key\", nullable = true")).id(),
        old.id()
    );
}

#[test]
fn dead_letters_are_rows_with_the_originals_headers() {
    let mut source = MicroBatch::with_capacity("in".into(), 0, 0);
    source.push(4, 9, 5, Some(b"k"), Some(b"{")).unwrap();
    source.push_header(b"trace", Some(b"\x00\xff"));
    source.push_header(b"none", None);
    let mut topic = MicroBatch::with_capacity("dead".into(), 0, 0);
    topic
        .push(0, 1, 2, Originals::Keep.key(&source, 0), Originals::Keep.value(&source, 0))
        .unwrap();
    Originals::Keep.headers(&source, 0).for_each(|(name, value)| topic.push_header(name, value));
    for (name, value) in dead_letter::headers(&source, 0, Stage::Model, "bad\nrow") {
        topic.push_header(name.as_bytes(), Some(&value));
    }
    topic.push_header(dead_letter::MODEL_NAME.as_bytes(), Some(b"m"));
    topic.push_header(dead_letter::MODEL_VERSION.as_bytes(), Some(b"7"));
    topic.push(0, 2, -1, None, None).unwrap();
    topic.push_header(dead_letter::PARTITION.as_bytes(), Some(b"99999999999"));
    topic.push_header(dead_letter::REASON.as_bytes(), Some(b"\xff"));

    let rows = DeadLetterTable::new(&contract(FIELDS)).rows(&topic);
    assert_eq!(rows["value"].as_binary::<i32>().value(0), b"{");
    assert_eq!(texts(&rows, "input_topic"), [Some("in"), None]);
    assert_eq!(
        rows["input_partition"].as_primitive::<Int32Type>().iter().collect::<Vec<_>>(),
        [Some(4), None]
    );
    assert_eq!(
        rows["input_offset"].as_primitive::<Int64Type>().iter().collect::<Vec<_>>(),
        [Some(9), None]
    );
    assert_eq!(micros(&rows, "input_timestamp"), [Some(5_000), None]);
    assert_eq!(texts(&rows, "stage"), [Some("model"), None]);
    assert_eq!(texts(&rows, "reason"), [Some("bad row"), None]);
    assert_eq!(texts(&rows, "model_version"), [Some("7"), None]);
    let headers = rows["headers"].as_list::<i32>();
    let own = headers.value(0);
    let own = own.as_struct();
    assert_eq!(
        own.column(0).as_string::<i32>().iter().collect::<Vec<_>>(),
        [Some("trace"), Some("none")]
    );
    assert_eq!(
        own.column(1).as_binary::<i32>().iter().collect::<Vec<_>>(),
        [Some(&b"\x00\xff"[..]), None]
    );
    assert_eq!(headers.value(1).len(), 0);

    let bare = DeadLetterTable::new(&contract(SENSITIVE)).rows(&topic);
    assert_eq!(bare.schema(), rows.schema());
    for column in ["key", "value", "headers"] {
        assert_eq!(bare[column].null_count(), 2, "{column}");
    }
    assert_eq!(texts(&bare, "reason"), texts(&rows, "reason"));
}

//! Any lines as records of an output topic: each becomes one row, whatever it holds.
#![no_main]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use libfuzzer_sys::fuzz_target;
use schemas::{Contract, MicroBatch, ResultsTable};

const CONTRACT: &str = r#"
name = "fuzz"
[[fields]]
name = "id"
type = "int64"
role = "key"
[[fields]]
name = "who"
type = "string"
sensitive = "hash"
[[fields]]
name = "x"
type = "float32"
nullable = true
"#;

fuzz_target!(|bytes: &[u8]| {
    let contract = Contract::from_toml(CONTRACT).expect("the contract is one");
    let outputs = Arc::new(Schema::new(vec![Field::new("score", DataType::Float32, false)]));
    let mut table = ResultsTable::new(&contract, &outputs, b"salt").expect("names do not clash");
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let mut batch = MicroBatch::with_capacity("fuzz".into(), lines.len(), 0);
    for (offset, line) in (0..).zip(&lines) {
        batch.push(0, offset, 0, Some(line), Some(line)).expect("offsets ascend");
    }
    assert_eq!(table.rows(&batch).num_rows(), lines.len());
});

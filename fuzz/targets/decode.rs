//! Any lines as events of a contract. A decoder that has learned the shape of earlier records and one
//! that sees each record first agree on rows, values and reasons.
#![no_main]

use libfuzzer_sys::fuzz_target;
use schemas::{Contract, Decoder, MicroBatch};

const CONTRACT: &str = r#"
name = "fuzz"
[[fields]]
name = "id"
type = "int64"
role = "key"
[[fields]]
name = "t"
type = "timestamp"
formats = ["rfc3339"]
role = "event_time"
nullable = true
[[fields]]
name = "u"
type = "uint8"
nullable = true
[[fields]]
name = "x"
type = "float64"
[[fields]]
name = "h"
type = "float16"
nullable = true
[[fields]]
name = "s"
type = "string"
nullable = true
[[fields]]
name = "b"
type = "bool"
nullable = true
[[fields]]
name = "raw"
type = "bytes"
nullable = true
[[fields]]
name = "list"
type = "list<float32>"
nullable = true
[[fields]]
name = "fixed"
type = "int16[2]"
nullable = true
"#;

fuzz_target!(|bytes: &[u8]| {
    let contract = Contract::from_toml(CONTRACT).expect("the contract is one");
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let together = Decoder::new(&contract).decode(&batch(&lines));
    assert_eq!(together.events.num_rows() + together.rejects.len(), lines.len());
    let mut rows = 0;
    let mut rejects = together.rejects.iter();
    for (row, line) in (0..).zip(&lines) {
        let alone = Decoder::new(&contract).decode(&batch(&[line]));
        match alone.rejects.first() {
            Some(reject) => {
                let same = rejects.next().expect("rejected in the batch, too");
                assert_eq!((same.row, &same.reason), (row, &reject.reason));
            }
            None => {
                assert_eq!(together.events.slice(rows, 1), alone.events, "row {row}");
                rows += 1;
            }
        }
    }
    assert_eq!(rows, together.events.num_rows());
});

fn batch(lines: &[&[u8]]) -> MicroBatch {
    let mut batch = MicroBatch::with_capacity("fuzz".into(), lines.len(), 0);
    for (offset, line) in (0..).zip(lines) {
        batch.push(0, offset, 0, None, Some(line)).expect("offsets ascend");
    }
    batch
}

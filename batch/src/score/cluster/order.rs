//! An order: one part of a job as it travels, and nothing that the executor could look up elsewhere.
//!
//! It is an Arrow schema in IPC form, so that types need no second spelling: the columns of the file, of the
//! folders and of the answer are the members of three structs, and the rest is JSON in the metadata. Refuses
//! what another version of tidegate wrote: the same plan from other code might give other numbers.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use schemas::Contract;
use serde::{Deserialize, Serialize};

use super::models::ModelId;
use crate::rows::find::FileKind;
use crate::score::parts::{Input, Shape};

/// How an order begins, wherever others' bytes may stand, too.
const MAGIC: &[u8] = b"tidegate.order\0";
/// Key of the JSON in the schema's metadata.
const SAID: &str = "tidegate.order";
/// Largest order: a contract and some thousand columns are far below.
const MAX_BYTES: usize = 8 << 20;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    pub(super) model: ModelId,
    pub(super) contract: Contract,
    pub(super) shape: Shape,
    pub(super) input: Input,
    pub(super) range: Range<u64>,
    pub(super) kept: Vec<String>,
    pub(super) predicate: Option<String>,
    /// Columns of the answer, the [`end`](super::end) among them.
    pub(super) answer: SchemaRef,
}

#[derive(Serialize, Deserialize)]
struct Said {
    tidegate: String,
    model: ModelId,
    /// As TOML.
    contract: String,
    kind: FileKind,
    input: Input,
    range: Range<u64>,
    kept: Vec<String>,
    #[serde(rename = "where")]
    predicate: Option<String>,
}

impl Order {
    /// Whether these bytes are an order at all.
    pub(super) fn begins(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, String> {
        let said = Said {
            tidegate: env!("CARGO_PKG_VERSION").to_owned(),
            model: self.model.clone(),
            contract: self.contract.to_toml(),
            kind: self.shape.kind,
            input: self.input.clone(),
            range: self.range.clone(),
            kept: self.kept.clone(),
            predicate: self.predicate.clone(),
        };
        let said = serde_json::to_string(&said).map_err(|error| error.to_string())?;
        let member = |name, fields: Fields| Field::new(name, DataType::Struct(fields), false);
        let members = vec![
            member("file", self.shape.schema.fields().clone()),
            member("hive", self.shape.hive.clone().into()),
            member("answer", self.answer.fields().clone()),
        ];
        let schema = Schema::new_with_metadata(members, HashMap::from([(SAID.to_owned(), said)]));
        let mut bytes = MAGIC.to_vec();
        let written = StreamWriter::try_new(&mut bytes, &schema);
        written.and_then(|mut stream| stream.finish()).map_err(|error| error.to_string())?;
        if bytes.len() > MAX_BYTES {
            return Err(format!(
                "a part's plan has {} bytes, {MAX_BYTES} are the limit",
                bytes.len()
            ));
        }
        Ok(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let no_order = |reason: &dyn std::fmt::Display| format!("no order of a part: {reason}");
        let body = bytes.strip_prefix(MAGIC).ok_or_else(|| no_order(&"it begins otherwise"))?;
        if body.len() > MAX_BYTES {
            return Err(no_order(&format_args!("{} bytes, {MAX_BYTES} are the limit", body.len())));
        }
        let stream = StreamReader::try_new(body, None).map_err(|error| no_order(&error))?;
        let schema = stream.schema();
        let said = schema.metadata().get(SAID).ok_or_else(|| no_order(&"it says nothing"))?;
        let said: serde_json::Value =
            serde_json::from_str(said).map_err(|error| no_order(&error))?;
        // Before the rest, which may have changed with it.
        let ours = env!("CARGO_PKG_VERSION");
        match said["tidegate"].as_str() {
            Some(version) if version == ours => {}
            version => {
                let version = version.unwrap_or("unknown");
                return Err(format!(
                    "the job is of tidegate {version}, this process of {ours}: run the same version \
                     everywhere"
                ));
            }
        }
        let said: Said = serde_json::from_value(said).map_err(|error| no_order(&error))?;
        let contract = Contract::from_toml(&said.contract).map_err(|errors| no_order(&errors))?;
        let [file, hive, answer] = ["file", "hive", "answer"].map(|name| members(&schema, name));
        let hive = hive?.iter().map(|field| Field::clone(field)).collect();
        let shape = Shape { kind: said.kind, schema: Arc::new(Schema::new(file?)), hive };
        let Said { model, input, range, kept, predicate, .. } = said;
        let answer = Arc::new(Schema::new(answer?));
        Ok(Self { model, contract, shape, input, range, kept, predicate, answer })
    }
}

fn members(schema: &Schema, name: &str) -> Result<Fields, String> {
    match schema.field_with_name(name).map(Field::data_type) {
        Ok(DataType::Struct(fields)) => Ok(fields.clone()),
        Ok(_) | Err(_) => Err(format!("no order of a part: it has no columns {name:?}")),
    }
}

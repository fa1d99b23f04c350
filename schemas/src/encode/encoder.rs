//! One micro-batch to its output records: one pass, one buffer, no allocation per record.

use std::collections::HashSet;

use arrow::datatypes::{DataType, SchemaRef};

use super::values::{Values, is_output_type};
use super::{EncodeError, Members, Stamp, json};

use crate::sensitive::{KeyRule, first_hashed, hash};
use crate::{
    Contract, Decoded, MicroBatch, Predicted, RESERVED_MEMBERS, Reject, ScoredBatch, ScoredRow,
    Sensitive, Span, Stage, TimestampForms,
};

/// Writes the output records of one worker.
pub struct Encoder {
    members: Vec<Member>,
    all: bool,
    outputs: SchemaRef,
    /// `,"<output>":` of each output; the first starts `,"prediction":{`.
    output_heads: Vec<Vec<u8>>,
    /// Where a field is sensitive, the model's words on a bad row are not passed on.
    withhold_reasons: bool,
    key: KeyRule,
    salt: Vec<u8>,
}

/// A listed member: `,"<name>":`, its column in the events, how its instants are written, and
/// whether its hash stands for it.
struct Member {
    head: Vec<u8>,
    column: usize,
    forms: TimestampForms,
    hashed: bool,
}

impl Encoder {
    /// An encoder of the events of `contract` and the outputs of one model.
    ///
    /// `hash_salt` is a secret of the deployment; it may be empty where no field is hashed.
    pub fn new(
        contract: &Contract,
        outputs: &SchemaRef,
        members: Members,
        hash_salt: &[u8],
    ) -> Result<Self, EncodeError> {
        check_names(contract, outputs)?;
        if let Some(field) = first_hashed(contract).filter(|_| hash_salt.is_empty()) {
            return Err(EncodeError::EmptySalt { field: field.into() });
        }
        let (all, members) = match members {
            Members::All if contract.has_sensitive() => (false, listed(contract, &kept(contract))?),
            Members::All => (true, Vec::new()),
            Members::Listed(names) => (false, listed(contract, &names)?),
        };
        let mut output_heads: Vec<_> =
            outputs.fields().iter().map(|output| head(output.name())).collect();
        if let Some(first) = output_heads.first_mut() {
            first[0] = b'{';
            first.splice(..0, *b",\"prediction\":");
        }
        let withhold_reasons = contract.has_sensitive();
        Ok(Self {
            members,
            all,
            outputs: outputs.clone(),
            output_heads,
            withhold_reasons,
            key: KeyRule::of(contract),
            salt: hash_salt.to_vec(),
        })
    }

    /// The output records and rejects of `source`, in record order; `decoded` and `predicted` are
    /// of the same batch.
    ///
    /// # Panics
    /// When decode, model and batch do not fit together row by row, or the outputs are not those
    /// the encoder was made for.
    #[must_use]
    pub fn encode(
        &mut self,
        mut source: MicroBatch,
        decoded: Decoded,
        predicted: Predicted,
        stamp: &Stamp,
    ) -> ScoredBatch {
        let Decoded { events, rows, object_ends, rejects } = decoded;
        let Predicted { outputs, poison } = predicted;
        assert_eq!(events.num_rows(), rows.len(), "each event has its row");
        assert_eq!(
            outputs.num_rows() + poison.len(),
            rows.len(),
            "the model answers each row once"
        );
        assert_eq!(outputs.num_columns(), self.outputs.fields().len(), "the model's named outputs");
        let kinds = outputs.schema();
        for (have, want) in kinds.fields().iter().zip(self.outputs.fields()) {
            assert_eq!(have.data_type(), want.data_type(), "type of output {:?}", want.name());
        }
        let predictions: Vec<_> = outputs
            .columns()
            .iter()
            .map(|column| Values::new(column, TimestampForms::RFC3339))
            .collect();
        let members: Vec<_> = self
            .members
            .iter()
            .map(|member| (member, Values::new(events.column(member.column), member.forms)))
            .collect();
        let middle = middle(stamp, source.topic(), self.output_heads.is_empty());
        // Numbers are short: this is enough for nearly every batch, and a longer one grows once.
        let added =
            middle.len() + 80 + self.output_heads.iter().map(|head| head.len() + 24).sum::<usize>();
        let events_bytes =
            if self.all { source.values().len() } else { rows.len() * 32 * members.len() };
        let mut values = Vec::with_capacity(events_bytes + rows.len() * added);
        let mut results = Vec::with_capacity(outputs.num_rows());
        let mut refused = poison.into_iter().peekable();
        let mut poisoned = Vec::new();
        for (event, &row) in rows.iter().enumerate() {
            if let Some((_, reason)) = refused.next_if(|(at, _)| *at == event) {
                poisoned.push(self.poisoned(row, reason));
                continue;
            }
            let start = values.len();
            if self.all {
                let value = source.value(row as usize).expect("a decoded record has a value");
                splice(&mut values, &value[..object_ends[event] as usize]);
            } else {
                values.push(b'{');
                for (index, (member, column)) in members.iter().enumerate() {
                    values.extend_from_slice(&member.head[usize::from(index == 0)..]);
                    if member.hashed {
                        self.write_hash(&mut values, column, event);
                    } else {
                        column.write(&mut values, event);
                    }
                }
            }
            let is_bare = values.len() == start + 1;
            let at = values.len();
            let scored = results.len();
            for (head, column) in self.output_heads.iter().zip(&predictions) {
                values.extend_from_slice(head);
                column.write(&mut values, scored);
            }
            values.extend_from_slice(&middle);
            if is_bare {
                values.remove(at);
            }
            let record = &source.records()[row as usize];
            json::integer(&mut values, record.partition);
            values.extend_from_slice(b",\"offset\":");
            json::integer(&mut values, record.offset);
            values.extend_from_slice(b",\"timestamp\":");
            if record.timestamp_ms >= 0 {
                json::integer(&mut values, record.timestamp_ms);
            } else {
                values.extend_from_slice(b"null");
            }
            values.extend_from_slice(b"}}");
            results.push(ScoredRow { row, value: span(start, values.len()) });
        }
        assert_eq!(refused.next(), None, "poison is of events, ascending");
        drop((predictions, members));
        self.treat_keys(&mut source, &results);
        ScoredBatch::new(source, values, results, merged(rejects, poisoned))
    }

    /// The text of the value's hash, or null.
    fn write_hash(&self, out: &mut Vec<u8>, column: &Values<'_>, event: usize) {
        let mut text = Vec::new();
        if column.write_bare(&mut text, event) {
            json::string(out, &hash(&self.salt, &text));
        } else {
            out.extend_from_slice(b"null");
        }
    }

    /// A result's key says no more than its members may.
    fn treat_keys(&self, source: &mut MicroBatch, results: &[ScoredRow]) {
        for row in results.iter().map(|result| result.row as usize) {
            match self.key {
                KeyRule::Keep => return,
                KeyRule::Omit => source.set_key(row, None),
                KeyRule::Hash => {
                    let hashed = source.key(row).map(|key| hash(&self.salt, key));
                    source.set_key(row, hashed.as_ref().map(String::as_bytes));
                }
            }
        }
    }

    fn poisoned(&self, row: u32, reason: String) -> Reject {
        let reason = if self.withhold_reasons {
            "the model refused the row; its words are withheld, since the contract has sensitive fields".into()
        } else {
            reason
        };
        Reject { row, stage: Stage::Model, reason }
    }
}

/// Appends an event without its closing brace; an empty object as a bare `{`.
#[inline]
fn splice(out: &mut Vec<u8>, open: &[u8]) {
    // In an object with members, what lies before its closing brace ends a value, and no value
    // ends with an opening brace.
    match open.trim_ascii_end() {
        before if before.ends_with(b"{") => out.push(b'{'),
        before => out.extend_from_slice(before),
    }
}

/// From the end of the last prediction to the input partition.
fn middle(stamp: &Stamp, topic: &str, no_outputs: bool) -> Vec<u8> {
    let mut out = Vec::new();
    if no_outputs {
        out.extend_from_slice(b",\"prediction\":{");
    }
    out.extend_from_slice(b"},\"model\":{\"name\":");
    json::string(&mut out, &stamp.model_name);
    out.extend_from_slice(b",\"version\":");
    json::string(&mut out, &stamp.model_version);
    out.extend_from_slice(b"},\"arm\":");
    json::string(&mut out, &stamp.arm);
    out.extend_from_slice(b",\"scored_at\":\"");
    let micros = stamp.scored_at.as_microsecond();
    assert!(json::instant(&mut out, micros, 3), "a clock shows a year of 0 to 9999");
    out.extend_from_slice(b"\",\"source\":{\"topic\":");
    json::string(&mut out, topic);
    out.extend_from_slice(b",\"partition\":");
    out
}

/// `,"<name>":`
fn head(name: &str) -> Vec<u8> {
    let mut head = vec![b','];
    json::string(&mut head, name);
    head.push(b':');
    head
}

fn span(start: usize, end: usize) -> Span {
    let start_u32 = u32::try_from(start).expect("a batch buffer stays below 4 GiB");
    Span { start: start_u32, len: u32::try_from(end - start).expect("a record stays below 4 GiB") }
}

/// Both lists, each ascending by row, as one.
fn merged(decode: Vec<Reject>, model: Vec<Reject>) -> Vec<Reject> {
    let (mut first, mut second) = (decode, model);
    if first.is_empty() {
        return second;
    }
    first.append(&mut second);
    first.sort_by_key(|reject| reject.row);
    first
}

/// Whether output records of the two can exist.
pub(crate) fn check_names(contract: &Contract, outputs: &SchemaRef) -> Result<(), EncodeError> {
    let reserved = |name: &&str| RESERVED_MEMBERS.contains(name);
    if let Some(field) = contract.fields().iter().map(|field| field.name.as_str()).find(reserved) {
        return Err(EncodeError::ReservedField { field: field.into() });
    }
    let mut seen = HashSet::new();
    for output in outputs.fields() {
        let (name, kind): (&String, &DataType) = (output.name(), output.data_type());
        if !seen.insert(name) {
            return Err(EncodeError::OutputTwice { output: name.clone() });
        }
        if !is_output_type(kind) {
            return Err(EncodeError::OutputType { output: name.clone(), found: kind.to_string() });
        }
    }
    Ok(())
}

/// Names of the fields that may leave the input.
fn kept(contract: &Contract) -> Vec<String> {
    let fields = contract.fields().iter();
    fields
        .filter(|field| field.sensitive != Some(Sensitive::Drop))
        .map(|field| field.name.clone())
        .collect()
}

fn listed(contract: &Contract, names: &[String]) -> Result<Vec<Member>, EncodeError> {
    let mut seen = HashSet::new();
    let mut members = Vec::with_capacity(names.len());
    for name in names {
        if !seen.insert(name) {
            return Err(EncodeError::MemberTwice { member: name.clone() });
        }
        let Some(column) = contract.fields().iter().position(|field| field.name == *name) else {
            let fields: Vec<_> =
                contract.fields().iter().map(|field| field.name.as_str()).collect();
            let fields = fields.join(", ");
            return Err(EncodeError::UnknownMember { member: name.clone(), fields });
        };
        let field = &contract.fields()[column];
        let hashed = match field.sensitive {
            Some(Sensitive::Drop) => {
                return Err(EncodeError::DroppedMember { member: name.clone() });
            }
            Some(Sensitive::Hash) => true,
            None => false,
        };
        let forms = field.kind.timestamp_forms().unwrap_or(TimestampForms::RFC3339);
        members.push(Member { head: head(name), column, forms, hashed });
    }
    Ok(members)
}

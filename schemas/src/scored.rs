//! What a micro-batch becomes: one result or one reject per record, nothing else.

use crate::{MicroBatch, Span};

/// Where in the hop a record was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The bytes are not an event of the contract.
    Decode,
    /// The model refused the row or failed on it.
    Model,
    /// The result cannot be written as a record.
    Encode,
    /// The broker does not take the result.
    Produce,
}

impl Stage {
    /// The stage's name in dead-letter headers, metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Model => "model",
            Self::Encode => "encode",
            Self::Produce => "produce",
        }
    }
}

/// A record that goes to the dead letters, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Row of the micro-batch.
    pub row: u32,
    /// Stage that gave it up.
    pub stage: Stage,
    /// Reason for people: names the member and the limit. Never holds the value of a sensitive field.
    pub reason: String,
}

/// A micro-batch after decode, model and encode.
///
/// Invariant, asserted at construction: results + rejects = records; both in record order.
#[derive(Debug)]
pub struct ScoredBatch {
    source: MicroBatch,
    values: Vec<u8>,
    results: Vec<ScoredRow>,
    rejects: Vec<Reject>,
}

/// One result: the row it came from and its encoded value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoredRow {
    /// Row of the micro-batch.
    pub row: u32,
    /// Value in [`ScoredBatch::values`].
    pub value: Span,
}

impl ScoredBatch {
    /// Puts the parts together.
    ///
    /// # Panics
    /// When a record has no outcome, two, or the outcomes are out of order.
    #[must_use]
    pub fn new(
        source: MicroBatch,
        values: Vec<u8>,
        results: Vec<ScoredRow>,
        rejects: Vec<Reject>,
    ) -> Self {
        assert_eq!(results.len() + rejects.len(), source.len(), "results + rejects = records");
        let (mut result, mut reject) = (results.iter().peekable(), rejects.iter().peekable());
        for row in 0..source.len() as u32 {
            if result.peek().is_some_and(|have| have.row == row) {
                result.next();
            } else {
                assert!(
                    reject.next().is_some_and(|have| have.row == row),
                    "row {row} has no outcome"
                );
            }
        }
        Self { source, values, results, rejects }
    }

    /// The records as they were read.
    #[must_use]
    pub fn source(&self) -> &MicroBatch {
        &self.source
    }

    /// Encoded results, back to back.
    #[must_use]
    pub fn values(&self) -> &[u8] {
        &self.values
    }

    /// Results in record order.
    #[must_use]
    pub fn results(&self) -> &[ScoredRow] {
        &self.results
    }

    /// Rejects in record order.
    #[must_use]
    pub fn rejects(&self) -> &[Reject] {
        &self.rejects
    }

    /// Frees what the records carried, once no dead letter can need it.
    pub fn forget_originals(&mut self) {
        self.source.forget_values();
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.source.bytes() + self.values.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(rows: i64) -> MicroBatch {
        let mut batch = MicroBatch::with_capacity("t".into(), 0, 0);
        (0..rows).for_each(|offset| batch.push(0, offset, 0, None, None).unwrap());
        batch
    }

    fn reject(row: u32) -> Reject {
        Reject { row, stage: Stage::Decode, reason: String::new() }
    }

    #[test]
    fn every_row_has_one_outcome() {
        let result = ScoredRow { row: 1, value: Span { start: 0, len: 0 } };
        let scored = ScoredBatch::new(batch(3), vec![], vec![result], vec![reject(0), reject(2)]);
        assert_eq!(scored.results().len() + scored.rejects().len(), scored.source().len());
    }

    #[test]
    #[should_panic(expected = "results + rejects = records")]
    fn a_missing_outcome_is_a_bug() {
        let _ = ScoredBatch::new(batch(2), vec![], vec![], vec![reject(0)]);
    }

    #[test]
    #[should_panic(expected = "row 1 has no outcome")]
    fn a_doubled_outcome_is_a_bug() {
        let _ = ScoredBatch::new(batch(2), vec![], vec![], vec![reject(0), reject(0)]);
    }
}

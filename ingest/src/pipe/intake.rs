//! From librdkafka's queue into the batch in hand: one copy a record, cut where it is due.

use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use schemas::MicroBatch;

use super::cut::{self, Hand, InHand};
use super::hop::HopError;
use super::source::Reading;
use crate::raw::Entry;

/// What librdkafka says where it was to begin a partition and knew no committed offset.
const BEGAN_NOWHERE: &str = "no previously committed offset";

impl Reading<'_, '_> {
    pub(super) fn in_hand(&self) -> InHand {
        InHand { rows: self.hand.len(), bytes: self.hand.bytes(), since: self.since }
    }

    pub(super) fn read(&mut self) -> Result<usize, HopError> {
        let cutting = self.source.config.cutting;
        let limit = cut::room(&cutting, self.in_hand(), self.record_bytes);
        let suspected = !self.source.shared.memory().is_clean();
        // A record that stands alone needs no room for a batch.
        let room = if suspected { 0 } else { cutting.max_rows };
        let before = self.hand.bytes();
        // Moved out, so that the callback may use the rest of `self`.
        let mut queue_error = None;
        let (hand, assignment, ready) = (&mut self.hand, &mut self.assignment, &mut self.ready);
        let (shared, name, since) = (self.source.shared, &self.name, &mut self.since);
        let read = self.queue.read(limit, |entry| {
            let record = match entry {
                Entry::Record(record) => record,
                // Of no account any more, or the partition is withheld: it is placed later.
                Entry::Error { code: RDKafkaErrorCode::AutoOffsetReset, text, .. }
                    if text.starts_with(BEGAN_NOWHERE) =>
                {
                    return Ok(());
                }
                Entry::Error { partition, offset, code, text } => {
                    queue_error = Some((partition, offset, code, text));
                    return Err(());
                }
            };
            let (partition, offset) = (record.partition(), record.offset());
            if !assignment.sees(partition, offset, shared) {
                queue_error =
                    Some((partition, offset, RDKafkaErrorCode::UnknownPartition, String::new()));
                return Err(());
            }
            let alone = suspected && shared.memory().is_alone(partition, offset);
            if (alone
                || cut::is_full(
                    &cutting,
                    InHand { rows: hand.len(), bytes: hand.bytes(), since: *since },
                ))
                && !hand.is_empty()
            {
                let next = MicroBatch::with_capacity(name.clone(), room, 0);
                ready.push_back((std::mem::replace(hand, next), false));
            }
            if hand.is_empty() {
                *since = Instant::now();
            }
            let pushed =
                hand.push(partition, offset, record.timestamp_ms(), record.key(), record.value());
            if let Err(overlap) = pushed {
                queue_error =
                    Some((partition, offset, RDKafkaErrorCode::Inconsistent, overlap.to_string()));
                return Err(());
            }
            record.headers(|name, value| hand.push_header(name, value));
            if alone {
                let next = MicroBatch::with_capacity(name.clone(), room, 0);
                ready.push_back((std::mem::replace(hand, next), true));
            }
            Ok(())
        });
        let Ok(read) = read else {
            let (partition, offset, code, text) =
                queue_error.expect("the callback noted its error");
            return Err(self.entry_error(partition, offset, code, &text));
        };
        self.drained = read < limit;
        if read > 0 && self.hand.bytes() > before {
            self.record_bytes = (self.hand.bytes() - before).div_ceil(read);
        }
        Ok(read)
    }

    pub(super) fn empty_hand(&self) -> MicroBatch {
        let cutting = &self.source.config.cutting;
        let bytes = cutting.max_bytes.min(cutting.max_rows.saturating_mul(self.record_bytes));
        MicroBatch::with_capacity(self.name.clone(), cutting.max_rows, bytes)
    }

    /// Cuts what is due; how long what is in hand waits for others otherwise.
    pub(super) fn cut_if_due(&mut self, now: Instant) -> Option<Duration> {
        // What is scored during a commit would wait for its end: one batch then, and not one a read.
        let free = self.source.shared.worker_is_free()
            && !self.source.shared.is_committing()
            && self.items.len() < self.items.capacity().unwrap_or(1) / 2;
        match cut::decide(&self.source.config.cutting, self.in_hand(), now, self.drained, free) {
            Hand::Due => self.cut(),
            Hand::Gathers(left) => return Some(left),
            Hand::Held => {}
        }
        None
    }

    pub(super) fn cut(&mut self) {
        if !self.hand.is_empty() {
            let next = self.empty_hand();
            self.ready.push_back((std::mem::replace(&mut self.hand, next), false));
        }
    }

    pub(super) fn forget_hand(&mut self) {
        self.ready.clear();
        self.hand = self.empty_hand();
    }
}

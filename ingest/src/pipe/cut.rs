//! When a micro-batch is cut: pure rules over what is in hand.

use std::time::{Duration, Instant};

use super::config::Cutting;

/// Size and age of the batch in hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct InHand {
    pub(super) rows: usize,
    pub(super) bytes: usize,
    /// When its first record was read.
    pub(super) since: Instant,
}

/// Whether what is in hand is cut now.
pub(super) fn is_due(
    cutting: &Cutting,
    hand: InHand,
    now: Instant,
    drained: bool,
    worker_free: bool,
) -> bool {
    hand.rows > 0
        && (is_full(cutting, hand)
            || (drained && worker_free)
            || now.duration_since(hand.since) >= cutting.max_delay)
}

/// Whether no further record belongs into it.
pub(super) fn is_full(cutting: &Cutting, hand: InHand) -> bool {
    hand.rows >= cutting.max_rows || hand.bytes >= cutting.max_bytes
}

/// How many records to ask for: what fits by rows, and by bytes if they are like the last ones.
pub(super) fn room(cutting: &Cutting, hand: InHand, record_bytes: usize) -> usize {
    let rows = cutting.max_rows.saturating_sub(hand.rows);
    let bytes = cutting.max_bytes.saturating_sub(hand.bytes) / record_bytes.max(1);
    rows.min(bytes.max(1)).max(1)
}

/// How long the source may sleep before something in hand falls due.
pub(super) fn patience(cutting: &Cutting, hand: InHand, now: Instant, most: Duration) -> Duration {
    if hand.rows == 0 {
        return most;
    }
    (hand.since + cutting.max_delay).saturating_duration_since(now).min(most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CUTTING: Cutting =
        Cutting { max_rows: 10, max_bytes: 1000, max_delay: Duration::from_millis(5) };

    #[test]
    fn cut_at_the_first_reason() {
        let since = Instant::now();
        let at = |ms| since + Duration::from_millis(ms);
        for (rows, bytes, ms, drained, free, due) in [
            (0, 0, 9, true, true, false),
            (1, 10, 0, true, true, true),
            (1, 10, 0, true, false, false),
            (1, 10, 0, false, true, false),
            (1, 10, 5, false, false, true),
            (10, 10, 0, false, false, true),
            (1, 1000, 0, false, false, true),
            (9, 999, 4, false, true, false),
        ] {
            let hand = InHand { rows, bytes, since };
            assert_eq!(
                is_due(&CUTTING, hand, at(ms), drained, free),
                due,
                "{rows} {bytes} {ms} {drained} {free}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_read_never_overfills_the_rows(rows in 0usize..10, bytes in 0usize..2000, size in 0usize..500) {
            let hand = InHand { rows, bytes, since: Instant::now() };
            let room = room(&CUTTING, hand, size);
            prop_assert!(room >= 1 && rows + room <= 10);
        }
    }
}

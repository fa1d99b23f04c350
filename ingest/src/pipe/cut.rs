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
            || (drained && worker_free && now.duration_since(hand.since) >= cutting.gather)
            || now.duration_since(hand.since) >= cutting.max_delay)
}

/// How long what is in hand and could be scored still waits for others; `None`: it does not.
pub(super) fn gathers_for(
    cutting: &Cutting,
    hand: InHand,
    now: Instant,
    drained: bool,
    worker_free: bool,
) -> Option<Duration> {
    let gathers = drained && worker_free && hand.rows > 0 && !is_full(cutting, hand);
    let left = (hand.since + cutting.gather).saturating_duration_since(now);
    (gathers && !left.is_zero()).then_some(left)
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

    const CUTTING: Cutting = Cutting {
        max_rows: 10,
        max_bytes: 1000,
        gather: Duration::from_millis(2),
        max_delay: Duration::from_millis(5),
    };

    #[test]
    fn cut_at_the_first_reason() {
        let since = Instant::now();
        let at = |ms| since + Duration::from_millis(ms);
        for (rows, bytes, ms, drained, free, due) in [
            (0, 0, 9, true, true, false),
            (1, 10, 1, true, true, false),
            (1, 10, 2, true, true, true),
            (1, 10, 2, true, false, false),
            (1, 10, 2, false, true, false),
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

    #[test]
    fn only_what_could_be_scored_at_once_gathers_others_and_is_due_then() {
        let since = Instant::now();
        let at = |ms| since + Duration::from_millis(ms);
        for (rows, ms, drained, free, gathers_ms) in [
            (1, 0, true, true, Some(2)),
            (1, 1, true, true, Some(1)),
            (1, 2, true, true, None),
            (0, 0, true, true, None),
            (10, 0, true, true, None),
            (1, 0, false, true, None),
            (1, 0, true, false, None),
        ] {
            let hand = InHand { rows, bytes: 10, since };
            let left = gathers_for(&CUTTING, hand, at(ms), drained, free);
            assert_eq!(left, gathers_ms.map(Duration::from_millis), "{rows} {ms} {drained} {free}");
            if let Some(left) = left {
                assert!(!is_due(&CUTTING, hand, at(ms), drained, free));
                assert!(is_due(&CUTTING, hand, at(ms) + left, drained, free));
            }
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

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

/// What becomes of what is in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hand {
    /// It is cut now.
    Due,
    /// It could be scored, and waits so long for others.
    Gathers(Duration),
    /// It is held until more comes, a worker is free or it is too old; or there is nothing.
    Held,
}

/// What becomes of what is in hand now.
pub(super) fn decide(
    cutting: &Cutting,
    hand: InHand,
    now: Instant,
    drained: bool,
    worker_free: bool,
) -> Hand {
    if hand.rows == 0 {
        return Hand::Held;
    }
    let age = now.duration_since(hand.since);
    if is_full(cutting, hand) || age >= cutting.max_delay {
        return Hand::Due;
    }
    if !drained || !worker_free {
        return Hand::Held;
    }
    match cutting.gather.min(cutting.max_delay).saturating_sub(age) {
        Duration::ZERO => Hand::Due,
        left => Hand::Gathers(left),
    }
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
    fn cut_at_the_first_reason_and_only_what_could_be_scored_gathers_others() {
        let since = Instant::now();
        let at = |ms| since + Duration::from_millis(ms);
        let gathers = |ms| Hand::Gathers(Duration::from_millis(ms));
        for (rows, bytes, ms, drained, free, becomes) in [
            (0, 0, 0, true, true, Hand::Held),
            (0, 0, 9, true, true, Hand::Held),
            (1, 10, 0, true, true, gathers(2)),
            (1, 10, 1, true, true, gathers(1)),
            (1, 10, 2, true, true, Hand::Due),
            (1, 10, 0, true, false, Hand::Held),
            (1, 10, 0, false, true, Hand::Held),
            (1, 10, 2, true, false, Hand::Held),
            (1, 10, 2, false, true, Hand::Held),
            (1, 10, 5, false, false, Hand::Due),
            (10, 10, 0, true, true, Hand::Due),
            (10, 10, 0, false, false, Hand::Due),
            (1, 1000, 0, false, false, Hand::Due),
            (9, 999, 4, false, true, Hand::Held),
        ] {
            let hand = InHand { rows, bytes, since };
            let found = decide(&CUTTING, hand, at(ms), drained, free);
            assert_eq!(found, becomes, "{rows} {bytes} {ms} {drained} {free}");
            if let Hand::Gathers(left) = found {
                assert_eq!(decide(&CUTTING, hand, at(ms) + left, drained, free), Hand::Due);
            }
        }
        // Not past the delay that is allowed.
        let shorter = Cutting { max_delay: Duration::from_millis(1), ..CUTTING };
        let hand = InHand { rows: 1, bytes: 10, since };
        assert_eq!(decide(&shorter, hand, since, true, true), gathers(1));
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

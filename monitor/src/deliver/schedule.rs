//! When a delivery that failed is tried again, and when it goes to the next route.

/// Waits after the first to fifth failure.
pub const RETRY_MS: [i64; 5] = [5_000, 15_000, 45_000, 120_000, 300_000];

/// How long a message waits for a route that fails before the next one takes over.
pub const FALL_OVER_MS: i64 = RETRY_MS[0] + RETRY_MS[1] + RETRY_MS[2] + RETRY_MS[3] + RETRY_MS[4];

/// A receiver may ask for a longer wait, but not for more than this: it is on-call who waits.
pub const MAX_RETRY_AFTER_MS: i64 = 15 * 60_000;

/// Where no route is left to fall over to, the last wait is repeated for so long.
pub const GIVE_UP_MS: i64 = 24 * 3_600_000;

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Again, at this time.
    Again(i64),
    /// Not here any more: the next route, or none.
    Over,
}

/// After `attempts` (this one included) failed, at `now_ms`, for a message created at `created_ms`.
pub fn next(
    attempts: u32,
    retry_after_ms: Option<i64>,
    has_next_route: bool,
    created_ms: i64,
    now_ms: i64,
) -> Next {
    let asked = retry_after_ms.unwrap_or(0).clamp(0, MAX_RETRY_AFTER_MS);
    let wait = match RETRY_MS.get(attempts.max(1) as usize - 1) {
        Some(wait) => *wait,
        None if has_next_route || now_ms - created_ms >= GIVE_UP_MS => return Next::Over,
        None => RETRY_MS[RETRY_MS.len() - 1],
    };
    Next::Again(now_ms + wait.max(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_then_the_next_route_takes_over() {
        let waits: Vec<Next> = (1..=6).map(|n| next(n, None, true, 0, 1_000)).collect();
        let again = |ms: i64| Next::Again(1_000 + ms);
        assert_eq!(
            waits,
            [
                again(5_000),
                again(15_000),
                again(45_000),
                again(120_000),
                again(300_000),
                Next::Over
            ]
        );
    }

    #[test]
    fn the_next_route_takes_over_after_all_waits() {
        assert_eq!(FALL_OVER_MS, RETRY_MS.iter().sum::<i64>());
    }

    #[test]
    fn the_last_route_goes_on_for_a_day() {
        assert_eq!(next(40, None, false, 0, 1_000), Next::Again(301_000));
        assert_eq!(next(400, None, false, 0, GIVE_UP_MS), Next::Over);
    }

    #[test]
    fn retry_after_is_honoured_within_a_bound() {
        assert_eq!(next(1, Some(60_000), true, 0, 0), Next::Again(60_000));
        assert_eq!(next(1, Some(1), true, 0, 0), Next::Again(5_000));
        assert_eq!(next(1, Some(i64::MAX), true, 0, 0), Next::Again(MAX_RETRY_AFTER_MS));
        assert_eq!(next(1, Some(-5), true, 0, 0), Next::Again(5_000));
    }
}

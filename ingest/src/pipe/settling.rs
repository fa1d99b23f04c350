//! How long a transaction waits behind the last one.
//!
//! The broker answers a commit before it has written the commit's markers, and refuses partitions of
//! the next transaction until then. librdkafka asks again after 20 ms; a wait of about the time that
//! the markers take is much shorter, so this learns that time.

use std::time::{Duration, Instant};

/// A transaction that was refused takes at least so long until its records are acknowledged.
const REFUSED: Duration = Duration::from_millis(20);
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(15);
/// Longer after a refusal,
const STEP_UP: Duration = Duration::from_millis(1);
/// and shorter, slowly, while there is none: at the balance one transaction in fifty is refused.
const STEP_DOWN: Duration = Duration::from_micros(20);
/// How fast the usual time to acknowledgement follows: by so much a transaction, towards the median.
const USUAL_STEP: Duration = Duration::from_micros(100);

/// Learns from small transactions: in large ones a refusal hides behind the records' own time.
#[derive(Debug)]
pub(super) struct Settling {
    pause: Duration,
    committed_at: Option<Instant>,
    /// From the beginning of a commit until the records are acknowledged.
    usual: Duration,
}

impl Default for Settling {
    fn default() -> Self {
        Self {
            pause: Duration::from_millis(3),
            committed_at: None,
            usual: Duration::from_millis(3),
        }
    }
}

impl Settling {
    /// A commit was answered: of a transaction that was `open` until its commit began, and of which
    /// the records were acknowledged `took` later. A refused one waits for the rest of librdkafka's
    /// 20 ms then, where others wait for a slow broker as they always do; one that was open for so long
    /// anyway tells nothing.
    pub(super) fn committed(&mut self, now: Instant, small: bool, open: Duration, took: Duration) {
        self.committed_at = Some(now);
        if !small || open >= REFUSED {
            return;
        }
        if open + took >= REFUSED && took >= self.usual * 2 {
            self.pause = (self.pause + STEP_UP).min(LONGEST);
        } else {
            self.pause = self.pause.saturating_sub(STEP_DOWN).max(SHORTEST);
        }
        if took > self.usual {
            self.usual += USUAL_STEP;
        } else {
            self.usual = self.usual.saturating_sub(USUAL_STEP);
        }
    }

    /// How long the next transaction should wait before it begins.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.committed_at
            .map_or(Duration::ZERO, |at| (at + self.pause).saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_refusal_lengthens_the_wait_and_its_absence_shortens_it_slowly() {
        let (mut settling, now) = (Settling::default(), Instant::now());
        assert_eq!(settling.wait(now), Duration::ZERO, "nothing was committed yet");
        settling.committed(now, true, ms(5), ms(16));
        assert_eq!(settling.wait(now), ms(4));
        assert_eq!(settling.wait(now + ms(5)), Duration::ZERO);
        (0..50).for_each(|_| settling.committed(now, true, ms(5), ms(2)));
        assert_eq!(settling.wait(now), ms(3));
        settling.committed(now, true, ms(30), ms(60));
        assert_eq!(settling.wait(now), ms(3), "one that was open for long teaches nothing");
        settling.committed(now, false, ms(5), Duration::from_secs(1));
        assert_eq!(settling.wait(now), ms(3), "large ones teach nothing");
        (0..1000).for_each(|_| settling.committed(now, true, Duration::ZERO, ms(1)));
        assert_eq!(settling.wait(now), SHORTEST);
        (0..20).for_each(|_| settling.committed(now, true, ms(5), ms(18)));
        assert_eq!(settling.wait(now), LONGEST, "at once, where the markers take longer");
    }

    #[test]
    fn a_slow_broker_is_no_refusal() {
        let (mut settling, now) = (Settling::default(), Instant::now());
        // Slower and slower, then steady: two in three of them pass 20 ms.
        (0..200).for_each(|at| settling.committed(now, true, ms(6), ms(3) + ms(15) * at / 200));
        (0..1000).for_each(|at| settling.committed(now, true, ms(6), ms(13 + at % 3 * 2)));
        assert_eq!(settling.wait(now), SHORTEST);
        (0..20).for_each(|_| settling.committed(now, true, ms(6), ms(40)));
        assert_eq!(settling.wait(now), LONGEST);
    }
}

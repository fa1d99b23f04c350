//! How long a transaction waits behind the last one.
//!
//! The broker answers a commit before it has written the commit's markers, and refuses partitions of
//! the next transaction until then. librdkafka asks again after 20 ms; a wait of about the time that
//! the markers take is much shorter, so this learns that time.

use std::time::{Duration, Instant};

/// A transaction that was refused takes at least so long until its records are acknowledged.
const REFUSED: Duration = Duration::from_millis(20);
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(10);
/// Longer after a refusal,
const STEP_UP: Duration = Duration::from_millis(1);
/// and shorter, slowly, while there is none: at the balance one transaction in fifty is refused.
const STEP_DOWN: Duration = Duration::from_micros(20);

/// Learns from small transactions: in large ones a refusal hides behind the records' own time.
#[derive(Debug)]
pub(super) struct Settling {
    pause: Duration,
    committed_at: Option<Instant>,
}

impl Default for Settling {
    fn default() -> Self {
        Self { pause: Duration::from_millis(3), committed_at: None }
    }
}

impl Settling {
    /// A commit was answered; `acknowledged` is the time from its begin to its last acknowledgement.
    pub(super) fn committed(&mut self, now: Instant, small: bool, acknowledged: Duration) {
        self.committed_at = Some(now);
        if small && acknowledged >= REFUSED {
            self.pause = (self.pause + STEP_UP).min(LONGEST);
        } else if small {
            self.pause = self.pause.saturating_sub(STEP_DOWN).max(SHORTEST);
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

    #[test]
    fn a_refusal_lengthens_the_wait_and_its_absence_shortens_it_slowly() {
        let (mut settling, now) = (Settling::default(), Instant::now());
        assert_eq!(settling.wait(now), Duration::ZERO, "nothing was committed yet");
        settling.committed(now, true, REFUSED);
        assert_eq!(settling.wait(now), Duration::from_millis(4));
        assert_eq!(settling.wait(now + Duration::from_millis(5)), Duration::ZERO);
        (0..50).for_each(|_| settling.committed(now, true, Duration::from_millis(2)));
        assert_eq!(settling.wait(now), Duration::from_millis(3));
        settling.committed(now, false, Duration::from_secs(1));
        assert_eq!(settling.wait(now), Duration::from_millis(3), "large ones teach nothing");
        (0..1000).for_each(|_| settling.committed(now, true, Duration::ZERO));
        assert_eq!(settling.wait(now), SHORTEST);
        (0..1000).for_each(|_| settling.committed(now, true, REFUSED));
        assert_eq!(settling.wait(now), LONGEST);
    }
}

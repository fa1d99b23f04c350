//! The one way to ask a hop to end: only sources look at it, everything behind them sees its input end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A sleeper sees the flag within this.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A flag that is raised once. Cheap to clone; all clones are one flag.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A flag that is not raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a graceful end: sources stop reading, what was read is finished.
    pub fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Sleeps for `length`, or until the end is asked for; answers whether it was.
    pub fn sleep(&self, length: Duration) -> bool {
        let until = Instant::now() + length;
        while !self.is_raised() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(left.min(LOOK_EVERY));
        }
        true
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

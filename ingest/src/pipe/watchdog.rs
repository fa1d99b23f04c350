//! A watch over C calls that may never return: a thread stuck in one cannot be torn down.
//!
//! The publisher's calls are recoverable: it is left behind with its producer, which the next one
//! fences. The consumer's are not: two of them cannot be one member.
//!
//! Time counts only while the process runs: one that was frozen (SIGSTOP, a debugger) would find calls late
//! that had no time to return.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often the watch looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The most that passes from one look to the next: what is longer was no time in which a call could return.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// What follows when a call does not return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// Its thread is left behind and the hop runs again.
    LeaveBehind,
    /// The process has to end.
    EndProcess,
}

/// Hands out guards for calls with a limit. Clones watch together.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Mutex<Calls>>);

struct Calls {
    under_way: Vec<Call>,
    next_id: u64,
    over: bool,
    /// How long the process had run at the last look, and when that was.
    ran: Duration,
    looked_at: Instant,
}

struct Call {
    id: u64,
    name: &'static str,
    /// By the clock of [`Calls::now`].
    deadline: Duration,
    late: Late,
}

impl Calls {
    fn new() -> Self {
        let (ran, looked_at) = (Duration::ZERO, Instant::now());
        Self { under_way: Vec::new(), next_id: 0, over: false, ran, looked_at }
    }

    /// How long the process has run.
    fn now(&self) -> Duration {
        self.ran + self.looked_at.elapsed().min(LOOK_MAX)
    }

    /// One that ends the process before one that was left behind, which stays late for ever.
    fn find_late(&self) -> Option<(&'static str, Late)> {
        let now = self.now();
        let late = self.under_way.iter().filter(|call| call.deadline < now);
        let worst = late.max_by_key(|call| call.late == Late::EndProcess);
        worst.map(|call| (call.name, call.late))
    }

    fn look(&mut self) -> Option<(&'static str, Late)> {
        (self.ran, self.looked_at) = (self.now(), Instant::now());
        self.find_late()
    }
}

/// The call is over when this is dropped.
pub(crate) struct Guard<'w> {
    watch: &'w Watch,
    id: u64,
}

/// The watching thread ends (within a quarter of a second) when this is dropped.
pub(crate) struct Watching(Watch);

impl Watch {
    /// Starts the watching thread; `when_late` is called on it, again and again while a call is late.
    pub(crate) fn start(
        when_late: impl Fn(&'static str, Late) + Send + 'static,
    ) -> (Self, Watching) {
        let watch = Self(Arc::new(Mutex::new(Calls::new())));
        let looking = watch.clone();
        // Not joined: it owns nothing but the list, and waiting for its nap would slow each restart.
        thread::spawn(move || looking.look(&when_late));
        (watch.clone(), Watching(watch))
    }

    /// A call begins that must be over within `limit`.
    pub(crate) fn enter(&self, name: &'static str, limit: Duration, late: Late) -> Guard<'_> {
        let mut calls = self.calls();
        let id = calls.next_id;
        calls.next_id += 1;
        let deadline = calls.now() + limit;
        calls.under_way.push(Call { id, name, deadline, late });
        Guard { watch: self, id }
    }

    /// Whether some call is past its limit.
    pub(crate) fn has_late(&self) -> bool {
        self.calls().find_late().is_some()
    }

    fn look(&self, when_late: &dyn Fn(&'static str, Late)) {
        loop {
            let late = {
                let mut calls = self.calls();
                if calls.over {
                    return;
                }
                calls.look()
            };
            if let Some((name, late)) = late {
                when_late(name, late);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.watch.calls().under_way.retain(|call| call.id != self.id);
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.calls().over = true;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_call_past_its_limit_is_reported_and_one_within_is_not() {
        let reported = Arc::new(AtomicUsize::new(0));
        let (watch, _watching) = {
            let reported = reported.clone();
            Watch::start(move |name, late| {
                assert_eq!((name, late), ("slow", Late::LeaveBehind));
                reported.fetch_add(1, Ordering::SeqCst);
            })
        };
        drop(watch.enter("quick", Duration::ZERO, Late::EndProcess));
        let _patient = watch.enter("patient", Duration::from_secs(60), Late::EndProcess);
        thread::sleep(LOOK_EVERY * 2);
        assert_eq!((reported.load(Ordering::SeqCst), watch.has_late()), (0, false));
        let _slow = watch.enter("slow", Duration::from_millis(1), Late::LeaveBehind);
        thread::sleep(LOOK_EVERY * 3);
        assert!(reported.load(Ordering::SeqCst) >= 1 && watch.has_late());
    }

    #[test]
    fn a_call_that_was_left_behind_does_not_hide_one_that_ends_the_process() {
        let (watch, _watching) = Watch::start(|_, _| {});
        let _left = watch.enter("left behind", Duration::ZERO, Late::LeaveBehind);
        let _stuck = watch.enter("stuck", Duration::ZERO, Late::EndProcess);
        let _too = watch.enter("left behind, too", Duration::ZERO, Late::LeaveBehind);
        thread::sleep(Duration::from_millis(1));
        assert_eq!(watch.calls().find_late(), Some(("stuck", Late::EndProcess)));
    }

    #[test]
    fn a_process_that_was_frozen_finds_no_call_late_for_it() {
        let mut calls = Calls::new();
        calls.under_way.push(Call {
            id: 0,
            name: "within its limit",
            deadline: LOOK_MAX * 3 / 2,
            late: Late::EndProcess,
        });
        let frozen = Duration::from_secs(60);
        calls.looked_at = Instant::now().checked_sub(frozen).expect("a minute of uptime");
        assert_eq!(calls.look(), None);
        calls.looked_at -= LOOK_MAX * 2;
        assert_eq!(calls.look(), Some(("within its limit", Late::EndProcess)));
    }
}

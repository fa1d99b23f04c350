//! A watch over C calls that may never return: a thread stuck in one cannot be torn down.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::config::StuckHook;

/// How often the watch looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Hands out guards for calls with a limit. The watching thread ends when the last clone is gone.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Mutex<Vec<Call>>>);

struct Call {
    id: u64,
    name: &'static str,
    deadline: Instant,
}

/// The call is over when this is dropped.
pub(crate) struct Guard<'w> {
    watch: &'w Watch,
    id: u64,
}

impl Watch {
    /// Starts the watching thread in `scope`.
    pub(crate) fn start<'scope>(scope: &'scope thread::Scope<'scope, '_>, hook: StuckHook) -> Self {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::downgrade(&calls);
        scope.spawn(move || look(&seen, &hook));
        Self(calls)
    }

    /// A call begins that must be over within `limit`.
    pub(crate) fn enter(&self, name: &'static str, limit: Duration) -> Guard<'_> {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = calls.last().map_or(0, |call| call.id + 1);
        calls.push(Call { id, name, deadline: Instant::now() + limit });
        Guard { watch: self, id }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let mut calls = self.watch.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.retain(|call| call.id != self.id);
    }
}

fn look(calls: &Weak<Mutex<Vec<Call>>>, hook: &StuckHook) {
    while let Some(calls) = calls.upgrade() {
        let now = Instant::now();
        let late = {
            let calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
            calls.iter().find(|call| call.deadline < now).map(|call| call.name)
        };
        drop(calls);
        if let Some(name) = late {
            hook.0(name);
        }
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_call_past_its_limit_is_reported_and_one_within_is_not() {
        let reported = Arc::new(AtomicUsize::new(0));
        let hook = {
            let reported = reported.clone();
            StuckHook(Arc::new(move |name| {
                assert_eq!(name, "slow");
                reported.fetch_add(1, Ordering::SeqCst);
            }))
        };
        thread::scope(|scope| {
            let watch = Watch::start(scope, hook);
            drop(watch.enter("quick", Duration::ZERO));
            let _patient = watch.enter("patient", Duration::from_secs(60));
            thread::sleep(LOOK_EVERY * 2);
            assert_eq!(reported.load(Ordering::SeqCst), 0);
            let _slow = watch.enter("slow", Duration::from_millis(1));
            thread::sleep(LOOK_EVERY * 3);
        });
        assert!(reported.load(Ordering::SeqCst) >= 1);
    }
}

//! What readiness means: every hop of this process is up, with a warm model and an assignment. And how
//! long a hop has been failing, which is for an alarm, not for readiness.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::hops::Waiting;

/// A run that has lasted so long is up again, whatever was before.
const STEADY: Duration = Duration::from_secs(30);

/// Readiness of the parts of one process.
#[derive(Default)]
pub(crate) struct Health {
    parts: Mutex<Vec<Arc<Part>>>,
    hops: Mutex<Vec<Arc<Hop>>>,
    /// What is not archived yet.
    pub(crate) waiting: Waiting,
}

/// One thing that must be up; down until [`Part::set`] says otherwise.
pub(crate) struct Part {
    name: &'static str,
    up: AtomicBool,
}

/// A hop that is started again whenever it fails.
pub(crate) struct Hop {
    name: &'static str,
    runs: Mutex<Runs>,
}

#[derive(Clone, Copy, Default)]
struct Runs {
    begun: Option<Instant>,
    failing_since: Option<Instant>,
}

impl Health {
    /// Adds a hop that is watched over.
    pub(crate) fn hop(&self, name: &'static str) -> Arc<Hop> {
        let hop = Arc::new(Hop::new(name));
        self.hops.lock().expect("no panic holds this lock").push(hop.clone());
        hop
    }

    /// Every hop, and how long it has been down at `now`.
    pub(crate) fn down(&self, now: Instant) -> Vec<(&'static str, Duration)> {
        let hops = self.hops.lock().expect("no panic holds this lock");
        hops.iter().map(|hop| (hop.name, hop.down_for(now))).collect()
    }

    /// Adds a part that readiness waits for.
    pub(crate) fn part(&self, name: &'static str) -> Arc<Part> {
        let part = Arc::new(Part { name, up: AtomicBool::new(false) });
        self.parts.lock().expect("no panic holds this lock").push(part.clone());
        part
    }

    /// Every part, and whether it is up.
    pub(crate) fn parts(&self) -> Vec<(&'static str, bool)> {
        let parts = self.parts.lock().expect("no panic holds this lock");
        parts.iter().map(|part| (part.name, part.up.load(Ordering::Relaxed))).collect()
    }

    /// Names of the parts that are down; empty means ready.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        self.parts().into_iter().filter(|(_, up)| !up).map(|(name, _)| name).collect()
    }
}

impl Part {
    /// Says whether the part is up now.
    pub(crate) fn set(&self, up: bool) {
        self.up.store(up, Ordering::Relaxed);
    }
}

impl Hop {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, runs: Mutex::default() }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// A run begins.
    pub(crate) fn begins(&self, now: Instant) {
        self.runs.lock().expect("no panic holds this lock").begun = Some(now);
    }

    /// The run failed.
    pub(crate) fn failed(&self, now: Instant) {
        let mut runs = self.runs.lock().expect("no panic holds this lock");
        if runs.failing_since.is_none() || runs.is_steady(now) {
            runs.failing_since = Some(now);
        }
        runs.begun = None;
    }

    /// Since it first failed without having been steady in between; 0 when it is up.
    fn down_for(&self, now: Instant) -> Duration {
        let runs = *self.runs.lock().expect("no panic holds this lock");
        match runs.failing_since {
            Some(since) if !runs.is_steady(now) => now.saturating_duration_since(since),
            Some(_) | None => Duration::ZERO,
        }
    }
}

impl Runs {
    fn is_steady(self, now: Instant) -> bool {
        self.begun.is_some_and(|begun| now.saturating_duration_since(begun) >= STEADY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_is_down_from_its_first_failure_until_a_run_lasts() {
        let (health, start) = (Health::default(), Instant::now());
        let hop = health.hop("score");
        let at = |seconds| start + Duration::from_secs(seconds);
        let down = |seconds| health.down(at(seconds))[0].1.as_secs();
        hop.begins(at(0));
        assert_eq!(down(1), 0, "nothing has failed yet");
        hop.failed(at(5));
        assert_eq!(down(15), 10);
        hop.begins(at(15));
        assert_eq!(down(20), 15, "it has begun, and may fail again");
        hop.failed(at(21));
        hop.begins(at(30));
        assert_eq!(down(59), 54);
        assert_eq!(down(60), 0, "it lasts");
        hop.failed(at(100));
        assert_eq!(down(103), 3, "a new failure, not the old one");
    }

    #[test]
    fn ready_only_when_every_part_is_up() {
        let health = Health::default();
        let (model, assignment) = (health.part("model"), health.part("assignment"));
        model.set(true);
        assert_eq!(health.missing(), ["assignment"]);
        assignment.set(true);
        assert!(health.missing().is_empty());
        model.set(false);
        assert_eq!(health.missing(), ["model"]);
    }
}

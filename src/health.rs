//! What readiness means: every hop of this process is up, with a warm model and an assignment.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Readiness of the parts of one process.
#[derive(Default)]
pub(crate) struct Health {
    parts: Mutex<Vec<std::sync::Arc<Part>>>,
}

/// One thing that must be up; down until [`Part::set`] says otherwise.
pub(crate) struct Part {
    name: &'static str,
    up: AtomicBool,
}

impl Health {
    /// Adds a part that readiness waits for.
    pub(crate) fn part(&self, name: &'static str) -> std::sync::Arc<Part> {
        let part = std::sync::Arc::new(Part { name, up: AtomicBool::new(false) });
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

#[cfg(test)]
mod tests {
    use super::*;

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

//! Which partitions have records that are not archived yet: hop 2 says so, and the monitor waits for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use monitor::window::Lagging;

/// What hop 2 of this process knows of each table that it archives.
#[derive(Default)]
pub(crate) struct Waiting {
    tables: Mutex<BTreeMap<&'static str, Option<BTreeSet<i32>>>>,
}

impl Waiting {
    /// This process archives `table`, and does not know yet what waits.
    pub(crate) fn begin(&self, table: &'static str) {
        self.set(table, None);
    }

    /// These partitions have records that are not published; of the process's others none has.
    pub(super) fn tell(&self, table: &'static str, partitions: BTreeSet<i32>) {
        self.set(table, Some(partitions));
    }

    /// What is known of `table`. Of a table that another process archives nothing is.
    pub(crate) fn of(&self, table: &str) -> Lagging {
        match self.tables.lock().expect("no panic holds this lock").get(table) {
            None => Lagging::default(),
            Some(None) => Lagging::All,
            Some(Some(partitions)) => Lagging::These(partitions.clone()),
        }
    }

    fn set(&self, table: &'static str, known: Option<BTreeSet<i32>>) {
        self.tables.lock().expect("no panic holds this lock").insert(table, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_yet_is_waited_for() {
        let waiting = Waiting::default();
        assert_eq!(waiting.of("results"), Lagging::These(BTreeSet::new()), "another archives it");
        waiting.begin("results");
        assert_eq!(waiting.of("results"), Lagging::All);
        waiting.tell("results", BTreeSet::from([3]));
        assert_eq!(waiting.of("results"), Lagging::These(BTreeSet::from([3])));
    }
}

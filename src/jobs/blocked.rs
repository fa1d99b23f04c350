//! Jobs that cannot go on at present: why, and how long until each is tried again. Pure: it neither says nor
//! counts anything. A job that is not named here is well.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// From an error of a job to its next try: as long as a hop that fails again and again waits at most.
const AGAIN: Duration = Duration::from_secs(30);

/// Where a job can be held up, in the order in which it comes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// What is due is looked up.
    Look,
    /// A run is started.
    Start,
    /// A run is written down.
    Run,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Blocked {
    jobs: BTreeMap<String, Why>,
}

struct Why {
    step: Step,
    error: String,
    at: Instant,
}

impl Blocked {
    /// `job` failed at `now`; answers whether that is news: the same error is none.
    pub(crate) fn note(&mut self, job: &str, step: Step, error: &str, now: Instant) -> bool {
        let why = Why { step, error: error.to_owned(), at: now };
        let before = self.jobs.insert(job.to_owned(), why);
        before.is_none_or(|before| before.error != error)
    }

    /// `job` came past `step`; answers whether that ended what held it up.
    pub(crate) fn past(&mut self, job: &str, step: Step) -> bool {
        let over = self.jobs.get(job).is_some_and(|why| why.step <= step);
        over && self.jobs.remove(job).is_some()
    }

    /// Whether `job` is left alone at `now`.
    pub(crate) fn waits(&self, job: &str, now: Instant) -> bool {
        self.jobs.get(job).is_some_and(|why| now.saturating_duration_since(why.at) < AGAIN)
    }

    /// How many jobs are held up.
    pub(crate) fn count(&self) -> usize {
        self.jobs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_news_once_and_holds_up_its_own_job_for_a_while() {
        let (mut blocked, start) = (Blocked::default(), Instant::now());
        assert!(blocked.note("one", Step::Look, "damaged", start));
        assert!(blocked.waits("one", start) && !blocked.waits("other", start));
        let later = start + AGAIN;
        assert!(!blocked.waits("one", later), "it is tried again");
        assert!(!blocked.note("one", Step::Look, "damaged", later), "said before");
        assert!(blocked.waits("one", later));
        assert!(blocked.note("one", Step::Look, "gone", later), "another error");
        assert!(blocked.note("other", Step::Look, "gone", later), "another job");
        assert_eq!(blocked.count(), 2);
        assert!(blocked.past("one", Step::Look) && !blocked.past("one", Step::Look));
        assert_eq!(blocked.count(), 1);
        assert!(blocked.note("one", Step::Look, "gone", later), "it was well in between");
    }

    #[test]
    fn what_failed_later_is_not_well_because_an_earlier_step_is() {
        let steps = [Step::Look, Step::Start, Step::Run];
        for failed in steps {
            for step in steps {
                let mut blocked = Blocked::default();
                blocked.note("one", failed, "no space", Instant::now());
                assert_eq!(blocked.past("one", step), step >= failed, "{failed:?} {step:?}");
            }
        }
    }
}

//! Up to when the archive's event time is complete, for the jobs that wait for it.
//!
//! A look at an object store that hangs takes minutes. The scheduler's looks are made on a thread beside it, one at
//! a time: jobs that do not wait for the watermark go on, and the others are told why it is not known.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use monitor::window::{Lagging, TableTimes, watermark};

use crate::config::Config;
use crate::pipeline::RESULTS;

/// From the begin of one look at the archive to the next.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a look may take before the jobs that wait for it are held up: looks after the first read new files only.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same until one has succeeded: that one reads the end of every file.
const PATIENCE_AT_FIRST: Duration = Duration::from_secs(600);

/// The watermark, or why it is not known.
pub(crate) type Mark = anyhow::Result<Option<Timestamp>>;

/// Looks up the watermark at a time; these partitions have records that are not archived yet. It remembers the
/// files that it has seen.
pub(crate) type Look = Box<dyn FnMut(&Lagging, Timestamp) -> Mark + Send>;

/// Looks at the archive of `config`.
pub(crate) fn look_at_archive(config: &Config) -> Look {
    let folder = batch::topic_folder(&config.archive.directory, RESULTS, &config.output.topic);
    let (idle, late) = (config.monitor.idle_seconds, config.monitor.lateness_seconds);
    let mut times = TableTimes::of_events();
    Box::new(move |lagging: &Lagging, now: Timestamp| -> Mark {
        let partitions = times.look(&folder)?;
        let mark = watermark(partitions, lagging, now.as_microsecond(), idle, late);
        Ok(mark.and_then(|micros| Timestamp::from_microsecond(micros).ok()))
    })
}

/// See the module.
pub(crate) struct Watermark {
    look: Arc<Mutex<Look>>,
    /// A look that is under way.
    looking: Option<JoinHandle<Mark>>,
    /// When the last one was begun.
    begun: Option<Instant>,
    /// Whether one has succeeded.
    knows_files: bool,
    /// What the last one that ended said.
    said: Result<Option<Timestamp>, String>,
}

impl Watermark {
    /// Nothing is known yet.
    pub(crate) fn new(look: Look) -> Self {
        let (looking, begun, said) = (None, None, Ok(None));
        Self { look: Arc::new(Mutex::new(look)), looking, begun, knows_files: false, said }
    }

    /// Takes what a look has said meanwhile; answers whether that is news.
    ///
    /// # Panics
    /// With the panic of the look.
    pub(crate) fn hear(&mut self) -> bool {
        let Some(ended) = self.looking.take_if(|looking| looking.is_finished()) else {
            return false;
        };
        let said = ended.join().unwrap_or_else(|panic| resume_unwind(panic));
        let said = said.map_err(|error| format!("{error:#}"));
        self.knows_files |= said.is_ok();
        let before = std::mem::replace(&mut self.said, said);
        before != self.said
    }

    /// The watermark as the last look found it; begins another when that is some seconds old. Does not wait.
    pub(crate) fn at(&mut self, lagging: Lagging, now: Timestamp, clock: Instant) -> Mark {
        self.hear();
        let patience = if self.knows_files { PATIENCE } else { PATIENCE_AT_FIRST };
        let since = self.begun.map(|begun| clock.saturating_duration_since(begun));
        if self.looking.is_none() && since.is_none_or(|since| since >= LOOK_EVERY) {
            self.begun = Some(clock);
            self.begin(lagging, now);
        } else if self.looking.is_some()
            && self.said.is_ok()
            && since.is_some_and(|since| since >= patience)
        {
            // What an earlier look failed with says more.
            anyhow::bail!("a look at it has not ended for {} s", patience.as_secs());
        }
        self.said.clone().map_err(anyhow::Error::msg)
    }

    /// On a thread that nobody waits for: it only reads, and a process that ends need not wait for the store.
    fn begin(&mut self, lagging: Lagging, now: Timestamp) {
        let look = Arc::clone(&self.look);
        let work = move || (*look.lock().expect("its panic is passed on"))(&lagging, now);
        match Builder::new().name("tg-watermark".into()).spawn(work) {
            Ok(looking) => self.looking = Some(looking),
            Err(error) => self.said = Err(format!("a thread cannot be started: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    /// Takes the answer that was just sent.
    fn heard(watermark: &mut Watermark) -> bool {
        let end = Instant::now() + Duration::from_secs(60);
        while watermark.looking.as_ref().is_some_and(|looking| !looking.is_finished()) {
            assert!(Instant::now() < end, "the look was answered");
            std::thread::sleep(Duration::from_millis(1));
        }
        watermark.hear()
    }

    #[test]
    fn a_look_that_hangs_is_told_and_waited_for_by_nobody() {
        let (answer, answers) = sync_channel::<Mark>(1);
        let (looked, looks) = sync_channel::<Timestamp>(9);
        let mut watermark = Watermark::new(Box::new(move |_: &Lagging, now: Timestamp| -> Mark {
            looked.send(now).expect("the test listens");
            // Where the test has failed nobody answers.
            answers.recv().unwrap_or(Ok(None))
        }));
        let (now, start) = (Timestamp::UNIX_EPOCH, Instant::now());
        let at = |watermark: &mut Watermark, after: Duration| {
            let mark = watermark.at(Lagging::default(), now, start + after);
            mark.map_err(|error| error.to_string())
        };
        let slow: Result<Option<Timestamp>, _> =
            Err("a look at it has not ended for 30 s".to_owned());
        assert_eq!(at(&mut watermark, Duration::ZERO), Ok(None));
        assert!(!watermark.hear());
        assert_eq!(at(&mut watermark, PATIENCE), Ok(None), "the first reads every file");
        let too_slow = Err("a look at it has not ended for 600 s".to_owned());
        assert_eq!(at(&mut watermark, PATIENCE_AT_FIRST), too_slow);
        answer.send(Ok(Some(now))).expect("it is looked");
        assert!(heard(&mut watermark), "that is news");
        let second = PATIENCE_AT_FIRST + LOOK_EVERY;
        assert_eq!(at(&mut watermark, second), Ok(Some(now)), "and another look is begun");
        assert_eq!(at(&mut watermark, second + LOOK_EVERY), Ok(Some(now)), "that is waited for");
        assert_eq!(at(&mut watermark, second + PATIENCE), slow);
        answer.send(Err(anyhow::anyhow!("no bucket"))).expect("it is looked");
        assert!(heard(&mut watermark));
        // Until one succeeds, whatever looks are under way: an error is said once.
        for after in [PATIENCE, 2 * PATIENCE, 4 * PATIENCE] {
            assert_eq!(
                at(&mut watermark, second + after),
                Err("no bucket".to_owned()),
                "{after:?}"
            );
        }
        answer.send(Ok(Some(now))).expect("it is looked");
        assert!(heard(&mut watermark));
        assert_eq!(at(&mut watermark, second + PATIENCE), Ok(Some(now)));
        assert_eq!(looks.try_iter().count(), 3, "one at a time, and no more than are called for");
    }
}

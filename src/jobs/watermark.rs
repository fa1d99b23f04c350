//! Up to when the archive's event time is complete, for the jobs that wait for it.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use monitor::window::{Lagging, TableTimes, watermark};

use crate::config::Config;
use crate::pipeline::RESULTS;

/// From one look at the archive to the next.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// See the module; it remembers the files that it has seen.
pub(crate) struct Watermark {
    times: TableTimes,
    looked: Option<Instant>,
    mark: Option<Timestamp>,
}

impl Watermark {
    /// Nothing is known yet.
    pub(crate) fn new() -> Self {
        Self { times: TableTimes::of_events(), looked: None, mark: None }
    }

    /// The watermark at `now`, some seconds old at most; `lagging` partitions have records that are not
    /// archived yet.
    pub(crate) fn at(
        &mut self,
        config: &Config,
        lagging: &Lagging,
        now: Timestamp,
    ) -> anyhow::Result<Option<Timestamp>> {
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            let folder =
                batch::topic_folder(&config.archive.directory, RESULTS, &config.output.topic);
            let partitions = self.times.look(&folder)?;
            let (idle, late) = (config.monitor.idle_seconds, config.monitor.lateness_seconds);
            let mark = watermark(partitions, lagging, now.as_microsecond(), idle, late);
            self.mark = mark.and_then(|micros| Timestamp::from_microsecond(micros).ok());
            self.looked = Some(Instant::now());
        }
        Ok(self.mark)
    }
}

//! Progress of long work: a live bar on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a plain line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// A count that goes up, shown on standard error.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    shown: bool,
    what: &'static str,
    total: Option<u64>,
    done: u64,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Starts showing `what` (a plural: "records"); without a total no time left is shown.
    pub(crate) fn start(what: &'static str, total: Option<u64>) -> Self {
        Self::start_if(true, what, total)
    }

    /// The same, or counts without showing anything: for work whose process writes a log.
    pub(crate) fn start_if(shown: bool, what: &'static str, total: Option<u64>) -> Self {
        let bar = (shown && std::io::stderr().is_terminal()).then(|| {
            let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let template = if total.is_some() {
                "{bar:30} {human_pos}/{human_len} {msg} · {per_sec} · {eta} left"
            } else {
                "{spinner} {human_pos} {msg} · {per_sec}"
            };
            bar.set_style(ProgressStyle::with_template(template).expect("the template is valid"));
            bar.set_message(what);
            bar
        });
        let now = Instant::now();
        Self { bar, shown, what, total, done: 0, started: now, last_line: now }
    }

    /// `more` are done.
    pub(crate) fn add(&mut self, more: u64) {
        self.done += more;
        match &self.bar {
            Some(bar) => bar.set_position(self.done),
            None if self.shown && self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                let of = self.total.map_or(String::new(), |total| format!(" of {total}"));
                let rate = self.done as f64 / self.started.elapsed().as_secs_f64();
                eprintln!("{}{of} {} · {rate:.0}/s", self.done, self.what);
            }
            None => {}
        }
    }

    /// So many are expected now, for all that is known.
    pub(crate) fn expect(&mut self, total: u64) {
        self.total = Some(total);
        if let Some(bar) = &self.bar {
            bar.set_length(total);
        }
    }

    /// How many are done, and in how long.
    pub(crate) fn finish(self) -> (u64, Duration) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        (self.done, self.started.elapsed())
    }
}

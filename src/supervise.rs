//! Hops are restarted, everything else ends the process loudly.
//!
//! One recovery path: a hop that failed is torn down whole and started as at boot, after a
//! back-off. What a restart cannot cure is not retried.

use std::time::{Duration, Instant};

use ingest::Stop;

use crate::health::Hop;

/// First wait before a failed hop is started again.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Longest wait: a broker that is back after minutes is found within half a minute.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A hop that ran so long before failing starts again with the first wait.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// Why a hop ended without being asked to.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A new start may cure it.
    Again(anyhow::Error),
    /// It cannot: the configuration, the data or another process is in the way.
    Final(anyhow::Error),
}

/// The wait before the next start, doubled each time.
struct BackOff {
    next: Duration,
}

impl BackOff {
    fn new() -> Self {
        Self { next: FIRST_WAIT }
    }

    fn wait_after(&mut self, ran: Duration) -> Duration {
        if ran >= HEALTHY_AFTER {
            self.next = FIRST_WAIT;
        }
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST_WAIT);
        wait
    }
}

/// Runs `run` until it ends in order, `stop` is raised, or its trouble is final; `hop` is told.
pub(crate) fn keep_running(
    hop: &Hop,
    stop: &Stop,
    mut run: impl FnMut() -> Result<(), Trouble>,
) -> anyhow::Result<()> {
    let name = hop.name();
    let restarts = opentelemetry::global::meter("tidegate")
        .u64_counter("tidegate.hop.restarts")
        .with_description("Times a hop was torn down and started again")
        .build();
    let mut back_off = BackOff::new();
    loop {
        let started = Instant::now();
        hop.begins(started);
        let error = match run() {
            Ok(()) => return Ok(()),
            Err(Trouble::Final(error)) => return Err(error.context(format!("hop {name}"))),
            Err(Trouble::Again(error)) => error,
        };
        if stop.is_raised() {
            tracing::warn!(hop = name, error = format!("{error:#}"), "hop failed while stopping");
            return Ok(());
        }
        hop.failed(Instant::now());
        let wait = back_off.wait_after(started.elapsed());
        restarts.add(1, &[opentelemetry::KeyValue::new("hop", name)]);
        tracing::error!(
            hop = name,
            error = format!("{error:#}"),
            wait_ms = wait.as_millis() as u64,
            "hop failed; starting it again"
        );
        if stop.sleep(wait) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_start_over_after_health() {
        let mut back_off = BackOff::new();
        let waits: Vec<u128> =
            (0..9).map(|_| back_off.wait_after(Duration::ZERO).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(back_off.wait_after(HEALTHY_AFTER), FIRST_WAIT);
    }

    #[test]
    fn final_trouble_is_not_retried() {
        let mut runs = 0;
        let ended = keep_running(&Hop::new("score"), &Stop::new(), || {
            runs += 1;
            match runs {
                1 => Err(Trouble::Again(anyhow::anyhow!("broker away"))),
                _ => Err(Trouble::Final(anyhow::anyhow!("topic missing"))),
            }
        });
        assert_eq!(runs, 2);
        assert_eq!(format!("{:#}", ended.unwrap_err()), "hop score: topic missing");
    }
}

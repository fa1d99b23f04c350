//! Latency at a rate: from handing an event to the producer to its result being visible for a
//! `read_committed` reader.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use ingest::{Connection, Outgoing, Producer, ScanConfig, Stop, scan};
use schemas::source_coordinates;
use serde::Serialize;

use super::{Events, Names};
use crate::pipeline::ASK;

/// How long results may still come after the last event.
const TAIL: Duration = Duration::from_secs(10);

/// Events at the beginning that do not count.
const WARM_UP: Duration = Duration::from_secs(1);

/// Latencies beyond a minute count as a minute, in microseconds.
const MAX_US: u64 = 60_000_000;

/// What was measured, in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    events_per_second: f64,
    events: u64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

/// Sends at `rate` for `length` and times each result.
pub(crate) fn measure(
    connection: &Connection,
    names: &Names,
    events: &Events,
    rate: f64,
    length: Duration,
) -> anyhow::Result<Latency> {
    let info = ingest::topic_info(connection, &names.input, ASK)?;
    let results = ingest::topic_info(connection, &names.output, ASK)?;
    // This is the only producer: the n-th event sent to a partition lies n behind its end.
    let ends: Vec<i64> = info.partitions.iter().map(|at| at.high).collect();
    let sent: Vec<Mutex<Vec<Instant>>> = ends.iter().map(|_| Mutex::default()).collect();
    let total = (rate * length.as_secs_f64()) as u64;
    let histogram = Mutex::new(Histogram::<u64>::new_with_max(MAX_US, 3)?);
    let begun = Instant::now();
    let stop = Stop::new();
    let mut config = ScanConfig::new(connection.clone(), &names.output);
    config.follow = true;
    config.from = results.partitions.iter().map(|at| (at.partition, at.high)).collect();
    let seen = std::thread::scope(|scope| -> anyhow::Result<u64> {
        let watcher = scope.spawn(|| {
            let mut seen = 0u64;
            let watched = scan::scan(&config, &stop, |batch| {
                let now = Instant::now();
                for row in 0..batch.len() {
                    let Some(at) = batch.value(row).and_then(source_coordinates) else { continue };
                    let partition = at.partition as usize;
                    let nth = (at.offset - ends[partition]) as usize;
                    let since =
                        sent[partition].lock().expect("no panic holds it").get(nth).copied();
                    seen += 1;
                    if let Some(since) = since.filter(|since| *since >= begun + WARM_UP) {
                        let took = now.saturating_duration_since(since).as_micros() as u64;
                        histogram.lock().expect("no panic holds it").saturating_record(took);
                    }
                }
                if seen >= total {
                    stop.raise();
                }
                Ok(())
            });
            watched.map(|_| seen)
        });
        send(connection, names, events, rate, total, &sent)?;
        let until = Instant::now() + TAIL;
        while !stop.is_raised() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.raise();
        Ok(watcher.join().expect("the watcher does not panic")?)
    })?;
    anyhow::ensure!(
        seen == total,
        "{seen} results for {total} events within {TAIL:?}: the rate is too high"
    );
    let histogram = histogram.into_inner().expect("no panic held it");
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    Ok(Latency {
        events_per_second: rate,
        events: histogram.len(),
        p50_ms: at(0.5),
        p90_ms: at(0.9),
        p99_ms: at(0.99),
        max_ms: histogram.max() as f64 / 1000.0,
    })
}

fn send(
    connection: &Connection,
    names: &Names,
    events: &Events,
    rate: f64,
    total: u64,
    sent: &[Mutex<Vec<Instant>>],
) -> anyhow::Result<()> {
    // A request for each event would measure the broker under requests: they are gathered for a
    // millisecond, and stay with a partition for as long; Kafka's producers stay longer.
    let mut connection = connection.clone();
    connection.properties.insert("linger.ms".into(), "1".into());
    let mut producer = Producer::new(&connection, &names.input, Duration::from_secs(30))?;
    let begun = Instant::now();
    let mut next = 0u64;
    while next < total {
        let passed = begun.elapsed();
        let due = (passed.as_secs_f64() * rate) as u64;
        let partition = passed.as_millis() as usize % sent.len();
        let mut batch = Outgoing::new();
        while next < due.min(total) {
            sent[partition].lock().expect("no panic holds it").push(Instant::now());
            batch.push(None, events.value(next), Some(partition as i32));
            next += 1;
        }
        events.headers.iter().for_each(|(name, value)| batch.header(name, value.as_bytes()));
        producer.send(batch)?;
        producer.serve()?;
        std::thread::sleep(Duration::from_micros(500));
    }
    producer.flush().context("sending at the rate")
}

impl fmt::Display for Latency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "latency  p50 {:.1} ms · p90 {:.1} ms · p99 {:.1} ms · max {:.1} ms at {:.0} events/s ({} events)",
            self.p50_ms, self.p90_ms, self.p99_ms, self.max_ms, self.events_per_second, self.events
        )
    }
}

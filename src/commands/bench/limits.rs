//! What the raw parts of hop 1 cost by themselves, in this process, on the topic that is drained
//! next: reading in batches, a worker's decode, model and encode, and producing by the call that the
//! pipe uses too: batches, or one record at a time where results carry headers or times. What the pipe
//! costs on top of their sum is its own: cutting, order, offsets, transactions.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use ingest::{Connection, Outgoing, PipeConfig, Producer, ScanConfig, Stop, scan};
use schemas::ScoredBatch;
use serde::Serialize;

use super::Names;
use crate::pipeline::Pipeline;
use crate::process;

/// Results kept to be produced again and again.
const KEPT: usize = 200_000;
/// How long the brokers may take to acknowledge.
const ACKNOWLEDGE: Duration = Duration::from_secs(60);

/// CPU of each part in µs per event, all threads.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Limits {
    consume: f64,
    decode_predict_encode: f64,
    produce: f64,
    produced: Produced,
    /// The three together.
    pub(super) sum: f64,
}

/// How the results went to the client, as the configuration has it.
#[derive(Clone, Copy, Debug, Serialize)]
struct Produced {
    call: &'static str,
    /// Headers that a result carries.
    headers: usize,
    /// Whether it carries its event's time.
    timestamp: bool,
}

impl Produced {
    /// `headers` are those of an event.
    fn new(pipe: &PipeConfig, headers: usize) -> Self {
        Self {
            call: if pipe.one_by_one() { "rd_kafka_produceva" } else { "rd_kafka_produce_batch" },
            headers: if pipe.carry_headers { headers } else { 0 },
            timestamp: pipe.carry_timestamp,
        }
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { consume, decode_predict_encode, produce, produced, sum } = self;
        write!(
            out,
            "{sum:>10.2} µs/event: consume {consume:.2}, decode to encode \
             {decode_predict_encode:.2}, produce {produce:.2} by {produced}"
        )
    }
}

impl fmt::Display for Produced {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, headers, timestamp } = self;
        match (headers, timestamp) {
            (0, false) => write!(out, "{call}"),
            (_, false) => write!(out, "{call} (headers: {headers})"),
            (0, true) => write!(out, "{call} (events' times)"),
            (_, true) => write!(out, "{call} (headers: {headers}, events' times)"),
        }
    }
}

/// Times the parts; results go to a topic of their own.
pub(super) fn measure(
    pipeline: &Pipeline,
    connection: &Connection,
    names: &Names,
    events: u64,
) -> anyhow::Result<Limits> {
    let per_event = |cpu: Duration| cpu.as_secs_f64() * 1e6 / events as f64;
    let config = ScanConfig::new(connection.clone(), &names.input);
    let begun = used()?;
    scan::scan(&config, &Stop::new(), |_| Ok(()))?;
    let consume = used()? - begun;
    let (score, kept) = score(pipeline, &config)?;
    let pipe = pipeline.pipe();
    let produced = Produced::new(&pipe, kept.first().map_or(0, headers));
    let produce = produce(connection, &pipe, &names.parts, &kept, events)?;
    let [consume, decode_predict_encode, produce] = [consume, score, produce].map(per_event);
    let sum = consume + decode_predict_encode + produce;
    Ok(Limits { consume, decode_predict_encode, produce, produced, sum })
}

/// Headers of each event of a batch: the load gives all of them the same.
fn headers(batch: &ScoredBatch) -> usize {
    batch.source().headers(0).len()
}

/// One worker over the whole topic; the reading between its batches is not counted.
fn score(pipeline: &Pipeline, config: &ScanConfig) -> anyhow::Result<(Duration, Vec<ScoredBatch>)> {
    let mut worker = pipeline.workers()?.swap_remove(0);
    let (mut cpu, mut kept, mut rows) = (Duration::ZERO, Vec::new(), 0);
    scan::scan(config, &Stop::new(), |batch| {
        let begun = thread_used()?;
        let scored = worker(batch)?;
        cpu += thread_used()?.saturating_sub(begun);
        if rows < KEPT {
            rows += scored.results().len();
            kept.push(scored);
        }
        Ok(())
    })?;
    Ok((cpu, kept))
}

/// Produces as many results as there are events; copying them together is not counted.
fn produce(
    connection: &Connection,
    pipe: &PipeConfig,
    topic: &str,
    kept: &[ScoredBatch],
    events: u64,
) -> anyhow::Result<Duration> {
    let begun = used()?;
    let (mut copying, mut sent) = (Duration::ZERO, 0);
    let mut producer = Producer::new(connection, topic, ACKNOWLEDGE)?;
    for batch in kept.iter().cycle() {
        if sent >= events {
            break;
        }
        anyhow::ensure!(!batch.results().is_empty(), "a batch of the sample gives no result");
        let copied = thread_used()?;
        let records = outgoing(pipe, batch)?;
        copying += thread_used()?.saturating_sub(copied);
        sent += records.len() as u64;
        producer.send(records)?;
    }
    producer.flush()?;
    let cpu = used()?.saturating_sub(begun + copying);
    // Whether a few more than asked for were sent is told apart by no digit that is shown.
    Ok(cpu.mul_f64(events as f64 / sent.max(1) as f64))
}

/// The results of a batch with what they carry of their events.
fn outgoing(pipe: &PipeConfig, batch: &ScoredBatch) -> anyhow::Result<Outgoing> {
    let (source, mut records) = (batch.source(), Outgoing::new());
    for result in batch.results() {
        let row = result.row as usize;
        records.push(source.key(row), result.value.of(batch.values()), None);
        if pipe.one_by_one() {
            let event_ms = source.records()[row].timestamp_ms.max(0);
            records.stamp(if pipe.carry_timestamp { event_ms } else { 0 });
        }
    }
    if pipe.carry_headers {
        for (name, value) in source.headers(0) {
            let name = str::from_utf8(name).context("the name of a loaded header")?;
            records.header(name, value.unwrap_or_default());
        }
    }
    Ok(records)
}

/// CPU of this process so far.
fn used() -> anyhow::Result<Duration> {
    Ok(process::usage(std::process::id())?.cpu)
}

/// CPU of this thread so far, to the nanosecond.
fn thread_used() -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split_ascii_whitespace().next().and_then(|first| first.parse().ok());
    nanos
        .map(Duration::from_nanos)
        .context("/proc/thread-self/schedstat does not begin with a number")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_carried_decides_the_call_and_is_said() {
        let connection =
            Connection { brokers: "b".into(), properties: BTreeMap::new(), instance: "i".into() };
        let mut pipe = PipeConfig::new("p", connection, "in", "out", "dead");
        let mut said = |headers, timestamp| {
            (pipe.carry_headers, pipe.carry_timestamp) = (headers, timestamp);
            Produced::new(&pipe, 3).to_string()
        };
        assert_eq!(said(false, false), "rd_kafka_produce_batch");
        assert_eq!(said(true, false), "rd_kafka_produceva (headers: 3)");
        assert_eq!(said(false, true), "rd_kafka_produceva (events' times)");
        assert_eq!(said(true, true), "rd_kafka_produceva (headers: 3, events' times)");
    }
}

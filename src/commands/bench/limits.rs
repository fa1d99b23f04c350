//! What hop 1's parts cost on their own, in this process and on this broker: the floor that the
//! pipeline's own figure is compared with.

use std::time::Duration;

use ingest::{Connection, CreateTopic, Outgoing, Producer, ScanConfig, Stop, scan};
use schemas::{MicroBatch, ScoredBatch};
use serde::Serialize;

use super::Names;
use crate::config::Config;
use crate::pipeline::{ASK, Pipeline};
use crate::process;

/// Records that are kept to be scored and produced.
const KEEP: usize = 200_000;
/// Times that they are: CPU is counted in ticks of 10 ms.
const ROUNDS: usize = 5;

/// CPU of each part, µs per event, all threads of the client included.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Limits {
    /// The whole input read in batches into micro-batches.
    pub(super) consume_us: f64,
    /// Decoded, predicted and encoded by one worker.
    pub(super) score_us: f64,
    /// The results sent in batches and acknowledged; no transactions.
    pub(super) produce_us: f64,
}

impl Limits {
    pub(super) fn sum_us(&self) -> f64 {
        self.consume_us + self.score_us + self.produce_us
    }
}

/// Measures one part after the other on the topics of a run that is over.
pub(super) fn measure(
    config: Config,
    connection: &Connection,
    names: &Names,
    partitions: i32,
) -> anyhow::Result<Limits> {
    let mut worker = Pipeline::open(config)?.workers()?.swap_remove(0);
    let (mut kept, mut read): (Vec<MicroBatch>, usize) = (Vec::new(), 0);
    let input = ScanConfig { max_rows: 1024, ..ScanConfig::new(connection.clone(), &names.input) };
    let consume = cpu(|| {
        scan::scan(&input, &Stop::new(), |batch| {
            if read < KEEP {
                kept.push(batch.clone());
            }
            read += batch.len();
            Ok(())
        })?;
        Ok(())
    })?;
    let rows: usize = kept.iter().map(MicroBatch::len).sum();
    let mut scored: Vec<ScoredBatch> = Vec::with_capacity(kept.len());
    let score = cpu(|| {
        for _ in 0..ROUNDS {
            scored.clear();
            for batch in &kept {
                scored.push(worker(batch.clone())?);
            }
        }
        Ok(())
    })?;
    let topic = format!("{}-limits", names.output);
    let new = CreateTopic { name: topic.clone(), partitions, replication: -1, settings: vec![] };
    ingest::create_topic(connection, &new, ASK)?;
    let mut producer = Producer::new(connection, &topic, ASK)?;
    let produce = cpu(|| {
        for _ in 0..ROUNDS {
            for batch in &scored {
                producer.send(results(batch))?;
            }
        }
        Ok(producer.flush()?)
    })?;
    let per = |cpu: Duration, rows: usize| cpu.as_secs_f64() * 1e6 / rows as f64;
    Ok(Limits {
        consume_us: per(consume, read),
        score_us: per(score, rows * ROUNDS),
        produce_us: per(produce, rows * ROUNDS),
    })
}

fn results(batch: &ScoredBatch) -> Outgoing {
    let mut outgoing = Outgoing::new();
    for result in batch.results() {
        let key = batch.source().key(result.row as usize);
        outgoing.push(key, result.value.of(batch.values()), None);
    }
    outgoing
}

/// CPU of this process while `part` runs.
fn cpu(part: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let before = process::usage(std::process::id())?.cpu;
    part()?;
    Ok(process::usage(std::process::id())?.cpu.saturating_sub(before))
}

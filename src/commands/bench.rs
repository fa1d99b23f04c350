//! `tidegate bench`: an end-to-end load test of the pipeline in a process of its own.
//!
//! Topics and groups are new for each run. The input is loaded whole before the drain is timed;
//! the latency part then produces at a rate and watches results arrive.

mod child;
mod latency;
mod limits;
mod report;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use ingest::{Connection, CreateTopic};

use crate::cli::{BenchArgs, Hop};
use crate::config::Config;
use crate::events;
use crate::exit::{self, Exit};
use crate::feed::Feed;
use crate::pipeline::{self, ASK, Pipeline};
use crate::progress::Progress;
use child::Child;
use report::Report;

/// Distinct events sent again and again.
const SAMPLE: usize = 20_000;

/// Value of each of their headers: as long as a tenant's name or a short id.
const HEADER_VALUE: &str = "0123456789abcdef";

/// How often progress of the drain is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Without any progress for so long the drain is given up.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<Exit> {
    let no_drain = |hop: &&Hop| matches!(hop, Hop::Monitor | Hop::Jobs);
    if args.only.iter().any(|hop| no_drain(&hop)) {
        let message = "--only monitor and --only jobs have no drain to time; the examples `count_rate` and \
                       `score_rate` time counting and scoring files";
        return Err(exit::usage(message));
    }
    ingest::tune_allocator();
    let config = super::resolve(&args.config)?;
    let connection = pipeline::connection(&config);
    let names = Names::new(&config);
    let parts = args.limits.then_some(&names.parts);
    for topic in [&names.input, &names.output, &names.dead_letters].into_iter().chain(parts) {
        let new = CreateTopic {
            name: topic.clone(),
            partitions: args.partitions,
            replication: -1,
            settings: vec![],
        };
        ingest::create_topic(&connection, &new, ASK)?;
    }
    let events = Events::new(args)?;
    load(&connection, &names.input, &events, args.events)?;
    let limits = match args.limits {
        false => None,
        true => {
            let pipeline = Pipeline::open(config.clone())?;
            Some(limits::measure(&pipeline, &connection, &names, args.events)?)
        }
    };
    let folder = tempfile::tempdir_in(
        config
            .archive
            .directory
            .parent()
            .filter(|dir| dir.exists())
            .unwrap_or(std::path::Path::new(".")),
    )
    .context("making a folder for the archive")?;
    let child = Child::start(args, &names, folder.path())?;
    let started = child.wait_until_warm()?;
    let drained = drain(args, &connection, &names, &child)?;
    let usage = child.usage()?;
    let stages = child.stages()?;
    let per_event = |cpu: Duration| cpu.as_secs_f64() * 1e6 / args.events as f64;
    let latency = match args.rate {
        rate if rate > 0.0 => Some(latency::measure(
            &connection,
            &names,
            &events,
            rate,
            Duration::from_secs(args.seconds),
        )?),
        _ => None,
    };
    let peak = child.usage()?.peak_bytes;
    child.stop()?;
    let report = Report {
        events: args.events,
        event_bytes: events.mean_bytes(),
        event_headers: args.headers,
        hops: if args.only.is_empty() {
            "score, archive".into()
        } else {
            format!("{:?}", args.only).to_lowercase()
        },
        delivery: format!("{:?}", config.delivery.mode),
        model: format!("{}@{}", config.model.name, config.model.version),
        seconds: drained.whole.as_secs_f64(),
        events_per_second: drained.rate,
        cpu_us_per_event: per_event(usage.cpu.saturating_sub(started.usage.cpu)),
        stages_us_per_event: stages.iter().map(|(stage, cpu)| (*stage, per_event(*cpu))).collect(),
        startup_ms: started.startup_ms,
        startup_cpu_seconds: started.usage.cpu.as_secs_f64(),
        peak_mib: peak as f64 / f64::from(1 << 20),
        limits,
        latency,
    };
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        writeln!(out, "{report}")?;
    }
    Ok(Exit::Fine)
}

/// Names of one run's topics and group.
pub(crate) struct Names {
    pub(crate) pipeline: String,
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) dead_letters: String,
    /// Results of the raw parts: a pipeline that begins wants an empty output.
    pub(crate) parts: String,
}

impl Names {
    fn new(config: &Config) -> Self {
        let run = format!("bench-{}-{}", std::process::id(), jiff::Timestamp::now().as_second());
        let topic = |topic: &str| format!("{topic}-{run}");
        Self {
            pipeline: format!("{}-{run}", config.pipeline.name),
            input: topic(&config.input.topic),
            output: topic(&config.output.topic),
            dead_letters: topic(&config.dead_letters.topic),
            parts: topic(&format!("{}-parts", config.output.topic)),
        }
    }
}

/// What is loaded and sent: distinct values, again and again, all with the same headers.
pub(crate) struct Events {
    values: Vec<Vec<u8>>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Events {
    fn new(args: &BenchArgs) -> anyhow::Result<Self> {
        let header = |number: u8| (format!("header-{number}"), HEADER_VALUE.to_owned());
        Ok(Self {
            values: events::sample(&args.file, SAMPLE)?,
            headers: (1..=args.headers).map(header).collect(),
        })
    }

    /// The value of the n-th event.
    pub(crate) fn value(&self, nth: u64) -> &[u8] {
        &self.values[nth as usize % self.values.len()]
    }

    fn mean_bytes(&self) -> f64 {
        self.values.iter().map(Vec::len).sum::<usize>() as f64 / self.values.len() as f64
    }
}

fn load(connection: &Connection, topic: &str, events: &Events, count: u64) -> anyhow::Result<()> {
    let mut feed = Feed::new(connection, topic, None, None)?.with_headers(events.headers.clone());
    let mut progress = Progress::start("events loaded", Some(count));
    for nth in 0..count {
        feed.push(events.value(nth))?;
        progress.add(1);
    }
    feed.finish()?;
    progress.finish();
    Ok(())
}

/// How a drain went.
struct Drained {
    /// From a warm model to the last event: subscribing and joining the group included.
    whole: Duration,
    /// Events per second: for hop 1 behind its first commit that was seen. Parquet files are
    /// published in lumps, so with the archive it is all events over the whole time.
    rate: f64,
}

/// Waits until everything is committed.
fn drain(
    args: &BenchArgs,
    connection: &Connection,
    names: &Names,
    child: &Child,
) -> anyhow::Result<Drained> {
    let begun = Instant::now();
    let mut progress = Progress::start("events drained", Some(args.events));
    let (mut done, mut moved, mut first) = (0, Instant::now(), None);
    while done < args.events {
        std::thread::sleep(LOOK_EVERY);
        let now = child.drained(args, names)?;
        if now > done {
            progress.add(now - done);
            (done, moved) = (now, Instant::now());
            first.get_or_insert((done, moved));
        }
        anyhow::ensure!(
            moved.elapsed() < PATIENCE,
            "the drain stands at {done} of {} events (input {}, brokers {})",
            args.events,
            names.input,
            connection.brokers
        );
    }
    progress.finish();
    let (before, since) = match first {
        Some(first) if args.only == [Hop::Score] && first.0 < args.events => first,
        _ => (0, begun),
    };
    let rate = (args.events - before) as f64 / (moved - since).as_secs_f64();
    Ok(Drained { whole: moved - begun, rate })
}

//! The bare pipe as a process: what the tests spawn and kill, and what the figures are measured with.
//!
//! The worker hands values on as they are. A value that begins with `REJECT` is rejected, one with
//! `PANIC` makes the worker panic, one with `BIG` becomes a result of 3 MB. It stops gracefully when its
//! standard input ends or `until` records are committed, and prints one line of figures.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ingest::{
    Connection, Delivery, HopError, Memory, PipeConfig, PipeEvents, Start, Stop, StuckHook,
    Timeouts, Worker,
};
use schemas::{MicroBatch, Reject, ScoredBatch, ScoredRow, Span, Stage};

/// Exit code of a process that was replaced by a twin.
const REPLACED: u8 = 7;
/// Exit code when a client call does not return.
const STUCK: i32 = 70;

struct Settings(BTreeMap<String, String>);

impl Settings {
    fn text(&self, key: &str, default: &str) -> String {
        self.0.get(key).cloned().unwrap_or_else(|| default.into())
    }

    fn number(&self, key: &str, default: u64) -> u64 {
        self.0.get(key).map_or(default, |value| value.parse().expect("a number"))
    }
}

fn main() -> ExitCode {
    ingest::tune_allocator();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let pairs = std::env::args().skip(1).map(|arg| {
        let (key, value) = arg.split_once('=').expect("key=value");
        (key.to_owned(), value.to_owned())
    });
    let settings = Settings(pairs.collect());
    let config = configuration(&settings);
    let until = settings.number("until", u64::MAX);
    let mut workers: Vec<Worker> = (0..settings.number("workers", 1))
        .map(|_| Box::new(|batch| Ok(identity(batch))) as Worker)
        .collect();
    let events = Arc::new(PipeEvents::new(&opentelemetry::global::meter("tidegate"), "pipe"));
    let stop = Stop::new();
    watch_the_end(stop.clone(), events.clone(), until);
    let (mut memory, begun) = (Memory::new(), Instant::now());
    while !stop.is_raised() {
        match ingest::pipe::run(&config, &mut workers, &stop, &events, &mut memory) {
            Ok(()) => break,
            Err(HopError::Replaced(_)) => return ExitCode::from(REPLACED),
            Err(HopError::Config(text)) => {
                eprintln!("{text}");
                return ExitCode::from(2);
            }
            Err(HopError::Retry(_)) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    report(&events, begun, config.memory_bound_bytes());
    ExitCode::SUCCESS
}

fn configuration(settings: &Settings) -> PipeConfig {
    let connection = Connection {
        brokers: settings.text("brokers", "127.0.0.1:9092"),
        // `p.name=value` passes a property through.
        properties: settings
            .0
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("p.")?.to_owned(), value.clone())))
            .collect(),
        instance: settings.text("instance", "one"),
    };
    let (input, output) = (settings.text("input", "in"), settings.text("output", "out"));
    let mut config = PipeConfig::new(
        &settings.text("pipeline", "pipe"),
        connection,
        &input,
        &output,
        &settings.text("dead", "dead"),
    );
    if settings.text("mode", "exactly_once") == "at_least_once" {
        config.delivery = Delivery::AtLeastOnce;
    }
    if settings.text("start", "earliest") == "latest" {
        config.start = Start::Latest;
    }
    config.begin_anew = settings.text("begin_anew", "no") == "yes";
    config.carry_headers = settings.text("carry", "") == "headers";
    config.cutting.max_rows = settings.number("max_rows", 1024) as usize;
    config.commit.interval = Duration::from_millis(settings.number("interval_ms", 100));
    config.commit.max_bytes = settings.number("commit_bytes", 32 << 20) as usize;
    config.batches_in_flight = settings.number("in_flight", 16) as usize;
    config.batch_limit = Duration::from_secs(settings.number("batch_limit_s", 600));
    // Short, so that a test's killed process is replaced within seconds.
    let ms = Duration::from_millis;
    config.timeouts = Timeouts {
        session: ms(settings.number("session_ms", 6000)),
        heartbeat: ms(settings.number("heartbeat_ms", 500)),
        ..Timeouts::default()
    };
    config.on_stuck = StuckHook(Arc::new(|call| {
        eprintln!("{call} does not return");
        #[allow(clippy::disallowed_methods)] // a thread stuck in a C call cannot be torn down
        std::process::exit(STUCK);
    }));
    config
}

fn identity(source: MicroBatch) -> ScoredBatch {
    let (mut values, mut results, mut rejects) =
        (Vec::with_capacity(source.bytes()), Vec::new(), Vec::new());
    results.reserve(source.len());
    for row in 0..source.len() as u32 {
        match source.value(row as usize) {
            Some(value) if value.starts_with(b"PANIC") => panic!("asked to panic"),
            Some(value) if value.starts_with(b"REJECT") => {
                rejects.push(Reject {
                    row,
                    stage: Stage::Decode,
                    reason: "asked to reject".into(),
                });
            }
            Some(value) if value.starts_with(b"BIG") => {
                let span = Span::append(&mut values, &vec![b'x'; 3 << 20]);
                results.push(ScoredRow { row, value: span });
            }
            Some(value) => results.push(ScoredRow { row, value: Span::append(&mut values, value) }),
            None => rejects.push(Reject { row, stage: Stage::Decode, reason: "null value".into() }),
        }
    }
    ScoredBatch::new(source, values, results, rejects)
}

fn watch_the_end(stop: Stop, events: Arc<PipeEvents>, until: u64) {
    let at_end_of_input = stop.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        at_end_of_input.raise();
    });
    std::thread::spawn(move || {
        while events.committed_records() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.raise();
    });
}

#[allow(clippy::print_stdout)] // the figures are the example's result
fn report(events: &PipeEvents, begun: Instant, bound_bytes: u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let field = |index: usize| {
        after_name.split_whitespace().nth(index).and_then(|text| text.parse::<u64>().ok())
    };
    let ticks = field(11).unwrap_or(0) + field(12).unwrap_or(0);
    let records = events.committed_records();
    let seconds = begun.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default().trim();
    println!(
        "records={records} seconds={seconds:.3} per_second={:.0} cpu_us_per_record={:.3} peak={peak:?} bound_mib={}",
        records as f64 / seconds,
        ticks as f64 * 10_000.0 / records.max(1) as f64,
        bound_bytes >> 20,
    );
}

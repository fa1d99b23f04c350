//! Times counting: the inner loop, an archive back-filled, a day of minutes and the one before it summed and judged.
//!
//! `count_rate bins` · `count_rate archive [ROWS] [COLUMNS]` (10,000,000 × 20) · `count_rate day [ROWS]
//! [COLUMNS]` (1,440,000 × 100 a day in panes of a minute). Files lie in the temporary folder meanwhile.

use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use batch::{Archive, ArchiveConfig, Table, TopicIdentity};
use monitor::columns::{Gathered, Planned, Treatment};
use monitor::count::{Counter, Settings};
use monitor::evaluate::{Rules, judge};
use monitor::profile::{FitOptions, Profile, fit};
use monitor::stats::{Binner, Bins, Sample};
use monitor::window::{Windows, sums};
use schemas::MicroBatch;

const DAY_MICROS: i64 = 86_400_000_000;
const BATCH_ROWS: usize = 10_000;
const REFERENCE_ROWS: usize = 20_000;
const ROUNDS: usize = 50;

#[allow(clippy::print_stdout)]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| {
        arguments.get(at).map_or(default, |text| text.parse().expect("a number"))
    };
    match arguments.first().map(String::as_str) {
        Some("bins") => bins(),
        Some("archive") => archive(number(1, 10_000_000), number(2, 20)),
        Some("day") => day(number(1, 1_440_000), number(2, 100)),
        _ => println!("count_rate bins | archive [ROWS] [COLUMNS] | day [ROWS] [COLUMNS]"),
    }
}

/// One thread, values at hand, into bins and then into a histogram; by CPU time.
#[allow(clippy::print_stdout)]
fn bins() {
    let values = normal(1 << 20, 1);
    for wanted in [10, 512, 1024] {
        let bins = Bins::fit(&Sample::new(values.iter().copied()), wanted);
        let binner = Binner::new(&bins);
        let (mut cells, mut histogram) = (Vec::new(), vec![0_u32; binner.cells()]);
        let started = cpu_nanos();
        for _ in 0..ROUNDS {
            cells.clear();
            binner.append(black_box(&values), &mut cells);
            cells.iter().for_each(|cell| histogram[usize::from(*cell)] += 1);
        }
        let seconds = (cpu_nanos() - started) as f64 / 1e9;
        black_box(histogram);
        let rate = (values.len() * ROUNDS) as f64 / seconds / 1e6;
        println!("{:5} bins: {rate:6.1} million values/s", bins.len());
    }
}

#[allow(clippy::print_stdout)]
fn archive(rows: usize, columns: usize) {
    let root = tempfile::tempdir().expect("a temporary folder");
    write(root.path(), rows, columns, DAY_MICROS * 7);
    let (_, seconds) = count(root.path(), columns, 3600);
    println!(
        "{rows} × {columns} back-filled in {seconds:.1} s on {} threads: {:.1} million values/s; peak \
         {:.0} MiB, the writing of the archive included",
        threads(),
        (rows * columns) as f64 / seconds / 1e6,
        peak_mib()
    );
}

#[allow(clippy::print_stdout)]
fn day(rows: usize, columns: usize) {
    let root = tempfile::tempdir().expect("a temporary folder");
    write(root.path(), 2 * rows, columns, 2 * DAY_MICROS);
    let (counter, seconds) = count(root.path(), columns, 60);
    let bytes: u64 = counter
        .counted()
        .map(|counted| std::fs::metadata(&counted.path).expect("there").len())
        .sum();
    println!("{} × {columns} counted in {seconds:.1} s into {} MB", 2 * rows, bytes / 1_000_000);
    let windows = Windows::new(86_400, 86_400, 60).expect("a day of minutes");
    for _ in 0..3 {
        let started = Instant::now();
        let days = sums(counter.counted(), counter.settings(), windows, &[0, 1], threads())
            .expect("count files are whole");
        let summed = started.elapsed().as_secs_f64();
        let extent = windows.extent(1);
        for (group, now) in &days[&1] {
            let (settings, before) = (counter.settings(), &days[&0][group]);
            assert_eq!((before.rows, now.rows), (rows as u64, rows as u64));
            let rows = judge(settings, 1, extent.clone(), group, now, before, Rules::default());
            assert_eq!(rows.len(), 1 + 2 * columns);
        }
        let all = started.elapsed().as_secs_f64();
        println!(
            "a day of minutes and the one before: summed in {summed:.3} s, judged in {all:.3} s in all"
        );
    }
}

fn count(root: &Path, columns: usize, pane_seconds: u32) -> (Counter, f64) {
    let profile = Arc::new(profile(columns));
    let settings = Settings::new(profile, None, pane_seconds, &[], &[]).expect("numbers");
    let mut counter = Counter::open(settings, root, "results", "scored", "rate").expect("opens");
    let started = Instant::now();
    let jobs = counter.refresh().expect("an archive");
    let next = Mutex::new(jobs.iter());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                loop {
                    let Some(job) = next.lock().expect("whole").next() else { return };
                    let counted = counter.count(job).expect("counts").expect("nobody else counts");
                    done.lock().expect("whole").push(counted);
                }
            });
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    done.into_inner().expect("whole").into_iter().for_each(|counted| counter.add(counted));
    (counter, seconds)
}

fn profile(columns: usize) -> Profile {
    let columns = (0..columns).map(|at| {
        let planned = Planned {
            name: format!("x{at}"),
            type_name: "Float64".into(),
            treatment: Treatment::Numeric,
        };
        let values = Gathered::Numbers(normal(REFERENCE_ROWS, at as u64));
        fit(&planned, Some(&values), REFERENCE_ROWS as u64, FitOptions::default()).0
    });
    Profile { rows: REFERENCE_ROWS as u64, columns: columns.collect() }
}

fn write(root: &Path, rows: usize, columns: usize, span_micros: i64) {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("event_time", instant, true),
        Field::new("model_name", DataType::Utf8, true),
        Field::new("model_version", DataType::Utf8, true),
        Field::new("arm", DataType::Utf8, true),
    ];
    fields.extend((0..columns).map(|at| Field::new(format!("x{at}"), DataType::Float64, true)));
    let schema = Arc::new(Schema::new(fields));
    let pool: Vec<ArrayRef> = (0..columns)
        .map(|at| Arc::new(Float64Array::from(normal(BATCH_ROWS * 4, 77 + at as u64))) as ArrayRef)
        .collect();
    let of = schema.clone();
    let step = span_micros / rows as i64;
    let table = Table::new(schema, "rate", move |batch| made(&of, &pool, batch, step));
    let topic =
        TopicIdentity { cluster_id: "c".into(), topic: "scored".into(), topic_id: "t".into() };
    let config = ArchiveConfig {
        roll_bytes: 1 << 30,
        ..ArchiveConfig::new(root.to_path_buf(), "results", "rate")
    };
    let mut archive = Archive::open(config, topic, table, SystemTime::now()).expect("opens");
    archive.position(0).expect("an empty folder");
    for from in (0..rows).step_by(BATCH_ROWS) {
        let mut batch = MicroBatch::with_capacity("scored".into(), BATCH_ROWS, 0);
        for offset in from..rows.min(from + BATCH_ROWS) {
            batch.push(0, offset as i64, 0, None, None).expect("offsets ascend");
        }
        let outcome = archive.append(&batch, Instant::now()).expect("appends");
        assert!(outcome.lost.is_empty(), "nobody else writes here");
    }
    let _ = archive.finish().expect("publishes");
}

fn made(schema: &SchemaRef, pool: &[ArrayRef], batch: &MicroBatch, step: i64) -> RecordBatch {
    let records = batch.records();
    let offset = records[0].offset as usize;
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; records.len()])) };
    let times = records.iter().map(|record| record.offset * step);
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![0; records.len()])),
        Arc::new(Int64Array::from_iter_values(records.iter().map(|record| record.offset))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        text("model"),
        text("1"),
        text("stable"),
    ];
    columns.extend(pool.iter().enumerate().map(|(at, values)| {
        values.slice((offset / 7 + at * 31) % (BATCH_ROWS * 3), records.len())
    }));
    RecordBatch::try_new(schema.clone(), columns).expect("the columns of the schema")
}

/// Values of a normal law to three digits, by Box and Muller over a multiplicative generator.
fn normal(rows: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    };
    let mut value = || {
        let (a, b) = (uniform(), uniform());
        (-2.0 * f64::ln(a)).sqrt() * (std::f64::consts::TAU * b).cos()
    };
    (0..rows).map(|_| (value() * 1000.0).round() / 1000.0).collect()
}

/// CPU time of this thread; other work on the machine does not count.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn peak_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmHWM"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

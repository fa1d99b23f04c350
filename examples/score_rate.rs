//! Batch scoring beside a loop that one would write by hand: the same Parquet readers and writers, the
//! same sessions, as many threads.
//!
//! `cargo run --release --example score_rate -- [FILES] [COPIES] [THREADS] [MODEL] [FOLDER]`: FILES files of
//! COPIES times the demo's flights each; with FOLDER they stay there, for `benches/peers/score`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use batch::parquet_io::{NewParquet, ParquetRows};
use batch::score::{Job, Model, ScoreConfig, Sessions};
use infer::{OnnxPredictor, Package, Runtime};
use schemas::{Contract, Predictor};

/// Rows that the loop reads and scores at once, as the job does.
const BATCH_ROWS: usize = 4096;

/// Rounds; the best of each way counts, on a machine that others use.
const ROUNDS: usize = 5;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

#[allow(clippy::print_stdout, reason = "an example reports to the terminal")]
fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| -> usize {
        arguments.get(at).map_or(default, |text| text.parse().expect("a number"))
    };
    let (files, copies, threads) = (number(0, 8), number(1, 52), number(2, 2));
    let model = arguments.get(3).map_or("flight-delay", String::as_str);
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/demo");
    let contract = Contract::from_toml(&std::fs::read_to_string(demo.join("contract.toml"))?)?;
    let package = Package::open(&demo.join("models").join(model).join("1"))?;
    let root = tempfile::tempdir()?;
    let input = arguments.get(4).map_or_else(|| root.path().join("in"), PathBuf::from);
    let inputs = write(&input, &demo, files, copies)?;
    let rows: u64 = inputs
        .iter()
        .map(|file| ParquetRows::open(file, 1).map(|it| it.rows()))
        .sum::<Result<_, _>>()?;
    let (mut best, mut spent) = ([f64::MAX; 2], [0.0; 2]);
    for round in 0..ROUNDS {
        let by_hand = root.path().join(format!("by-hand-{round}"));
        std::fs::create_dir(&by_hand)?;
        let (began, cpu) = (Instant::now(), cpu_seconds());
        loops(&inputs, &by_hand, threads, &package, &contract);
        best[0] = best[0].min(began.elapsed().as_secs_f64());
        spent[0] += cpu_seconds() - cpu;
        let job = root.path().join(format!("job-{round}"));
        let (began, cpu) = (Instant::now(), cpu_seconds());
        run_job(&input, &job, threads, &package, &contract)?;
        best[1] = best[1].min(began.elapsed().as_secs_f64());
        spent[1] += cpu_seconds() - cpu;
        std::fs::remove_dir_all(by_hand)?;
        std::fs::remove_dir_all(job)?;
    }
    let rate = |seconds: f64| rows as f64 / seconds / 1e6;
    let cpu = |seconds: f64| seconds * 1e6 / (rows * ROUNDS as u64) as f64;
    println!("{model}, {rows} rows in {files} files, {threads} threads, best of {ROUNDS} rounds:");
    println!("by hand {:.3} M rows/s, {:.2} CPU us a row", rate(best[0]), cpu(spent[0]));
    println!("the job {:.3} M rows/s, {:.2} CPU us a row", rate(best[1]), cpu(spent[1]));
    Ok(())
}

fn write(folder: &Path, demo: &Path, files: usize, copies: usize) -> Fallible<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)?;
    let flights: Vec<RecordBatch> =
        ParquetRows::open(&demo.join("flights.parquet"), 8192)?.collect::<Result<_, _>>()?;
    let mut written = Vec::new();
    for file in 0..files {
        let path = folder.join(format!("{file:03}.parquet"));
        if !path.exists() {
            let mut new = NewParquet::create(&path, &flights[0].schema())?;
            for _ in 0..copies {
                flights.iter().try_for_each(|batch| new.write(batch))?;
            }
            new.publish()?;
        }
        written.push(path);
    }
    Ok(written)
}

/// One thread takes one file after the other.
fn loops(inputs: &[PathBuf], to: &Path, threads: usize, package: &Package, contract: &Contract) {
    let next = AtomicUsize::new(0);
    let work = || -> Fallible<()> {
        let mut model = OnnxPredictor::new(&Runtime::find()?, package, contract)?;
        while let Some(input) = inputs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let rows = ParquetRows::open(input, BATCH_ROWS)?;
            let schema = output_schema(rows.schema(), &model.outputs());
            let mut out =
                NewParquet::create(&to.join(input.file_name().expect("a file")), &schema)?;
            for batch in rows {
                let batch = batch?;
                let predicted = model.predict(&batch)?;
                let mut columns = batch.columns().to_vec();
                columns.extend(predicted.columns().iter().cloned());
                let rows = batch.num_rows();
                let text =
                    |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows])) };
                columns.extend([text(package.name()), text(package.version())]);
                let times = TimestampMicrosecondArray::from_value(1, rows).with_timezone("UTC");
                columns.extend([Arc::new(times) as ArrayRef, text(contract.id())]);
                out.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
            }
            out.publish()?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| work().map_err(|error| error.to_string())))
            .collect();
        all.into_iter().for_each(|one| one.join().expect("no panic").expect("the loop runs"));
    });
}

/// User and system time of this process, in ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn output_schema(events: &SchemaRef, outputs: &SchemaRef) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields: Vec<Field> = events.fields().iter().map(|field| Field::clone(field)).collect();
    fields.extend(outputs.fields().iter().map(|output| {
        Field::new(format!("prediction_{}", output.name()), output.data_type().clone(), true)
    }));
    for (name, kind) in [
        ("model_name", DataType::Utf8),
        ("model_version", DataType::Utf8),
        ("scored_at", time),
        ("contract_id", DataType::Utf8),
    ] {
        fields.push(Field::new(name, kind, false));
    }
    Arc::new(Schema::new(fields))
}

fn run_job(
    input: &Path,
    to: &Path,
    threads: usize,
    package: &Package,
    contract: &Contract,
) -> Fallible<()> {
    let (of, events) = (package.clone(), contract.clone());
    let make = move || -> Result<Box<dyn Predictor>, String> {
        let runtime = Runtime::find().map_err(|error| error.to_string())?;
        let made = OnnxPredictor::new(&runtime, &of, &events).map_err(|error| error.to_string())?;
        Ok(Box::new(made))
    };
    let model = Model {
        name: package.name().into(),
        version: package.version().into(),
        sha256: package.descriptor().sha256.clone(),
        package: package.sha256(),
        contract: contract.clone(),
        outputs: package.output_schema(),
        sessions: Sessions::new(threads, Box::new(make)),
    };
    let config = ScoreConfig {
        inputs: vec![input.to_path_buf()],
        output: to.to_path_buf(),
        ..ScoreConfig::default()
    };
    Job::open(config, Arc::new(model))?.run(threads, SystemTime::now(), &|_| {}, &|| false)?;
    Ok(())
}

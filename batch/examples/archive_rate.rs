//! What a row of the archive costs: the demo's flights with coordinates and predictions, 27
//! columns, as one process would write them.
//!
//! `cargo run --release --workspace --example archive_rate -- [ROWS] [PARTITIONS] [BATCH_ROWS] [zstd]`

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use arrow::array::{
    ArrayRef, Float32Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use batch::parquet_io::ParquetRows;
use batch::{Archive, ArchiveConfig, Compression, Outcome, Table, TopicIdentity};
use schemas::MicroBatch;

#[allow(clippy::print_stdout)]
fn main() {
    let zstd = std::env::args().skip(4).any(|text| text == "zstd");
    let mut arguments =
        std::env::args().skip(1).take(3).map(|text| text.parse::<usize>().expect("a number"));
    let rows = arguments.next().unwrap_or(4_000_000);
    let partitions = arguments.next().unwrap_or(4);
    let batch_rows = arguments.next().unwrap_or(1024);

    let flights = flights(batch_rows);
    let schema = schema(&flights);
    let spent = Arc::new(AtomicU64::new(0));
    let making = spent.clone();
    let (of, columns) = (schema.clone(), schema.fields().len());
    let table = Table::new(schema, "rate", move |batch| {
        let begun = cpu_nanos();
        let rows = rows_of(&of, &flights, batch);
        making.fetch_add(cpu_nanos() - begun, Ordering::Relaxed);
        rows
    });
    let root = tempfile::tempdir().expect("a temporary folder");
    let config = ArchiveConfig {
        compression: if zstd { Compression::Zstd } else { Compression::Lz4 },
        ..ArchiveConfig::new(root.path().to_path_buf(), "results", "rate")
    };
    let bound = config.memory_bound_bytes(partitions, columns);
    let topic =
        TopicIdentity { cluster_id: "c".into(), topic: "scored".into(), topic_id: "t".into() };
    let mut archive = Archive::open(config, topic, table, SystemTime::now()).expect("opens");
    for partition in 0..partitions as i32 {
        archive.position(partition).expect("an empty folder");
    }
    let before = resident_bytes();
    let (mut busy, mut most, mut resident, mut files, mut bytes) = (0, 0, 0, 0, 0);
    let mut count = |outcome: Outcome| {
        assert!(outcome.lost.is_empty(), "nobody else writes here");
        files += outcome.published.len();
        bytes += outcome.published.iter().map(|file| file.bytes).sum::<u64>();
    };
    for at in 0..rows / batch_rows {
        let batch = coordinates(
            (at % partitions) as i32,
            (at / partitions * batch_rows) as i64,
            batch_rows,
        );
        let begun = cpu_nanos();
        let outcome = archive.append(&batch, Instant::now()).expect("appends");
        busy += cpu_nanos() - begun;
        count(outcome);
        most = most.max(archive.memory_bytes());
        if at % 64 == 0 {
            resident = resident.max(resident_bytes());
        }
    }
    let begun = cpu_nanos();
    count(archive.finish().expect("publishes"));
    busy += cpu_nanos() - begun;
    let rows = (rows / batch_rows * batch_rows) as f64;
    let parquet = (busy - spent.load(Ordering::Relaxed)) as f64;
    println!(
        "{:.3} CPU us a row ({columns} columns, {partitions} partitions, batches of {batch_rows}), \
         {:.1} bytes a row, {files} files",
        parquet / rows / 1000.0,
        bytes as f64 / rows,
    );
    println!(
        "open row groups: {:.1} MiB accounted, {:.1} MiB resident, bound {:.1} MiB",
        mib(most),
        mib(resident.saturating_sub(before)),
        mib(bound)
    );
}

/// The committed flights, at least `rows` of them.
fn flights(rows: usize) -> RecordBatch {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/demo/flights.parquet");
    let reader = ParquetRows::open(&path, 8192).expect("the demo's flights");
    let schema = reader.schema().clone();
    let all: Vec<RecordBatch> = reader.map(|batch| batch.expect("whole")).collect();
    let once = concat_batches(&schema, &all).expect("one schema");
    let copies = rows / once.num_rows() + 2;
    concat_batches(&schema, std::iter::repeat_n(&once, copies)).expect("one schema")
}

fn schema(flights: &RecordBatch) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields: Vec<Field> = [
        ("partition", DataType::Int32),
        ("offset", DataType::Int64),
        ("timestamp", time.clone()),
        ("key", DataType::Utf8),
        ("input_partition", DataType::Int32),
        ("input_offset", DataType::Int64),
        ("input_timestamp", time.clone()),
        ("scored_at", time),
        ("prediction_arr_delay", DataType::Float32),
        ("model_name", DataType::Utf8),
        ("model_version", DataType::Utf8),
        ("arm", DataType::Utf8),
    ]
    .map(|(name, kind)| Field::new(name, kind, true))
    .into();
    fields.extend(
        flights.schema().fields().iter().map(|field| Field::clone(field).with_nullable(true)),
    );
    Arc::new(Schema::new(fields))
}

fn rows_of(schema: &SchemaRef, flights: &RecordBatch, batch: &MicroBatch) -> RecordBatch {
    let (records, rows) = (batch.records(), batch.len());
    let first = records[0].offset as usize;
    let events = flights.slice(first % (flights.num_rows() - rows), rows);
    let time = || -> ArrayRef {
        let micros = records.iter().map(|r| 1_700_000_000_000_000 + r.offset * 37 + r.offset % 11);
        Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
    };
    let numbers = |f: &dyn Fn(i64) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(records.iter().map(|r| f(r.offset))))
    };
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows])) };
    let keys: StringArray =
        records.iter().map(|r| Some(format!("{}-{}", r.partition, r.offset))).collect();
    let partitions: ArrayRef =
        Arc::new(Int32Array::from_iter_values(records.iter().map(|r| r.partition)));
    let noise =
        |offset: i64| (offset.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64) >> 40) as f32 / 1e5;
    let predictions = Float32Array::from_iter_values(records.iter().map(|r| noise(r.offset)));
    let keys: ArrayRef = Arc::new(keys);
    let mut columns: Vec<ArrayRef> = vec![
        partitions.clone(),
        numbers(&|offset| offset),
        time(),
        keys.clone(),
        partitions,
        numbers(&|offset| offset * 2 + offset % 3),
        time(),
        time(),
        Arc::new(predictions),
        text("flight-delay"),
        text("1"),
        text("stable"),
    ];
    for (at, column) in events.columns().iter().enumerate() {
        columns.push(if at == 0 { keys.clone() } else { column.clone() });
    }
    columns.extend(
        (columns.len()..schema.fields().len())
            .map(|at| new_null_array(schema.field(at).data_type(), rows)),
    );
    RecordBatch::try_new(schema.clone(), columns).expect("the columns of the schema")
}

fn coordinates(partition: i32, start: i64, rows: usize) -> MicroBatch {
    let mut batch = MicroBatch::with_capacity("scored".into(), rows, 0);
    for offset in start..start + rows as i64 {
        batch.push(partition, offset, 0, None, None).expect("offsets ascend");
    }
    batch
}

/// CPU time of this thread; other work on the machine does not count.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

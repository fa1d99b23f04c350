//! Reads of a store that refuses everything at first and is slow afterwards: asked again, and right.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{COLUMNS, SOON, pipeline, score};
use crate::harness::{Broker, FLIGHTS, Pipeline, S3, folder, root, scored};
use crate::score::predictions;

/// So many requests are answered with 503 before one is not: whoever asks once only, or twice, has failed.
const REFUSED: u64 = 3;

/// Does `work` against a server that refuses, until it was asked so often, and takes its time from then on.
fn refused_then_slow<T: Send>(s3: &S3, work: impl FnOnce() -> T + Send) -> T {
    let refused = || s3.faults(&json!({ "fail": 1 }))["fail"].as_u64().expect("a count");
    let before = refused();
    std::thread::scope(|scope| {
        let work = scope.spawn(work);
        let end = Instant::now() + SOON;
        while refused() < before + REFUSED && !work.is_finished() {
            assert!(Instant::now() < end, "it does not ask the server");
            std::thread::sleep(Duration::from_millis(10));
        }
        let ended_early = work.is_finished();
        s3.faults(&json!({ "slow_ms": 100 }));
        let done = work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        s3.faults(&json!({}));
        assert!(!ended_early, "it ended while everything was refused");
        done
    })
}

#[test]
fn a_job_reads_all_of_a_store_that_refuses_at_first_and_is_slow() {
    let Some(s3) = S3::start() else { return };
    let flights = root().join("deploy/demo/flights.parquet").to_string_lossy().into_owned();
    // An output is the next one's input: what a bucket holds, is there without another tool.
    let stored = s3.place("slow/stored");
    let (code, _, said) = score(&s3, &flights, &stored, &["--columns", COLUMNS]);
    assert_eq!(code, Some(0), "{said}");
    let local = folder();
    let (slow, direct) = (local.path().join("slow"), local.path().join("direct"));
    let input = format!("{stored}/results/*.parquet");
    let job = || score(&s3, &input, &slow.to_string_lossy(), &[]);
    let (code, summary, said) = refused_then_slow(&s3, job);
    assert_eq!((code, &summary["scored"]), (Some(0), &json!(FLIGHTS)), "{said}");
    let (code, _, said) = score(&s3, &flights, &direct.to_string_lossy(), &[]);
    assert_eq!(code, Some(0), "{said}");
    let [slow, direct] = [slow, direct].map(|output| predictions(&output.join("results")));
    assert_eq!(direct.len() as u64, FLIGHTS);
    assert!(slow == direct, "a prediction differs from that of the local file");
}

/// What would be another answer, were a row missing, twice or another.
const EVERYTHING: &str = "SELECT count(*), \
     count(DISTINCT CAST(input_partition AS BIGINT) * 1000000000 + input_offset), \
     sum(input_offset), sum(dep_delay), count(temp), max(prediction_arr_delay) FROM results";

#[test]
fn a_query_reads_all_of_a_store_that_refuses_at_first_and_is_slow() {
    let (Some(broker), Some(s3)) = (Broker::shared(), S3::start()) else { return };
    let pipeline: Pipeline = pipeline(broker, &s3, "slowly", &[]);
    pipeline.produced(FLIGHTS);
    scored(&pipeline);
    let expected = pipeline.sql(EVERYTHING);
    assert!(expected.starts_with(&format!("{FLIGHTS},{FLIGHTS},")), "{expected}");
    assert_eq!(refused_then_slow(&s3, || pipeline.sql(EVERYTHING)), expected);
}

//! The reader of hop 2: positions handed in, progress without rows, positions that are gone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ingest::{HopError, ReadEvent, ReaderConfig, Stop};

use crate::harness::{Stage, kafka};

/// Offsets read, by partition.
type Offsets = BTreeMap<i32, Vec<i64>>;
/// First position not covered, by partition.
type Ends = BTreeMap<i32, i64>;

/// Reads the input from `start` until `done` says so of the ends seen; returns offsets and ends per partition.
fn read(
    stage: &Stage,
    start: Option<i64>,
    done: impl Fn(&Ends) -> bool,
) -> (Offsets, Ends, Result<(), HopError>) {
    let config =
        ReaderConfig::new(stage.connection(), &format!("{}-reader", stage.name), &stage.input());
    let (mut offsets, mut ends) = (Offsets::new(), Ends::new());
    let (stop, until) = (Stop::new(), Instant::now() + Duration::from_secs(30));
    let outcome = ingest::reader::read(
        &config,
        |_| Ok(start),
        |event| {
            match event {
                ReadEvent::Batch(batch) => {
                    for record in batch.records() {
                        offsets.entry(record.partition).or_default().push(record.offset);
                        ends.insert(record.partition, record.offset + 1);
                    }
                }
                ReadEvent::Position { partition, position } => {
                    assert!(
                        ends.get(&partition).is_none_or(|end| *end < position),
                        "positions only ascend"
                    );
                    ends.insert(partition, position);
                }
                ReadEvent::Tick(_) if done(&ends) => stop.raise(),
                ReadEvent::Tick(_) => assert!(Instant::now() < until, "not done: {ends:?}"),
                ReadEvent::Assigned(_) | ReadEvent::Revoked(_) => {}
            }
            Ok(())
        },
        &stop,
    );
    (offsets, ends, outcome)
}

#[test]
fn a_position_moves_over_aborted_records_and_a_reader_resumes_where_it_is_told() {
    let Some(brokers) = kafka() else { return };
    let stage = Stage::new(brokers, "reader", 1);
    stage.feed(0, 100);
    stage.abort(50);
    // 100 records, 50 aborted ones and their marker.
    let (offsets, ends, outcome) = read(&stage, None, |ends| ends.get(&0) == Some(&151));
    outcome.unwrap();
    assert_eq!(offsets[&0], (0..100).collect::<Vec<_>>());
    assert_eq!(ends[&0], 151);
    stage.feed(100, 110);
    let (offsets, ends, outcome) = read(&stage, Some(95), |ends| ends.get(&0) == Some(&161));
    outcome.unwrap();
    assert_eq!(offsets[&0], (95..100).chain(151..161).collect::<Vec<_>>());
    assert_eq!(ends[&0], 161);
}

#[test]
fn a_position_that_is_not_in_the_log_stops_the_reader_which_says_so() {
    let Some(brokers) = kafka() else { return };
    let stage = Stage::new(brokers, "reader-gone", 1);
    stage.feed(0, 10);
    let (_, _, outcome) = read(&stage, Some(1000), |_| false);
    let Err(HopError::Config(text)) = outcome else { panic!("{outcome:?}") };
    assert!(text.contains("1000"), "{text}");
}

#[test]
fn a_sink_that_fails_ends_the_reading_with_its_error() {
    let Some(brokers) = kafka() else { return };
    let stage = Stage::new(brokers, "reader-sink", 1);
    stage.feed(0, 10);
    let config = ReaderConfig::new(stage.connection(), &stage.name, &stage.input());
    let outcome = ingest::reader::read(
        &config,
        |_| Ok(None),
        |event| match event {
            ReadEvent::Batch(_) => Err(HopError::Retry("the disk is full".into())),
            _ => Ok(()),
        },
        &Stop::new(),
    );
    assert!(matches!(outcome, Err(HopError::Retry(text)) if text == "the disk is full"));
}

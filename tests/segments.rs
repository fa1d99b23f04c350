//! Values of a segment column that are watched apart: the reference's most frequent ones, and one more for
//! all others, however many there are.

use crate::harness::{Broker, Pipeline, ended_with, flight, scored};
use crate::labels::{answered, fitted};

/// 2013-06-01T00:00:00Z in seconds.
const START: i64 = 1_370_044_800;
/// Destinations in every hour: of the first so many flights, of each next one fewer.
const DESTINATIONS: usize = 40;
/// Those of them that are segments of their own.
const APART: usize = 32;
/// Flights of the third hour to somewhere that the reference does not have.
const ELSEWHERE: usize = 5;

fn destination(number: usize) -> String {
    format!("D{number:02}")
}

/// Flights of an hour to the destination of this number.
fn flights_to(number: usize) -> usize {
    DESTINATIONS - number
}

fn bound_for(destination: &str, second: i64) -> Vec<u8> {
    let at = jiff::Timestamp::from_second(START + second).expect("a time").to_string();
    let text = String::from_utf8(flight(&format!("{destination}-{second}"), "")).expect("text");
    assert!(text.contains("\"IAH\"") && text.contains("2013-06-01T12:00:00Z"), "{text}");
    let text = text.replace("\"IAH\"", &format!("\"{destination}\""));
    text.replace("2013-06-01T12:00:00Z", &at).into_bytes()
}

/// Three hours, and the flight that completes the last of them.
fn events() -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    for hour in 0..3 {
        let usual =
            (0..DESTINATIONS).flat_map(|number| vec![destination(number); flights_to(number)]);
        let other = vec!["ELSE".to_owned(); if hour == 2 { ELSEWHERE } else { 0 }];
        let places = usual.chain(other).zip(0..);
        events.extend(places.map(|(to, place): (_, i64)| bound_for(&to, hour * 3600 + place * 4)));
    }
    events.push(bound_for(&destination(0), 3 * 3600 + 600));
    events
}

/// A line for the rest and one for each segment, as they are sorted.
fn lines(others: usize, of: impl Fn(usize) -> usize) -> Vec<String> {
    let apart = (0..APART).map(|number| format!("{},{}", destination(number), of(number)));
    std::iter::once(format!("<other>,{others}")).chain(apart).collect()
}

#[test]
fn beyond_thirty_two_values_the_rest_is_one_segment() {
    let Some(broker) = Broker::shared() else { return };
    let sets = ["monitor.segments=[\"dest\"]", "monitor.previous_seconds=3600"];
    let pipeline = Pipeline::new(broker, "segments", &sets);
    pipeline.send(&events());
    scored(&pipeline);
    let reference = fitted(&pipeline, &["--where", "event_time < '2013-06-01T02:00:00Z'"]);
    let pipeline = pipeline.with_set(reference);
    ended_with(&pipeline.command(&["monitor", "evaluate"], &[]), 0);

    let rare: usize = (APART..DESTINATIONS).map(flights_to).sum();
    let counted = "SELECT segment_value, sum(rows) FROM counts \
                   WHERE segment = 'dest' AND column_name IS NULL GROUP BY 1 ORDER BY 1";
    let all =
        lines(3 * rare + ELSEWHERE, |number| 3 * flights_to(number) + usize::from(number == 0));
    assert_eq!(answered(&pipeline, counted), all);
    let judged = "SELECT segment_value, n FROM reports WHERE segment = 'dest' AND column_name IS NULL \
                  AND window_start = '2013-06-01T02:00:00Z' ORDER BY 1";
    assert_eq!(answered(&pipeline, judged), lines(rare + ELSEWHERE, flights_to));
    let values = "SELECT count(DISTINCT segment_value), count(DISTINCT window_start) FROM reports \
                  WHERE segment = 'dest'";
    assert_eq!(answered(&pipeline, values), [format!("{},3", APART + 1)]);
    // As a column, each has its own bin still.
    let new = "SELECT round(new_share, 9) FROM reports WHERE segment IS NULL AND column_name = 'dest' \
               AND reference = 'training' AND window_start = '2013-06-01T02:00:00Z'";
    let flights = (0..DESTINATIONS).map(flights_to).sum::<usize>() + ELSEWHERE;
    let share = (ELSEWHERE as f64 / flights as f64 * 1e9).round() / 1e9;
    assert_eq!(answered(&pipeline, new), [share.to_string()]);
}
